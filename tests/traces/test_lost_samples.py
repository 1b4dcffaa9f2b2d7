"""Samples that an instrument lost are found in whatever form, and whole recordings are not blamed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import naming
from numpy.typing import NDArray
from simulated_instruments import record

from paper2board.core.errors import UserError
from paper2board.traces.trace import Trace, read_trace

WINDOWS_S = [(0.3, 0.5), (0.8, 1.1), (1.4, 1.6)]
LENGTH = 2000
here = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**32 - 1)
MARKERS = ["", "nan", "inf", "-inf", "OL", "overload", "0", "0.000", "-1", "-3276.8", "-32768", "9.91e37"]


def _write(folder: Path, cells: list[str], pin: NDArray[np.bool_] | None = None) -> Path:
    path = folder / "recording.csv"
    levels = [""] * len(cells) if pin is None else [f",{int(high)}" for high in pin]
    rows = (
        f"{number / 1000:.3f},{cell}{level}"
        for number, (cell, level) in enumerate(zip(cells, levels, strict=True))
    )
    head = "time_s,current_mA" + ("" if pin is None else ",gpio")
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def _noisy(seed: int, noise_mA: float = 0.05) -> NDArray[np.float64]:
    return record(WINDOWS_S, LENGTH / 1000, noise_mA=noise_mA, seed=seed).current_mA


def _some(seed: int, share: float) -> NDArray[np.bool_]:
    lost = np.random.default_rng(seed).random(LENGTH) < share
    lost[0] = False
    return lost


@here
@given(
    seed=seeds, marker=st.sampled_from(MARKERS), share=st.floats(0.004, 0.15), noise_mA=st.floats(0.02, 0.5)
)
def test_lost_samples_are_found_whatever_stands_for_them(
    tmp_path: Path, seed: int, marker: str, share: float, noise_mA: float
) -> None:
    lost = _some(seed, share)
    lost[[200, 700, 701, 1300, 1900, 1903]] = True
    cells = [
        marker if gone else f"{value:.3f}" for value, gone in zip(_noisy(seed, noise_mA), lost, strict=True)
    ]
    with pytest.raises(UserError, match=naming("recording.csv", "samples are missing or lost", "sample")):
        read_trace(_write(tmp_path, cells))


@here
@given(seed=seeds, share=st.floats(0.02, 0.2), noise_mA=st.floats(0.05, 0.5))
def test_repeated_samples_are_lost(tmp_path: Path, seed: int, share: float, noise_mA: float) -> None:
    current, lost = _noisy(seed, noise_mA), _some(seed, share)
    held = current[np.maximum.accumulate(np.where(lost, 0, np.arange(LENGTH)))]
    with pytest.raises(UserError, match=naming("recording.csv", "repeated")):
        read_trace(_write(tmp_path, [f"{value:.3f}" for value in held]))


@here
@given(
    seed=seeds,
    noise_mA=st.sampled_from([0.0, 0.003, 0.05, 0.4, 2.0]),
    step_mA=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.8]),
)
def test_whole_recordings_are_not_blamed(tmp_path: Path, seed: int, noise_mA: float, step_mA: float) -> None:
    """Down to no noise, and up to steps of an INA219."""
    current = record(WINDOWS_S, LENGTH / 1000, noise_mA=noise_mA, step_mA=step_mA, seed=seed).current_mA
    trace = read_trace(_write(tmp_path, [f"{value:.6g}" for value in current]))
    assert len(trace.time_s) == LENGTH
    assert not [note for note in trace.notes if "lost" in note]


@here
@given(seed=seeds, length=st.integers(6, 300), noise_mA=st.sampled_from([0.0, 0.05]))
def test_sleep_below_the_resolution_is_noted_and_kept(
    tmp_path: Path, seed: int, length: int, noise_mA: float
) -> None:
    current = _noisy(seed, noise_mA)
    asleep = np.arange(LENGTH) % (length + 50) < length
    current[asleep] = 0
    trace = read_trace(_write(tmp_path, [f"{value:.3f}" for value in current]))
    assert len(trace.time_s) == LENGTH
    assert any("exactly 0 mA" in note for note in trace.notes)


@here
@given(seed=seeds, noise_mA=st.sampled_from([0.1, 1.0]))
def test_a_radios_peaks_in_coarse_steps_are_not_lost(tmp_path: Path, seed: int, noise_mA: float) -> None:
    current = np.round(_noisy(seed, noise_mA))
    current[100::150] = 240
    assert len(read_trace(_write(tmp_path, [f"{value:g}" for value in current])).time_s) == LENGTH


def test_few_lost_samples_are_left_out_and_noted(tmp_path: Path) -> None:
    current = record([(1, 1.5)], 4.0, noise_mA=0.05).current_mA
    cells = [f"{value:.3f}" for value in current]
    cells[500], cells[1200] = "0", "OL"
    trace = read_trace(_write(tmp_path, cells))
    assert len(trace.time_s) == 3998
    assert trace.current_mA.min() > 30
    (note,) = (note for note in trace.notes if "lost" in note)
    assert "1 without a number, 1 markers" in note


def test_all_kinds_count_together(tmp_path: Path) -> None:
    """Two of each are no more than 0.1 %, six are."""
    current = record([(1, 1.5)], 4.0, noise_mA=0.05).current_mA
    cells = [f"{value:.3f}" for value in current]
    for number, cell in ((500, "0"), (900, "0"), (1200, "OL"), (1300, ""), (2000, "-1"), (2400, "-1")):
        cells[number] = cell
    with pytest.raises(UserError, match=naming("recording.csv", "2 without a number", "4 markers", "0.1%")):
        read_trace(_write(tmp_path, cells))


def test_a_board_that_infers_does_not_draw_nothing(tmp_path: Path) -> None:
    """Without the pin a block of zeros may be sleep."""
    trace: Trace = record([(1, 1.5)], 4.0, noise_mA=0.05)
    trace.current_mA[1200:1230] = 0
    cells = [f"{value:.3f}" for value in trace.current_mA]
    assert "30 samples are exactly 0 mA" in str(read_trace(_write(tmp_path, cells)).notes)
    with pytest.raises(UserError, match=naming("recording.csv", "30 markers")):
        read_trace(_write(tmp_path, cells, trace.active))


def test_a_time_that_stands_twice_is_lost(tmp_path: Path) -> None:
    cells = [f"{value:.3f}" for value in record([(1, 1.5)], 4.0, noise_mA=0.05).current_mA]
    path = _write(tmp_path, cells)
    path.write_text(path.read_text().replace("\n2.000,", "\n1.999,"))
    trace = read_trace(path)
    assert len(trace.time_s) == 3999
    assert any("1 of a time that was there" in note for note in trace.notes)


def test_an_instrument_slower_than_its_file_is_noted(tmp_path: Path) -> None:
    current = np.repeat(_noisy(0)[::8], 8)
    trace = read_trace(_write(tmp_path, [f"{value:.3f}" for value in current]))
    assert len(trace.time_s) == LENGTH
    assert any("slower than its file" in note for note in trace.notes)
