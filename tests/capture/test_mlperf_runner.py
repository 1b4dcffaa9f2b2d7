"""The device application against MLPerf Tiny's runner: its commands, its parsing, its rules.

The runner is not part of this project, so this file repeats its commands and its parsing, after
https://github.com/mlcommons/tiny at 1afd2c9, benchmark/runner: serial_device.py, device_under_test.py, script.py,
main.py. The data set's format is that of datasets.py. The expected replies are those of
benchmark/api/internally_implemented.cpp and
reference_submissions/image_classification/submitter_implemented.cpp.
"""

import contextlib
import csv
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import serial
from checkout import ROOT
from messages import naming
from scipy.special import softmax

from paper2board.capture import mlperf
from paper2board.capture.client import Device, DeviceError
from paper2board.capture.link import serial_link
from paper2board.convert.c_code import generate
from paper2board.convert.engine_sources import APPLICATION, engine_flags, engine_sources
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Reshape
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.softmax import Softmax
from paper2board.model.operators.weighted import FullyConnected
from paper2board.model.simulate import simulate
from paper2board.model.tensor import Tensor

LOGITS = Tensor("logits", (10,), 0.05, 4)


def network(*, probabilities: bool) -> IntegerModel:
    """Return a network with the benchmark's input and outputs, random weights, with or without a softmax."""
    random = np.random.default_rng(3)
    tensors = [Tensor("input", (32, 32, 3), 1 / 64, 0), Tensor("pool", (4, 4, 3), 1 / 64, 0)]
    tensors += [Tensor("flat", (48,), 1 / 64, 0), LOGITS, Tensor("softmax", (10,), 1 / 256, -128)]
    weights = random.integers(-127, 128, (10, 48), dtype=np.int8)
    dense = FullyConnected("fc", (2,), 3, weights, np.zeros(10, np.int32), np.full(10, 0.002, "f4"))
    ops = (Pool2D("AVERAGE_POOL_2D", "pool", (0,), 1, (8, 8), (8, 8)), Reshape("flatten", (1,), 2), dense)
    if probabilities:
        return IntegerModel.single("small", tuple(tensors), (*ops, Softmax("softmax", (3,), 4)), 0, 4)
    return IntegerModel.single("small", tuple(tensors[:4]), ops, 0, 3)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Images of coarse noise, which survives the pooling."""
    coarse = np.random.default_rng(4).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def logits(images: np.ndarray) -> np.ndarray:
    """The network's outputs on :func:`images`."""
    pixels = (images.astype(np.int16) - 128).astype(np.int8)
    return np.asarray(simulate(network(probabilities=False), pixels)).astype(int)


@pytest.fixture(scope="module", params=[False, True], ids=["logits", "softmax"])
def application(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device application with the network, as a program of this machine."""
    folder = tmp_path_factory.mktemp("softmax" if request.param else "logits")
    generate(network(probabilities=request.param), folder)
    sources = [*APPLICATION.glob("*.c"), *engine_sources(mac16=False), folder / "model.c"]
    sources.append(Path(__file__).parent / "pipe_port.c")
    command = ["gcc", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [*engine_flags(checks=True), f"-I{APPLICATION}", f"-I{folder}"]
    command += [*map(str, sources), "-o", str(folder / "application")]
    subprocess.run(command, check=True)
    return folder / "application"


@contextlib.contextmanager
def serve(application: Path) -> Iterator[serial.SerialBase]:
    """Run the application and open the link to it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        serial_link(f"socket://127.0.0.1:{server.getsockname()[1]}") as link,
    ):
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, subprocess.Popen([application], stdin=connection, stdout=connection) as running:
            try:
                yield link
            finally:
                running.kill()


