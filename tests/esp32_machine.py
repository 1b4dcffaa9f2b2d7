"""A simulated ESP32 with the parts that an image needs: QEMU's dc233c core, and peripherals simulated here.

Debian's QEMU has no ESP32. Its dc233c core has the instructions that an image uses. On the ``sim`` machine with two
gigabytes it has memory at all of the ESP32's addresses. This process simulates UART 0, watchdogs and pins through
QEMU's debugger interface (GDB's remote serial protocol): the core stops before it accesses a peripheral register,
this process does the peripheral's work, and the core continues. This process also does the ROM's work: it loads the
segments of the image file and jumps to its entry.
"""

import contextlib
import random
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from esptool.bin_image import LoadFirmwareImage

TX_FIFO, RX_FIFO, STATUS, RX_POINTERS = 0x60000000, 0x3FF40000, 0x3FF4001C, 0x3FF40060
_WRITE, _READ, _ACCESS = 2, 3, 4
PINS_SET, PINS_CLEAR = 0x3FF44008, 0x3FF4400C
WATCHDOGS = {0x3FF480A4: 0x3FF4808C, 0x3FF5F064: 0x3FF5F048}
"""Watchdogs of the RTC and of timer group 0: register of the write protection → register of the configuration."""
WATCHDOG_KEY, WATCHDOG_RUNS = 0x50D83AA1, 0x80000000
RAM = [(0x3FFAE000, 0x40000000), (0x40070000, 0x400A0000)]
"""Beginnings and ends of RAM. It holds random content when the chip starts."""
_WATCHED = {TX_FIFO: _WRITE, RX_FIFO: _READ, RX_POINTERS: _ACCESS, PINS_SET: _WRITE, PINS_CLEAR: _WRITE}
_WATCHED |= dict.fromkeys(WATCHDOGS.values(), _WRITE)
_FIFO_BYTES = 128


class _Debugger:
    """A client of QEMU's debugger interface."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.command("QStartNoAckMode")

    def command(self, command: str) -> str:
        self.send(command)
        return self.reply()

    def send(self, command: str) -> None:
        body = command.encode()
        self._socket.sendall(b"$%s#%02x" % (body, sum(body) & 255))

    def reply(self) -> str:
        while (end := self._received.find(b"#")) < 0 or len(self._received) < end + 3:
            part = self._socket.recv(1 << 16)
            if not part:
                raise EOFError
            self._received += part
        packet, self._received = self._received[:end], self._received[end + 3 :]
        return packet[packet.index(b"$") + 1 :].decode()

    def read(self, address: int, length: int) -> bytes:
        return bytes.fromhex(self.command(f"m{address:x},{length:x}"))

    def write(self, address: int, content: bytes) -> None:
        for start in range(0, len(content), 1024):
            part = content[start : start + 1024]
            assert self.command(f"M{address + start:x},{len(part):x}:{part.hex()}") == "OK"


class Machine:
    """A running machine, which has loaded and started ``image``."""

    def __init__(self, image: Path, debugger: _Debugger) -> None:
        self._debugger = debugger
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        """Port of its UART; it can be opened once."""
        self._waiting = bytearray()
        """Bytes received and not yet read by the program."""
        self._taken = 0
        """Number of bytes that the program has read."""
        for start, end in RAM:
            debugger.write(start, random.Random(start).randbytes(end - start))
        for configuration in WATCHDOGS.values():
            debugger.write(configuration, WATCHDOG_RUNS.to_bytes(4, "little"))
        firmware = LoadFirmwareImage("esp32", str(image))
        for segment in firmware.segments:
            debugger.write(segment.addr, segment.data)
        # All registers; the program counter is the first.
        registers = firmware.entrypoint.to_bytes(4, "little").hex() + debugger.command("g")[8:]
        assert debugger.command(f"G{registers}") == "OK"
        for address in _WATCHED:
            self._watch(address)
        self.stopped = ""
        """The reason why the core stopped for good; empty while it runs."""
        self.edges: list[tuple[int, bool]] = []
        """Number and new level of a pin, for each time that the program set or cleared one."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the port is closed. Then the memory can be read."""
        self._thread.join(timeout=30)

    def word(self, address: int) -> int:
        """Return a word of memory of a stopped machine."""
        return int.from_bytes(self._debugger.read(address, 4), "little")

    def _run(self) -> None:
        """Simulate UART, watchdogs and pins until the host closes the port or the core stops for another reason."""
        self._host, _ = self._listener.accept()
        self._host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._listener, self._host:
            self._simulate()

    def _simulate(self) -> None:
        sending = False
        while True:
            reply = self._debugger.command("c")
            address = next((address for address in _WATCHED if f"watch:{address:x};" in reply), None)
            if address is None:
                self.stopped = reply
                return
            if address == RX_POINTERS:
                # Between replies the program polls until a byte comes: wait here instead.
                if not self._waiting and not self._receive(0.0 if sending else 0.005):
                    return
                self._fill_fifo()
            if address == RX_FIFO:
                self._debugger.write(RX_FIFO, bytes([self._waiting.pop(0), 0, 0, 0]))
                self._taken += 1
            before = self.word(address)
            self._pass(address)
            for protection, configuration in WATCHDOGS.items():
                if address == configuration and self.word(protection) != WATCHDOG_KEY:
                    self._debugger.write(configuration, before.to_bytes(4, "little"))
            if address in (PINS_SET, PINS_CLEAR):
                self.edges.append((self.word(address).bit_length() - 1, address == PINS_SET))
            sending = address == TX_FIFO
            if sending:
                self._host.sendall(self._debugger.read(TX_FIFO, 1))

    def _fill_fifo(self) -> None:
        """Set the FIFO's pointers, and its count, which is right for a full FIFO only (errata 3.17)."""
        count = min(len(self._waiting), _FIFO_BYTES)
        read = self._taken % _FIFO_BYTES
        pointers = read << 2 | (read + count) % _FIFO_BYTES << 13
        self._debugger.write(RX_POINTERS, pointers.to_bytes(4, "little"))
        self._debugger.write(STATUS, (count if count == _FIFO_BYTES else 0).to_bytes(4, "little"))

    def _receive(self, timeout_s: float) -> bool:
        """Receive bytes from the host for ``timeout_s`` at most; return False if the host has closed the port."""
        if not select.select([self._host], [], [], timeout_s)[0]:
            return True
        part = self._host.recv(1 << 16)
        self._waiting += part
        return bool(part)

    def _watch(self, address: int) -> None:
        assert self._debugger.command(f"Z{_WATCHED[address]},{address:x},4") == "OK"

    def _pass(self, address: int) -> None:
        """Execute the instruction that accesses ``address``."""
        assert self._debugger.command(f"z{_WATCHED[address]},{address:x},4") == "OK"
        self._debugger.command("s")
        self._watch(address)


@contextlib.contextmanager
def running(image: Path) -> Iterator[Machine]:
    """Run ``image`` on the simulated ESP32."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        "qemu-system-xtensa",
        "-M",
        "sim",
        "-cpu",
        "dc233c",
        "-m",
        "2G",
        "-icount",
        "shift=5,sleep=off",
    ]
    command += [
        "-display",
        "none",
        "-monitor",
        "none",
        "-serial",
        "none",
        "-S",
        "-gdb",
        f"tcp:127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield Machine(image, _connect(port))
        finally:
            process.kill()


def _connect(port: int) -> _Debugger:
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError):
            return _Debugger(port)
        time.sleep(0.05)
    raise TimeoutError("QEMU's debugger interface does not reply")
