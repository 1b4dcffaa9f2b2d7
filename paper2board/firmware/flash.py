"""Flashing an image into an ESP32 over its serial boot loader, through esptool."""

import contextlib
import errno
import grp
import hashlib
import os
import stat
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serial
from esp_pylib.logger import EspLog, EspLogBase
from esptool.bin_image import LoadFirmwareImage
from esptool.cmds import attach_flash, detect_chip, detect_flash_size, run_stub
from esptool.reset import ResetStrategy
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError, flash_size_bytes
from tqdm import tqdm

from paper2board.core.errors import UserError
from paper2board.firmware.esp32 import OFFSET
from paper2board.firmware.serial_ports import board_ports

CHIP = "ESP32"
BAUD = 460_800
"""Speed of writing, as ESP-IDF's ``idf.py flash``; a second attempt stays at the ROM's 115200."""
_REPLY_TIMEOUT_S = 3.0
_BABBLE_S = 1.0
_SILENT = "Failed to connect to Espressif device: "

_LINE_ERRORS: tuple[type[Exception], ...] = (
    # esptool's FatalError and UnsupportedCommandError; pyserial's SerialException is an OSError.
    RuntimeError,
    OSError,
    termios.error,
    # esptool takes damaged replies apart unchecked.
    struct.error,
    LookupError,
    ValueError,
)


class _UnreachableError(UserError):
    """The port cannot be opened, or no boot loader answers on it."""


@dataclass(frozen=True)
class FlashedBoard:
    """A flashed board: its chip with revision, its MAC address; ``written``: the image was not there yet."""

    chip: str
    mac: str
    written: bool

    def __str__(self) -> str:
        return f"{self.chip}, {self.mac}"


def flash(
    port: str,
    image: str | Path,
    *,
    attempts: int = 3,
    pause_s: float = 2.0,
    progress: bool = False,
) -> FlashedBoard:
    """Write ``image`` into the flash of the ESP32 on ``port``, unless it is there, and start it.

    ``port``: a device (``/dev/ttyUSB0``), a pty or a pyserial URL (``socket://host:port``,
    ``rfc2217://host:port?ign_set_control``). When the line fails, it is tried again, ``attempts`` times in all,
    ``pause_s`` apart. The flash is compared with ``image``, before and after, by the MD5 that the chip computes.
    ``progress`` shows a bar on a terminal and tells of failed attempts.

    Raise :class:`UserError` if the image is none for the ESP32 or is damaged (before the port is opened), the port
    cannot be opened, nothing answers, the chip is another one or wants signed or encrypted programs, the image does
    not fit, or every attempt failed.
    """
    content = read_flash_image(image)
    flashing = _Flashing(port, content, progress)
    lost: Exception | None = None
    with _silent_esptool():
        for attempt in range(attempts):
            if attempt:
                time.sleep(pause_s)
            try:
                chip, mac = flashing.run(fast=attempt == 0)
                return FlashedBoard(chip, mac, flashing.begun)
            except _UnreachableError as error:
                if lost is None:
                    raise
                reason = str(error).partition("; ")[0]
            except _LINE_ERRORS as error:
                lost, reason = error, _first_line(error)
            if progress:
                tqdm.write(f"attempt {attempt + 1} of {attempts}: {reason}", file=sys.stderr)
    state = (
        "its flash is half-written: check cable and power, and run again to repair it"
        if flashing.begun
        else "nothing was written: check cable and power, and run again"
    )
    raise UserError(f"the line to the board on {port} failed {attempts} times ({reason}); {state}") from lost


