"""The host's end of the device protocol (docs/protocol.md): checksummed frames, time-outs, retries."""

import base64
import contextlib
import re
import secrets
import time
import zlib
from dataclasses import dataclass

import numpy as np
import serial

from paper2board.capture.link import LineError
from paper2board.capture.log import Box
from paper2board.core.errors import UserError

PROTOCOL = 2
_CHUNK_BYTES = 768
"""Bytes of an image in one command; in base64 they just fit the device's command buffer."""
_DAMAGED = "~e-[Damaged frame]"
_FRAME = re.compile(r"~([0-9a-f]{4}):([0-9a-f]{2}):(.*):([0-9a-f]{8})$")
"""Sequence number, line number, text, CRC-32; noise may come before it."""
_TAG = re.compile(r"m-([a-z0-9-]+)-\[(.*?)\](?:-(\d+))?")
_STARTED = re.compile(r"(m-init-done|e-\[Unknown command: ~.*)$")
"""What only a device says that does not know of frames: it has just started."""
_NO_TEXT = re.compile(rb"[^ -~\r\n\t]")
_REMEMBERED_BYTES = 64


class DeviceError(UserError):
    """The device refused a command, or its program failed."""


class RestartError(LineError):
    """The device has started anew: what it had been sent is gone."""


@dataclass(frozen=True)
class Profile:
    """What the device says of itself."""

    application: str
    model: str
    model_sha256: str


@dataclass(frozen=True)
class LayerCounts:
    """Counts (``unit``: instructions or cycles) of each layer in the last inference, in execution order."""

    unit: str
    names: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Inference:
    """What the device made of one input: int8 outputs, counts, and what a detector found (else None)."""

    outputs: np.ndarray
    layers: LayerCounts
    boxes: tuple[Box, ...] | None


