"""The link to a device, through pyserial: a serial port, or the emulated port of QEMU that runs a device image."""

import contextlib
import ctypes
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import serial

from paper2board.core.errors import UserError
from paper2board.firmware.emulator import EMULATOR, emulator_command
from paper2board.firmware.esp32 import BAUD
from paper2board.firmware.image import read_image

_BOOT_TIMEOUT_S = 20.0
_ATTEMPTS = 5
_PR_SET_PDEATHSIG = 1
_LOST = (OSError, termios.error)
"""What pyserial raises when a port disappears: its own exception, which is an OSError, and others."""

LinkFactory = Callable[[], AbstractContextManager[serial.SerialBase]]
"""Opens a new link to a device at each call; raises :class:`LinkError` if it cannot be opened or is lost."""


class LinkError(UserError):
    """The link to the device is lost, or no valid reply comes over it. Opening it again may help."""


@contextlib.contextmanager
def serial_link(port: str | Callable[[], str], baud: int = BAUD) -> Iterator[serial.SerialBase]:
    """Open the link to a device on ``port``: ``/dev/ttyUSB0``, a pty, or a pyserial URL (``socket://host:port``).

    A function in place of a name returns the port to open, as
    :func:`paper2board.firmware.serial_ports.find_port` does. Raise :class:`LinkError` if the port cannot be opened,
    or if it is lost during use.
    """
    name = "of the board"
    try:
        name = port if isinstance(port, str) else port()
        link = serial.serial_for_url(name, baudrate=baud, timeout=1.0, exclusive=True, do_not_open=True)
        # Either signal may hold a board in reset or in its boot loader while it is asserted. Most boards restart
        # here nevertheless: Linux asserts both signals on opening and does not release them at the same time.
        link.dtr = link.rts = False
        link.open()
    except UserError as error:
        raise LinkError(str(error)) from error
    except (*_LOST, ValueError) as error:
        raise LinkError(
            f"cannot open the link to the device on {name} ({error}); check the board's port"
        ) from error
    try:
        with link:
            yield link
    except _LOST as error:
        raise LinkError(
            f"the link to the device on {name} was lost ({error}); check cable and power"
        ) from error


@contextlib.contextmanager
def emulated_link(elf: str | Path, core: str = "lx106") -> Iterator[serial.SerialBase]:
    """Run the device image ``elf`` on QEMU's ``core`` and open the link to it.

    QEMU ends with the block, and with this process. ``-icount shift=5,sleep=off`` makes CCOUNT an exact count of
    instructions. Raise :class:`UserError` if QEMU is missing or does not start, or if ``elf`` is no device image.
    Raise :class:`LinkError` if QEMU ends early.
    """
    if shutil.which(EMULATOR) is None:
        raise UserError(f"{EMULATOR} is not installed; install the system package qemu-system-misc")
    read_image(elf)  # QEMU would run anything
    with tempfile.TemporaryFile() as messages:
        process, link = _start(Path(elf), core, messages)
        try:
            with link:
                yield link
        except serial.SerialException as error:
            raise LinkError(
                f"{EMULATOR} with {elf} ended early ({_text(messages) or error}); build the image again"
            ) from error
        finally:
            process.kill()
            process.wait()


def _start(elf: Path, core: str, messages: IO[bytes]) -> tuple[subprocess.Popen[bytes], serial.SerialBase]:
    """Start QEMU on a free port and connect to it."""
    for _ in range(_ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        # Another process may take the port before QEMU does: then QEMU ends, and the next attempt takes another
        # port.
        command = emulator_command(elf, core, f"tcp:127.0.0.1:{port},server=on,wait=on,nodelay=on")
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            preexec_fn=_die_with_parent,
        )
        deadline = time.monotonic() + _BOOT_TIMEOUT_S
        try:
            while process.poll() is None and time.monotonic() < deadline:
                # QEMU waits for one connection. It prints that before it listens.
                if b"waiting for connection" in _bytes(messages):
                    with contextlib.suppress(serial.SerialException):
                        return process, serial.serial_for_url(f"socket://127.0.0.1:{port}", timeout=1.0)
                time.sleep(0.01)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.kill()
        process.wait()
        if b"in use" not in _bytes(messages):
            break
        messages.truncate(0)
    raise UserError(
        f"{EMULATOR} did not start {elf} ({_text(messages) or 'no message'}); build the image again"
    )


_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """Have Linux kill this process when its parent ends, even by SIGKILL."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _bytes(messages: IO[bytes]) -> bytes:
    messages.seek(0)
    return messages.read()


def _text(messages: IO[bytes]) -> str:
    """Return QEMU's messages as one line, without the notice that it waits for a connection."""
    lines = _bytes(messages).decode(errors="replace").splitlines()
    return "; ".join(line.strip() for line in lines if line.strip() and "waiting for connection" not in line)
