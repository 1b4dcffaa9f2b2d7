"""The protocol with the real application on QEMU: in plain text and in frames, over good links and bad ones."""

import base64
import hashlib
import os
import random
import re
import signal
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import serial
from messages import naming

from paper2board.capture.client import Device, DeviceError
from paper2board.capture.link import LinkError, emulated_link, serial_link
from paper2board.core.errors import UserError
from paper2board.firmware.host import HostModel
from paper2board.firmware.image import read_image
from paper2board.model.integer_model import IntegerModel


class NoisyLink:
    """A link on which some bytes, in both directions, are changed, lost or doubled."""

    def __init__(self, link: serial.SerialBase, rate: float, seed: int) -> None:
        self._link, self._rate, self._random = link, rate, random.Random(seed)
        self.port, self.baudrate, self.timeout, self.damage = link.port, link.baudrate, 1.0, 0

    def _pass(self, content: bytes) -> bytes:
        out = bytearray()
        for byte in content:
            if self._random.random() >= self._rate:
                out.append(byte)
                continue
            self.damage += 1
            flipped = byte ^ 1 << self._random.randrange(8)
            out += self._random.choice([bytes([flipped]), b"", bytes([byte, byte]), b"%", b"~", b"\n"])
        return bytes(out)

    def write(self, content: bytes) -> None:
        self._link.write(self._pass(content))

    def read_until(self, expected: bytes) -> bytes:
        self._link.timeout = self.timeout
        return self._pass(self._link.read_until(expected))


def send(link: serial.SerialBase, command: str) -> list[str]:
    """Send a plain command; return the lines of the reply."""
    link.write(f"{command}%".encode())
    return read_reply(link)


def read_reply(link: serial.SerialBase) -> list[str]:
    """Return the lines up to the next ``m-ready``."""
    link.timeout = 10.0
    reply: list[str] = []
    while not reply or reply[-1] != "m-ready":
        text = link.read_until(b"\n").decode()
        assert text.endswith("\r\n"), reply
        reply.append(text.strip())
    return reply


def test_energyrunner_session(image: Path, inputs: np.ndarray, expected: np.ndarray) -> None:
    with emulated_link(image) as link:
        assert read_reply(link)[:3:2] == ["m-timestamp-mode-performance", "m-init-done"]
        assert send(link, "") == ["m-ready"]
        assert send(link, "name") == ["m-name-dut-[paper2board]", "m-ready"]
        profile = send(link, "profile")
        assert re.fullmatch(r"m-profile-\[.+]", profile[0]) and profile[1] == "m-model-[tiny]"
        assert send(link, "db load 432") == ["m-[Expecting 432 bytes]", "m-ready"]
        pixels = (inputs[0].astype(int) + 128).astype(np.uint8).tobytes()
        # The runner sends 31 bytes at a time.
        replies = [send(link, f"db {pixels[i : i + 31].hex()}") for i in range(0, len(pixels), 31)]
        assert set(map(tuple, replies[:-1])) == {("m-ready",)}
        assert replies[-1] == ["m-load-done", "m-ready"]
        reply = send(link, "infer 2 1")
        results = f"m-results-[{','.join(map(str, expected[0]))}]"
        laps = [int(lap[len("m-lap-us-") :]) for lap in reply if lap.startswith("m-lap-us-")]
        assert [text for text in reply if not text.startswith("m-lap-us-")] == [
            *("m-warmup-start-1", "m-warmup-done", "m-infer-start-2", "m-infer-done", results, "m-ready")
        ]
        assert send(link, "results") == [results, "m-ready"]
        counts = [int(text.rsplit("-", 1)[1]) for text in send(link, "layers")[1:-1]]
        # 192 instructions a microsecond: 240 MHz at 1.25 cycles an instruction. Reading the clock costs some.
        assert sum(counts) * 2 / 192 <= laps[1] - laps[0] <= sum(counts) * 2 / 192 * 1.2 + 20


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("nonsense\x07 1", "e-[Unknown command: nonsense?]"),
        ("db load 5", "e-[The input takes 432 bytes]"),
        ("db load x", "e-[The input takes 432 bytes]"),
        ("db 00", "e-[No input is expected]"),
        ("db 0g", "e-[Not hexadecimal or base64 digits]"),
        ("db 000", "e-[Not hexadecimal or base64 digits]"),
        ("db64 AAA", "e-[Not hexadecimal or base64 digits]"),
        ("db64 A=AA", "e-[Not hexadecimal or base64 digits]"),
        ("row 00", "e-[No photo is expected]"),
        ("photo 0 1", "e-[A photo is 1 to 65535 pixels a side]"),
        ("photo 65536 1", "e-[A photo is 1 to 65535 pixels a side]"),
        ("infer", "e-[No complete input is loaded]"),
        ("infer 0", "e-[Inference iterations must be 1 to 100000]"),
        ("infer 1 -1", "e-[Inference warmup must be 0 to 100000]"),
        ("results", "e-[No inference has run on this input]"),
        ("layers", "e-[No inference has run on this input]"),
        ("batch", "e-[A piece is AT BASE64, inside the input, without a gap before it]"),
        ("batch 0 AAA", "e-[A piece is AT BASE64, inside the input, without a gap before it]"),
        ("batch 3 AAAA", "e-[A piece is AT BASE64, inside the input, without a gap before it]"),
        (f"batch 0 {'AAAA' * 145}", "e-[A piece is AT BASE64, inside the input, without a gap before it]"),
        ("crc maybe", "e-[crc is on or off]"),
        ("x" * 2000, "e-[Command is too long]"),
    ],
)
def test_refusals(process: Path, command: str, reply: str) -> None:
    output = subprocess.run([process], input=f"{command}%".encode(), capture_output=True, check=True).stdout
    assert output.decode().split("\r\n")[4:] == [reply, "m-ready", ""]


