"""Flashing a simulated board over TCP, a pty and RFC 2217, over good links and bad ones."""

import contextlib
import errno
import functools
import grp
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serial
from esp32_mock_bootloader import server
from esp_pylib.logger import EspLog
from esp_rfc2217_server.redirector import Redirector
from esptool.bin_image import ELFSection, ESP32FirmwareImage, ESP32S3FirmwareImage
from esptool.cmds import detect_chip
from esptool.reset import ResetStrategy, UnixTightReset
from hypothesis import given
from hypothesis import strategies as st
from messages import naming
from mock_board import Fault, MockBoard, sending

from paper2board.core.errors import UserError
from paper2board.firmware import flash as flash_module
from paper2board.firmware.flash import flash, read_flash_image

MEGABYTE = 1 << 20
TRAFFIC = {"board": 57_800, "host": 980}
"""Bytes in each direction of one undisturbed flashing of :func:`content`, rounded down."""
WRITING = 14_000
"""Bytes that the host has sent before it begins to write, rounded up."""


def make_image(seed: int, size: int = 40_000, kind: type = ESP32FirmwareImage) -> bytes:
    """Return an image with two segments of random bytes."""
    image = kind()
    image.entrypoint = 0x40080400
    data = random.Random(seed).randbytes(size)
    image.segments = [
        ELFSection(b".data", 0x3FFB0000, data[: size // 4], 0),
        ELFSection(b".text", 0x40080000, data[size // 4 :], 0),
    ]
    return image.save(None)


@pytest.fixture(scope="session")
def content() -> bytes:
    return make_image(1)


@pytest.fixture
def image(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "program.bin"
    path.write_bytes(content)
    path.chmod(0o444)
    return path


@pytest.fixture(params=["tcp", "pty"])
def pty_name(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """The argument of :class:`MockBoard`: each test runs over TCP (None) and over a pty."""
    return None if request.param == "tcp" else tmp_path / "ttyUSB0"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten esptool's time-outs, three seconds and more, to half a second."""
    with_reply_deadline = flash_module._with_reply_deadline

    def hurried(link: Any) -> Any:
        timeout = type(link).timeout
        shortened = property(timeout.fget, lambda self, value: timeout.fset(self, min(value, 0.5)))
        link.__class__ = type("Hurried", (type(link),), {"timeout": shortened})
        return with_reply_deadline(link)

    monkeypatch.setattr(flash_module, "_with_reply_deadline", hurried)
    monkeypatch.setattr(flash_module, "_BABBLE_S", 0.2)


@pytest.fixture
def easily_discouraged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have esptool try to connect twice, not seven times."""
    monkeypatch.setattr(flash_module, "detect_chip", functools.partial(detect_chip, connect_attempts=2))


@pytest.fixture(autouse=True)
def nothing_global_is_left() -> Iterator[None]:
    before = EspLog.instance, ResetStrategy.print_once
    yield
    assert (EspLog.instance, ResetStrategy.print_once) == before


# --- good links -------------------------------------------------------------------------------------------


def test_image_is_written_once(
    pty_name: Path | None, image: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with MockBoard(pty_name) as board:
        assert flash(board.port, image).written
        assert board.holds(content)
        assert set(board.flash.data[:0x1000]) == set(board.flash.data[0x1000 + len(content) :]) == {0xFF}
        sent = board.traffic["board"]
        assert not flash(board.port, image).written
        assert board.holds(content) and board.traffic["board"] - sent < WRITING
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("change", ["one bit", "erased", "another image"])
def test_other_content_is_replaced(pty_name: Path | None, image: Path, content: bytes, change: str) -> None:
    with MockBoard(pty_name) as board:
        if change != "erased":
            board.flash.data[0x1000 : 0x1000 + len(content)] = (
                content if change == "one bit" else make_image(2)
            )
        board.flash.data[0x1000 + len(content) // 2] ^= 4
        assert flash(board.port, image).written
        assert board.holds(content)


def test_odd_length(tmp_path: Path) -> None:
    path = tmp_path / "odd.bin"
    path.write_bytes(make_image(3) + b"\x01\x02\x03")
    with MockBoard() as board:
        assert flash(board.port, path).written
        assert board.holds(path.read_bytes() + b"\xff")
        assert set(board.flash.data[:0x1000]) == {0xFF}


def test_rfc2217(image: Path, content: bytes) -> None:
    def serve() -> None:
        far = serial.serial_for_url(board.port, timeout=0.02)
        near, _ = listener.accept()
        Redirector(far, near).shortcircuit()
        near.close()
        far.close()

    with MockBoard() as board, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert flash(f"rfc2217://127.0.0.1:{listener.getsockname()[1]}?ign_set_control", image).written
        assert board.holds(content)
        thread.join()


def test_the_rate_is_changed_once_and_not_over_a_socket(
    pty_name: Path | None, image: Path, content: bytes
) -> None:
    change = b"\xc0\x00\x0f\x08\x00"
    with MockBoard(pty_name, [Fault("cut", "board", WRITING + 20_000)]) as board:
        assert flash(board.port, image, pause_s=0.1).written
        assert board.received.count(change) == (0 if pty_name is None else 1)


def test_progress_prints_lost_connections(
    image: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with MockBoard(faults=[Fault("cut", "board", 30_000)]) as board:
        assert flash(board.port, image, pause_s=0.1, progress=True).written
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("attempt 1 of 3: ")
    assert len(captured.err.splitlines()) == 1


def test_progress_is_a_bar_on_a_terminal(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Terminal:
        encoding, isatty, flush = "utf-8", (lambda self: True), (lambda self: None)
        write = staticmethod(shown.append)

    monkeypatch.setattr(sys, "stderr", Terminal())
    with MockBoard() as board:
        assert flash(board.port, image, progress=True).written
    assert "flash: 100%" in "".join(shown) and "40.1k/40.1k" in "".join(shown)


def test_boards_side_by_side(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def one(number: int) -> bool:
        path = tmp_path / f"{number}.bin"
        path.write_bytes(make_image(number))
        with MockBoard(tmp_path / f"tty{number}" if number % 2 else None) as board:
            return flash(board.port, path) and board.holds(path.read_bytes())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(8)))
    assert capfd.readouterr() == ("", "")


# --- bad links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("towards", ["board", "host"])
@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 0.999])
def test_a_cut_link_that_heals(
    pty_name: Path | None, image: Path, content: bytes, towards: Any, part: float
) -> None:
    with MockBoard(pty_name, [Fault("cut", towards, int(part * TRAFFIC[towards]))]) as board:
        assert flash(board.port, image, pause_s=0.1).written
        assert board.happened and board.holds(content)


def test_a_link_cut_twice(pty_name: Path | None, image: Path, content: bytes) -> None:
    cuts = [Fault("cut", "board", 35_000), Fault("cut", "board", 80_000)]
    with MockBoard(pty_name, cuts) as board:
        assert flash(board.port, image, pause_s=0.1).written
        assert len(board.happened) == 2 and board.holds(content)


def test_a_link_that_stays_cut(pty_name: Path | None, image: Path, content: bytes) -> None:
    with MockBoard(pty_name, [Fault("cut", "board", 40_000)], heals=False) as board:
        with pytest.raises(UserError, match=naming(board.port, "3 times", "half-written", "run again")):
            flash(board.port, image, pause_s=0.05)
        assert not board.holds(content)
        half = board.flash
    with MockBoard(pty_name, flash=half) as board:
        assert flash(board.port, image).written
        assert board.holds(content)


def test_a_link_cut_before_writing(pty_name: Path | None, image: Path) -> None:
    with MockBoard(pty_name, [Fault("cut", "board", WRITING // 2)], heals=False) as board:
        with pytest.raises(
            UserError, match=naming(board.port, "nothing was written", "check cable", "run again")
        ):
            flash(board.port, image, pause_s=0.05)
        assert set(board.flash.data) == {0xFF}


@pytest.mark.parametrize("kind", ["flip", "drop"])
@pytest.mark.parametrize(
    ("towards", "at"),
    # The bytes belong to a command's head, its data, the upload of the stub, an acknowledgement, the last MD5.
    [("board", 4_000), ("board", WRITING + 20_000), ("host", 600), ("host", 960)],
)
def test_one_damaged_byte(
    pty_name: Path | None, image: Path, content: bytes, towards: Any, at: int, kind: Any, hasty: None
) -> None:
    with MockBoard(pty_name, [Fault(kind, towards, at)]) as board:
        assert flash(board.port, image, attempts=5, pause_s=0.05).written
        assert board.happened and board.holds(content)


def test_a_slow_link(pty_name: Path | None, image: Path, content: bytes) -> None:
    stalls = [Fault("stall", "board", at, 30) for at in range(0, TRAFFIC["board"], 4_000)]
    stalls += [Fault("stall", "host", at, 30) for at in range(0, TRAFFIC["host"], 100)]
    with MockBoard(pty_name, stalls) as board:
        assert flash(board.port, image, attempts=1).written
        assert len(board.happened) > 15 and board.holds(content)


def random_fault(dice: random.Random) -> Fault:
    towards = dice.choice(["board", "host"])
    at = dice.randrange(TRAFFIC[towards])
    kind = dice.choice(["flip", "flip", "drop", "stall", "cut"])
    amount = {"flip": 1 << dice.randrange(8), "drop": dice.randint(1, 300), "stall": dice.choice([50, 800])}
    return Fault(kind, towards, at, amount.get(kind, 1))


def test_no_fault_gives_a_silent_failure(
    content: bytes, image: Path, tmp_path: Path, hasty: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """After any faults the flash holds the image, or there is an error, and a run on a good link repairs the
    flash."""

    def one(seed: int) -> tuple[bool, int]:
        dice = random.Random(seed)
        pty_name = tmp_path / f"tty{seed}" if seed % 2 else None
        faults = [random_fault(dice) for _ in range(dice.randint(1, 4))]
        with MockBoard(pty_name, faults) as board:
            if dice.random() < 0.3:
                board.flash.data[0x1000 : 0x1000 + len(content)] = content
            try:
                flash(board.port, image, pause_s=0.02)
                done = True
                assert board.holds(content), faults
            except UserError as error:
                done = False
                assert str(error).count("\n") == 0, error
            happened, memory = len(board.happened), board.flash
        if not done:
            with MockBoard(pty_name, flash=memory) as board:
                flash(board.port, image)
                assert board.holds(content)
        return done, happened

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(50)))
    assert sum(happened for _, happened in results) > 70
    assert sum(done for done, _ in results) > 25
    assert capfd.readouterr() == ("", "")


# --- boards that do not take the image --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chip", "name"),
    [("esp32s2", "ESP32-S2"), ("esp32s3", "ESP32-S3"), ("esp32c3", "ESP32-C3"), ("esp8266", "ESP8266")],
)
def test_other_chip_is_refused(pty_name: Path | None, image: Path, chip: str, name: str) -> None:
    with MockBoard(pty_name, chip=chip) as board:
        with pytest.raises(UserError, match=naming(board.port, f"is an {name},", "connect a board")):
            flash(board.port, image)
        assert set(board.flash.data) == {0xFF}


@pytest.mark.parametrize(
    "text",
    [b"", b"m-ready\r\n", b"\xc0" + b"garbage" * 40, bytes(range(256))],
    ids=["silent", "program", "endless packet", "noise"],
)
def test_no_boot_loader(
    pty_name: Path | None, image: Path, text: bytes, hasty: None, easily_discouraged: None
) -> None:
    with MockBoard(pty_name, firmware=sending(text)) as board:
        with pytest.raises(UserError, match=naming(board.port, "no boot loader", "BOOT", "EN")):
            flash(board.port, image)
        # Twice five packets, each between two of these bytes: flash() makes no further attempt.
        assert board.received.count(b"\xc0") <= 20


def test_wrong_boot_mode(
    tmp_path: Path, image: Path, easily_discouraged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pty has no DTR and RTS. With them the reset takes this long, and the chip prints the reason of its start.
    monkeypatch.setattr(UnixTightReset, "reset", lambda self: time.sleep(0.05))
    started = b"ets Jun  8 2016 00:22:57\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    with (
        MockBoard(tmp_path / "tty", firmware=sending(started, 0.001)) as board,
        pytest.raises(UserError, match=naming(board.port, "Wrong boot mode", "0x13", "BOOT", "EN")),
    ):
        flash(board.port, image)
    waiting = b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT)\r\nwaiting for download\r\n"
    with (
        MockBoard(tmp_path / "tty", firmware=sending(waiting, 0.001)) as board,
        pytest.raises(UserError, match=naming(board.port, "does not receive", "RX", "wire")),
    ):
        flash(board.port, image)


BROWNOUTS = [
    b"\r\nBrownout detector was triggered\r\n\r\n",
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0xf (RTCWDT_BROWN_OUT_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n",
    b"ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\nrst:0xf (BROWNOUT_RST),boot:0xc (SPI_FAST_FLASH_"
    b"BOOT)\r\n",
]


@pytest.mark.parametrize("text", BROWNOUTS)
def test_a_board_whose_voltage_breaks_down_is_not_told_to_hold_boot(
    pty_name: Path | None, image: Path, text: bytes, hasty: None, easily_discouraged: None
) -> None:
    """esptool reads one byte of the text and discards the rest; over a pty it reads and discards all of it."""
    with (
        MockBoard(pty_name, firmware=sending(text)) as board,
        pytest.raises(
            UserError, match=naming(board.port, "voltage", "brownout", "stronger supply")
        ) as caught,
    ):
        flash(board.port, image)
    assert "BOOT" not in str(caught.value)


@pytest.mark.parametrize("text", BROWNOUTS)
def test_a_board_whose_voltage_breaks_down_while_it_is_written_is_told_so(
    image: Path, text: bytes, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(link: socket.socket, stop: threading.Event) -> None:
        with contextlib.suppress(BrownoutError):
            board._boot_loader(link.dup(), stop)
        sending(text)(link, stop)

    def write(self: server.FlashImage, payload: bytes) -> None:
        raise BrownoutError

    class BrownoutError(Exception):
        pass

    monkeypatch.setattr(server.FlashImage, "write_plain_block", write)
    with (
        MockBoard(firmware=break_down) as board,
        pytest.raises(
            UserError, match=naming(board.port, "half-written", "voltage", "stronger supply", "run again")
        ) as caught,
    ):
        flash(board.port, image, attempts=2, pause_s=0.05)
    assert "cable and power" not in str(caught.value)


def test_flash_that_is_too_small(image: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    last = 4 * MEGABYTE - 0x1000
    monkeypatch.setattr(flash_module, "OFFSET", last)
    with MockBoard() as board:
        parts = (board.port, f"{len(content)} bytes", f"{last:#x}", "4194304 bytes", "smaller network")
        with pytest.raises(UserError, match=naming(*parts)):
            flash(board.port, image)
        assert set(board.flash.data) == {0xFF}


def test_a_chip_for_signed_programs_is_refused(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = server._read_reg_value_for_chip
    fuse = 0x3FF5A018  # EFUSE_BLK0_RDATA6: bit 4 is ABS_DONE_0, secure boot version 1

    def burnt(address: int, chip: str) -> int:
        return known(address, chip) | (1 << 4 if address == fuse else 0)

    monkeypatch.setattr(server, "_read_reg_value_for_chip", burnt)
    with MockBoard() as board:
        with pytest.raises(UserError, match=naming(board.port, "signed or encrypted", "another board")):
            flash(board.port, image)
        assert set(board.flash.data) == {0xFF}


@pytest.fixture
def forgetful(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wear the flash out: every write is acknowledged, but one bit keeps its old value."""

    def write(self: server.FlashImage, payload: bytes) -> None:
        kept(self, payload)
        self.data[0x2000] = content[0x1000] ^ 1

    kept = server.FlashImage.write_plain_block
    monkeypatch.setattr(server.FlashImage, "write_plain_block", write)


def test_flash_that_forgets(pty_name: Path | None, image: Path, forgetful: None) -> None:
    parts = ("2 of 2 attempts", "does not keep", "MD5", "half-written", "stronger supply", "another board")
    with MockBoard(pty_name) as board, pytest.raises(UserError, match=naming(board.port, *parts)):
        flash(board.port, image, attempts=2, pause_s=0.05)


@pytest.mark.parametrize("cut_at", [WRITING // 2, TRAFFIC["board"] + WRITING // 2])
def test_a_lost_link_is_not_counted_as_a_flash_that_forgets(
    pty_name: Path | None, image: Path, forgetful: None, cut_at: int
) -> None:
    """The link is lost in the first attempt or in the second."""
    with (
        MockBoard(pty_name, [Fault("cut", "board", cut_at)]) as board,
        pytest.raises(UserError, match=naming(board.port, "1 of 2 attempts", "does not keep", "MD5")),
    ):
        flash(board.port, image, attempts=2, pause_s=0.2)
    assert board.happened


# --- any bytes --------------------------------------------------------------------------------------------


class Played:
    """A port that answers each command with the next of ``replies``: bytes as they are, or a boot loader's reply
    with a value and data. The last one is repeated ``repeated`` times; then the port is silent."""

    port = name = "played"
    is_open, timeout, write_timeout, baudrate, dtr, rts = True, 1.0, 1.0, 115200, False, False

    def __init__(self, replies: list[bytes | tuple[int, bytes]], repeated: int) -> None:
        self._replies = [*replies, *(replies[-1:] * repeated)][::-1]
        self._waiting = b""

    def __enter__(self) -> "Played":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, packet: bytes) -> int:
        # SLIP: a delimiter, the direction, the command. A long command comes in one piece.
        if packet[:2] == b"\xc0\x00" and self._replies:
            reply = self._replies.pop()
            if isinstance(reply, tuple):
                value, data = reply
                head = struct.pack("<BBHI", 1, packet[2], len(data), value)
                reply = (
                    b"\xc0"
                    + (head + data).replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
                    + b"\xc0"
                )
            self._waiting += reply
        return len(packet)

    def read(self, size: int = 1) -> bytes:
        head, self._waiting = self._waiting[:size], self._waiting[size:]
        return head

    def isOpen(self) -> bool:  # pyserial's older names, which esptool uses
        return True

    @property
    def in_waiting(self) -> int:
        return len(self._waiting)

    def inWaiting(self) -> int:
        return self.in_waiting

    def reset_input_buffer(self) -> None:
        self._waiting = b""

    def flushInput(self) -> None:
        self.reset_input_buffer()

    def flushOutput(self) -> None:
        pass

    flush = close = flushOutput

    def setDTR(self, value: bool) -> None:
        pass

    setRTS = setDTR


chip_values = st.sampled_from([0x00F01D83, 0x6921506F, 0x00000009, 0xFFF0C101, 0, 5, 9])
"""Magic numbers and identifiers of chips: past them esptool reads fuses and more."""
statuses = st.sampled_from([b"\0\0\0\0", b"\0\0", b"\1\5", b""])
loader_replies = st.tuples(
    chip_values | st.integers(0, 2**32 - 1), st.builds(bytes.__add__, st.binary(max_size=24), statuses)
)
texts = st.sampled_from(
    [
        *BROWNOUTS,
        b"m-ready\r\n",
        b"\xc0",
        b"\xc0\xdb\0",
        b"OHAI",
        b"Guru Meditation Error: Core  0 panic'ed (\xff).",
    ]
)


@pytest.mark.fuzz_doors
@given(
    st.lists(
        st.binary(max_size=80) | texts | loader_replies | st.just((0x00F01D83, b"\0\0\0\0")), max_size=12
    ),
    st.sampled_from([0, 60]),
)
def test_any_bytes_from_the_port_give_one_sentence(
    flashable: Path, replies: list[bytes | tuple[int, bytes]], repeated: int
) -> None:
    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: None)
        patch.setattr(UnixTightReset, "reset", lambda _: None)
        patch.setattr(flash_module, "detect_chip", functools.partial(detect_chip, connect_attempts=1))
        patch.setattr(serial, "serial_for_url", lambda *_, **__: Played(replies, repeated))
        with pytest.raises(UserError) as caught:
            flash("played", flashable, attempts=2)
    message = str(caught.value)
    assert message.isprintable() and message.replace("…", "").isascii() and len(message) < 900, message
    assert "played" in message
    assert time.monotonic() - started < 10


@pytest.fixture(scope="session")
def flashable(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flash") / "program.bin"
    path.write_bytes(content)
    return path


# --- ports that cannot be opened --------------------------------------------------------------------------


def test_missing_port(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash_module, "board_ports", lambda: ["/dev/ttyUSB7 (CH340)"])
    with pytest.raises(UserError, match=naming("/dev/ttyUSB99", "/dev/ttyUSB7 (CH340)", "check the cable")):
        flash("/dev/ttyUSB99", image)


def test_busy_port(tmp_path: Path, image: Path) -> None:
    with (
        MockBoard(tmp_path / "tty") as board,
        serial.Serial(board.port, exclusive=True),
        pytest.raises(UserError, match=naming(board.port, f"process {os.getpid()}", "end that program")),
    ):
        flash(board.port, image)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """A function that returns a port which the system refuses to open, with an error number.

    (The superuser is refused no port.)
    """

    def refuse(number: int) -> Path:
        def open_(path: str, *arguments: Any) -> int:
            if path == str(port):
                raise OSError(number, os.strerror(number), path)
            return opened(path, *arguments)

        monkeypatch.setattr(os, "open", open_)
        return port

    opened = os.open
    port = tmp_path / "ttyUSB0"
    port.touch()
    return refuse


def test_forbidden_port(image: Path, refused: Callable[[int], Path]) -> None:
    port = refused(errno.EACCES)
    port.chmod(0o660)
    if os.getgid() == 0:
        os.chown(port, -1, 20)
    group = grp.getgrgid(port.stat().st_gid).gr_name
    remedy = f"sudo usermod -aG {group} $USER"
    with pytest.raises(UserError, match=naming("permission", str(port), remedy, "log out")):
        flash(str(port), image)
    port.chmod(0o600)
    with pytest.raises(UserError, match=naming("permission", str(port), "udev rule")):
        flash(str(port), image)


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (errno.EBUSY, ["in use", "end that program"]),
        (errno.ENODEV, ["no port", "check the cable"]),
        (errno.EMFILE, ["cannot open", "Too many open files"]),
    ],
)
def test_port_that_the_system_refuses(
    image: Path, refused: Callable[[int], Path], number: int, parts: list[str]
) -> None:
    port = str(refused(number))
    with pytest.raises(UserError, match=naming(port, *parts)):
        flash(port, image)


@pytest.mark.parametrize(
    "port",
    [
        "socket://127.0.0.1:9",
        "socket://127.0.0.1",
        "rfc2217://127.0.0.1:9",
        "nonsense://x",
        "/dev/null",
        "/tmp",
    ],
)
def test_what_is_no_port(port: str, image: Path) -> None:
    with pytest.raises(UserError, match=naming(port, "cannot open", "name a serial port")):
        flash(port, image)


# --- images -----------------------------------------------------------------------------------------------


def damaged(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


IMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is not an ESP32 image"),
    "header": (lambda content: content[:10], "is not an ESP32 image"),
    "half": (lambda content: content[: len(content) // 2], "is not an ESP32 image"),
    "no checksum": (lambda content: content[: len(content) // 16 * 16 - 33], "is not an ESP32 image"),
    "no digest": (lambda content: content[:-1], "is damaged"),
    "random": (lambda _: random.Random(0).randbytes(1000), "is not an ESP32 image"),
    "data": (lambda content: damaged(content, 5000), "is damaged"),
    "header bit": (lambda content: damaged(content, 2), "is damaged"),
    "ELF": (
        lambda _: b"\x7fELF\x01\x01",
        "`esptool --chip esp32 elf2image`",
    ),
    "other chip": (
        lambda _: make_image(1, kind=ESP32S3FirmwareImage),
        "for ESP32-S3, not for the ESP32; build it",
    ),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_bad_image_is_refused_before_the_port_is_opened(kind: str, content: bytes, tmp_path: Path) -> None:
    change, reason = IMAGES[kind]
    path = tmp_path / "program.bin"
    path.write_bytes(change(content))
    with pytest.raises(UserError, match=naming(str(path), reason)):
        flash("/dev/nowhere", path)


def test_every_flipped_byte_and_every_cut_of_an_image_is_found(tmp_path: Path) -> None:
    content, path = make_image(5, size=64), tmp_path / "small.bin"
    path.write_bytes(content)
    assert read_flash_image(path) == content
    digest_flag = 23  # without this bit the image has no digest, so it is valid
    for at in range(len(content)):
        for changed in (content[:at], *([] if at == digest_flag else [damaged(content, at)])):
            path.write_bytes(changed)
            with pytest.raises(UserError, match=naming(str(path))):
                read_flash_image(path)


def test_missing_image(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.bin", tmp_path):
        with pytest.raises(UserError, match=naming(str(missing), "build it first")):
            flash("/dev/nowhere", missing)
