"""Writing an image into an ESP32's flash through its serial boot loader, with esptool."""

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
from dataclasses import dataclass, field
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
from paper2board.firmware.symptoms import REMEMBERED_BYTES, cause, garbage, said

CHIP = "ESP32"
BAUD = 460_800
"""Rate of the first attempt, as of ESP-IDF's ``idf.py flash``. Later attempts use the ROM's 115200 baud."""
_REPLY_TIMEOUT_S = 3.0
_BABBLE_S = 1.0
_RESTART_S = 0.2
"""Until a board that restarts has printed the reason."""
_SILENT = "Failed to connect to Espressif device: "

_LINK_ERRORS: tuple[type[Exception], ...] = (
    # esptool's FatalError and UnsupportedCommandError; pyserial's SerialException is an OSError.
    RuntimeError,
    OSError,
    termios.error,
    # esptool parses damaged replies without checks.
    struct.error,
    LookupError,
    ValueError,
)


class _NotKeptError(RuntimeError):
    """The boot loader has acknowledged every block, but the flash does not hold them."""


class _UnreachableError(UserError):
    """The port cannot be opened, or no boot loader replies on it."""


@dataclass(frozen=True)
class FlashedBoard:
    """A flashed board: its chip with revision, its MAC address. ``written``: whether the flash had to be
    written."""

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
    """Write ``image`` into the flash of the ESP32 on ``port`` and start it. If the flash holds it already, only
    start it.

    ``port``: a device (``/dev/ttyUSB0``), a pty or a pyserial URL (``socket://host:port``,
    ``rfc2217://host:port?ign_set_control``). If the link fails, there are ``attempts`` attempts in all, ``pause_s``
    apart. The chip computes the MD5 of its flash, before and after writing; it is compared with that of ``image``.
    ``progress`` shows a bar on a terminal and prints failed attempts.

    Raise :class:`UserError` in these cases. The image is damaged or not for the ESP32 (checked before the port is
    opened). The port cannot be opened, or nothing replies. The chip is not an ESP32, or accepts only signed or
    encrypted programs. The image does not fit. Every attempt failed.
    """
    content = read_flash_image(image)
    flashing = _Flashing(port, content, progress)
    lost: Exception | None = None
    not_kept: list[_NotKeptError] = []
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
            except _LINK_ERRORS as error:
                reason, lost = _first_line(error), error
                if isinstance(error, _NotKeptError):
                    not_kept.append(error)
            if progress:
                tqdm.write(f"attempt {attempt + 1} of {attempts}: {reason}", file=sys.stderr)
    state = "its flash is half-written" if flashing.begun else "nothing was written"
    if known := cause(bytes(flashing.heard), flashing=True):
        raise UserError(
            f"the board on {port} cannot be flashed, and {state}: {known}, and run again"
        ) from lost
    # A link that fails in another attempt is no news about a flash that keeps nothing.
    if not_kept:
        raise UserError(
            f"the flash of the board on {port} does not keep what is written: in {len(not_kept)} of {attempts}"
            f" attempts every block was acknowledged, and {_first_line(not_kept[-1])}; {state}: give the board a"
            " stronger supply, take what is wired to GPIO 6 to 12 off, and run again, or use another board"
        ) from not_kept[-1]
    raise UserError(
        f"the link to the board on {port} failed {attempts} times ({reason}); {state}: check cable and power, and"
        f" run again{' to repair it' if flashing.begun else ''}"
    ) from lost


