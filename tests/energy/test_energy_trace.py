"""Trace files: round trip, refusals, and no exception but UserError for any bytes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paper2board.boards.board import ActiveWindowThresholds, load_board
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.traces.active_window import locate_windows, measure_windows
from paper2board.traces.trace import (
    HEADER,
    SYNTHETIC,
    Trace,
    read_trace,
    synthetic_trace,
    write_trace,
)

BOARD = load_board(Path(__file__).parents[2] / "config" / "boards" / "esp32-wroom.yaml")
GOOD = [f"{i / 1000},36.4" for i in range(200)]


def _write(folder: Path, lines: list[str], header: str = HEADER) -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_good_trace_is_measured(tmp_path: Path) -> None:
    trace = read_trace(_write(tmp_path, GOOD))
    assert trace.kind is Kind.MEASURED
    assert trace.time_s.shape == trace.current_mA.shape == (200,)
    assert trace.current_mA[0] == 36.4


@pytest.mark.parametrize("kind", [Kind.MEASURED, Kind.MODELLED])
def test_written_traces_read_back(tmp_path: Path, kind: Kind) -> None:
    trace = Trace(np.arange(150) / 1000, np.linspace(30, 50, 150).round(3), kind)
    write_trace(tmp_path / "trace.csv", trace)
    again = read_trace(tmp_path / "trace.csv")
    assert again.kind is kind
    np.testing.assert_array_equal(again.time_s, trace.time_s)
    np.testing.assert_array_equal(again.current_mA, trace.current_mA)


@pytest.mark.parametrize("first_s", [0.0, 1e6])
def test_a_fast_trace_of_a_small_current_reads_back_to_the_same_windows(
    tmp_path: Path, first_s: float
) -> None:
    """5 MS/s, and a current in nA."""
    time_s = np.arange(5000) / 5e6
    pulse = np.abs(np.arange(5000) - 2249.5) < 1250
    noise = np.random.default_rng(0).normal(0, 1e-6, 5000)
    trace = Trace(first_s + time_s, np.where(pulse, 44e-6, 12e-6) + noise, Kind.MEASURED, active=pulse)
    detector = ActiveWindowThresholds(current_min_mA=3e-5, current_max_mA=6e-5, boot_s=0, min_duration_s=1e-4)
    write_trace(tmp_path / "trace.csv", trace)
    (window,), (again,) = (
        measure_windows(each, locate_windows(each, detector))
        for each in (trace, read_trace(tmp_path / "trace.csv"))
    )
    assert (again.samples, again.duration_s) == (2500, pytest.approx(window.duration_s, rel=1e-3))
    assert again.duration_s == pytest.approx(5e-4, rel=1e-6)
    assert again.mean_mA == pytest.approx(window.mean_mA, rel=1e-6)


@pytest.mark.parametrize(
    "first",
    [
        SYNTHETIC,
        f'"{SYNTHETIC}",,',
        f'  "{SYNTHETIC}"',
        SYNTHETIC.replace(",", '","'),
        f"exported by a spreadsheet\n{SYNTHETIC};",
        f"\ufeff{SYNTHETIC}",
    ],
)
def test_a_synthetic_trace_stays_one_however_it_is_saved(tmp_path: Path, first: str) -> None:
    assert read_trace(_write(tmp_path, GOOD, header=f"{first}\n{HEADER}")).kind is Kind.MODELLED


def test_a_synthetic_trace_says_so_and_repeats_for_a_seed(tmp_path: Path) -> None:
    trace = synthetic_trace(BOARD, [0.3], seed=7)
    write_trace(tmp_path / "trace.csv", trace)
    assert (tmp_path / "trace.csv").read_text().startswith(SYNTHETIC)
    assert read_trace(tmp_path / "trace.csv").kind is Kind.MODELLED
    np.testing.assert_array_equal(trace.current_mA, synthetic_trace(BOARD, [0.3], seed=7).current_mA)
    assert (trace.current_mA != synthetic_trace(BOARD, [0.3], seed=8).current_mA).any()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "0 samples"),
        (GOOD[:99], "99 samples"),
        ([*GOOD[:50], "nan,36.4", *GOOD[51:]], "1 without a number"),
        ([*GOOD[:50], "0.05,1e999", *GOOD[51:]], "without a number; the first is sample 51"),
        ([*GOOD[:50], GOOD[49], *GOOD[51:]], "does not increase at sample 51"),
        ([*GOOD[:50], *GOOD[52:]], "2 missing.* or with a finer clock"),
        ([*GOOD[:50], "0.05", *GOOD[51:]], "sample 51 has 1 columns, the header 2"),
        ([*GOOD[:50], "0.05,n/a", *GOOD[51:]], "without a number"),
        ([line.replace(".", ",") for line in GOOD[1:]], "has 4 columns"),
        (["0,1,2"] * 200, "sample 1 has 3 columns"),
    ],
)
def test_bad_traces_are_refused_by_name(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(UserError, match=rf"trace\.csv: .*({says})"):
        read_trace(_write(tmp_path, lines))


def test_wrong_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="header is not understood"):
        read_trace(_write(tmp_path, GOOD, header="a,b"))


def test_voltage_and_pin_are_kept(tmp_path: Path) -> None:
    pin = np.arange(150) % 50 < 20
    trace = Trace(np.arange(150) / 1000, np.linspace(30, 50, 150), Kind.MEASURED, np.linspace(4, 5, 150), pin)
    write_trace(tmp_path / "trace.csv", trace)
    again = read_trace(tmp_path / "trace.csv")
    assert again.voltage_V is not None and again.active is not None
    np.testing.assert_allclose(again.voltage_V, np.linspace(4, 5, 150), atol=1e-6)
    np.testing.assert_array_equal(again.active, pin)
    assert (again.notes, again.name) == ((), str(tmp_path / "trace.csv"))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.csv"):
        read_trace(tmp_path / "nowhere.csv")


CELLS = st.one_of(
    st.floats(width=32).map(str), st.sampled_from(["", " ", "0x1", "1_0", "1e400", "#", '"', "\x00", "é"])
)
ROWS = st.lists(st.lists(CELLS, max_size=3).map(",".join), max_size=150).map("\n".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300) | ROWS.map(lambda rows: f"{HEADER}\n{rows}".encode()))
def test_any_bytes_give_a_trace_or_a_user_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fuzz.csv"
    path.write_bytes(content)
    try:
        trace = read_trace(path)
    except UserError as error:
        assert "fuzz.csv" in str(error)
    else:
        assert (np.diff(trace.time_s) > 0).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.floats(-1e300, 1e300),
    steps=st.lists(st.floats(0, 1e308), min_size=100, max_size=120),
)
def test_any_clock_gives_a_trace_or_a_user_error(tmp_path: Path, start: float, steps: list[float]) -> None:
    with np.errstate(over="ignore"):
        times = np.cumsum([start, *steps])
    path = _write(tmp_path, [f"{float(t)!r},1.0" for t in times])
    try:
        trace = read_trace(path)
    except UserError:
        return
    assert (np.diff(trace.time_s) > 0).all()