def read_flash_image(path: str | Path) -> bytes:
    """Return an ESP32 image's bytes, padded to whole words; raise :class:`UserError` if it is none or damaged."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the image {path} ({error.strerror}); build it first") from error
    if content.startswith(b"\x7fELF"):
        raise UserError(f"{path} is an ELF file; make an image of it with `esptool --chip esp32 elf2image`")
    try:
        image = LoadFirmwareImage(CHIP, content)
        # TypeError: esptool takes the checksum's byte, which a cut file lacks, for one.
    except (RuntimeError, struct.error, TypeError) as error:
        raise UserError(f"{path} is not an ESP32 image ({_first_line(error)}); build it again") from error
    if image.chip_id != CHIP_DEFS["esp32"].IMAGE_CHIP_ID:
        names = [chip.CHIP_NAME for chip in CHIP_DEFS.values() if image.chip_id == chip.IMAGE_CHIP_ID]
        raise UserError(
            f"{path} is an image for {' or '.join(names) or f'chip {image.chip_id}'}, not for the {CHIP}; build it"
            f" for the {CHIP}"
        )
    if image.checksum != image.calculate_checksum() or (
        image.append_digest and image.stored_digest != image.calc_digest
    ):
        raise UserError(f"{path} is damaged: its checksum does not match its content; build it again")
    return content + b"\xff" * (-len(content) % 4)


@dataclass
class _Flashing:
    """An image on its way to a board; ``begun``: the flash may hold a part of it."""

    port: str
    content: bytes
    progress: bool
    begun: bool = False

    def run(self, fast: bool) -> tuple[str, str]:
        """Flash once, ``fast`` or at the ROM's speed; return chip and MAC address.

        Raise one of ``_LINE_ERRORS`` when the line fails.
        """
        with _open(self.port) as line:
            try:
                chip = detect_chip(line)
            except FatalError as error:
                if str(error).startswith(_SILENT):
                    raise _UnreachableError(_no_boot_loader(self.port, error)) from error
                raise
            try:
                mac = ":".join(f"{byte:02x}" for byte in chip.read_mac())
                described = str(chip.get_chip_description())
                self._program(chip, fast)
                return described, mac
            finally:
                # Also after a refusal: the board goes back to the program that it has.
                with contextlib.suppress(*_LINE_ERRORS):
                    chip.hard_reset()

    def _program(self, chip: Any, fast: bool) -> None:
        """Check the chip and its flash; write, unless the image is there; compare."""
        if chip.CHIP_NAME != CHIP:
            raise UserError(
                f"the chip on {self.port} is an {chip.CHIP_NAME}, the image is for the {CHIP}; connect a board"
                f" with an {CHIP}"
            )
        if chip.get_secure_boot_enabled() or chip.get_flash_encryption_enabled():
            raise UserError(
                f"the chip on {self.port} takes signed or encrypted programs only, by its fuses; use another board"
            )
        chip = run_stub(chip)
        # A socket has no speed: the chip would change to one that the bridge at its end does not have.
        if fast and not self.port.startswith("socket:"):
            chip.change_baud(BAUD)
        attach_flash(chip)
        if size := flash_size_bytes(detect_flash_size(chip)):
            if OFFSET + len(self.content) > size:
                raise UserError(
                    f"{len(self.content)} bytes at {OFFSET:#x} do not fit the {size} bytes of flash on"
                    f" {self.port}; use a smaller network or a board with more flash"
                )
            chip.flash_set_parameters(size)
        if not self._is_there(chip):
            self._write(chip)
            if not self._is_there(chip):
                raise FatalError("the flash does not hold what was written")

    def _is_there(self, chip: Any) -> bool:
        md5 = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        return bool(chip.flash_md5sum(OFFSET, len(self.content)) == md5)

    def _write(self, chip: Any) -> None:
        size, block_size = len(self.content), chip.FLASH_WRITE_SIZE
        bar = tqdm(
            total=size, unit="B", unit_scale=True, desc="flash", disable=None if self.progress else True
        )
        with bar:
            self.begun = True
            chip.flash_begin(size, OFFSET)
            for number, start in enumerate(range(0, size, block_size)):
                block = self.content[start : start + block_size]
                # The boot loader takes whole blocks; what is beyond the image stays erased.
                chip.flash_block(block.ljust(block_size, b"\xff"), number)
                bar.update(len(block))
            # The stub answers this when the last block is in the flash.
            chip.flash_finish()


# --- the line -------------------------------------------------------------------------------------------


def _open(port: str) -> Any:
    """Open ``port`` for us alone."""
    try:
        return _impatient(serial.serial_for_url(port, exclusive=True, timeout=_REPLY_TIMEOUT_S))
    except (OSError, ValueError, termios.error) as error:
        raise _UnreachableError(_cannot_open(port, error)) from error


def _impatient(line: Any) -> Any:
    """Have ``line``'s reads end a little after its time-out, counted from the last write.

    esptool waits anew for every byte, so a device that goes on sending would hold it for good.
    """
    read, write = line.read, line.write
    written = time.monotonic()

    def impatient_read(size: int = 1) -> bytes:
        late = time.monotonic() - written > line.timeout + _BABBLE_S
        return b"" if late else read(size)

    def noted_write(data: bytes) -> int | None:
        nonlocal written
        written = time.monotonic()
        return write(data)

    line.read, line.write = impatient_read, noted_write
    return line


def _cannot_open(port: str, error: Exception) -> str:
    """Say in one sentence why ``port`` cannot be opened and what to do."""
    reason = getattr(error, "errno", None)
    if reason in (errno.EACCES, errno.EPERM):
        remedy = "it has no group that may; give it one by a udev rule, or run as its owner"
        if group := _group(port):
            remedy = f"its group may; run `sudo usermod -aG {group} $USER`, log out and in, and try again"
        return f"no permission to use {port}: {remedy}"
    if reason in (errno.EBUSY, errno.EAGAIN):
        users = _users(port) or "a serial monitor, an IDE, ModemManager or brltty, perhaps"
        return f"{port} is in use ({users}); end that program and try again"
    if reason in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO):
        boards = ", ".join(map(str, board_ports())) or "none"
        return f"there is no port {port} (boards connected: {boards}); check the cable or name another port"
    return f"cannot open {port} ({_first_line(error)}); name a serial port, or a serial server that runs"


def _group(port: str) -> str | None:
    """Return the group, other than root's, whose members may use ``port``; None if there is none."""
    with contextlib.suppress(OSError, KeyError):
        status = Path(port).stat()
        if status.st_gid and status.st_mode & stat.S_IWGRP:
            return grp.getgrgid(status.st_gid).gr_name
    return None