class Runner:
    """The runner's end of the link."""

    def __init__(self, link: serial.SerialBase) -> None:
        self.link, self.sent = link, b""

    def read_reply(self) -> list[str]:
        """serial_device.py: lines end with LF; CR, NUL and empty lines are dropped; m-ready ends a reply."""
        self.link.timeout = 5.0
        lines: list[str] = []
        while not lines or "m-ready" not in lines[-1]:
            text = self.link.read_until(b"\n").decode().strip("\n\r\0")
            assert text or lines, "No response to command"
            lines += [text] if text else []
        return lines

    def send_command(self, command: str) -> list[str]:
        """serial_device.py: a command ends with the device's delimiter."""
        self.sent += f"{command}%".encode()
        self.link.write(f"{command}%".encode())
        return self.read_reply()

    def identify(self) -> dict[str, str]:
        """device_under_test.py, _get_name and _get_profile: the last line that matches counts."""
        found = {}
        for command, pattern in (
            ("name", r"^m-(name)-dut-\[([^]]+)]$"),
            ("profile", r"^m-(model|profile)-\[([^]]+)]$"),
        ):
            for text in self.send_command(command):
                if match := re.match(pattern, text):
                    found[match[1]] = match[2]
        return found

    def load(self, data: bytes) -> list[str]:
        """device_under_test.py, load: 31 bytes at a time without a power manager, 26 with one."""
        result = self.send_command(f"db load {len(data)}")
        for i in range(0, len(data), 31):
            result = self.send_command(f"db {''.join(f'{d:02x}' for d in data[i : i + 31])}")
        return result

    def infer(self, iterations: int, warmups: int) -> dict[str, object]:
        """script.py, _gather_infer_results."""
        result: dict[str, object] = {}
        for text in self.send_command(f"infer {iterations} {warmups}"):
            if match := re.match(r"^m-results-\[([^]]+)\]$", text):
                result["results"] = [float(x) for x in match[1].split(",") if x.strip()]
            elif match := re.match(r"^m-lap-us-([0-9]+)$", text):
                result["end_time" if "start_time" in result else "start_time"] = int(match[1])
        return result


def test_the_runner_gets_the_replies_that_it_parses(
    application: Path, images: np.ndarray, logits: np.ndarray
) -> None:
    with serve(application) as link:
        runner = Runner(link)
        runner.read_reply()
        # Scripts are looked up by model: tests_performance.yaml and its siblings know ic01.
        assert runner.identify()["model"] == "ic01"
        for image, outputs in zip(images, logits, strict=True):
            assert runner.load(image.tobytes()) == ["m-load-done", "m-ready"]
            infer = runner.infer(2, 1)
            assert infer["start_time"] < infer["end_time"]  # type: ignore[operator]
            results = np.array(infer["results"])
            # main.py divides by the sum, so this is positive. A softmax in the network has steps of 1/256.
            error = 0.0006 if "logits" in application.parent.name else 0.006
            expected = softmax(LOGITS.scale * (outputs - LOGITS.zero_point))
            assert np.abs(results - expected).max() < error


def test_replies_are_the_reference_s(application: Path, images: np.ndarray) -> None:
    with serve(application) as link:
        runner = Runner(link)
        start = runner.read_reply()
        assert (start[0], start[2:]) == ("m-timestamp-mode-performance", ["m-init-done", "m-ready"])
        assert runner.send_command("db load 3072") == ["m-[Expecting 3072 bytes]", "m-ready"]
        runner.load(images[0].tobytes())
        reply = [re.sub(r"-us-\d+$", "-us-N", text) for text in runner.send_command("infer 20 5")]
        results = reply[-2]
        assert re.fullmatch(r"m-results-\[[01]\.\d{3}(,[01]\.\d{3}){9}\]", results)
        assert reply == [
            *("m-warmup-start-5", "m-warmup-done", "m-infer-start-20", "m-lap-us-N", "m-lap-us-N"),
            *("m-infer-done", results, "m-ready"),
        ]
        assert runner.send_command("results") == [results, "m-ready"]
        assert runner.send_command("none") == ["e-[Unknown command: none]", "m-ready"]


def test_our_commands_do_not_disturb_it(application: Path, images: np.ndarray, logits: np.ndarray) -> None:
    with serve(application) as link:
        device = Device(link)
        outputs = device.run((images[1].astype(np.int16) - 128).astype(np.int8)).outputs
        assert device.profile().model == "small"
        # Framing is on now; the runner's first command turns it off.
        runner = Runner(link)
        assert runner.identify()["model"] == "ic01"
        runner.load(images[0].tobytes())
        before = runner.infer(1, 0)["results"]
        for command in "layers", "memory", "digest", "outputs":
            assert runner.send_command(command)[-1] == "m-ready"
        assert runner.infer(1, 0)["results"] == before
        assert outputs.argmax() == logits[1].argmax()


