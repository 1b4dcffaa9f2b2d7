"""A device behind a bad link: a TCP proxy that drops, flips, inserts, doubles and delays bytes, cuts the link,
restarts the device and silences it."""

import contextlib
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paper2board.core.errors import UserError

BOOT = b"\xff\x00ets Jun  8 2016 00:22:57\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n~\x80"
"""Output of an ESP32's ROM before the program starts."""
BYTES = ("drop", "flip", "insert", "double", "delay")
"""Faults of single bytes, in either direction."""
WHOLE = ("cut", "restart", "silence")
"""Faults of the whole link. cut: the cable is unplugged, and the port comes back under another name. restart: the
device is reset. silence: no byte passes until the host opens the link again."""


class BadLink:
    """A device and the faults on the link to it. ``command`` starts the device; it uses stdin and stdout.

    ``rates``: probability of each fault, per byte. ``delay_s``: length of a delay. :attr:`faults` counts the faults
    that have happened.
    """

    def __init__(
        self, command: Sequence[str | Path], rates: Mapping[str, float], seed: int, delay_s: float
    ) -> None:
        self._command, self._rates, self._delay_s = command, rates, delay_s
        self._random = {way: random.Random(f"{seed} {way}") for way in ("up", "down")}
        self.faults: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._host: socket.socket | None = None
        self._silent = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start_device()

    def find(self) -> str:
        """Return the port's URL; raise UserError while it is unplugged."""
        if self._listener.fileno() < 0:
            raise UserError("no board is connected; plug one in")
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def hang(self) -> None:
        """Stop the device until :meth:`go_on`."""
        self._device.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the device continue."""
        self._device.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Reset the device: it boots with empty memory."""
        with self._lock:
            self._device.kill()
            self._device.wait()
            if not self._stop.is_set():
                self._send("down", BOOT)
                self._start_device()

    @contextlib.contextmanager
    def running(self) -> Iterator["BadLink"]:
        """Serve until the block ends."""
        server = threading.Thread(target=self._serve)
        server.start()
        try:
            yield self
        finally:
            with self._lock:
                self._stop.set()
                self._unplug()
                self._device.kill()
            server.join()
            self._device.wait()

    def _start_device(self) -> None:
        self._device = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        threading.Thread(target=self._pump_down, args=[self._device]).start()

    def _unplug(self) -> None:
        with self._lock:
            for end in (self._listener, self._host):
                if end:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()

    def _serve(self) -> None:
        """Accept one host after another and pass its bytes to the device."""
        while not self._stop.is_set():
            try:
                host, _ = self._listener.accept()
                host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with host:
                    with self._lock:
                        self._host, self._silent = host, False
                    while content := host.recv(4096):
                        self._pass("up", content)
            except OSError:
                # Unplugged: after a while the port is back, with another number.
                self._stop.wait(0.05)
                with self._lock:
                    if self._listener.fileno() < 0 and not self._stop.is_set():
                        self._listener = socket.create_server(("127.0.0.1", 0))

    def _pump_down(self, device: "subprocess.Popen[bytes]") -> None:
        assert device.stdout
        while content := device.stdout.read(4096):
            self._pass("down", content)

    def _pass(self, way: str, content: bytes) -> None:
        """Pass ``content`` on in one direction, with random faults."""
        dice, out, again = self._random[way], bytearray(), b""
        for at, byte in enumerate(content):
            fault = self._draw(dice)
            if fault is None:
                out.append(byte)
                continue
            self.faults[fault] += 1
            match fault:
                case "drop":
                    pass
                case "flip":
                    out.append(byte ^ 1 << dice.randrange(8))
                case "insert":
                    out += dice.choice([b"%", b"~", b"\n", dice.randbytes(dice.randint(1, 9))])
                    out.append(byte)
                case "double":
                    out.append(byte)
                    if dice.random() < 0.5:
                        again = content
                    else:
                        out += content[max(0, at - dice.randint(0, 60)) : at + 1]
                case "delay":
                    self._send(way, bytes(out))
                    out = bytearray([byte])
                    time.sleep(self._delay_s)
                case _:
                    self._send(way, bytes(out))
                    self._break(fault)
                    return
        self._send(way, bytes(out) + again)

    def _draw(self, dice: random.Random) -> str | None:
        """Return the fault of this byte, or None."""
        chance = dice.random()
        for fault, rate in self._rates.items():
            if chance < rate:
                return fault
            chance -= rate
        return None

    def _break(self, fault: str) -> None:
        match fault:
            case "cut":
                self._unplug()
            case "silence":
                self._silent = True
            case "restart":
                self.restart()

    def _send(self, way: str, content: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._silent or not self._host:
                return
            if way == "down":
                self._host.sendall(content)
            else:
                assert self._device.stdin
                self._device.stdin.write(content)
