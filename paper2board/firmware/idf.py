"""The ESP-IDF project ``firmware/ports/esp-idf``, built where ESP-IDF is installed.

Nothing heavy is imported: the workflow looks for ESP-IDF while it parses.
"""

import os
import re
import shutil
import subprocess
import tempfile
from enum import StrEnum
from pathlib import Path

from paper2board.convert.engine_sources import FIRMWARE
from paper2board.core.errors import DoesNotFitError, UserError
from paper2board.core.files import write_text
from paper2board.firmware.image import PORTS

PROJECT = PORTS / "esp-idf"
IMAGE = "p2b.bin"
"""The application's file in a built folder. Its SHA-256 is the digest that the device reports."""
MISSING = (
    "the ESP-IDF project is not built: ESP-IDF 5.5 or newer is not set up here; install it"
    " (https://docs.espressif.com/projects/esp-idf), source its export.sh in this shell, and run again"
)
_RESULTS = (
    IMAGE,
    "p2b.elf",
    "bootloader/bootloader.bin",
    "partition_table/partition-table.bin",
    "flash_args",
)


class Mode(StrEnum):
    """The program to build. LIVE needs an ESP32-CAM, TFLM needs the network's ``.tflite``."""

    DEVICE = "device"
    LIVE = "live"
    TFLM = "tflm"


_OLDEST = (5, 5)
_TOO_LARGE = re.compile(r"region `\w+' overflowed by \d+ bytes|.*partition is too small.*")
"""The linker's message, and ESP-IDF's message for an application that is larger than its partition."""
_LAST_LINES = 30


def find_idf() -> list[str] | None:
    """Return the command of ESP-IDF's tool ``idf.py``, which its export.sh puts on the PATH.

    Return None if ESP-IDF is not set up, or is older than 5.5.
    """
    home = Path(os.environ.get("IDF_PATH", "."))
    tool = shutil.which("idf.py") or str(home / "tools" / "idf.py")
    try:
        stated = (home / "tools" / "cmake" / "version.cmake").read_text()
    except OSError:
        return None
    version = [re.search(rf"IDF_VERSION_{part} (\d+)", stated) for part in ("MAJOR", "MINOR")]
    if not Path(tool).is_file() or tuple(int(found[1]) for found in version if found) < _OLDEST:
        return None
    # ESP-IDF's own Python: the first one on the PATH may be that of this project.
    python = Path(os.environ.get("IDF_PYTHON_ENV_PATH", ".")) / "bin" / "python"
    return [str(python), tool] if python.is_file() else [tool]


def build_idf(
    model_folder: str | Path,
    folder: str | Path,
    *,
    mode: Mode = Mode.DEVICE,
    boxes: str | Path | None = None,
    tflite: str | Path | None = None,
) -> None:
    """Build the project with the generated C of ``model_folder``; put images, ELF file and log into ``folder``.

    ``folder/flash_args`` has esptool's arguments: each image with its address. ``boxes``: a detector's tables, a
    header called ``boxes.h``. ``tflite``: the network for TFLite Micro, for :attr:`Mode.TFLM`. The sources stay
    untouched. Raise :class:`UserError` without ESP-IDF, :class:`DoesNotFitError` for a network that does not fit.
    """
    command, folder = find_idf(), Path(folder).resolve()
    if command is None:
        raise UserError(MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        project, build = Path(name) / "project", Path(name) / "build"
        shutil.copytree(PROJECT, project)
        defaults = [project / "sdkconfig.defaults"]
        if mode is not Mode.DEVICE:
            defaults.append(project / f"sdkconfig.{mode}")
            # The components to fetch. (One manifest with rules for all modes needs component manager 2.3.)
            shutil.copyfile(project / f"idf_component.{mode}.yml", project / "main" / "idf_component.yml")
        settings = {
            "SDKCONFIG": build / "sdkconfig",
            "SDKCONFIG_DEFAULTS": ";".join(map(str, defaults)),
            "P2B_FIRMWARE_DIR": FIRMWARE,
            "P2B_MODEL_DIR": Path(model_folder).resolve(),
            "P2B_BOXES_DIR": Path(boxes).resolve().parent if boxes else "",
            "P2B_TFLITE": Path(tflite).resolve() if tflite else "",
        }
        command += ["-C", str(project), "-B", str(build)]
        command += [f"-D{key}={value}" for key, value in settings.items() if value]
        # In English: the reason why a network does not fit is found in the tools' text.
        environment = os.environ | {"LC_ALL": "C"}
        done = subprocess.run(
            [*command, "build"], capture_output=True, text=True, check=False, env=environment
        )
        printed = done.stdout + done.stderr
        write_text(folder / "build.log", printed)
        if too_large := _TOO_LARGE.search(printed):
            raise DoesNotFitError(
                f"the network in {model_folder} does not fit the ESP32 ({too_large[0].strip()}); choose a smaller"
                " network"
            )
        if done.returncode:
            last = "\n".join(printed.splitlines()[-_LAST_LINES:])
            raise RuntimeError(f"idf.py failed on the generated C in {model_folder}:\n{last}")
        for result in _RESULTS:
            (folder / result).parent.mkdir(exist_ok=True)
            shutil.copyfile(build / result, folder / result)