class Recorder:
    """A link that records the bytes written."""

    def __init__(self, link: serial.SerialBase) -> None:
        self._link, self.port, self.timeout, self.written = link, link.port, 1.0, b""

    def write(self, content: bytes) -> None:
        self.written += content
        self._link.write(content)

    def read_until(self, expected: bytes) -> bytes:
        self._link.timeout = self.timeout
        return self._link.read_until(expected)


def test_we_send_what_the_runner_sends(application: Path, images: np.ndarray) -> None:
    with serve(application) as link:
        runner = Runner(link)
        runner.read_reply()
        runner.identify()
        runner.load(images[0].tobytes())
        expected = runner.infer(3, 2)
    with serve(application) as link:
        recorder = Recorder(link)
        device = mlperf.DeviceUnderTest(recorder)  # type: ignore[arg-type]
        device.load(images[0].tobytes())
        inference = device.infer(3, 2)
    assert recorder.written == runner.sent and (device.name, device.model) == ("paper2board", "ic01")
    assert list(inference.results) == expected["results"]
    assert inference.seconds == (expected["end_time"] - expected["start_time"]) / 1e6  # type: ignore[operator]


def test_accuracy_run(application: Path, images: np.ndarray, logits: np.ndarray) -> None:
    labels = np.arange(20) % 10
    with serve(application) as link:
        found = mlperf.accuracy(mlperf.DeviceUnderTest(link), [i.tobytes() for i in images], labels)
    assert found.top1 == 100 * np.mean(logits.argmax(1) == labels)
    probabilities = softmax(LOGITS.scale * logits, axis=1)
    assert found.auc == pytest.approx(mlperf.score(probabilities, labels).auc, abs=0.02)


@pytest.mark.parametrize("classes", [2, 3])
def test_area_is_the_share_of_pairs_in_order(classes: int) -> None:
    random = np.random.default_rng(classes)
    labels = np.arange(40) % classes
    # In tenths, so that there are ties.
    scores = random.integers(1, 10, (40, classes)) / 10
    areas = []
    for index in [1] if classes == 2 else range(classes):
        positive, negative = scores[labels == index, index], scores[labels != index, index]
        difference = positive[:, None] - negative
        areas.append(np.mean((difference > 0) + 0.5 * (difference == 0)))
    found = mlperf.score(scores, labels)
    assert found.auc == pytest.approx(np.mean(areas), abs=1e-12)
    assert found.top1 == 100 * np.mean(scores.argmax(1) == labels)
    with pytest.raises(UserError, match=naming(f"{classes} classes", "each")):
        mlperf.score(scores, labels * 0)


class Clock:
    """A device that only counts time: an inference takes ``microseconds[first byte of the input]``."""

    port = "clock"

    def __init__(self, microseconds: dict[int, int], now: int = 0) -> None:
        self.timeout, self._microseconds, self._now = 1.0, microseconds, now
        self._lines: list[str] = []
        self.inferences: list[int] = []
        self._input = b""

    def write(self, content: bytes) -> None:
        word, *rest = content.decode().rstrip("%").split()
        reply = {"name": ["m-name-dut-[clock]"], "profile": ["m-profile-[x]", "m-model-[ic01]"]}.get(word, [])
        if rest[:1] == ["load"]:
            self._input = b""
        elif word == "db":
            self._input += bytes.fromhex(rest[0])
            reply = ["m-load-done"]
        elif word == "infer":
            self.inferences.append(int(rest[0]))
            start = self._now
            self._now += int(rest[0]) * self._microseconds[self._input[0]]
            reply = [f"m-lap-us-{time % (1 << 32)}" for time in (start, self._now)]
            reply.append("m-results-[0.500,0.500]")
        self._lines += [*reply, "m-ready"]

    def read_until(self, expected: bytes) -> bytes:
        return f"{self._lines.pop(0)}\r\n".encode()


