"""Files that the ESP32's ROM loads and starts. esptool makes them from a device image; ESP-IDF is not needed."""

import subprocess
import sys
from pathlib import Path

from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path

BAUD = 115_200
"""Rate of the ROM's serial port, which the application keeps."""
OFFSET = 0x1000
"""Flash address of the program that the ESP32's ROM starts (esptool 5.6.0, ESP32ROM.BOOTLOADER_FLASH_OFFSET)."""
# Every module's flash supports these. The flash is read only while the ROM loads the image.
_FLASH = ("--flash-mode", "dio", "--flash-freq", "40m", "--flash-size", "4MB")


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
