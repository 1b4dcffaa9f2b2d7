"""MLPerf Tiny's performance and accuracy runs on a device, in plain text (docs/protocol.md).

They follow MLCommons' runner (https://github.com/mlcommons/tiny, benchmark/runner, commit 1afd2c9): its commands
(device_under_test.py), its use of the replies (script.py), its median, top-1 and area under the curve (main.py).
The runner's scripts state the number of inferences in a window. Here it follows from the rule of at least ten
seconds and ten inferences (main.py, and README.md of https://github.com/eembc/energyrunner).
"""

import math
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import serial
from scipy.stats import rankdata

from paper2board.capture.client import DeviceError, pixel_bytes
from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes, write_text
from paper2board.firmware.symptoms import REMEMBERED_BYTES, diagnose, printable, restart_cause

WINDOWS = 5
WINDOW_S = 10.0
WINDOW_INFERENCES = 10
WARMUPS = 5
IMAGES = 200
"""Number of images in an accuracy run. They are a study's first test images, not MLPerf Tiny's own selection."""
BENCHMARKS = ("ic01", "vww01")
"""Models whose results are probabilities (firmware/app/app.c)."""
_CHUNK_BYTES = 31
"""Bytes of the input in one command: with the command's name, less than the reference's 80 characters."""
_NAME = re.compile(r"m-name-dut-\[([^]]+)]")
_MODEL = re.compile(r"m-model-\[([^]]+)]")
_LAP = re.compile(r"m-lap-us-([0-9]+)")
_ROM = re.compile(r"rst:0x[0-9a-f]+ \(")
_RESULTS = re.compile(r"m-results-\[([^]]+)]")


@dataclass(frozen=True)
class Window:
    """``inferences`` on one input: the time between the two laps, and the results of the last inference."""

    inferences: int
    seconds: float
    results: tuple[float, ...]

    @property
    def throughput(self) -> float:
        """Inferences a second."""
        return self.inferences / self.seconds


@dataclass(frozen=True)
class Performance:
    """A performance run: five windows, each on another input."""

    windows: tuple[Window, ...]

    @property
    def throughput(self) -> float:
        """Inferences a second, median of the windows."""
        return statistics.median(window.throughput for window in self.windows)


@dataclass(frozen=True)
class Accuracy:
    """An accuracy run: ``top1`` in %; ``auc``: area under the ROC curve, mean over the classes."""

    top1: float
    auc: float


class DeviceUnderTest:
    """A device that is driven as EnergyRunner drives it: text without frames, one command at a time.

    Methods raise :class:`DeviceError` if the device refuses a command, restarts, or sends no line of a reply for
    ``timeout_s``; for an inference the limit is ``inference_timeout_s``. The defaults are the runner's own limits.
    """

    def __init__(
        self, link: serial.SerialBase, *, timeout_s: float = 5.0, inference_timeout_s: float = 30.0
    ) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._inference_timeout_s = inference_timeout_s
        self._heard = b""
        """What came since the last reply."""
        self._send("name")
        # A device that has just started sends more lines first, m-ready included.
        deadline = time.monotonic() + timeout_s
        while not (name := _NAME.fullmatch(self._read_line(deadline))):
            pass
        self.name = name[1]
        self._read_reply(timeout_s)
        self.model = _find(_MODEL, self._command("profile"))[0]

    def load(self, content: bytes) -> None:
        """Load the input: the bytes of one file of the benchmark's data set."""
        reply = self._command(f"db load {len(content)}")
        for start in range(0, len(content), _CHUNK_BYTES):
            reply = self._command(f"db {content[start : start + _CHUNK_BYTES].hex()}")
        if "m-load-done" not in reply:
            raise DeviceError(
                f"the device expects more than the {len(content)} bytes sent; check the data set"
            )

    def infer(self, inferences: int, warmups: int = 0) -> Window:
        """Run ``warmups``, then ``inferences`` between two laps."""
        reply = self._command(f"infer {inferences} {warmups}", self._inference_timeout_s)
        start, end = map(int, _find(_LAP, reply, count=2))
        try:
            results = tuple(map(float, _find(_RESULTS, reply)[0].split(",")))
        except ValueError as error:
            raise DeviceError(
                f"the device's reply {reply} has results that are no numbers; build the image again"
            ) from error
        # The device's microseconds are 32 bits.
        return Window(inferences, ((end - start) % (1 << 32)) / 1e6, results)

    def _command(self, command: str, timeout_s: float | None = None) -> list[str]:
        self._send(command)
        reply = self._read_reply(timeout_s or self._timeout_s)
        for text in reply:
            if text.startswith("e-["):
                raise DeviceError(f"the device refused '{command[:40]}': {text}")
        return reply

    def _send(self, command: str) -> None:
        self._link.write(f"{command}%".encode())

    def _read_reply(self, timeout_s: float) -> list[str]:
        reply: list[str] = []
        deadline = time.monotonic() + timeout_s
        while (text := self._read_line(deadline)) != "m-ready":
            if text == "m-init-done" or _ROM.match(text):
                raise DeviceError(
                    f"the device on {self._link.port} has restarted: {restart_cause(self._heard)}"
                )
            # Only a line of a reply gives more time: what else a device prints may never end.
            if text.startswith(("m-", "e-[")):
                reply.append(text)
                deadline = time.monotonic() + timeout_s
        self._heard = b""
        return reply

    def _read_line(self, deadline: float) -> str:
        content = b""
        while not content.endswith(b"\n"):
            self._link.timeout = max(deadline - time.monotonic(), 0.0)
            part = self._link.read_until(b"\n")
            self._heard = (self._heard + part)[-REMEMBERED_BYTES:]
            if not part or time.monotonic() > deadline:
                raise DeviceError(
                    f"the device on {self._link.port} does not reply:"
                    f" {diagnose(self._heard, self._link.baudrate)}"
                )
            content += part
        return printable(content)