class Device:
    """A device running the application, spoken to in frames.

    A command that is lost or damaged is sent again, up to ``attempts`` times, each waiting ``timeout_s`` (for
    an inference ``inference_timeout_s``) for the next good line; executed twice, it does what it does once. Methods
    raise :class:`DeviceError` when the device refuses, :class:`LineError` when it gives no good answer, and
    :class:`RestartError` when it has started anew.
    """

    def __init__(
        self,
        line: serial.SerialBase,
        *,
        timeout_s: float = 2.0,
        inference_timeout_s: float = 30.0,
        attempts: int = 8,
    ) -> None:
        self._line = line
        self._timeout_s = timeout_s
        self._inference_timeout_s = inference_timeout_s
        self._attempts = attempts
        self._pending = b""
        self._heard = b""
        # A fresh start, so that no late reply to an earlier host is taken for ours.
        self._sequence = secrets.randbelow(1 << 16)
        self._connect()

    def name(self) -> str:
        """Return the device's name."""
        return self._tagged(self._command("name"), "name-dut")[0][0]

    def profile(self) -> Profile:
        """Return application and model; refuse an application of another protocol."""
        reply = self._command("profile")
        application, model, sha256 = (
            self._tagged(reply, tag)[0][0] for tag in ("profile", "network", "model-sha256")
        )
        if not application.endswith(f", protocol {PROTOCOL}"):
            raise DeviceError(
                f"the device runs '{application}' but this host speaks protocol {PROTOCOL}; build the image again"
            )
        return Profile(application, model, sha256)

    def timestamp_us(self) -> int:
        """Return the device's time since start in microseconds (of its clock model on an emulator)."""
        return self._number(self._command("timestamp"), r"m-lap-us-(\d+)")

    def digest(self) -> str:
        """Return the sha256 that the device has just computed over its own image."""
        return self._tagged(self._command("digest", self._inference_timeout_s), "digest")[0][0]

    def memory(self) -> dict[str, int]:
        """Return bytes of text, rodata, data, bss, arena (part of bss) and the stack's highest use so far."""
        return {name: int(number) for name, number in self._tagged(self._command("memory"), "memory")}

    def load(self, image: np.ndarray) -> None:
        """Load the network's input, int8."""
        pixels = pixel_bytes(image)
        self._command(f"db load {len(pixels)}")
        self._send_bytes("db64", pixels)

    def load_photo(self, photo: np.ndarray) -> None:
        """Load a photo, uint8 height × width × channels; the device makes the network's input of it."""
        height, width = photo.shape[:2]
        self._command(f"photo {width} {height}")
        self._send_bytes("row64", np.ascontiguousarray(photo, np.uint8).tobytes())

    def infer(self, inferences: int = 1, warmups: int = 0) -> np.ndarray:
        """Run ``warmups`` + ``inferences`` on the loaded input; return the outputs of the last, int8."""
        self._command(f"infer {inferences} {warmups}", self._inference_timeout_s)
        return self.results()

    def results(self) -> np.ndarray:
        """Return the outputs of the last inference, int8."""
        return self._outputs(self._command("outputs"))

    def boxes(self) -> tuple[Box, ...]:
        """Return what a detector found in the last inference, best first."""
        return self._boxes(self._command("boxes"))

    def layers(self) -> LayerCounts:
        """Return the counts of the last inference by layer."""
        return self._layers(self._command("layers"))

    def run(self, image: np.ndarray) -> Inference:
        """Infer the network's input ``image``, int8, once, in as few round trips as its bytes take."""
        pixels = pixel_bytes(image)
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
        return np.array(self._tagged(reply, "outputs")[0][0].split(","), dtype=np.int8)

    def _boxes(self, reply: list[str]) -> tuple[Box, ...]:
        count = self._number(reply, r"m-boxes-(\d+)")
        found = [text for text, _ in self._tagged(reply, "box")] if count else []
        boxes = [tuple(int(word) for word in text.split(",")) for text in found]
        if len(boxes) != count or any(len(box) != 6 for box in boxes):
            raise DeviceError(
                f"the device's reply {reply} is no list of {count} boxes; build the image again"
            )
        return tuple(boxes)  # type: ignore[arg-type]  # six numbers each, as just checked

    def _layers(self, reply: list[str]) -> LayerCounts:
        counts = self._tagged(reply, "layer")
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
                f"the device wants more input than the {len(content)} bytes sent; check the model"
            )

    # --- frames ---------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Turn framing on, whatever state the line is in."""
        for _ in range(self._attempts):
            self._line.write(b"%crc on%")
            # A device that starts just now may not have heard that.
            with contextlib.suppress(RestartError):
                # Only a framed reply shows that it worked; whatever an earlier host left came before it.
                if self._exchange("name", self._timeout_s) == ["m-name-dut-[paper2board]"]:
                    return
        raise LineError(f"the device on {self._line.port} does not answer: {self._symptom()}")

    def _command(self, command: str, timeout_s: float | None = None) -> list[str]:
        """Send a command until its whole reply has come; return the reply's lines without ``m-ready``."""
        self._sequence = (self._sequence + 1) % (1 << 16)
        self._heard = b""
        for _ in range(self._attempts):
            reply = self._exchange(command, timeout_s or self._timeout_s)
            if reply is not None:
                for line in reply:
                    if line.startswith("e-["):
                        raise DeviceError(f"the device refused '{command[:40]}': {line}")
                return reply
        raise LineError(
            f"the device on {self._line.port} gave no good reply to '{command[:40]}' in {self._attempts} attempts:"
            f" {self._symptom()}"
        )

    def _symptom(self) -> str:
        """Say what came instead of an answer, and the remedy."""
        heard, baud = self._heard, self._line.baudrate
        if not heard:
            return f"it is silent; check cable, power, that it is flashed, and that it talks at {baud} baud"
        if 2 * len(_NO_TEXT.findall(heard)) > len(heard):
            return f"only garbage comes; it does not talk at {baud} baud, open its line with its rate"
        text = " ".join(heard.decode("latin-1").split())
        return f"it said '…{text}'; check the cable, and that it runs paper2board's application"

    def _exchange(self, command: str, timeout_s: float) -> list[str] | None:
        """Send one frame; return its reply, or None if that does not come in whole."""
        body = f"{self._sequence:04x}:{command}"
        self._line.write(f"~{body}:{zlib.crc32(body.encode()):08x}%".encode())
        reply: list[str] | None = []
        deadline = time.monotonic() + timeout_s
        while (text := self._read_line(deadline)) is not None:
            if text.endswith(_DAMAGED):
                return None
            if "e-[Fault" in text:
                raise DeviceError(f"the device's program failed: {text}; report this with the image")
            frame = _FRAME.search(text)
            if frame is None and _STARTED.search(text):
                raise RestartError(f"the device on {self._line.port} has started anew; check its power")
            if frame is None or int(frame[4], 16) != zlib.crc32(frame[0][1:-9].encode("latin-1")):
                continue
            if int(frame[1], 16) != self._sequence:
                continue
            if int(frame[2], 16) == 0:
                # The first line of this reply, or of its repetition.
                reply = []
            if reply is None or int(frame[2], 16) != len(reply) % 256:
                # A line is lost; those that follow are not worth another attempt each.
                reply = None
            if frame[3] == "m-ready":
                return reply
            if reply is not None:
                reply.append(frame[3])
            deadline = time.monotonic() + timeout_s
        return None

    def _read_line(self, deadline: float) -> str | None:
        """Return the next line, without its end, or None when ``deadline`` has passed."""
        while (left := deadline - time.monotonic()) > 0:
            self._line.timeout = left
            part = self._line.read_until(b"\n")
            self._heard = (self._heard + part)[-_REMEMBERED_BYTES:]
            self._pending += part
            if self._pending.endswith(b"\n"):
                text, self._pending = self._pending.decode("latin-1").rstrip("\r\n"), b""
                return text
        return None


def pixel_bytes(image: np.ndarray) -> bytes:
    """Return an int8 input as the device takes it: pixels, 0 … 255, as in MLPerf Tiny's image classification."""
    return (image.astype(np.int16) + 128).astype(np.uint8).tobytes()