def read_flash_image(path: str | Path) -> bytes:
    """Return the bytes of an ESP32 image, padded to whole words.

    Raise :class:`UserError` if the file is not an ESP32 image, or is damaged.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the image {path} ({error.strerror}); build it first") from error
    if content.startswith(b"\x7fELF"):
        raise UserError(f"{path} is an ELF file; make an image of it with `esptool --chip esp32 elf2image`")
    try:
        image = LoadFirmwareImage(CHIP, content)
        # TypeError: esptool indexes the checksum's byte, which is missing in a cut file.
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
    """One image and one board, over several attempts. ``begun``: the flash may hold a part of the image. ``heard``:
    the last bytes that came from the board."""

    port: str
    content: bytes
    progress: bool
    begun: bool = False
    heard: bytearray = field(default_factory=bytearray)

    def run(self, fast: bool) -> tuple[str, str]:
        """Flash once and return chip and MAC address. ``fast``: at :data:`BAUD`, else at the ROM's rate.

        Raise one of ``_LINK_ERRORS`` if the link fails.
        """
        with _open(self.port, self.heard) as link:
            try:
                chip = detect_chip(link)
            except FatalError as error:
                if str(error).startswith(_SILENT):
                    raise _UnreachableError(_no_boot_loader(self.port, error, bytes(self.heard))) from error
                raise
            try:
                mac = ":".join(f"{byte:02x}" for byte in chip.read_mac())
                described = str(chip.get_chip_description())
                self._program(chip, fast)
                return described, mac
            except _LINK_ERRORS:
                # esptool does not read what comes in place of a reply: the reason, if the board has restarted.
                with contextlib.suppress(*_LINK_ERRORS):
                    time.sleep(_RESTART_S)
                    link.reset_input_buffer()
                raise
            finally:
                # Also after a refusal: the board starts the program that it has.
                with contextlib.suppress(*_LINK_ERRORS):
                    chip.hard_reset()

    def _program(self, chip: Any, fast: bool) -> None:
        """Check the chip and its flash size; write the image unless the flash holds it; compare."""
        if chip.CHIP_NAME != CHIP:
            raise UserError(
                f"the chip on {self.port} is an {chip.CHIP_NAME}, the image is for the {CHIP}; connect a board"
                f" with an {CHIP}"
            )
        if chip.get_secure_boot_enabled() or chip.get_flash_encryption_enabled():
            raise UserError(
                f"the chip on {self.port} accepts only signed or encrypted programs (its fuses are set so); "
                "use another board"
            )
        chip = run_stub(chip)
        # A socket has no rate: the chip would change its rate, the serial bridge behind the socket would not.
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
                raise _NotKeptError("the MD5 of its flash differs from the image's")

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
                # The boot loader takes whole blocks. The bytes after the image stay erased.
                chip.flash_block(block.ljust(block_size, b"\xff"), number)
                bar.update(len(block))
            # The stub replies to this when the last block is in the flash.
            chip.flash_finish()


# --- the link -------------------------------------------------------------------------------------------


def _open(port: str, heard: bytearray) -> Any:
    """Open ``port`` exclusively; what comes from it is also appended to ``heard``."""
    try:
        link = serial.serial_for_url(port, exclusive=True, timeout=_REPLY_TIMEOUT_S)
        return _with_reply_deadline(_overheard(link, heard))
    except (OSError, ValueError, termios.error) as error:
        raise _UnreachableError(_cannot_open(port, error)) from error


def _overheard(link: Any, heard: bytearray) -> Any:
    """Return ``link`` that appends what comes to ``heard``, which keeps :data:`REMEMBERED_BYTES`.

    That includes what esptool discards unread, which is most of a message: it gives up reading at the first byte
    that is no boot loader's.
    """
    read, reset = link.read, link.reset_input_buffer

    def remembered(size: int = 1) -> bytes:
        content: bytes = read(size)
        heard.extend(content)
        del heard[:-REMEMBERED_BYTES]
        return content

    def remembering_reset() -> None:
        # A socket never says how much is waiting. A device that sends without end is no reason to stay here.
        for _ in range(REMEMBERED_BYTES):
            if not (waiting := link.in_waiting):
                break
            remembered(waiting)
        reset()

    link.read, link.reset_input_buffer = remembered, remembering_reset
    return link


def _with_reply_deadline(link: Any) -> Any:
    """Return ``link`` with reads that end :data:`_BABBLE_S` after its time-out, counted from the last write.

    esptool's time-out starts again with every byte: a device that keeps sending would block it for ever.
    """
    read, write = link.read, link.write
    written = time.monotonic()

    def timed_read(size: int = 1) -> bytes:
        late = time.monotonic() - written > link.timeout + _BABBLE_S
        return b"" if late else read(size)

    def noted_write(data: bytes) -> int | None:
        nonlocal written
        written = time.monotonic()
        return write(data)

    link.read, link.write = timed_read, noted_write
    return link


def _cannot_open(port: str, error: Exception) -> str:
    """Return one sentence: why ``port`` cannot be opened, and the remedy."""
    reason = getattr(error, "errno", None)
    if reason in (errno.EACCES, errno.EPERM):
        remedy = "no group has access; give it a group by a udev rule, or run as its owner"
        if group := _group(port):
            remedy = (
                f"its group has access; run `sudo usermod -aG {group} $USER`, log out and in, and try again"
            )
        return f"no permission to use {port}: {remedy}"
    if reason in (errno.EBUSY, errno.EAGAIN):
        users = _users(port) or "perhaps by a serial monitor, an IDE, ModemManager or brltty"
        return f"{port} is in use ({users}); end that program and try again"
    if reason in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO):
        boards = ", ".join(map(str, board_ports())) or "none"
        return f"there is no port {port} (boards connected: {boards}); check the cable or name another port"
    return (
        f"cannot open {port} ({_first_line(error)}); name a serial port, or a serial server that is running"
    )


def _group(port: str) -> str | None:
    """Return the group other than root's with access to ``port``; None if there is none."""
    with contextlib.suppress(OSError, KeyError):
        status = Path(port).stat()
        if status.st_gid and status.st_mode & stat.S_IWGRP:
            return grp.getgrgid(status.st_gid).gr_name
    return None


