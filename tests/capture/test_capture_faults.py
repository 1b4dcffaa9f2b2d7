"""Captures over bad links: no fault puts a wrong number into the log."""

import errno
import os
import pty
import random
import re
import signal
import socket
import subprocess
import termios
import threading
import time
import tty
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import serial
from messages import naming
from proxy import BYTES, WHOLE, BadLink

from paper2board.capture import capture as capture_module
from paper2board.capture.capture import capture
from paper2board.capture.client import Device
from paper2board.capture.link import LinkError, emulated_link, serial_link
from paper2board.core.errors import UserError
from paper2board.firmware.emulator import emulator_command

FAULTS = 1000
REASONS = "gave no valid reply|does not reply|was lost|cannot open|has restarted|no board is connected"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs that fit a device in the same machine."""
    monkeypatch.setattr(capture_module, "Device", partial(Device, timeout_s=0.03, inference_timeout_s=0.05))
    monkeypatch.setattr(capture_module, "_PAUSE_S", 0.02)


@pytest.fixture
def program(process: Path, impatient: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sanitized application in place of the image whose digest it reports."""
    monkeypatch.setattr(capture_module, "image_digest", lambda _: sha256(b"abc").hexdigest())
    return process


def captured(
    bad: BadLink, image: Path, inputs: np.ndarray, log: Path, whole: Sequence[bytes] | None = None
) -> bytes:
    """Capture until the log is complete, and return it.

    Whenever capture gives up, its error names a reason, and the partial log is the beginning of ``whole``.
    """
    for _ in range(50):
        try:
            capture(image, inputs, range(len(inputs)), log, link=partial(serial_link, bad.find), patience_s=2)
            return log.read_bytes()
        except UserError as error:
            assert whole and re.search(REASONS, str(error)), error
            so_far = log.with_name(f"{log.name}.partial").read_bytes().splitlines(keepends=True)
            assert so_far == list(whole[: len(so_far)])
    pytest.fail("fifty captures were not enough")


def test_no_wrong_number_in_a_thousand_faults(program: Path, inputs: np.ndarray, tmp_path: Path) -> None:
    many = np.concatenate([inputs] * 40)
    with BadLink([program], {}, 0, 0.0).running() as good:
        whole = captured(good, program, many, tmp_path / "good.jsonl")
    rates = dict.fromkeys(BYTES, 2e-4) | dict(zip(WHOLE, (8e-6, 2e-5, 6e-6), strict=True))
    faults: Counter[str] = Counter()
    for seed in count():
        with BadLink([program], rates, seed, delay_s=0.06).running() as bad:
            log = captured(bad, program, many, tmp_path / f"{seed}.jsonl", whole.splitlines(keepends=True))
        assert log == whole
        faults += bad.faults
        if faults.total() >= FAULTS and min(faults[kind] for kind in (*BYTES, *WHOLE)) >= 5:
            break
    assert faults.total() >= FAULTS


def test_the_emulated_device_behind_a_bad_link(
    image: Path, inputs: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "Device", partial(Device, timeout_s=0.2, inference_timeout_s=0.5))
    many = np.concatenate([inputs] * 4)
    capture(image, many, range(len(many)), tmp_path / "good.jsonl")
    whole = (tmp_path / "good.jsonl").read_bytes()
    rates = dict.fromkeys(BYTES, 2e-4) | dict(zip(WHOLE, (4e-5, 4e-5, 2e-5), strict=True))
    command = emulator_command(image, "lx106", "stdio")
    with BadLink(command, rates, 0, delay_s=0.3).running() as bad:
        log = captured(bad, image, many, tmp_path / "bad.jsonl", whole.splitlines(keepends=True))
    # The footer has the highest use of the stack, which depends on the commands sent.
    assert log.splitlines()[:-1] == whole.splitlines()[:-1] and bad.faults.total() >= 10


def test_capture_gives_up_on_a_silent_device_and_continues_later(
    program: Path, inputs: np.ndarray, tmp_path: Path
) -> None:
    def after_three(more: int) -> None:
        seen.append(more)
        if sum(seen) == 3:
            bad.hang()

    seen: list[int] = []
    log = tmp_path / "log.jsonl"
    with BadLink([program], {}, 0, 0.0).running() as bad:
        start = partial(capture, program, inputs, range(8), log, link=partial(serial_link, bad.find))
        with pytest.raises(UserError, match=naming("127.0.0.1", "check cable", "3 of 8 images", "run again")):
            start(patience_s=0.5, advance=after_three)
        bad.go_on()
        assert len(start().records) == 8
    with BadLink([program], {}, 0, 0.0).running() as good:
        assert captured(good, program, inputs, tmp_path / "good.jsonl") == log.read_bytes()


def test_a_reset_in_the_middle_is_noticed_at_once(
    program: Path, inputs: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "Device", partial(Device, timeout_s=60))
    log, again = tmp_path / "log.jsonl", tmp_path / "again.jsonl"
    with BadLink([program], {}, 0, 0.0).running() as bad:
        start = partial(capture, program, inputs, range(8), link=partial(serial_link, bad.find))
        start(log)
        began = time.monotonic()
        start(again, advance=lambda more: more and bad.restart())
        assert time.monotonic() - began < 30, "it was noticed by the time-out only"
    assert again.read_bytes() == log.read_bytes()


