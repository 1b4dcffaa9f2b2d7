"""Files that the ESP32's ROM loads and starts. esptool makes them from a device image; ESP-IDF is not needed."""

import subprocess
import sys
from pathlib import Path

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, counted
from paper2board.core.files import atomic_path, digest
from paper2board.firmware.image import Port, build_device_image, read_image

BAUD = 115_200
"""Rate of the ROM's serial port, which the application keeps."""
OFFSET = 0x1000
"""Flash address of the program that the ESP32's ROM starts (esptool 5.6.0, ESP32ROM.BOOTLOADER_FLASH_OFFSET)."""
# Every module's flash supports these. The flash is read only while the ROM loads the image.
_FLASH = ("--flash-mode", "dio", "--flash-freq", "40m", "--flash-size", "4MB")


def build_flash_files(
    generated: Path, folder: Path, *, split: bool, boxes: str | Path | None
) -> dict[str, Evidence]:
    """Write ``device.elf``, ``device.bin``, ``flash.bin`` to ``folder``; return ``esp32.{image,sram}``, in bytes.

    ``generated``: the folder of the model's C. ``split`` and ``boxes``: as :func:`build_device_image`.

    Raises:
        DoesNotFitError: the chip's SRAM does not hold the network.
    """
    elf, image = folder / "device.elf", folder / "device.bin"
    build_device_image(generated, elf, port=Port.ESP32, split=split, boxes=boxes)
    write_flash_image(elf, image)
    write_whole_flash(image, folder / "flash.bin")
    built = read_image(elf)
    chain = {"c": digest(generated / "model.c"), "image": built.digest, "file": digest(image)}
    # The initial values of variables lie there as well.
    taken = sum(built.memory.values()) + built.memory["data"] + built.stack_bytes
    text = "code, constants, variables, the initial values of these, stack, as linked"
    size = image.stat().st_size
    return {
        "esp32.image": counted(size, "B", "the file for flash address 0x1000", Kind.MEASURED, chain),
        "esp32.sram": counted(taken, "B", text, chain=chain),
    }


def write_flash_image(elf: str | Path, output: str | Path) -> None:
    """Write the image for :data:`OFFSET` of an ESP32's flash, with esptool's checksum and digest.

    The same ELF file gives the same bytes. Raise :class:`UserError` if esptool refuses ``elf``.
    """
    with atomic_path(output) as temporary:
        # Segments, not sections: a section has the address where it is used, a segment the address where it is
        # loaded.
        _esptool(elf, "elf2image", "--use-segments", *_FLASH, "-o", temporary, elf)


def write_whole_flash(image: str | Path, output: str | Path) -> None:
    """Write the same image for address 0: some tools take one file for the whole flash."""
    with atomic_path(output) as temporary:
        _esptool(image, "merge-bin", *_FLASH, "-o", temporary, hex(OFFSET), image)


def _esptool(subject: str | Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "esptool", "--chip", "esp32", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        printed = " ".join((result.stdout + result.stderr).split())
        raise UserError(f"esptool refuses {subject} ({printed[-300:]}); build the image again")