def test_performance_is_the_median_of_five_windows_of_ten_seconds() -> None:
    # The counter of microseconds wraps in the first window. The third input is quicker than the others.
    clock = Clock({0: 250_000, 1: 251_000, 2: 210_000, 3: 252_000, 4: 253_000}, now=(1 << 32) - 1_000_000)
    device = mlperf.DeviceUnderTest(clock)  # type: ignore[arg-type]
    run = mlperf.performance(device, [bytes([i, 7]) for i in range(6)])
    assert [window.inferences for window in run.windows] == [41, 41, 49, 49, 49]
    assert clock.inferences == [10, 41, 41, 41, 49, 49, 49]
    assert all(window.seconds >= 10 for window in run.windows)
    assert run.throughput == pytest.approx(1 / 0.251)
    with pytest.raises(UserError, match=naming("5 inputs", "not 4", "give more")):
        mlperf.performance(device, [b"x"] * 4)


def test_ten_inferences_at_least() -> None:
    clock = Clock(dict.fromkeys(range(5), 2_000_000))
    run = mlperf.performance(mlperf.DeviceUnderTest(clock), [bytes([i]) for i in range(5)])  # type: ignore[arg-type]
    assert [window.inferences for window in run.windows] == [10] * 5


def test_refusals_and_silence_are_reported(application: Path) -> None:
    with serve(application) as link:
        device = mlperf.DeviceUnderTest(link)
        with pytest.raises(DeviceError, match=naming("'db load 5'", "3072 bytes")):
            device.load(b"12345")
        with pytest.raises(DeviceError, match=naming("'infer 1 0'", "No complete input")):
            device.infer(1)
    with serial_link("loop://") as link, pytest.raises(DeviceError, match=naming("loop://", "undo the loop")):
        mlperf.DeviceUnderTest(link, timeout_s=0.02)


def test_dataset_is_the_runner_s(tmp_path: Path, images: np.ndarray) -> None:
    mlperf.write_dataset(tmp_path / "ic01", images, np.arange(20) % 10)
    with (tmp_path / "ic01" / "y_labels.csv").open() as stream:
        # datasets.py
        rows = list(
            csv.DictReader(stream, fieldnames=["file", "classes", "class", "bytes_to_send", "stride"])
        )
    assert len(rows) == 20 and {row["classes"] for row in rows} == {"10"}
    for index, row in enumerate(rows):
        assert (tmp_path / "ic01" / row["file"]).read_bytes() == images[index].tobytes()
        assert int(row["class"]) == index % 10


# --- the protocol's document ------------------------------------------------------------------------------


def document() -> list[tuple[str, list[str]]]:
    """Return the commands of docs/protocol.md, each with the lines of its reply."""
    found: list[tuple[str, list[str]]] = []
    ended = True
    for line in (ROOT / "docs" / "protocol.md").read_text().splitlines():
        if line.startswith("    > "):
            found.append((line[6:], []))
            ended = False
        elif not line:
            ended = True
        elif not ended:
            found[-1][1].append(line.strip())
    return found


def without_numbers(reply: list[str]) -> list[str]:
    """Return the parts of a reply that do not depend on network, time and build."""
    kept = [text for text in reply if not text.startswith("m-layer-")]
    kept = [re.sub(r"^m-network-.*|[0-9a-f]{64}", "…", text) for text in kept]
    return [text if text.startswith("~") else re.sub(r"-?\d+(\.\d+)?", "N", text) for text in kept]


def test_the_document_shows_the_device_s_replies(application: Path) -> None:
    commands = document()
    assert len(commands) > 15
    with serve(application) as link:
        runner = Runner(link)
        runner.read_reply()
        for command, reply in commands:
            if "more …" in reply[-1]:
                for _ in range(int(re.findall(r"\d+", reply.pop())[0])):
                    runner.send_command(command.rstrip("%"))
            if reply[-1] == "~e-[Damaged frame]":
                link.write(command.encode())
                assert link.read_until(b"\n").decode().strip() == reply[0]
                continue
            assert without_numbers(runner.send_command(command.rstrip("%"))) == without_numbers(reply), (
                command
            )


def test_the_command_prints_both_runs(
    application: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = (images.astype(np.int16) - 128).astype(np.int8)
    labels = np.arange(len(images)) % 10
    monkeypatch.setattr(mlperf, "WINDOW_S", 0.001)
    with serve(application) as link:
        printed = mlperf.benchmark(link, pixels, labels)
    first, second = printed.splitlines()
    assert re.fullmatch(r"paper2board, ic01: [0-9.]+ inferences/s, median of 5 windows", first)
    assert re.fullmatch(r"top-1 [0-9.]+ %, area under the ROC curve 0\.\d{3}, 20 images", second)
