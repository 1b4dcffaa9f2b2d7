"""The detector finds what was generated, nothing else, and integrates it rightly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_instruments import keep, record

from paper2board.boards.board import ActiveWindowThresholds, load_board
from paper2board.boards.figures import Figure
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.energy.trace_metrics import trace_metrics
from paper2board.traces.active_window import Window, locate_windows, measure_windows
from paper2board.traces.timestamps import Timestamps, clock_offset
from paper2board.traces.trace import Trace, synthetic_trace

BOARD = load_board(Path(__file__).parents[2] / "config" / "boards" / "esp32-wroom.yaml")
THRESHOLDS = ActiveWindowThresholds(current_min_mA=40, current_max_mA=60, boot_s=0.1, min_duration_s=0.05)
BOOK_BOARD = BOARD.model_copy(update={"active_window": THRESHOLDS})
SUPPLY_V = 5.0
CHAIN = {"trace": "d" * 64}


def _trace(levels: dict[tuple[int, int], float], length: int = 1000) -> Trace:
    """Return 1 kHz samples at 36 mA, other levels from sample a to before b."""
    current = np.full(length, 36.0)
    for (a, b), level in levels.items():
        current[a:b] = level
    return Trace(np.arange(length) / 1000, current, Kind.MEASURED)


def _windows(trace: Trace, thresholds: ActiveWindowThresholds, timestamps: Timestamps = ()) -> list[Window]:
    return measure_windows(trace, locate_windows(trace, thresholds, timestamps))


def test_one_window_is_measured_exactly() -> None:
    (window,) = _windows(_trace({(300, 620): 43.0}), THRESHOLDS)
    assert window.start_s == pytest.approx(0.2995)
    assert window.duration_s == pytest.approx(0.320)
    assert window.mean_mA == window.median_mA == pytest.approx(43.0)
    assert (window.std_mA, window.cv_percent) == (0.0, 0.0)
    assert window.charge_mC == pytest.approx(43.0 * 0.320)
    assert window.energy_mJ is None


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
    assert _windows(_trace(levels), THRESHOLDS) == []


def test_a_window_must_be_longer_than_the_shortest() -> None:
    """Binary fractions, so that the duration is exactly τ_min."""
    trace = _trace({(300, 364): 43.0})
    binary = Trace(np.arange(1000) / 1024, trace.current_mA, trace.kind)
    exact = THRESHOLDS.model_copy(update={"min_duration_s": 64 / 1024})
    assert _windows(binary, exact) == []
    assert len(_windows(binary, exact.model_copy(update={"min_duration_s": 63 / 1024}))) == 1


@pytest.mark.parametrize("level_mA", [90.0, 39.0], ids=["above", "below"])
@pytest.mark.parametrize(
    "outlier",
    [(500, 501), (500, 540), (305, 306), (690, 692)],
    ids=["between halves", "of some length", "after a fragment", "before a fragment"],
)
def test_an_outlier_in_a_window_is_refused(level_mA: float, outlier: tuple[int, int]) -> None:
    trace = replace(_trace({(300, 700): 43.0, outlier: level_mA}), name="bench/ppk.csv")
    at_s, lasts_s = (outlier[0] - 0.5) / 1000, (outlier[1] - outlier[0]) / 1000
    with pytest.raises(
        UserError, match=rf"bench/ppk\.csv: .*for only {lasts_s:g} s at {at_s:g} s.*smooth or dec"
    ):
        _windows(trace, THRESHOLDS)


def test_an_outlier_in_a_window_that_the_end_cuts_is_refused() -> None:
    with pytest.raises(UserError, match="smooth or decimate"):
        _windows(_trace({(700, 1000): 43.0, (900, 901): 90.0}), THRESHOLDS)


def test_outliers_away_from_windows_do_no_harm() -> None:
    trace = _trace({(200, 201): 43.0, (203, 204): 43.0, (300, 620): 43.0, (700, 701): 90.0, (703, 704): 43.0})
    assert len(_windows(trace, THRESHOLDS)) == 1


def test_uneven_sampling_is_integrated_by_time() -> None:
    time = np.cumsum(np.where(np.arange(600) % 2, 0.0005, 0.0015))
    current = np.where((time > 0.3) & (time < 0.4), 50.0, 36.0)
    (window,) = _windows(Trace(time, current, Kind.MEASURED), THRESHOLDS)
    assert window.charge_mC == pytest.approx(50.0 * window.duration_s)
    assert window.duration_s == pytest.approx(0.1, abs=0.002)


@settings(max_examples=40, deadline=None)
@given(
    durations_s=st.lists(st.floats(0.15, 0.6), max_size=5),
    gap_s=st.floats(0.11, 0.5),
    noise_mA=st.floats(0, 0.3),
    rate_Hz=st.sampled_from([500.0, 1000.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_exactly_the_generated_windows_are_found(
    durations_s: list[float], gap_s: float, noise_mA: float, rate_Hz: float, seed: int
) -> None:
    trace = synthetic_trace(BOARD, durations_s, gap_s=gap_s, noise_mA=noise_mA, rate_Hz=rate_Hz, seed=seed)
    windows = _windows(trace, BOARD.active_window)
    assert len(windows) == len(durations_s)
    for window, duration_s in zip(windows, durations_s, strict=True):
        assert window.duration_s == pytest.approx(duration_s, abs=1 / rate_Hz)
        assert window.mean_mA == pytest.approx(43.0, abs=0.3)
        assert window.charge_mC == pytest.approx(window.mean_mA * window.duration_s)


def test_book_of_a_synthetic_trace_reproduces_the_deck_and_is_modelled() -> None:
    metrics = trace_metrics(synthetic_trace(BOARD, [0.29, 0.32, 0.32, 0.32, 0.42]), BOARD, CHAIN)
    assert {item.kind for item in metrics.values()} == {Kind.MODELLED}
    idle = metrics.pop("energy.trace.current.idle")
    assert (idle.value, idle.n) == (pytest.approx(36.4, abs=0.05), 5000)
    assert {item.n for item in metrics.values()} == {5}
    assert metrics["energy.trace.windows"].value == 5
    assert metrics["energy.trace.duration"].value == pytest.approx(0.32)
    assert metrics["energy.trace.duration"].interval == (pytest.approx(0.29), pytest.approx(0.42))
    assert metrics["energy.trace.power.idle"].value == pytest.approx(183.1, abs=0.1)
    assert metrics["energy.trace.current.active"].value == pytest.approx(43.0, abs=0.05)
    assert metrics["energy.trace.energy"].value == pytest.approx(69.2, abs=0.1)
    assert 0.08 < metrics["energy.trace.current.spread"].value < 0.13
    assert metrics["energy.trace.current.cv"].unit == "%"
    assert metrics["energy.trace.energy"].chain == CHAIN


def test_book_of_an_empty_trace_counts_no_windows() -> None:
    metrics = trace_metrics(synthetic_trace(BOARD, []), BOARD, CHAIN)
    assert {name: item.value for name, item in metrics.items()} == {"energy.trace.windows": 0}


def test_book_of_a_measured_trace_is_measured_where_the_voltage_was() -> None:
    """Else energy and power are the product with a voltage that the board's file claims."""
    trace = record([(0.3 * number, 0.3 * number + 0.1) for number in range(1, 8)], 2.5, noise_mA=0.1)
    metrics = trace_metrics(trace, BOOK_BOARD, CHAIN)
    assert {item.kind for item in metrics.values()} == {Kind.MEASURED}
    assert metrics["energy.trace.energy"].value == pytest.approx(44 * 0.1 * SUPPLY_V, rel=0.01)
    without = trace_metrics(replace(trace, voltage_V=None), BOOK_BOARD, CHAIN)
    assert set(without) == set(metrics)
    modelled = {name for name, item in without.items() if item.kind is Kind.MODELLED}
    assert modelled == {f"energy.trace.{name}" for name in ("energy", "power.active", "power.idle")}
    for name in modelled:
        item, supply_V = without[name], BOARD.supply_V.value
        assert item.value == pytest.approx(metrics[name].value * supply_V / SUPPLY_V)
        assert (item.n, item.chain) == (7, CHAIN)
        assert "not recorded" in item.method and "ranges" in (item.interval_method or "")
    supply = Figure(value=5.1, interval=(5.0, 5.2), kind=Kind.MEASURED, source="multimeter")
    stated = trace_metrics(
        replace(trace, voltage_V=None), BOOK_BOARD.model_copy(update={"supply_V": supply}), CHAIN
    )
    assert {item.kind for item in stated.values()} == {Kind.MEASURED}
    energy = stated["energy.trace.energy"]
    assert energy.value == pytest.approx(44 * 0.1 * 5.1, rel=0.01)
    assert (
        energy.interval is not None
        and energy.interval[0] < 44 * 0.1 * 5.01 < 44 * 0.1 * 5.19 < energy.interval[1]
    )


