"""A log that is incomplete, altered or captured from another image is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import naming

from paper2board.capture.log import Header, Record, footer, read_log
from paper2board.core.errors import UserError

IMAGE = "a" * 64
MEMORY = {"text": 100, "stack": 32}


def log_bytes(records: int = 3) -> bytes:
    """Return a complete log."""
    header = Header(
        image=IMAGE,
        application="app",
        model="tiny",
        model_sha256="b" * 64,
        unit="instructions",
        layers=("conv1", "fc1"),
        inputs="c" * 64,
    )
    lines = header.line()
    for index in range(records):
        lines += Record(index=10 * index, outputs=(index, -128), layers=(100 + index, 7)).line()
    return lines + footer(lines, records, MEMORY).line()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def test_whole_log(path: Path) -> None:
    path.write_bytes(log_bytes())
    log = read_log(path, IMAGE)
    assert log.indices.tolist() == [0, 10, 20] and log.footer.memory == MEMORY
    assert log.outputs.dtype == np.int8 and log.outputs.tolist() == [[0, -128], [1, -128], [2, -128]]
    assert log.counts.tolist() == [107, 108, 109]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, len(log_bytes()) - 1))
def test_any_part_of_a_log_is_refused(path: Path, length: int) -> None:
    path.write_bytes(log_bytes()[:length])
    with pytest.raises(UserError, match=naming(str(path), "capture again")):
        read_log(path, IMAGE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(log_bytes()) - 1), bit=st.integers(0, 7))
def test_any_changed_bit_is_refused(path: Path, position: int, bit: int) -> None:
    content = bytearray(log_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(UserError, match=naming(str(path), "capture again")):
        read_log(path, IMAGE)


def test_removed_line_is_refused(path: Path) -> None:
    lines = log_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(UserError, match=naming(str(path), "does not match", "capture again")):
        read_log(path, IMAGE)


def test_log_without_records_is_refused(path: Path) -> None:
    path.write_bytes(log_bytes(0))
    with pytest.raises(UserError, match=naming(str(path), "capture again")):
        read_log(path, IMAGE)


def test_log_of_another_image_is_refused(path: Path) -> None:
    path.write_bytes(log_bytes())
    with pytest.raises(UserError, match=naming(str(path), "a" * 12, "d" * 12, "capture again")):
        read_log(path, "d" * 64)


def test_missing_log(path: Path) -> None:
    with pytest.raises(UserError, match=naming(str(path), "capture again")):
        read_log(path, IMAGE)
