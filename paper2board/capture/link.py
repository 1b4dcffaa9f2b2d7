"""The line to a device: a serial port, or QEMU running a device image, through pyserial."""

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
"""What pyserial raises when a port goes away: its own exception is an OSError, but not the only one."""

LineFactory = Callable[[], AbstractContextManager[serial.SerialBase]]
"""Opens a device's line, anew each time; raises :class:`LineError` when it cannot be opened or is lost."""


class LineError(UserError):
    """The line to the device is lost, or nothing good comes over it; it may be better once opened anew."""


@contextlib.contextmanager
def serial_line(port: str | Callable[[], str], baud: int = BAUD) -> Iterator[serial.SerialBase]:
    """Open a device's line: ``/dev/ttyUSB0``, a pty, any pyserial URL (``socket://host:port``), or what a function
    such as :func:`paper2board.firmware.serial_ports.find_port` finds now.

    Raise :class:`LineError` when it cannot be opened, or is lost while it is in use.
    """
    name = "of the board"
    try:
        name = port if isinstance(port, str) else port()
        line = serial.serial_for_url(name, baudrate=baud, timeout=1.0, exclusive=True, do_not_open=True)
        # Asserted, either may hold a board in reset or in its boot loader. Most boards restart here nevertheless:
        # Linux asserts both on opening, and they are not released at once.
        line.dtr = line.rts = False
        line.open()
    except UserError as error:
        raise LineError(str(error)) from error
    except (*_LOST, ValueError) as error:
        raise LineError(f"cannot open the device's line {name} ({error}); check the board's port") from error
    try:
        with line:
            yield line
    except _LOST as error:
        raise LineError(f"the device's line {name} was lost ({error}); check cable and power") from error


@contextlib.contextmanager
def emulated_line(elf: str | Path, core: str = "lx106") -> Iterator[serial.SerialBase]:
    """Run the device image ``elf`` on QEMU's ``core`` and open its line; QEMU is gone when the block or we end.

    ``-icount shift=5,sleep=off`` makes CCOUNT an exact count of instructions. Raise :class:`UserError` when
    QEMU is missing or does not start, or when ``elf`` is no device image; :class:`LineError` when QEMU ends early.
    """
    if shutil.which(EMULATOR) is None:
        raise UserError(f"{EMULATOR} is not installed; install the system package qemu-system-misc")
    read_image(elf)  # QEMU would run anything
    with tempfile.TemporaryFile() as messages:
        process, line = _start(Path(elf), core, messages)
        try:
            with line:
                yield line
        except serial.SerialException as error:
            raise LineError(
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
        # Someone else may take the port before QEMU does: then QEMU ends and the next one is tried.
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
                # QEMU waits for one connection; it says so before it listens for it.
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
    """Return what QEMU said, on one line, without its notice that it waits."""
    lines = _bytes(messages).decode(errors="replace").splitlines()
    return "; ".join(line.strip() for line in lines if line.strip() and "waiting for connection" not in line)
