"""An ESP32 without a board: esp32-mock-bootloader at the end of a line, TCP or pty, that can be made bad."""

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
"""A program at the board's end of the line; it returns when the event is set or the line is closed."""


@dataclass(frozen=True)
class Fault:
    """Something that happens, once, to the byte with number ``at`` of those that go ``towards`` an end.

    flip: it is changed by the exclusive or with ``amount``; drop: it and the next ``amount`` - 1 vanish; stall: it
    comes ``amount`` milliseconds late; cut: it and the connection are lost.
    """

    kind: Literal["flip", "drop", "stall", "cut"]
    towards: Literal["board", "host"]
    at: int
    amount: int = 1


class MockBoard:
    """A board whose boot loader answers on :attr:`port`; its flash outlives every connection.

    ``link``: name of a pty's symbolic link, which a new pty gets after a cut, as udev's do; None: TCP.
    ``heals``: whether the port comes back after a cut. ``firmware``: what runs instead of the boot loader.
    ``flash``: with what another board left in it (default: erased).
    """

    def __init__(
        self,
        link: Path | None = None,
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
        self._link, self._heals, self._chip = link, heals, chip
        self._firmware = firmware or self._boot_loader
        self._stop = threading.Event()
        if link is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self.port = str(link)
            self._plug()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "MockBoard":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._link is None:
            self._listener.close()

    def holds(self, content: bytes) -> bool:
        """Return whether ``content`` lies in the flash."""
        return self.flash.read(0x1000, len(content)) == content

    # --- connections ----------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._link is None:
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
        """Make a pty, raw, under the link's name. Our own end of its line stays open: no host is no hang-up."""
        assert self._link is not None
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self._link.symlink_to(os.ttyname(self._slave))

    def _unplug(self) -> None:
        assert self._link is not None
        self._link.unlink()
        os.close(self._master)
        os.close(self._slave)

    def _connect(self, host: int) -> bool:
        """Carry bytes between ``host`` and a firmware just started; return whether the line was cut."""
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
        """Return what the line makes of ``chunk``, and whether it is cut then."""
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

    def _boot_loader(self, line: socket.socket, stop: threading.Event) -> None:
        handle_client(BootloaderConnection(sock=line), stop, self._chip, flash=self.flash)


def saying(text: bytes, pause_s: float = 0.005) -> Firmware:
    """Return a firmware that says ``text`` again and again and does not listen."""

    def talk(line: socket.socket, stop: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(pause_s):
                line.sendall(text)

    return talk
