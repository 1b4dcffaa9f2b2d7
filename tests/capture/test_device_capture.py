"""Captures on the emulator: exact, repeatable, resumable, and of the image just built."""

import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from messages import naming

from paper2board.capture.capture import capture
from paper2board.capture.link import emulated_link
from paper2board.capture.log import read_log
from paper2board.core.errors import UserError
from paper2board.firmware.image import image_digest

INDICES = (3, 1, 4, 15, 9, 2, 6, 5)


@pytest.fixture(scope="module")
def undisturbed(image: Path, inputs: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("undisturbed") / "log.jsonl"
    capture(image, inputs, INDICES, path)
    return path.read_bytes()


def test_capture_equals_the_simulation(
    image: Path,
    inputs: np.ndarray,
    expected: np.ndarray,
    emulators: Callable[[], list[int]],
    tmp_path: Path,
) -> None:
    log = capture(image, inputs, INDICES, tmp_path / "new" / "log.jsonl")
    assert np.array_equal(log.outputs, expected) and log.indices.tolist() == list(INDICES)
    assert log.header.image == image_digest(image)
    assert list(tmp_path.glob("new/*")) == [tmp_path / "new" / "log.jsonl"]
    assert emulators() == []


def test_same_image_same_log(image: Path, inputs: np.ndarray, undisturbed: bytes, tmp_path: Path) -> None:
    capture(image, inputs, INDICES, tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_bytes() == undisturbed


def test_counts_do_not_depend_on_what_ran_before(
    image: Path, inputs: np.ndarray, undisturbed: bytes, tmp_path: Path
) -> None:
    log = capture(image, inputs[::-1], INDICES[::-1], tmp_path / "log.jsonl")
    (tmp_path / "forward.jsonl").write_bytes(undisturbed)
    forward = read_log(tmp_path / "forward.jsonl", image_digest(image))
    assert log.records == forward.records[::-1]


def test_split_changes_counts_but_no_output(
    image: Path, other_image: Path, inputs: np.ndarray, tmp_path: Path
) -> None:
    split, nosplit = (capture(elf, inputs, INDICES, tmp_path / elf.stem) for elf in (image, other_image))
    assert np.array_equal(split.outputs, nosplit.outputs)
    assert (split.layer_counts[:, 0] < nosplit.layer_counts[:, 0]).all()


def test_a_killed_capture_continues(
    image: Path,
    inputs: np.ndarray,
    undisturbed: bytes,
    emulators: Callable[[], list[int]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.jsonl"
    partial = tmp_path / "log.jsonl.partial"
    many = np.concatenate([inputs] * 25)
    indices = INDICES * 25
    process = multiprocessing.get_context("spawn").Process(target=capture, args=(image, many, indices, path))
    process.start()
    deadline = time.monotonic() + 30
    while not (partial.exists() and len(partial.read_bytes().splitlines()) > 5):
        assert time.monotonic() < deadline and process.is_alive()
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not path.exists()
    records = partial.read_bytes().splitlines(keepends=True)[1:]
    assert 4 < len(records) < 200
    # The emulator dies with the capture.
    while emulators():
        assert time.monotonic() < deadline
        time.sleep(0.01)

    log = capture(image, many, indices, path)
    resumed = path.read_bytes().splitlines(keepends=True)
    assert resumed[1 : 1 + len(records) - 1] == records[:-1]
    eight = undisturbed.splitlines(keepends=True)[1:-1]
    assert resumed[1:-1] == eight * 25 and len(log.records) == 200
    assert not partial.exists()


@pytest.mark.parametrize("keep", [0, 50, -1, -30])
def test_torn_partial_log_gives_the_undisturbed_one(
    image: Path, inputs: np.ndarray, undisturbed: bytes, tmp_path: Path, keep: int
) -> None:
    """``keep``: bytes kept of header and first four records."""
    whole = b"".join(undisturbed.splitlines(keepends=True)[:5])
    (tmp_path / "log.jsonl.partial").write_bytes(whole[:keep])
    capture(image, inputs, INDICES, tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_bytes() == undisturbed


def test_partial_log_of_other_inputs_is_dropped(
    image: Path, inputs: np.ndarray, undisturbed: bytes, tmp_path: Path
) -> None:
    capture(image, inputs[::-1], INDICES[::-1], tmp_path / "other.jsonl")
    (tmp_path / "other.jsonl").rename(tmp_path / "log.jsonl.partial")
    capture(image, inputs, INDICES, tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_bytes() == undisturbed


def test_device_with_another_image_is_refused(
    image: Path, other_image: Path, inputs: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=naming("runs image", str(image), "flash it")):
        capture(image, inputs, INDICES, tmp_path / "log.jsonl", link=lambda: emulated_link(other_image))
    assert not (tmp_path / "log.jsonl").exists()


def test_two_captures_into_one_log_are_refused(image: Path, inputs: np.ndarray, tmp_path: Path) -> None:
    with (tmp_path / "log.jsonl.partial").open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=naming("log.jsonl.partial", "another capture", "wait")):
            capture(image, inputs, INDICES, tmp_path / "log.jsonl")