def test_half_an_input_is_not_inferred(device: Device, inputs: np.ndarray) -> None:
    device.load(inputs[0])
    device.infer()
    with pytest.raises(DeviceError, match=naming("db load 216", "432 bytes")):
        device.load(inputs[0][:6])
    with pytest.raises(DeviceError, match="No complete input"):
        device.infer()
    with pytest.raises(DeviceError, match=naming("16 bytes", "check the model")):
        device.load_image(np.zeros((4, 4, 1), np.uint8))
    with pytest.raises(DeviceError, match="No complete input"):
        device.infer()
    with pytest.raises(DeviceError, match="No inference has run"):
        device.results()


def test_a_device_describes_itself(device: Device, image: Path, network: IntegerModel) -> None:
    profile = device.profile()
    assert (device.name(), profile.model) == ("paper2board", network.name)
    built = read_image(image)
    assert device.digest() == built.digest == hashlib.sha256(built.content).hexdigest()
    memory = device.memory()
    assert {name: memory[name] for name in built.memory} == built.memory
    assert 0 < memory["arena"] < memory["bss"] and 100 < memory["stack"] < 4096
    assert device.timestamp_us() < device.timestamp_us()


def test_outputs_and_counts(device: Device, inputs: np.ndarray, expected: np.ndarray) -> None:
    seen = []
    for image, output in zip(inputs, expected, strict=True):
        device.load(image)
        assert np.array_equal(device.infer(), output)
        first = device.layers()
        assert np.array_equal(device.infer(2, 1), output)
        assert device.layers() == first
        seen.append(first)
    assert (seen[0].unit, seen[0].names) == ("instructions", ("conv1", "pool1", "fc1"))
    assert all(count > 0 for layers in seen for count in layers.counts)