def test_a_board_that_is_unplugged_comes_back_under_another_name(
    program: Path, inputs: np.ndarray, tmp_path: Path
) -> None:
    boards: list[subprocess.Popen[bytes]] = []
    nodes: list[int] = []
    names: list[str] = []
    looked: list[bool] = []

    def find() -> str:
        looked.append(True)
        if len(looked) in (2, 3):
            raise UserError("no board is connected; plug one in")
        master, node = pty.openpty()
        tty.setraw(node)
        # Held, so that the next one has another name.
        nodes.append(node)
        boards.append(subprocess.Popen([program], stdin=master, stdout=master))
        os.close(master)
        names.append(os.ttyname(node))
        return names[-1]

    def unplug(more: int) -> None:
        seen.append(more)
        if sum(seen) == 3:
            boards[0].kill()

    seen: list[int] = []
    log = capture(
        program, inputs, range(8), tmp_path / "log.jsonl", advance=unplug, link=partial(serial_link, find)
    )
    assert len(log.records) == 8 and len(looked) == 4
    assert len(set(names)) == 2
    for node, board in zip(nodes, boards, strict=True):
        os.close(node)
        board.kill()
        board.wait()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), termios.error(errno.EIO, "no")])
def test_a_port_that_disappears_is_a_lost_link(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyserial does not wrap these two errors."""
    _, tty_end = pty.openpty()
    name = os.ttyname(tty_end)
    with pytest.raises(LinkError, match=naming(name, "was lost", "check cable")), serial_link(name):
        raise error
    monkeypatch.setattr(serial.Serial, "_reconfigure_port", Mock(side_effect=error))
    with pytest.raises(LinkError, match=naming(name, "cannot open", "check")), serial_link(name):
        pass


def test_a_port_is_for_one_host() -> None:
    _, tty_end = pty.openpty()
    name = os.ttyname(tty_end)
    with serial_link(name), pytest.raises(LinkError, match=naming(name, "cannot open")), serial_link(name):
        pass


def test_an_emulator_that_ends_is_started_again(
    image: Path, inputs: np.ndarray, emulators: Callable[[], list[int]], tmp_path: Path
) -> None:
    def kill(_: int) -> None:
        if len(killed) < 2:
            killed.extend(emulators())
            os.kill(killed[-1], signal.SIGKILL)

    killed: list[int] = []
    log = capture(image, inputs, range(8), tmp_path / "log.jsonl", advance=kill)
    assert len(killed) == 2 and log.indices.tolist() == list(range(8))


def test_another_board_on_the_same_port_is_refused(
    image: Path, other_image: Path, inputs: np.ndarray, emulators: Callable[[], list[int]], tmp_path: Path
) -> None:
    images = iter([image, other_image])
    with pytest.raises(UserError, match=naming(str(image), "runs image", "flash it")):
        capture(
            image,
            inputs,
            range(8),
            tmp_path / "log.jsonl",
            link=lambda: emulated_link(next(images)),
            advance=lambda more: more and os.kill(emulators()[0], signal.SIGKILL),
        )


def misread(text: bytes, sent: int, read: int) -> bytes:
    """Return the bytes that a UART at ``read`` baud receives of ``text`` sent at ``sent`` baud.

    8N1, no gaps; stop bits are not checked.
    """
    bits = [1] * 20
    for byte in text:
        bits += [0, *(byte >> place & 1 for place in range(8)), 1]
    level = [
        bits[min(int(at / 16 * sent / read), len(bits) - 1)] for at in range(len(bits) * 16 * read // sent)
    ]
    out, at = bytearray(), 0
    while at + 160 <= len(level):
        if level[at]:
            at += 1
            continue
        out.append(sum(level[at + 24 + 16 * place] << place for place in range(8)))
        at += 152
    return bytes(out)


@pytest.fixture
def sender(impatient: None) -> Iterator[Callable[[bytes], str]]:
    """A function that serves one connection and returns its URL. Every input gets the same reply."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(reply: bytes) -> str:
            def send() -> None:
                connection, _ = server.accept()
                with connection:
                    while connection.recv(4096):
                        connection.sendall(reply)

            threading.Thread(target=send, daemon=True).start()
            return f"socket://127.0.0.1:{server.getsockname()[1]}"

        yield serve


@pytest.mark.parametrize("read", [9600, 57_600, 230_400, 921_600])
def test_wrong_baud_rate_is_reported(
    sender: Callable[[bytes], str], image: Path, inputs: np.ndarray, tmp_path: Path, read: int
) -> None:
    log = b"".join(b"I (%d) boot: chip revision: v3.%d\r\n" % (random.randint(20, 999), i) for i in range(40))
    assert misread(log, 115_200, 115_200) == log
    link = partial(serial_link, sender(misread(log, 115_200, read)), read)
    with pytest.raises(LinkError, match=naming("127.0.0.1", f"{read} baud", "rate")):
        capture(image, inputs, range(8), tmp_path / "log.jsonl", link=link)


def test_another_program_is_reported(
    sender: Callable[[bytes], str], image: Path, inputs: np.ndarray, tmp_path: Path
) -> None:
    link = partial(serial_link, sender(b"\r\nMicroPython v1.23\r\n>>> "))
    with pytest.raises(LinkError, match=naming("127.0.0.1", "MicroPython v1.23 >>>", "check the cable")):
        capture(image, inputs, range(8), tmp_path / "log.jsonl", link=link)