def test_a_measured_trace_without_a_complete_window_is_refused() -> None:
    trace = replace(_trace({(900, 1000): 43.0}), name="bench/ppk.csv")
    with pytest.raises(UserError, match=r"bench/ppk\.csv: it holds no complete active window"):
        trace_metrics(trace, BOARD, CHAIN)


def test_a_measured_window_of_few_samples_is_refused() -> None:
    synthetic = synthetic_trace(BOARD, [0.32], rate_Hz=20)
    trace = Trace(synthetic.time_s, synthetic.current_mA, Kind.MEASURED)
    with pytest.raises(UserError, match=r"the window at \d\.\d+ s has [67] samples, at least 10"):
        trace_metrics(trace, BOARD, CHAIN)


def test_start_up_is_counted_from_the_beginning_of_the_trace() -> None:
    trace = _trace({(20, 95): 43.0, (300, 620): 43.0})
    for start_s in (-1e3, 1e6):
        moved = replace(trace, time_s=trace.time_s + start_s)
        (window,) = _windows(moved, THRESHOLDS)
        assert window.start_s == pytest.approx(start_s + 0.2995)


def test_recorded_voltage_is_integrated_with_the_current() -> None:
    trace = _trace({(300, 620): 43.0})
    droop_V = np.linspace(5.0, 4.0, 1000)
    (window,) = _windows(replace(trace, voltage_V=droop_V), THRESHOLDS)
    assert window.energy_mJ == pytest.approx(43.0 * 0.320 * (5.0 - 0.4595 * 1000 / 999), rel=1e-5)
    metrics = trace_metrics(replace(trace, voltage_V=droop_V), BOOK_BOARD, CHAIN)
    assert "recorded voltage" in metrics["energy.trace.energy"].method


