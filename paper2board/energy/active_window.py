"""Active windows of a trace, where they come from, and what they say.

Windows are found, in this order, by the edges of the pin that the instrument recorded (on its own clock, so nothing
is estimated), by the device's timestamps where they are given, or by the deck's detector (slide 'Energy'):

    Active(t) = 1  if  I_min < I(t) < I_max  and  t > t_boot  and  τ > τ_min,  else 0

The detector's window is a run of samples that meet the first two conditions, τ its duration; t counts from the
beginning of the trace. Runs that touch the end of start-up or an end of the trace, and pulses that touch the
latter, are cut: their duration is unknown, so they are left out. So are windows with a clock gap in or at them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid, trapezoid
from scipy.ndimage import find_objects, label

from paper2board.energy.board import Board, Detector
from paper2board.energy.current_trace import Trace, clock_gaps
from paper2board.energy.median import median_interval
from paper2board.errors import UserError
from paper2board.evidence import Evidence, Kind

MIN_WINDOW_SAMPLES = 10
"""Of a measured window: its ends are known to half a sampling interval each, so fewer leave more than 10 %."""

Timestamps = Sequence[tuple[float, float]]
"""Start and end (s) of each window on a clock that runs as fast as the instrument's, in order of time."""


@dataclass(frozen=True)
class Window:
    """One active window; every sample stands for the time up to halfway to its neighbours."""

    start_s: float
    duration_s: float
    samples: int
    mean_mA: float
    """Charge over duration."""
    median_mA: float
    std_mA: float
    """Standard deviation of the samples (n − 1)."""
    charge_mC: float
    energy_mJ: float

    @property
    def cv_percent(self) -> float:
        """Coefficient of variation of the current."""
        return 100 * self.std_mA / self.mean_mA

    @property
    def power_mW(self) -> float:
        """Energy over duration."""
        return self.energy_mJ / self.duration_s


class _Span(NamedTuple):
    """Where a window lies: its samples, and its ends in time."""

    run: slice
    start_s: float
    end_s: float


def find_windows(
    trace: Trace, detector: Detector, supply_V: float, timestamps: Timestamps = ()
) -> list[Window]:
    """Return the active windows of a trace in order of time.

    Their energy is the integral of voltage × current where the trace has the voltage, of ``supply_V`` × current
    where not.

    Raises:
        UserError: the pin bounces, the timestamps do not fit the current, or a window draws no current.
    """
    if trace.active is not None:
        spans = _pulses(trace, trace.active, detector)
    elif timestamps:
        spans = _stamped(trace, detector, timestamps)
    else:
        spans = [span for span in _detected(trace, detector) if _lasts(span) > detector.min_duration_s]
    gaps = clock_gaps(trace.time_s)
    return [
        _window(trace, span, supply_V)
        for span in spans
        if not ((span.run.start - 1 <= gaps) & (gaps < span.run.stop)).any()
    ]


def _lasts(span: _Span) -> float:
    return span.end_s - span.start_s


def _runs(trace: Trace, where: NDArray[np.bool_], first: int = 0) -> list[_Span]:
    """Return the whole runs of samples, those that begin after ``first`` and end before the trace."""
    time = trace.time_s
    runs, _ = label(where)
    return [
        _Span(
            run,
            float((time[run.start - 1] + time[run.start]) / 2),
            float((time[run.stop - 1] + time[run.stop]) / 2),
        )
        for (run,) in find_objects(runs)
        if run.start != first and run.stop != len(time)
    ]


def _awake(trace: Trace, detector: Detector) -> NDArray[np.bool_]:
    return trace.time_s - trace.time_s[0] > detector.boot_s


def _detected(trace: Trace, detector: Detector) -> list[_Span]:
    current, awake = trace.current_mA, _awake(trace, detector)
    in_band = (detector.current_min_mA < current) & (current < detector.current_max_mA)
    return _runs(trace, in_band & awake, len(current) - int(awake.sum()))


def _pulses(trace: Trace, active: NDArray[np.bool_], detector: Detector) -> list[_Span]:
    """Return the pulses of the pin.

    Pulses and pauses no longer than the detector's shortest window are refused: to merge them or to drop them would
    both be guesses, the first counting a pause as inference, the second hiding a bad contact.
    """
    pulses = _runs(trace, active)
    for span in sorted((*pulses, *_runs(trace, ~active)), key=lambda span: span.start_s):
        if _lasts(span) <= detector.min_duration_s:
            level = "high" if active[span.run.start] else "low"
            raise UserError(
                f"{trace.name}: the pin is {level} for only {_lasts(span):.3g} s at {span.start_s:g} s; keep every "
                "pulse and pause longer than the board's detector.min_duration_s, several inferences to a pulse if "
                "need be"
            )
    return pulses