def _find(pattern: re.Pattern[str], reply: list[str], count: int = 1) -> list[str]:
    """Return the first group of ``pattern`` in each line that matches; raise unless ``count`` lines match."""
    found = [match[1] for text in reply if (match := pattern.fullmatch(text))]
    if len(found) != count:
        raise DeviceError(
            f"the device's reply {reply} does not have {count} lines {pattern.pattern}; build the image again"
        )
    return found


def performance(device: DeviceUnderTest, inputs: Sequence[bytes]) -> Performance:
    """Measure the throughput on the first five inputs: each window has at least ten seconds and ten inferences."""
    if len(inputs) < WINDOWS:
        raise UserError(f"a performance run takes {WINDOWS} inputs, not {len(inputs)}; give more inputs")
    inferences = WINDOW_INFERENCES
    windows: list[Window] = []
    for content in inputs[:WINDOWS]:
        device.load(content)
        while (window := device.infer(inferences, WARMUPS)).seconds < WINDOW_S:
            # 2 % more than the estimate, so that the next window is long enough. Shorter windows do not count.
            inferences = math.ceil(1.02 * WINDOW_S / max(window.seconds, 1e-3) * inferences)
        windows.append(window)
    return Performance(tuple(windows))


def accuracy(device: DeviceUnderTest, inputs: Sequence[bytes], labels: np.ndarray) -> Accuracy:
    """Run every input once and compare the results with ``labels``."""
    scores = []
    for content in inputs:
        device.load(content)
        results = np.array(device.infer(1).results)
        scores.append(results / results.sum())
    return score(np.array(scores), np.asarray(labels))


def score(scores: np.ndarray, labels: np.ndarray) -> Accuracy:
    """Return top-1 and the area under the ROC curve of ``scores`` (N × classes, each row of sum 1), as the runner
    does.

    The area is scikit-learn's roc_auc_score: of class 1 for two classes, else the mean over every class against the
    rest. Raise :class:`UserError` if a class has no input.
    """
    classes = scores.shape[1]
    if set(labels.tolist()) != set(range(classes)):
        raise UserError(
            f"the labels do not have all {classes} classes; the area under the curve needs inputs of each class"
        )
    judged = [1] if classes == 2 else range(classes)
    areas = [_area(scores[:, index], labels == index) for index in judged]
    return Accuracy(100 * float((scores.argmax(1) == labels).mean()), float(np.mean(areas)))


def _area(values: np.ndarray, positive: np.ndarray) -> float:
    """Return the share of pairs in which a positive has a higher value than a negative; a tie counts half."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    wins = rankdata(values)[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def write_dataset(folder: str | Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images (uint8, N × H × W × C) in the layout of the runner's data sets.

    Each image is a file of its pixels. ``y_labels.csv`` has file name, number of classes and class.
    """
    classes = int(labels.max()) + 1
    lines = []
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        write_bytes(Path(folder) / f"{index:05}.bin", np.ascontiguousarray(image, np.uint8).tobytes())
        lines.append(f"{index:05}.bin,{classes},{label}\n")
    write_text(Path(folder) / "y_labels.csv", "".join(lines))


def benchmark(link: serial.SerialBase, inputs: np.ndarray, labels: np.ndarray | None) -> str:
    """Run both on the device at ``link`` and return the results as text, one line for each run.

    ``inputs``: int8, N × H × W × C; ``labels``: (N,), None unless the network is a classifier.
    """
    contents = [pixel_bytes(image) for image in inputs[:IMAGES]]
    device = DeviceUnderTest(link)
    run = performance(device, contents)
    lines = [f"{device.name}, {device.model}: {run.throughput:.3f} inferences/s, median of {WINDOWS} windows"]
    if device.model in BENCHMARKS and labels is not None:
        found = accuracy(device, contents, labels[:IMAGES])
        lines.append(
            f"top-1 {found.top1:.2f} %, area under the ROC curve {found.auc:.3f}, {len(contents)} images"
        )
    return "\n".join(lines)