def _users(port: str) -> str:
    """Return names and ids of the processes that have ``port`` open, as far as this user may read them."""
    device, users = os.path.realpath(port), []
    for process in Path("/proc").glob("[0-9]*"):
        # Processes may end meanwhile, and those of other users cannot be read.
        with contextlib.suppress(OSError):
            if any(os.path.realpath(link) == device for link in (process / "fd").iterdir()):
                users.append(f"{(process / 'comm').read_text().strip()}, process {process.name}")
    return "; ".join(users)


def _no_boot_loader(port: str, error: Exception, heard: bytes) -> str:
    """Return one sentence: why no boot loader replies, as far as ``heard`` and esptool's error show it, and the
    remedy."""
    if known := cause(heard, flashing=True):
        return f"no boot loader replies on {port}: {known}"
    reason = _first_line(error).removeprefix(_SILENT)
    if "TX path" in reason:
        return f"the chip on {port} sends but does not receive ({reason}); check the wire to its RX pin"
    what = f"no boot loader replies on {port}"
    if heard.strip():
        came = "only garbage came" if garbage(heard) else f"a program runs, which sent '{said(heard)}'"
        what = f"{what}: {came}"
    if "Wrong boot mode" in reason:
        what = f"the chip on {port} starts its program instead of its boot loader"
    return f"{what} ({reason}); hold the board's BOOT button, press EN, release BOOT, and run again"


def _first_line(error: Exception) -> str:
    """Return the first line of a message, without its full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


# --- esptool's messages ---------------------------------------------------------------------------------


class _Silence(EspLogBase):
    """A log that prints nothing."""

    def print(self, *args: Any, **kwargs: Any) -> None:
        pass

    err = warn = note = hint = debug = set_verbosity = progress_bar = print


_lock = threading.Lock()
_silenced = 0
_before: tuple[Any, Any] = None, None


@contextlib.contextmanager
def _silent_esptool() -> Iterator[None]:
    """Suppress esptool's messages. esptool has one log for the whole process; threads may overlap here."""
    global _silenced, _before
    with _lock:
        if not _silenced:
            # The reset strategies keep a reference to the log of the time of their import.
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
