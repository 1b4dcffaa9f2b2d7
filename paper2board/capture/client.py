"""The host's end of the device protocol (docs/protocol.md): frames with checksums, time-outs, retries."""

import base64
import contextlib
import re
import secrets
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import serial

from paper2board.capture.link import LinkError
from paper2board.capture.log import Box
from paper2board.core.errors import UserError
from paper2board.firmware.symptoms import REMEMBERED_BYTES, diagnose, restart_cause, said

PROTOCOL = 2
_CHUNK_BYTES = 768
"""Bytes of an input in one command. In base64 they just fit the device's command buffer."""
_DAMAGED = "~e-[Damaged frame]"
_FRAME = re.compile(r"~([0-9a-f]{4}):([0-9a-f]{2}):(.*):([0-9a-f]{8})$")
"""Sequence number, line number, text, CRC-32. Noise may precede a frame."""
_TAG = re.compile(r"m-([a-z0-9-]+)-\[(.*?)\](?:-(\d+))?")
_STARTED = re.compile(
    r"(?:(?P<rom>rst:0x[0-9a-f]+ \(.*)|(?P<application>m-init-done)|e-\[Unknown command: ~.*)$"
)
"""Text that only a device without framing sends, or its ROM: it has just started.

A boot has one line of each group.
"""


class DeviceError(UserError):
    """The device refused a command, or its program failed."""


class RestartError(LinkError):
    """The device has restarted: the input sent so far is lost.

    ``sign``: the group of ``_STARTED`` that tells so, if any.
    """

    def __init__(self, message: str, sign: str | None = None) -> None:
        super().__init__(message)
        self.sign = sign


@dataclass(frozen=True)
class Profile:
    """What the device reports about itself."""

    application: str
    model: str
    model_sha256: str


@dataclass(frozen=True)
class LayerCounts:
    """Counts of each layer in the last inference, in execution order; ``unit``: instructions or cycles."""

    unit: str
    names: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Inference:
    """The result of one input: int8 outputs, counts, and a detector's boxes (None for other networks)."""

    outputs: np.ndarray
    layers: LayerCounts
    boxes: tuple[Box, ...] | None


