"""The detector finds what was generated, nothing else, and integrates it rightly."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.energy.active_window import find_windows, trace_book
from paper2board.energy.board import Detector, load_board
from paper2board.energy.current_trace import Trace, synthetic_trace
from paper2board.evidence import Kind

BOARD = load_board(Path(__file__).parents[2] / "config" / "boards" / "esp32-wroom.yaml")
DETECTOR = Detector(current_min_mA=40, current_max_mA=60, boot_s=0.1, min_duration_s=0.05)
SUPPLY_V = 5.0


def _trace(levels: dict[tuple[int, int], float], length: int = 1000) -> Trace:
    """Return 1 kHz samples at 36 mA, other levels from sample a to before b."""
    current = np.full(length, 36.0)
    for (a, b), level in levels.items():
        current[a:b] = level
    return Trace(np.arange(length) / 1000, current, Kind.MEASURED)


def test_one_window_is_measured_exactly() -> None:
    (window,) = find_windows(_trace({(300, 620): 43.0}), DETECTOR, SUPPLY_V)
    assert window.start_s == pytest.approx(0.2995)
    assert window.duration_s == pytest.approx(0.320)
    assert window.mean_mA == window.median_mA == pytest.approx(43.0)
    assert (window.std_mA, window.cv_percent) == (0.0, 0.0)
    assert window.charge_mC == pytest.approx(43.0 * 0.320)
    assert window.energy_mJ == pytest.approx(43.0 * 0.320 * SUPPLY_V)


@pytest.mark.parametrize(
    "levels",
    [
        {(20, 95): 43.0},  # while starting up
        {(20, 300): 43.0},  # begins while starting up
        {(300, 349): 43.0},  # too short
        {(300, 620): 40.0},  # at I_min
        {(300, 620): 60.0},  # at I_max
        {(300, 620): 120.0},  # a radio
        {(700, 1000): 43.0},  # cut by the end of the trace
        {},
    ],
)
def test_what_is_no_window(levels: dict[tuple[int, int], float]) -> None:
    assert find_windows(_trace(levels), DETECTOR, SUPPLY_V) == []


def test_a_window_must_be_longer_than_the_shortest() -> None:
    """Binary fractions, so that the duration is exactly τ_min."""
    trace = _trace({(300, 364): 43.0})
    binary = Trace(np.arange(1000) / 1024, trace.current_mA, trace.kind)
    exact = DETECTOR.model_copy(update={"min_duration_s": 64 / 1024})
    assert find_windows(binary, exact, SUPPLY_V) == []
    assert len(find_windows(binary, exact.model_copy(update={"min_duration_s": 63 / 1024}), SUPPLY_V)) == 1


def test_a_spike_ends_a_window() -> None:
    windows = find_windows(_trace({(300, 700): 43.0, (500, 501): 90.0}), DETECTOR, SUPPLY_V)
    assert [round(window.duration_s, 3) for window in windows] == [0.2, 0.199]


def test_uneven_sampling_is_integrated_by_time() -> None:
    time = np.cumsum(np.where(np.arange(600) % 2, 0.0005, 0.0015))
    current = np.where((time > 0.3) & (time < 0.4), 50.0, 36.0)
    (window,) = find_windows(Trace(time, current, Kind.MEASURED), DETECTOR, SUPPLY_V)
    assert window.charge_mC == pytest.approx(50.0 * window.duration_s)
    assert window.duration_s == pytest.approx(0.1, abs=0.002)


@settings(max_examples=40, deadline=None)
@given(
    durations_s=st.lists(st.floats(0.15, 0.6), max_size=5),
    gap_s=st.floats(0.02, 0.5),
    noise_mA=st.floats(0, 0.3),
    rate_Hz=st.sampled_from([500.0, 1000.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_exactly_the_generated_windows_are_found(
    durations_s: list[float], gap_s: float, noise_mA: float, rate_Hz: float, seed: int
) -> None:
    trace = synthetic_trace(BOARD, durations_s, gap_s=gap_s, noise_mA=noise_mA, rate_Hz=rate_Hz, seed=seed)
    windows = find_windows(trace, BOARD.detector, SUPPLY_V)
    assert len(windows) == len(durations_s)
    for window, duration_s in zip(windows, durations_s, strict=True):
        assert window.duration_s == pytest.approx(duration_s, abs=1 / rate_Hz)
        assert window.mean_mA == pytest.approx(43.0, abs=0.3)
        assert window.energy_mJ == pytest.approx(window.mean_mA * window.duration_s * SUPPLY_V)


def test_book_of_a_synthetic_trace_reproduces_the_deck_and_is_modelled() -> None:
    book = trace_book(synthetic_trace(BOARD, [0.29, 0.32, 0.32, 0.32, 0.42]), BOARD, "d" * 64)
    assert {item.kind for item in book.values()} == {Kind.MODELLED}
    assert {item.n for item in book.values()} == {5}
    assert book["energy.trace.windows"].value == 5
    assert book["energy.trace.duration"].value == pytest.approx(0.32)
    assert book["energy.trace.duration"].interval == (pytest.approx(0.29), pytest.approx(0.42))
    assert book["energy.trace.current.idle"].value == pytest.approx(36.4, abs=0.05)
    assert book["energy.trace.current.active"].value == pytest.approx(43.0, abs=0.05)
    assert book["energy.trace.energy"].value == pytest.approx(69.2, abs=0.1)
    assert 0.08 < book["energy.trace.current.spread"].value < 0.13
    assert book["energy.trace.current.cv"].unit == "%"
    assert book["energy.trace.energy"].chain == {"trace": "d" * 64}


def test_book_of_an_empty_trace_counts_no_windows() -> None:
    book = trace_book(synthetic_trace(BOARD, []), BOARD, "d" * 64)
    assert {name: item.value for name, item in book.items()} == {"energy.trace.windows": 0}


def test_book_of_a_measured_trace_is_measured() -> None:
    synthetic = synthetic_trace(BOARD, [0.32])
    book = trace_book(Trace(synthetic.time_s, synthetic.current_mA, Kind.MEASURED), BOARD, "d" * 64)
    assert {item.kind for item in book.values()} == {Kind.MEASURED}
