"""Device images: engine, network and device application, for QEMU's Xtensa ``sim`` machine or a bare ESP32.

Debian's lx106 compiler (gcc 12, call0 ABI) makes code that the ESP32's LX6 core runs too. It is the same
instruction set without the LX6's multiply-accumulate and loop options. All ports are built from the same sources
with the same flags; only start-up, serial port and counter differ (``firmware/ports``).
"""

import hashlib
import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from paper2board.convert.engine_sources import APPLICATION, FIRMWARE, WARNINGS, engine_flags, engine_sources
from paper2board.core.errors import DoesNotFitError, UserError
from paper2board.core.files import atomic_path

COMPILER = "xtensa-lx106-elf-gcc"
PORTS = FIRMWARE / "ports"
XTENSA = PORTS / "xtensa"
"""Start-up code and the C library functions that a bare core lacks; common to all ports."""
FLAGS = (
    "-O2",
    "-ffreestanding",
    "-nostdlib",
    "-mlongcalls",
    "-mtext-section-literals",
    # Without this, gcc turns the loop inside memcpy into a call of memcpy.
    "-fno-tree-loop-distribute-patterns",
    # gcc 12's first scheduling pass spills the accumulators of blocked kernels: twice the instructions.
    "-fno-schedule-insns",
)
_ELF_LOAD = 1
_SECTIONS = ("text", "rodata", "data", "bss")
_REGIONS = {
    "rom": "flash",
    "ram": "SRAM for variables",
    "iram": "SRAM for code",
    "loaded": "SRAM for constants (no flash is mapped without ESP-IDF)",
}
"""Memory regions of the linker scripts."""


class Port(StrEnum):
    """The machine that an image runs on. Each has a folder of this name with ``port.c`` and a linker script."""

    EMULATOR = "emulator"
    ESP32 = "esp32"

    @property
    def linker_script(self) -> Path:
        """The linker script: which section lies in which memory."""
        return PORTS / self / f"{self}.ld"


@dataclass(frozen=True)
class DeviceImage:
    """A device image. ``content``: all loaded bytes, by load address. ``memory``: bytes of each section (text,
    rodata, data, bss). ``stack_bytes``: bytes reserved for the stack."""

    content: bytes
    memory: dict[str, int]
    stack_bytes: int

    @property
    def digest(self) -> str:
        """sha256 of :attr:`content`, the digest that the device reports about itself."""
        return hashlib.sha256(self.content).hexdigest()


def build_device_image(
    model_folder: str | Path,
    output_elf: str | Path,
    *,
    port: Port = Port.EMULATOR,
    split: bool = True,
    boxes: str | Path | None = None,
) -> None:
    """Build the device image ``output_elf`` from the generated C in ``model_folder``.

    ``split``: the ``paper`` back end's convolutions have the interior/boundary split; without it, they check every
    tap. ``boxes``: a detector's tables, a header called ``boxes.h`` that
    :func:`paper2board.tasks.detection.integer_decode.tables_header` writes. The same sources and compiler give the
    same bytes in every folder. Raise :class:`UserError` without compiler or generated C. Raise
    :class:`DoesNotFitError` if the network does not fit the ESP32's memory.
    """
    folder = Path(model_folder)
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise UserError(
            f"cannot build {output_elf}: {COMPILER} is not installed; install the system packages"
            " gcc-xtensa-lx106 and binutils-xtensa-lx106"
        )
    if not (folder / "model.c").is_file():
        raise UserError(f"{folder} has no generated model.c; run the conversion to C first")
    with atomic_path(output_elf) as temporary:
        command = [compiler, *engine_flags(split=split), f"-I{APPLICATION}", f"-I{XTENSA}", f"-I{folder}"]
        command += [*WARNINGS, *FLAGS]
        if boxes is not None:
            command += ["-DP2B_BOXES", f"-I{Path(boxes).parent}"]
        # No path of this machine in the file, and no debugging information.
        command += [f"-ffile-prefix-map={FIRMWARE}=firmware", f"-ffile-prefix-map={folder}=model"]
        command += [
            "-Wl,--gc-sections",
            "-Wl,--strip-debug",
            "-Wl,--build-id=none",
            f"-Wl,-T,{port.linker_script}",
        ]
        # The instructions of the MAC16 option are written as bytes, because this compiler does not know them.
        sources = [*sorted(XTENSA.glob("*.[Sc]")), PORTS / port / "port.c", *sorted(APPLICATION.glob("*.c"))]
        sources += [*engine_sources(mac16=True, network=folder / "model.c"), folder / "model.c"]
        command += [*map(str, sources), "-lgcc", "-o", str(temporary)]
        # In English: the reason why a network does not fit is found in the linker's text.
        environment = os.environ | {"LC_ALL": "C"}
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if overflow := re.search(r"region `(\w+)' overflowed by (\d+) bytes", result.stderr):
            raise DoesNotFitError(
                f"the network in {folder} does not fit the ESP32: {_REGIONS[overflow[1]]} is {overflow[2]} bytes"
                " too small; choose a smaller network"
            )
        if result.returncode:
            raise RuntimeError(f"{COMPILER} failed on the generated C in {folder}:\n{result.stderr}")


def read_image(elf: str | Path) -> DeviceImage:
    """Read a device image, a 32-bit little-endian ELF file; raise :class:`UserError` if it is not one."""
    try:
        data = Path(elf).read_bytes()
        if data[:6] != b"\x7fELF\x01\x01":
            raise ValueError("not a 32-bit little-endian ELF file")
        segment_offset, section_offset = struct.unpack_from("<2I", data, 28)
        segment_size, segments, section_size, sections, names_index = struct.unpack_from("<5H", data, 42)

        loads = []
        for index in range(segments):
            kind, offset, _, address, size = struct.unpack_from(
                "<5I", data, segment_offset + index * segment_size
            )
            if kind == _ELF_LOAD and size:
                loads.append((address, data[offset : offset + size]))
        content = b"".join(segment for _, segment in sorted(loads))

        headers = [
            struct.unpack_from("<6I", data, section_offset + i * section_size) for i in range(sections)
        ]
        names = data[headers[names_index][4] :]
        memory = {names[header[0] :].split(b"\0", 1)[0].decode(): header[5] for header in headers}
        return DeviceImage(content, {name: memory[f".{name}"] for name in _SECTIONS}, memory[".stack"])
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise UserError(f"{elf} is not a device image ({error}); build it again") from error


def image_digest(elf: str | Path) -> str:
    """Return the digest that a device running the image ``elf`` reports about itself."""
    return read_image(elf).digest