def _stamped(trace: Trace, detector: Detector, timestamps: Timestamps) -> list[_Span]:
    """Return the windows of the timestamps, moved to the instrument's clock."""
    spans = []
    for start_s, end_s in np.array(timestamps) + clock_offset(trace, detector, timestamps):
        first, last = np.searchsorted(trace.time_s, [start_s, end_s])
        span = _Span(slice(int(first), int(last)), float(start_s), float(end_s))
        samples = trace.current_mA[span.run]
        if not len(samples) or not detector.current_min_mA < samples.mean() < detector.current_max_mA:
            raise UserError(
                f"{trace.name}: where the timestamps fit best, the window at {start_s:g} s has no current in the "
                "detector's band; record the current from before the first inference to after the last"
            )
        spans.append(span)
    return spans


def clock_offset(trace: Trace, detector: Detector, timestamps: Timestamps) -> float:
    """Return what (s) to add to timestamps so that their windows correlate best with the current.

    The windows keep their durations, so the correlation is highest where their mean current is. Samples that the
    detector never takes for an inference, during start-up or above its band, count as the median of the others.

    Raises:
        UserError: the timestamps are not windows in order, the trace is shorter than they are, or they fit
            elsewhere nearly as well.
    """
    stamps = np.asarray(timestamps, np.float64)
    if stamps.ndim != 2 or stamps.shape[1] != 2 or not (np.diff(stamps.ravel()) > 0).all():
        raise UserError(
            f"{trace.name}: its timestamps are no windows in order of time; give start and end of each"
        )
    time_s = trace.time_s
    earliest_s, latest_s = time_s[0] - stamps[0, 0], time_s[-1] - stamps[-1, 1]
    if earliest_s > latest_s:
        raise UserError(
            f"{trace.name}: its {time_s[-1] - time_s[0]:g} s are shorter than the {np.ptp(stamps):g} s of its "
            "timestamps; record from before the first inference to after the last"
        )
    usable = _awake(trace, detector) & (trace.current_mA < detector.current_max_mA)
    if not usable.any():
        raise UserError(f"{trace.name}: all of it is start-up or above the detector's band; record longer")
    current_mA = np.where(usable, trace.current_mA, np.median(trace.current_mA[usable]))
    charge_mC = cumulative_trapezoid(current_mA, time_s, initial=0)
    durations_s = stamps[:, 1] - stamps[:, 0]
    active_s, shortest_s = durations_s.sum(), durations_s.min()

    def mean_mA(offsets_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return (
            sum(
                np.interp(offsets_s + end_s, time_s, charge_mC)
                - np.interp(offsets_s + start_s, time_s, charge_mC)
                for start_s, end_s in stamps
            )
            / active_s
        )

    # The mean is piecewise linear in the offset, over lengths of a window: a coarse search cannot miss its peak.
    interval_s = float(np.median(np.diff(time_s)))
    coarse_s = np.linspace(earliest_s, latest_s, 1 + int(np.ceil(16 * (latest_s - earliest_s) / shortest_s)))
    coarse_mA = mean_mA(coarse_s)
    near_s = coarse_s[coarse_mA.argmax()]
    fine_s = near_s + np.arange(-shortest_s / 8, shortest_s / 8, interval_s / 4)
    fine_s = np.clip(fine_s, earliest_s, latest_s)
    fine_mA = mean_mA(fine_s)
    best_s, best_mA = float(fine_s[fine_mA.argmax()]), float(fine_mA.max())

    # One window misplaced among n costs a n-th of what tells windows from the rest.
    rest_s = time_s[-1] - time_s[0] - active_s
    rest_mA = (charge_mC[-1] - best_mA * active_s) / rest_s if rest_s > 0 else best_mA
    elsewhere_mA = coarse_mA[np.abs(coarse_s - best_s) >= shortest_s]
    margin_mA = (best_mA - rest_mA) / len(stamps) / 2
    if margin_mA <= 0 or (len(elsewhere_mA) and elsewhere_mA.max() > best_mA - margin_mA):
        raise UserError(
            f"{trace.name}: its timestamps fit the current at more than one place; infer without warm-ups, all in "
            "one log, and record a pause before and after"
        )
    return best_s


def _window(trace: Trace, span: _Span, supply_V: float) -> Window:
    time = np.concatenate([[span.start_s], trace.time_s[span.run], [span.end_s]])

    def held(values: NDArray[np.float64]) -> NDArray[np.float64]:
        samples = values[span.run]
        return np.concatenate([samples[:1], samples, samples[-1:]])

    samples, current = trace.current_mA[span.run], held(trace.current_mA)
    charge_mC = float(trapezoid(current, time))
    if trace.voltage_V is None:
        energy_mJ = charge_mC * supply_V
    else:
        energy_mJ = float(trapezoid(held(trace.voltage_V) * current, time))
    if charge_mC <= 0 or energy_mJ <= 0:
        raise UserError(
            f"{trace.name}: the window at {span.start_s:g} s draws no current; swap the terminals of the probe, or "
            "correct its zero"
        )
    return Window(
        start_s=span.start_s,
        duration_s=_lasts(span),
        samples=len(samples),
        mean_mA=charge_mC / _lasts(span),
        median_mA=float(np.median(samples)),
        std_mA=float(np.std(samples, ddof=1)) if len(samples) > 1 else 0.0,
        charge_mC=charge_mC,
        energy_mJ=energy_mJ,
    )


def trace_book(
    trace: Trace, board: Board, chain: Mapping[str, str], timestamps: Timestamps = ()
) -> dict[str, Evidence]:
    """Return ``energy.trace.*`` of a trace, of the trace's kind; ``chain`` has the digests of its files.

    A synthetic trace without any active window yields ``energy.trace.windows`` = 0 alone.

    Raises:
        UserError: as :func:`find_windows`; or a measured trace has no complete window, or one of few samples.
    """
    windows = find_windows(trace, board.detector, board.supply_V.value, timestamps)
    if trace.kind is Kind.MEASURED:
        _check(trace, windows)

    def evidence(value: float, unit: str, method: str, values: Sequence[float] = ()) -> Evidence:
        interval, interval_method = _spread(trace, values) if values else (None, None)
        return Evidence(
            value=value,
            unit=unit,
            kind=trace.kind,
            method="; ".join((method, *trace.notes)),
            n=len(values or windows) or None,
            interval=interval,
            interval_method=interval_method,
            chain=dict(chain),
        )

    def median_of(attribute: str, unit: str, method: str) -> Evidence:
        values = [getattr(window, attribute) for window in windows]
        return evidence(float(np.median(values)), unit, method, values)

    if trace.active is not None:
        finder = "the edges of the recorded pin"
    elif timestamps:
        finder = "the device's timestamps, offset where they correlate best with the current"
    else:
        finder = "the detector"
    book = {"energy.trace.windows": evidence(len(windows), "1", f"active windows found by {finder}")}
    if not windows:
        return book
    power = "supply voltage × trapezoidal integral of current"
    if trace.voltage_V is not None:
        power = "trapezoidal integral of recorded voltage × current"
    book |= {
        "energy.trace.duration": median_of("duration_s", "s", "median duration of the active windows"),
        "energy.trace.current.active": median_of("mean_mA", "mA", "median of the windows' mean currents"),
        "energy.trace.energy": median_of("energy_mJ", "mJ", f"median over windows of {power}"),
        "energy.trace.power.active": median_of("power_mW", "mW", "median over windows of energy / duration"),
        "energy.trace.current.spread": evidence(
            max(window.std_mA for window in windows), "mA", "largest standard deviation within a window"
        ),
        "energy.trace.current.cv": evidence(
            max(window.cv_percent for window in windows), "%", "largest coefficient of variation in a window"
        ),
    }
    waiting = _awake(trace, board.detector) & (trace.current_mA <= board.detector.current_min_mA)
    if waiting.any():
        book["energy.trace.current.idle"] = evidence(
            float(np.median(trace.current_mA[waiting])),
            "mA",
            "median of samples below the detector's band",
        )
        if pauses_mW := _pauses_mW(trace, windows, waiting, board.supply_V.value):
            book["energy.trace.power.idle"] = evidence(
                float(np.median(pauses_mW)),
                "mW",
                "median over the pauses after windows of their mean power below the detector's band",
                pauses_mW,
            )
    return book


def _spread(trace: Trace, values: Sequence[float]) -> tuple[tuple[float, float], str]:
    """Return an interval of a median over windows; a synthetic trace's are draws from a range, not repetitions."""
    if trace.kind is Kind.MEASURED:
        return median_interval(values)
    return (min(values), max(values)), "smallest and largest window"


def _pauses_mW(
    trace: Trace, windows: Sequence[Window], waiting: NDArray[np.bool_], supply_V: float
) -> list[float]:
    """Return the mean power of the waiting samples after each window, before the next."""
    edges_s = [edge for each in windows for edge in (each.start_s, each.start_s + each.duration_s)]
    passed = np.searchsorted(edges_s, trace.time_s)
    pause = waiting & (passed > 0) & (passed % 2 == 0)
    power_mW = trace.current_mA * (supply_V if trace.voltage_V is None else trace.voltage_V)
    samples = np.bincount(passed[pause])
    sums_mW = np.bincount(passed[pause], power_mW[pause])
    return (sums_mW[samples > 0] / samples[samples > 0]).tolist()


def _check(trace: Trace, windows: list[Window]) -> None:
    if not windows:
        raise UserError(
            f"{trace.name}: it holds no complete active window; record from before an inference to after it, or "
            "correct the board's detector"
        )
    fewest = min(windows, key=lambda window: window.samples)
    if fewest.samples < MIN_WINDOW_SAMPLES:
        raise UserError(
            f"{trace.name}: the window at {fewest.start_s:g} s has {fewest.samples} samples, at least "
            f"{MIN_WINDOW_SAMPLES} are needed; record at a higher rate"
        )