@pytest.mark.parametrize("size", [(3, 1500), (12, 12), (31, 50), (300, 7), (1, 1)])
def test_an_image_becomes_the_same_input_on_host_and_device(
    device: Device, host: HostModel, size: tuple[int, int]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    device.load_image(image)
    assert np.array_equal(device.infer(), host.run(host.input_of(image)[None])[0])


def frame(number: int, command: str) -> bytes:
    body = f"{number:04x}:{command}".encode()
    return b"~%s:%08x%%" % (body, zlib.crc32(body))


def test_batch_is_load_infer_and_layers_at_once(
    device: Device, inputs: np.ndarray, expected: np.ndarray
) -> None:
    for image, output in zip(inputs, expected, strict=True):
        found = device.run(image)
        assert np.array_equal(found.outputs, output) and found.boxes is None
        device.load(image)
        assert np.array_equal(device.infer(), output) and device.layers() == found.layers


def test_pieces_of_a_batch_in_plain_and_repeated(
    process: Path, inputs: np.ndarray, expected: np.ndarray
) -> None:
    commands = []
    for image in inputs[:3]:
        pixels = (image.astype(int) + 128).astype(np.uint8).tobytes()
        for start in range(0, len(pixels), 48):
            # Any piece may come twice: the last one, and all of them.
            piece = base64.b64encode(pixels[start : start + 48]).decode()
            commands += [f"batch {start} {piece}"] * (1 + start // 48 % 2)
    plain = "%".join([*commands, "batch 432 ", "db 00", "results", ""])
    output = subprocess.run([process], input=plain.encode(), capture_output=True, check=True).stdout.decode()
    rows = [f"[{','.join(map(str, outputs))}]" for outputs in expected[:3]]
    assert re.findall(r"m-outputs-(.*)\r", output) == [rows[0], rows[1], rows[2], rows[2]]
    assert output.count("m-layer-[fc1]-") == output.count("m-load-done") == 4
    assert "e-[No input is expected]" in output and f"m-results-{rows[2]}" in output

    framed = b"crc on%" + b"".join(frame(at, command) * 2 for at, command in enumerate(commands))
    output = subprocess.run([process], input=framed, capture_output=True, check=True).stdout.decode()
    assert [row for row in rows for _ in range(2)] == re.findall(r":m-outputs-(.*):", output)


def test_repeated_frame_is_executed_once(image: Path, inputs: np.ndarray, expected: np.ndarray) -> None:
    pixels = (inputs[0].astype(int) + 128).astype(np.uint8).tobytes()
    with emulated_link(image) as link:
        link.write(b"crc on%" + frame(1, "db load 432") * 3)
        for number, start in enumerate(range(0, 432, 48), 2):
            link.write(frame(number, f"db {pixels[start : start + 48].hex()}") * 2)
        link.write(frame(50, "infer 1 0"))
        link.timeout = 10.0
        while b":m-results-" not in (text := link.read_until(b"\n")):
            assert text
        assert f"[{','.join(map(str, expected[0]))}]" in text.decode()


@pytest.mark.parametrize("seed", range(3))
def test_noise_changes_no_number(image: Path, inputs: np.ndarray, expected: np.ndarray, seed: int) -> None:
    with emulated_link(image) as link:
        noisy = NoisyLink(link, rate=3e-4, seed=seed)
        device = Device(noisy, timeout_s=0.15, inference_timeout_s=0.3, attempts=40)  # type: ignore[arg-type]
        clean = []
        for image_, output in zip(inputs, expected, strict=True):
            found = device.run(image_)
            assert np.array_equal(found.outputs, output)
            clean.append(found.layers)
        assert noisy.damage > 0
    with emulated_link(image) as link:
        device = Device(link)
        for image_, layers in zip(inputs, clean, strict=True):
            assert device.run(image_).layers == layers


def test_a_hopeless_link_is_an_error(image: Path) -> None:
    with emulated_link(image) as link, pytest.raises(LinkError, match=naming("does not reply", "check")):
        Device(NoisyLink(link, 0.2, 0), timeout_s=0.02, attempts=3)  # type: ignore[arg-type]


def test_silent_or_missing_device_is_an_error() -> None:
    with (
        serial_link("loop://") as link,
        pytest.raises(LinkError, match=naming("loop://", "does not reply", "our own commands", "TX and RX")),
    ):
        assert not (link.dtr or link.rts), "a board would be held in reset or in its boot loader"
        Device(link, timeout_s=0.02, attempts=2)
    with (
        pytest.raises(LinkError, match=naming("/dev/none", "cannot open", "check")),
        serial_link("/dev/none"),
    ):
        pass


def test_an_emulator_that_ends_is_reported(
    image: Path, inputs: np.ndarray, emulators: Callable[[], list[int]]
) -> None:
    with (
        pytest.raises(LinkError, match=naming("qemu-system-xtensa", str(image), "ended", "build")),
        emulated_link(image) as link,
    ):
        device = Device(link)
        (process,) = emulators()
        os.kill(process, signal.SIGKILL)
        device.load(inputs[0])


def test_a_bad_image_or_a_missing_emulator_is_reported(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.elf").write_text("no ELF file")
    with (
        pytest.raises(UserError, match=naming("bad.elf", "device image", "build it again")),
        emulated_link(tmp_path / "bad.elf"),
    ):
        pass
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(UserError, match=naming("qemu-system-xtensa", "install", "qemu-system-misc")),
        emulated_link(image),
    ):
        pass