class TestPin:
    """Windows by the edges of the recorded pin."""

    def test_they_are_the_pulses_whatever_single_samples_do(self) -> None:
        trace = record([(0.05, 0.2), (0.4, 0.7)], 1.0)
        trace.current_mA[[60, 500]] = 100.0, 0.0
        first, second = _windows(trace, THRESHOLDS)
        assert (first.start_s, first.duration_s) == (pytest.approx(0.0495), pytest.approx(0.15))
        assert first.energy_mJ == pytest.approx((44 * 0.15 + 56e-3) * SUPPLY_V)
        assert second.energy_mJ == pytest.approx((44 * 0.3 - 44e-3) * SUPPLY_V)

    @pytest.mark.parametrize("scale", [1.0, 0.6], ids=["240 MHz", "40 MHz"])
    @pytest.mark.parametrize("mark", ["inverted", "something else"])
    def test_a_pin_that_does_not_mark_inferences_is_refused(self, mark: str, scale: float) -> None:
        trace = record([(0.2, 0.4), (0.6, 0.8)], 1.0)
        assert trace.active is not None
        other = ~trace.active if mark == "inverted" else np.roll(trace.active, 200)
        with pytest.raises(UserError, match=rf"pulses draw {36 * scale:.3g} mA.*inverted or the wrong one"):
            _windows(replace(trace, current_mA=trace.current_mA * scale, active=other), THRESHOLDS)

    def test_a_pulse_above_the_detectors_band_is_refused(self) -> None:
        trace = record([(0.2, 0.4), (0.6, 0.8)], 1.0)
        trace.current_mA[600:800] = 120.0
        with pytest.raises(UserError, match=r"pulse at 0\.5995 s draws 120 mA, above.*marks something else"):
            _windows(trace, THRESHOLDS)

    def test_start_up_and_radio_are_no_pauses_to_compare_with(self) -> None:
        trace = record([(0.4, 0.6)], 1.0)
        trace.current_mA[:300] = 55.0
        trace.current_mA[700:900] = 120.0
        assert len(_windows(trace, THRESHOLDS)) == 1
        trace.current_mA[600:] = 120.0
        with pytest.raises(UserError, match="no more than the pauses"):
            _windows(trace, THRESHOLDS)

    @pytest.mark.parametrize("scale", [1.0, 0.6])
    def test_pulses_below_the_detectors_band_are_noted(self, scale: float) -> None:
        """The bare image runs at 40 MHz, where an inference draws what the board idles at."""
        trace = record([(0.2, 0.4), (0.6, 0.8)], 1.0)
        metrics = trace_metrics(replace(trace, current_mA=trace.current_mA * scale), BOOK_BOARD, CHAIN)
        assert metrics["energy.trace.current.active"].value == pytest.approx(44 * scale)
        for name, item in metrics.items():
            assert ("outside the board's detector band" in item.method) is (scale < 1), name

    def test_pulses_that_the_ends_cut_are_left_out(self) -> None:
        (window,) = _windows(record([(0.0, 0.2), (0.4, 0.7), (0.9, 1.0)], 1.0), THRESHOLDS)
        assert window.start_s == pytest.approx(0.3995)

    def test_the_ends_may_cut_short_pulses_and_pauses(self) -> None:
        trace = record([(0.0, 0.01), (0.2, 0.7), (0.99, 1.0)], 1.0)
        assert len(_windows(trace, THRESHOLDS)) == 1

    @pytest.mark.parametrize(
        ("pulses_s", "says"),
        [
            ([(0.2, 0.3), (0.31, 0.6)], r"the pin is low for only 0\.01 s at 0\.2995 s"),
            ([(0.2, 0.3), (0.5, 0.501)], r"the pin is high for only 0\.001 s at 0\.4995 s"),
        ],
    )
    def test_bounces_are_refused(self, pulses_s: list[tuple[float, float]], says: str) -> None:
        trace = replace(record(pulses_s, 1.0), name="bench/ppk.csv")
        with pytest.raises(UserError, match=rf"bench/ppk\.csv: {says}.*min_duration_s"):
            _windows(trace, THRESHOLDS)

    @pytest.mark.parametrize(("pulse_mA", "pause_mA"), [(0.0, 0.0), (-44.0, -36.0), (-36.0, -44.0)])
    def test_a_window_without_current_is_refused(self, pulse_mA: float, pause_mA: float) -> None:
        trace = record([(0.2, 0.5)], 1.0)
        trace = replace(trace, current_mA=np.where(trace.active, pulse_mA, pause_mA))
        with pytest.raises(UserError, match=rf"pulses draw {pulse_mA:g} mA.*probe is reversed"):
            _windows(trace, THRESHOLDS)

    def test_a_window_without_voltage_is_refused(self) -> None:
        trace = record([(0.2, 0.5)], 1.0)
        with pytest.raises(UserError, match=r"window at 0\.1995 s has no supply voltage"):
            _windows(replace(trace, voltage_V=np.full(1000, -5.0)), THRESHOLDS)

    def test_idling_is_all_that_is_between_pulses(self) -> None:
        """A radio above the detector's band is part of it; cut pulses, holes, start-up and the end are not."""
        trace = record([(0.0, 0.1), (0.3, 0.5), (1.0, 1.2), (1.7, 1.9), (2.4, 2.5)], 2.5)
        trace.current_mA[:100] = 120.0
        trace.current_mA[600:700] = 90.0  # a fifth of the first pause after a window
        there = np.ones(2500, bool)
        there[1300:1320] = False
        metrics = trace_metrics(keep(trace, there), BOOK_BOARD, CHAIN)
        power = metrics["energy.trace.power.idle"]
        assert (power.n, power.interval) == (3, (pytest.approx(36 * 5.0), pytest.approx((36 + 54 / 5) * 5.0)))
        assert power.value == pytest.approx(36 * 5.0)
        assert metrics["energy.trace.current.idle"].value == pytest.approx(36.0)
        assert metrics["energy.trace.current.idle"].n == power.n

    def test_uneven_samples_of_a_pause_count_for_their_time(self) -> None:
        trace = record([(0.2, 0.4), (1.0, 1.2), (1.7, 1.9)], 2.0)
        trace.current_mA[600:800] = 90.0
        thinned = np.ones(2000, bool)
        thinned[601:800:2] = False
        metrics = trace_metrics(keep(trace, thinned), BOOK_BOARD, CHAIN)
        interval = metrics["energy.trace.power.idle"].interval
        assert interval is not None and interval[1] == pytest.approx((36 + 54 / 3) * 5.0, rel=1e-3)

    def test_no_pause_is_noted(self) -> None:
        metrics = trace_metrics(record([(0.2, 0.95)], 1.0), BOOK_BOARD, CHAIN)
        assert not {"energy.trace.power.idle", "energy.trace.current.idle"} & set(metrics)
        assert "no pause after a window tells idling" in metrics["energy.trace.windows"].method

    @pytest.mark.parametrize("hole", [(380, 420), (500, 540), (690, 720)])
    def test_a_window_with_a_clock_gap_is_left_out(self, hole: tuple[int, int]) -> None:
        trace = record([(0.1, 0.2), (0.4, 0.7)], 1.0)
        there = np.ones(1000, bool)
        there[slice(*hole)] = False
        (window,) = _windows(keep(trace, there), THRESHOLDS)
        assert window.start_s == pytest.approx(0.0995)

    @settings(max_examples=40, deadline=None)
    @given(
        durations_s=st.lists(st.tuples(st.floats(0.06, 0.4), st.floats(0.06, 0.4)), min_size=1, max_size=5),
        noise_mA=st.floats(0, 5),
        rate_Hz=st.sampled_from([400.0, 1000.0, 5000.0]),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_energies_are_those_known(
        self, durations_s: list[tuple[float, float]], noise_mA: float, rate_Hz: float, seed: int
    ) -> None:
        """To a sampling interval at each end, and five standard deviations of the mean of the noise."""
        ends_s = np.cumsum(np.ravel(durations_s))
        windows_s = [(ends_s[2 * k], ends_s[2 * k + 1]) for k in range(len(durations_s))]
        trace = record(windows_s, ends_s[-1] + 0.1, rate_Hz=rate_Hz, noise_mA=noise_mA, seed=seed)
        windows = _windows(trace, THRESHOLDS)
        assert len(windows) == len(windows_s)
        for window, (start_s, end_s) in zip(windows, windows_s, strict=True):
            assert window.start_s == pytest.approx(start_s, abs=1 / rate_Hz)
            assert window.duration_s == pytest.approx(end_s - start_s, abs=1.001 / rate_Hz)
            noise_mC = 5 * noise_mA * np.sqrt((end_s - start_s) / rate_Hz)
            tolerance_mC = (44 + 5 * noise_mA) / rate_Hz + noise_mC
            assert window.energy_mJ == pytest.approx(
                44 * SUPPLY_V * (end_s - start_s), abs=SUPPLY_V * tolerance_mC
            )


class TestTimestamps:
    """Windows by the device's clock."""

    WINDOWS_S = ((0.5, 0.72), (1.1, 1.3), (1.6, 1.85))

    def _unmarked(self, noise_mA: float = 0.3, **options: float) -> Trace:
        return replace(record(list(self.WINDOWS_S), 2.5, noise_mA=noise_mA, **options), active=None)

    def _stamps(self, clock_s: float) -> list[tuple[float, float]]:
        return [(start_s + clock_s, end_s + clock_s) for start_s, end_s in self.WINDOWS_S]

    @settings(max_examples=40, deadline=None)
    @given(
        clock_s=st.floats(-1e3, 1e3),
        noise_mA=st.floats(0, 3),
        rate_Hz=st.sampled_from([200.0, 1000.0, 3000.0]),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_the_offset_is_found(self, clock_s: float, noise_mA: float, rate_Hz: float, seed: int) -> None:
        trace = replace(
            record(list(self.WINDOWS_S), 2.5, noise_mA=noise_mA, rate_Hz=rate_Hz, seed=seed % 1000),
            active=None,
        )
        found_s = clock_offset(trace, THRESHOLDS, self._stamps(clock_s))
        assert found_s == pytest.approx(-clock_s, abs=0.004 + 2 / rate_Hz)

    def test_windows_have_the_devices_durations(self) -> None:
        windows = _windows(self._unmarked(), THRESHOLDS, self._stamps(31.0))
        for window, (start_s, end_s) in zip(windows, self.WINDOWS_S, strict=True):
            assert window.duration_s == pytest.approx(end_s - start_s)
            assert window.start_s == pytest.approx(start_s, abs=2e-3)
            assert window.energy_mJ == pytest.approx(44 * SUPPLY_V * (end_s - start_s), rel=0.01)
        trace = self._unmarked()
        trace.current_mA[1400:1500] = 90.0  # a third of the second pause, 0.3 s
        metrics = trace_metrics(trace, BOOK_BOARD, CHAIN, self._stamps(31.0))
        assert "device's timestamps" in metrics["energy.trace.windows"].method
        interval = metrics["energy.trace.power.idle"].interval
        assert interval is not None and interval[1] == pytest.approx((36 + 54 / 3) * SUPPLY_V, rel=0.02)

    def test_start_up_and_radio_do_not_attract_them(self) -> None:
        trace = self._unmarked()
        trace.current_mA[:90] = 120.0
        trace.current_mA[2100:2400] = 150.0
        found_s = clock_offset(trace, THRESHOLDS, self._stamps(5.0))
        assert found_s == pytest.approx(-5.0, abs=3e-3)

    def test_a_pin_comes_first(self) -> None:
        trace = record(list(self.WINDOWS_S), 2.5)
        assert len(_windows(trace, THRESHOLDS, [(0.0, 100.0)])) == 3

    def test_more_inferences_than_stamps_are_refused(self) -> None:
        with pytest.raises(UserError, match="fit the current at more than one place"):
            trace = replace(record([(0.4, 0.6), (1.0, 1.2), (1.6, 1.8)], 2.5, noise_mA=0.3), active=None)
            _windows(trace, THRESHOLDS, [(0.0, 0.2)])

    def test_even_windows_are_told_apart_by_the_pause_around_them(self) -> None:
        windows_s = [(0.5 + 0.4 * k, 0.7 + 0.4 * k) for k in range(10)]
        trace = replace(record(windows_s, 5.0, noise_mA=1.0), active=None)
        found_s = clock_offset(trace, THRESHOLDS, windows_s)
        assert found_s == pytest.approx(0, abs=3e-3)

    @pytest.mark.parametrize(
        ("stamps", "says"),
        [
            ([(0.0, 3.0)], "its 2.499 s are shorter than the 3 s of its timestamps"),
            ([(1.0, 0.5)], "no windows in order"),
            ([(0.0, 1.0), (0.5, 2.0)], "no windows in order"),
            ([(0.0, float("nan"))], "no windows in order"),
            ([(0.0, 0.2), (0.6, 0.8), (1.9, 2.1)], "no current in the detector's band|more than one place"),
        ],
    )
    def test_timestamps_that_do_not_fit_are_refused(
        self, stamps: list[tuple[float, float]], says: str
    ) -> None:
        with pytest.raises(UserError, match=rf"current trace: .*({says})"):
            _windows(self._unmarked(), THRESHOLDS, stamps)

    @settings(max_examples=20, deadline=None)
    @given(noise_mA=st.floats(0, 3), seed=st.integers(0, 1000))
    def test_a_trace_without_inferences_is_refused(self, noise_mA: float, seed: int) -> None:
        trace = replace(record([], 2.5, noise_mA=noise_mA, seed=seed), active=None)
        with pytest.raises(UserError, match=r"no current in the detector's band|more than one place"):
            _windows(trace, THRESHOLDS, self._stamps(0.0))