class Device:
    """A device that runs the application; commands and replies are frames.

    A command that is lost or damaged is sent again, up to ``attempts`` times. Each attempt waits ``timeout_s`` for
    the next valid line, and ``inference_timeout_s`` for an inference. A repeated command has the same effect as one
    command. Methods raise :class:`DeviceError` if the device refuses, :class:`LinkError` if no valid reply comes,
    and :class:`RestartError` if the device has restarted.
    """

    def __init__(
        self,
        link: serial.SerialBase,
        *,
        timeout_s: float = 2.0,
        inference_timeout_s: float = 30.0,
        attempts: int = 8,
    ) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._inference_timeout_s = inference_timeout_s
        self._attempts = attempts
        self._pending = b""
        self._heard = b""
        """What came since the last valid reply."""
        # A random start: a late reply to an earlier host has another sequence number.
        self._sequence = secrets.randbelow(1 << 16)
        self._connect()

    def name(self) -> str:
        """Return the device's name."""
        return self._tagged(self._command("name"), "name-dut")[0][0]

    def profile(self) -> Profile:
        """Return application and model; raise :class:`DeviceError` for an application with another protocol."""
        reply = self._command("profile")
        application, model, sha256 = (
            self._tagged(reply, tag)[0][0] for tag in ("profile", "network", "model-sha256")
        )
        if not application.endswith(f", protocol {PROTOCOL}"):
            raise DeviceError(
                f"the device runs '{application}', this host needs protocol {PROTOCOL}; build the image again"
            )
        return Profile(application, model, sha256)

    def timestamp_us(self) -> int:
        """Return the device's time since start in microseconds. On an emulator its clock is a model."""
        return self._number(self._command("timestamp"), r"m-lap-us-(\d+)")

    def digest(self) -> str:
        """Return the sha256 that the device has just computed over its own image."""
        return self._tagged(self._command("digest", self._inference_timeout_s), "digest")[0][0]

    def memory(self) -> dict[str, int]:
        """Return bytes of text, rodata, data, bss, arena (part of bss) and the stack's highest use so far."""
        reply = self._command("memory")
        with _numbers(reply):
            return {name: int(number) for name, number in self._tagged(reply, "memory")}

    def load(self, network_input: np.ndarray) -> None:
        """Load the network's input, int8, H × W × C."""
        pixels = pixel_bytes(network_input)
        self._command(f"db load {len(pixels)}")
        self._send_bytes("db64", pixels)

    def load_image(self, image: np.ndarray) -> None:
        """Load a photo of any size, uint8, height × width × 3, RGB; the device makes the network's input of it."""
        height, width = image.shape[:2]
        self._command(f"photo {width} {height}")
        self._send_bytes("row64", np.ascontiguousarray(image, np.uint8).tobytes())

    def infer(self, inferences: int = 1, warmups: int = 0) -> np.ndarray:
        """Run ``warmups`` + ``inferences`` on the loaded input; return the outputs of the last one, int8."""
        self._command(f"infer {inferences} {warmups}", self._inference_timeout_s)
        return self.results()

    def results(self) -> np.ndarray:
        """Return the outputs of the last inference, int8."""
        return self._outputs(self._command("outputs"))

    def boxes(self) -> tuple[Box, ...]:
        """Return a detector's boxes of the last inference, best first: class, score in 1/32768, corners.

        Corners are in pixels of the photo that was loaded, and in 1/16 pixel of an input that was loaded instead.
        """
        return self._boxes(self._command("boxes"))

    def layers(self) -> LayerCounts:
        """Return the counts of the last inference by layer."""
        return self._layers(self._command("layers"))

    def run(self, network_input: np.ndarray) -> Inference:
        """Run one inference on an int8 input, H × W × C, with as few commands as its bytes need."""
        pixels = pixel_bytes(network_input)
        reply: list[str] = []
        for start in range(0, len(pixels), _CHUNK_BYTES):
            piece = pixels[start : start + _CHUNK_BYTES]
            last = start + len(piece) == len(pixels)
            reply = self._command(
                f"batch {start} {base64.b64encode(piece).decode()}",
                self._inference_timeout_s if last else self._timeout_s,
            )
        detector = any(text.startswith("m-boxes-") for text in reply)
        return Inference(self._outputs(reply), self._layers(reply), self._boxes(reply) if detector else None)

    # --- replies --------------------------------------------------------------------------------------

    def _outputs(self, reply: list[str]) -> np.ndarray:
        with _numbers(reply):
            return np.array(self._tagged(reply, "outputs")[0][0].split(","), dtype=np.int8)

    def _boxes(self, reply: list[str]) -> tuple[Box, ...]:
        count = self._number(reply, r"m-boxes-(\d+)")
        tag = "photo-box" if any(line.startswith("m-photo-box-") for line in reply) else "box"
        found = [text for text, _ in self._tagged(reply, tag)] if count else []
        with _numbers(reply):
            boxes = [tuple(int(word) for word in text.split(",")) for text in found]
        if len(boxes) != count or any(len(box) != 6 for box in boxes):
            raise DeviceError(
                f"the device's reply {reply} is not a list of {count} boxes; build the image again"
            )
        return tuple(boxes)  # type: ignore[arg-type]  # six numbers each, as just checked

    def _layers(self, reply: list[str]) -> LayerCounts:
        counts = self._tagged(reply, "layer")
        with _numbers(reply):
            return LayerCounts(
                self._tagged(reply, "counter")[0][0],
                tuple(name for name, _ in counts),
                tuple(int(number) for _, number in counts),
            )

    @staticmethod
    def _tagged(reply: list[str], tag: str) -> list[tuple[str, str]]:
        """Return (text, number) of each line ``m-tag-[text]-number``; there is at least one."""
        matches = [_TAG.fullmatch(line) for line in reply]
        found = [(match[2], match[3] or "") for match in matches if match and match[1] == tag]
        if not found:
            raise DeviceError(f"the device's reply {reply} has no m-{tag} line; build the image again")
        return found

    @staticmethod
    def _number(reply: list[str], pattern: str) -> int:
        for line in reply:
            if match := re.fullmatch(pattern, line):
                return int(match[1])
        raise DeviceError(f"the device's reply {reply} has no line {pattern}; build the image again")

    def _send_bytes(self, command: str, content: bytes) -> None:
        reply: list[str] = []
        for start in range(0, len(content), _CHUNK_BYTES):
            chunk = base64.b64encode(content[start : start + _CHUNK_BYTES]).decode()
            reply = self._command(f"{command} {chunk}")
        if "m-load-done" not in reply:
            raise DeviceError(
                f"the device expects more input than the {len(content)} bytes sent; check the model"
            )

    # --- frames ---------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Turn framing on, whatever state the device is in.

        Most boards start when the port is opened: the signs of one boot are no failed attempts.
        """
        expected = {"rom", "application"}
        failures = 0
        while failures < self._attempts:
            self._link.write(b"%crc on%")
            try:
                # Only a framed reply shows that it worked. Replies to an earlier host come before it.
                if self._exchange("name", self._timeout_s) == ["m-name-dut-[paper2board]"]:
                    return
            except RestartError as restart:
                # The device may not have received the command.
                if restart.sign in expected:
                    expected.remove(restart.sign)
                    continue
            failures += 1
        raise LinkError(f"the device on {self._link.port} does not reply: {self._symptom()}")

    def _command(self, command: str, timeout_s: float | None = None) -> list[str]:
        """Send a command until its whole reply has come; return the lines of the reply without ``m-ready``."""
        self._sequence = (self._sequence + 1) % (1 << 16)
        for _ in range(self._attempts):
            reply = self._exchange(command, timeout_s or self._timeout_s)
            if reply is not None:
                for line in reply:
                    if line.startswith("e-["):
                        raise DeviceError(f"the device refused '{command[:40]}': {line}")
                return reply
        raise LinkError(
            f"the device on {self._link.port} gave no valid reply to '{command[:40]}' in {self._attempts} attempts:"
            f" {self._symptom()}"
        )

    def _symptom(self) -> str:
        return diagnose(self._heard, self._link.baudrate)

    def _exchange(self, command: str, timeout_s: float) -> list[str] | None:
        """Send one frame; return its reply, or None if the reply does not come whole."""
        body = f"{self._sequence:04x}:{command}"
        self._link.write(f"~{body}:{zlib.crc32(body.encode()):08x}%".encode())
        reply: list[str] | None = []
        deadline = time.monotonic() + timeout_s
        while (text := self._read_line(deadline)) is not None:
            if text.endswith(_DAMAGED):
                return None
            if "e-[Fault" in text:
                fault = said(text.encode("latin-1"), 200)
                raise DeviceError(f"the device's program failed: {fault}; report this with the image")
            frame = _FRAME.search(text)
            if frame is None and (started := _STARTED.search(text)):
                raise RestartError(
                    f"the device on {self._link.port} has restarted: {restart_cause(self._heard)}",
                    started.lastgroup,
                )
            if frame is None or int(frame[4], 16) != zlib.crc32(frame[0][1:-9].encode("latin-1")):
                continue
            if int(frame[1], 16) != self._sequence:
                continue
            if int(frame[2], 16) == 0:
                # The first line of this reply, or of a repetition of it.
                reply = []
            if reply is None or int(frame[2], 16) != len(reply) % 256:
                # A line is lost: skip the lines that follow, so that one loss costs one attempt.
                reply = None
            if frame[3] == "m-ready":
                if reply is not None:
                    self._heard = b""
                return reply
            if reply is not None:
                reply.append(frame[3])
            deadline = time.monotonic() + timeout_s
        return None

    def _read_line(self, deadline: float) -> str | None:
        """Return the next line, without its end, or None when ``deadline`` has passed."""
        while (left := deadline - time.monotonic()) > 0:
            self._link.timeout = left
            part = self._link.read_until(b"\n")
            self._heard = (self._heard + part)[-REMEMBERED_BYTES:]
            self._pending += part
            if self._pending.endswith(b"\n"):
                text, self._pending = self._pending.decode("latin-1").rstrip("\r\n"), b""
                return text
        return None


@contextlib.contextmanager
def _numbers(reply: list[str]) -> Iterator[None]:
    """Raise :class:`DeviceError` for a reply with something else in a number's place."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise DeviceError(
            f"the device's reply {reply} has no number ({error}); build the image again"
        ) from error


def pixel_bytes(network_input: np.ndarray) -> bytes:
    """Return an int8 input as the device reads it: pixels, 0 … 255, as in MLPerf Tiny's image classification."""
    return (network_input.astype(np.int16) + 128).astype(np.uint8).tobytes()