def _users(port: str) -> str:
    """Return names and ids of the processes that have ``port`` open, of those that we may look into."""
    device, users = os.path.realpath(port), []
    for process in Path("/proc").glob("[0-9]*"):
        # Processes end while we look, and others' are closed to us.
        with contextlib.suppress(OSError):
            if any(os.path.realpath(link) == device for link in (process / "fd").iterdir()):
                users.append(f"{(process / 'comm').read_text().strip()}, process {process.name}")
    return "; ".join(users)


def _no_boot_loader(port: str, error: Exception) -> str:
    """Say in one sentence why nothing answers, by what esptool saw, and what to do."""
    reason = _first_line(error).removeprefix(_SILENT)
    if "TX path" in reason:
        return f"the chip on {port} sends but does not hear ({reason}); check the wire to its RX pin"
    what = f"no boot loader answers on {port}"
    if "Wrong boot mode" in reason:
        what = f"the chip on {port} starts its program instead of its boot loader"
    return f"{what} ({reason}); hold the board's BOOT button, press EN, release BOOT, and run again"


def _first_line(error: Exception) -> str:
    """Return the first sentence of a message for people, without its full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


# --- esptool's messages ---------------------------------------------------------------------------------


class _Silence(EspLogBase):
    """A log that says nothing."""

    def print(self, *args: Any, **kwargs: Any) -> None:
        pass

    err = warn = note = hint = debug = set_verbosity = progress_bar = print


_lock = threading.Lock()
_silenced = 0
_before: tuple[Any, Any] = None, None


@contextlib.contextmanager
def _silent_esptool() -> Iterator[None]:
    """Keep esptool's messages, which have one log for the whole process, from the terminal; threads may nest."""
    global _silenced, _before
    with _lock:
        if not _silenced:
            # The reset strategies hold on to the log that was there when they were imported.
            _before = EspLog.instance, ResetStrategy.print_once
            EspLog.instance, ResetStrategy.print_once = _Silence(), _Silence().warn
        _silenced += 1
    try:
        yield
    finally:
        with _lock:
            _silenced -= 1
            if not _silenced:
                EspLog.instance, ResetStrategy.print_once = _before
