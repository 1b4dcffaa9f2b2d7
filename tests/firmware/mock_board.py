"""A simulated ESP32 board: esp32-mock-bootloader behind a link, TCP or pty, with faults on request."""

import contextlib
import os
import pty
import select
import socket
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from esp32_mock_bootloader.server import BootloaderConnection, FlashImage, handle_client

Firmware = Callable[[socket.socket, threading.Event], None]
"""A program at the board's end of the link. It returns when the event is set or the link is closed."""


@dataclass(frozen=True)
class Fault:
    """One fault, at byte number ``at`` of those sent ``towards`` one end.

    flip: exclusive or of the byte with ``amount``. drop: the byte and the next ``amount`` - 1 bytes are lost.
    stall: the byte comes ``amount`` milliseconds late. cut: the byte and the connection are lost.
    """

    kind: Literal["flip", "drop", "stall", "cut"]
    towards: Literal["board", "host"]
    at: int
    amount: int = 1


class MockBoard:
    """A board whose boot loader replies on :attr:`port`. Its flash keeps its content between connections.

    ``pty_name``: name of a symbolic link to a pty; after a cut a new pty gets it, as under udev. None: TCP.
    ``heals``: whether the port comes back after a cut. ``firmware``: a program in place of the boot loader.
    ``flash``: the flash of another board, with its content (default: erased).
    """

    def __init__(
        self,
        pty_name: Path | None = None,
        faults: list[Fault] | None = None,
        *,
        heals: bool = True,
        chip: str = "esp32",
        firmware: Firmware | None = None,
        flash: FlashImage | None = None,
    ) -> None:
        self.flash = flash or FlashImage()
        self.faults = list(faults or [])
        self.happened: list[Fault] = []
        self.traffic = {"board": 0, "host": 0}
        self.received = bytearray()
        self._pty_name, self._heals, self._chip = pty_name, heals, chip
        self._firmware = firmware or self._boot_loader
        self._stop = threading.Event()
        if pty_name is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self.port = str(pty_name)
            self._plug()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "MockBoard":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._pty_name is None:
            self._listener.close()

    def holds(self, content: bytes) -> bool:
        """Return whether the flash holds ``content``."""
        return self.flash.read(0x1000, len(content)) == content

    # --- connections ----------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._pty_name is None:
                if not select.select([self._listener], [], [], 0.02)[0]:
                    continue
                host, _ = self._listener.accept()
                host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                cut = self._connect(host.fileno())
                host.close()
                if cut and not self._heals:
                    self._listener.close()
                    return
            else:
                cut = self._connect(self._master)
                self._unplug()
                if cut and not self._heals:
                    return
                if not self._stop.is_set():
                    self._plug()

    def _plug(self) -> None:
        """Make a raw pty under its name. The slave stays open here: a host that closes it causes no hang-up."""
        assert self._pty_name is not None
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self._pty_name.symlink_to(os.ttyname(self._slave))

    def _unplug(self) -> None:
        assert self._pty_name is not None
        self._pty_name.unlink()
        os.close(self._master)
        os.close(self._slave)

    def _connect(self, host: int) -> bool:
        """Start the firmware and pass bytes between it and ``host``; return whether the link was cut."""
        ours, boards = socket.socketpair()
        program = threading.Thread(target=self._firmware, args=(boards, self._stop), daemon=True)
        program.start()
        try:
            while not self._stop.is_set():
                ready = select.select([host, ours], [], [], 0.02)[0]
                for source in ready:
                    towards: Literal["board", "host"] = "board" if source == host else "host"
                    try:
                        chunk = os.read(host, 4096) if source == host else ours.recv(4096)
                    except OSError:
                        return False
                    if not chunk:
                        return False
                    passed, cut = self._pass(chunk, towards)
                    with contextlib.suppress(OSError):
                        if towards == "board":
                            ours.sendall(passed)
                        else:
                            while passed:
                                passed = passed[os.write(host, passed) :]
                    if cut:
                        return True
            return False
        finally:
            ours.close()
            program.join()
            boards.close()

    def _pass(self, chunk: bytes, towards: Literal["board", "host"]) -> tuple[bytes, bool]:
        """Return ``chunk`` with its faults, and whether the link is then cut."""
        start = self.traffic[towards]
        self.traffic[towards] += len(chunk)
        if towards == "board":
            self.received += chunk
        content: list[int | None] = list(chunk)
        for fault in [fault for fault in self.faults if fault.towards == towards]:
            place = fault.at - start
            if not 0 <= place < len(chunk):
                continue
            self.faults.remove(fault)
            self.happened.append(fault)
            byte = content[place]
            if fault.kind == "cut":
                return bytes(value for value in content[:place] if value is not None), True
            if fault.kind == "stall":
                time.sleep(fault.amount / 1000)
            elif fault.kind == "drop":
                content[place : place + fault.amount] = [None] * len(content[place : place + fault.amount])
            elif byte is not None:
                content[place] = byte ^ fault.amount
        return bytes(value for value in content if value is not None), False

    def _boot_loader(self, link: socket.socket, stop: threading.Event) -> None:
        # Without this argument it ends three seconds after the flash was written, even amid a command.
        connection = BootloaderConnection(sock=link)
        handle_client(connection, stop, self._chip, flash=self.flash, exit_on_disconnect=True)


def sending(text: bytes, pause_s: float = 0.005) -> Firmware:
    """Return a firmware that sends ``text`` again and again and reads nothing."""

    def send(link: socket.socket, stop: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(pause_s):
                link.sendall(text)

    return send
