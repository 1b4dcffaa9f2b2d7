"""Active windows of a trace, where they come from, and what they say.

Windows are found, in this order, by the edges of the pin that the instrument recorded (on its own clock, so nothing
is estimated), by the device's timestamps where they are given, or by the deck's detector (slide 'Energy'):

    Active(t) = 1  if  I_min < I(t) < I_max  and  t > t_boot  and  τ > τ_min,  else 0

The detector's window is a run of samples that meet the first two conditions, τ its duration; t counts from the
beginning of the trace. Runs that touch the end of start-up or an end of the trace, and pulses that touch the
latter, are cut: their duration is unknown, so they are left out. So are windows with a clock gap in or at them.

A pulse or pause of the pin no longer than τ_min is refused, and so is such a pause beside a detected window: to
merge or to drop would both be guesses, the first counting a pause as inference, the second hiding a bad contact.
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
from paper2board.energy.derived import derive
from paper2board.energy.median import median_interval
from paper2board.energy.states import supply
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
    energy_mJ: float | None
    """None where the supply voltage was not recorded."""

    @property
    def cv_percent(self) -> float:
        """Coefficient of variation of the current."""
        return 100 * self.std_mA / self.mean_mA


class _Span(NamedTuple):
    """Where a window lies: its samples, and its ends in time."""

    run: slice
    start_s: float
    end_s: float


def find_windows(trace: Trace, detector: Detector, timestamps: Timestamps = ()) -> list[Window]:
    """Return the active windows of a trace in order of time.

    Raises:
        UserError: the pin bounces, an outlier breaks a window, pin or timestamps do not fit the current, or a
            window has no supply voltage.
    """
    return _windows(trace, _spans(trace, detector, timestamps))


def _spans(trace: Trace, detector: Detector, timestamps: Timestamps) -> list[_Span]:
    if trace.active is not None:
        return _pulses(trace, trace.active, detector)
    if timestamps:
        return _stamped(trace, detector, timestamps)
    return _detected(trace, detector)


def _windows(trace: Trace, spans: Sequence[_Span]) -> list[Window]:
    """Return the windows of the spans without a clock gap."""
    gaps = clock_gaps(trace.time_s)
    return [
        _window(trace, span)
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
    first = len(current) - int(awake.sum())
    spans = [span for span in _runs(trace, in_band & awake, first) if _lasts(span) > detector.min_duration_s]
    edges = {edge for span in spans for edge in (span.run.start, span.run.stop)}
    for pause in _runs(trace, ~in_band & awake, first):
        if _lasts(pause) <= detector.min_duration_s and edges & {pause.run.start, pause.run.stop}:
            raise UserError(
                f"{trace.name}: beside a window the current leaves the detector's band for only "
                f"{_lasts(pause):.3g} s at {pause.start_s:g} s; smooth or decimate the recording, or pause longer "
                "than the board's detector.min_duration_s"
            )
    return spans


def _pulses(trace: Trace, active: NDArray[np.bool_], detector: Detector) -> list[_Span]:
    pulses = _runs(trace, active)
    for span in sorted((*pulses, *_runs(trace, ~active)), key=lambda span: span.start_s):
        if _lasts(span) <= detector.min_duration_s:
            level = "high" if active[span.run.start] else "low"
            raise UserError(
                f"{trace.name}: the pin is {level} for only {_lasts(span):.3g} s at {span.start_s:g} s; keep every "
                "pulse and pause longer than the board's detector.min_duration_s, several inferences to a pulse if "
                "need be"
            )
    for pulse in pulses:
        if not _in_band(trace, pulse, detector):
            raise UserError(
                f"{trace.name}: the pulse at {pulse.start_s:g} s draws "
                f"{trace.current_mA[pulse.run].mean():.3g} mA, outside the detector's band; the pin is inverted or "
                "marks something else (name the right one with 'gpio'), the current's probe is reversed, or the "
                "board's detector is for another clock"
            )
    return pulses


def _stamped(trace: Trace, detector: Detector, timestamps: Timestamps) -> list[_Span]:
    """Return the windows of the timestamps, moved to the instrument's clock."""
    spans = []
    for start_s, end_s in np.array(timestamps) + clock_offset(trace, detector, timestamps):
        first, last = np.searchsorted(trace.time_s, [start_s, end_s])
        span = _Span(slice(int(first), int(last)), float(start_s), float(end_s))
        if not _in_band(trace, span, detector):
            raise UserError(
                f"{trace.name}: where the timestamps fit best, the window at {start_s:g} s has no current in the "
                "detector's band; record the current from before the first inference to after the last"
            )
        spans.append(span)
    return spans


def _in_band(trace: Trace, span: _Span, detector: Detector) -> bool:
    samples = trace.current_mA[span.run]
    return len(samples) > 0 and detector.current_min_mA < samples.mean() < detector.current_max_mA


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


def _window(trace: Trace, span: _Span) -> Window:
    time = np.concatenate([[span.start_s], trace.time_s[span.run], [span.end_s]])

    def held(values: NDArray[np.float64]) -> NDArray[np.float64]:
        samples = values[span.run]
        return np.concatenate([samples[:1], samples, samples[-1:]])

    samples, current = trace.current_mA[span.run], held(trace.current_mA)
    charge_mC = float(trapezoid(current, time))
    energy_mJ = None
    if trace.voltage_V is not None:
        energy_mJ = float(trapezoid(held(trace.voltage_V) * current, time))
        if energy_mJ <= 0:
            raise UserError(
                f"{trace.name}: the window at {span.start_s:g} s has no supply voltage; swap the terminals of its "
                "probe, or leave the column out"
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
    """Return ``energy.trace.*`` of a trace; ``chain`` has the digests of its files.

    Durations and currents are of the trace's kind. So are energy and power where the trace has the supply voltage;
    where not, they are products with the board's, and of the weaker kind.

    A synthetic trace without any active window yields ``energy.trace.windows`` = 0 alone.

    Raises:
        UserError: as :func:`find_windows`; or a measured trace has no complete window, or one of few samples.
    """
    spans = _spans(trace, board.detector, timestamps)
    windows = _windows(trace, spans)
    if trace.kind is Kind.MEASURED:
        _check(trace, windows)

    def noted(method: str) -> str:
        return "; ".join((method, *trace.notes))

    def evidence(
        value: float, unit: str, method: str, n: int | None, values: Sequence[float] = ()
    ) -> Evidence:
        interval, interval_method = _spread(trace, values) if values else (None, None)
        return Evidence(
            value=value,
            unit=unit,
            kind=trace.kind,
            method=noted(method),
            n=n,
            interval=interval,
            interval_method=interval_method,
            chain=dict(chain),
        )

    def median(values: Sequence[float], unit: str, method: str) -> Evidence:
        return evidence(float(np.median(values)), unit, method, len(values), values)

    def supplied(values: Sequence[float], unit: str, product_unit: str, method: str) -> Evidence:
        volts = supply(board)
        product = derive(
            lambda drawn, voltage_V: drawn * voltage_V,
            product_unit,
            noted(f"{method} × supply voltage, which was not recorded ({volts.method})"),
            median(values, unit, method),
            volts,
        )
        return product.model_copy(update={"n": len(values)})

    n = len(windows)
    found = f"active windows found by {_finder(trace, timestamps)}"
    if not n:
        return {"energy.trace.windows": evidence(0, "1", found, None)}
    means_mA = [window.mean_mA for window in windows]
    if trace.voltage_V is None:
        method = "median over windows of the trapezoidal integral of current"
        energy = supplied([window.charge_mC for window in windows], "mC", "mJ", method)
        power = supplied(means_mA, "mA", "mW", "median of the windows' mean currents")
    else:
        energies_mJ = [window.energy_mJ for window in windows if window.energy_mJ is not None]
        powers_mW = [mJ / window.duration_s for mJ, window in zip(energies_mJ, windows, strict=True)]
        method = "median over windows of the trapezoidal integral of recorded voltage × current"
        energy = median(energies_mJ, "mJ", method)
        power = median(powers_mW, "mW", "median over windows of energy / duration")
    book = {
        "energy.trace.duration": median(
            [window.duration_s for window in windows], "s", "median duration of the active windows"
        ),
        "energy.trace.current.active": median(means_mA, "mA", "median of the windows' mean currents"),
        "energy.trace.energy": energy,
        "energy.trace.power.active": power,
        "energy.trace.current.spread": evidence(
            max(window.std_mA for window in windows), "mA", "largest standard deviation within a window", n
        ),
        "energy.trace.current.cv": evidence(
            max(window.cv_percent for window in windows),
            "%",
            "largest coefficient of variation in a window",
            n,
        ),
    }
    idling = _idling(trace, board.detector, spans, timestamps)
    if idling is None:
        found += "; no pause after a window tells idling, so the board's file does"
    else:
        where = "" if trace.active is not None or timestamps else ", below the detector's band"
        book["energy.trace.current.idle"] = evidence(
            float(np.median(idling.samples_mA)),
            "mA",
            f"median of the samples in the pauses after windows{where}",
            len(idling.samples_mA),
        )
        method = f"median over the pauses after windows of their mean {{}}{where}"
        if idling.powers_mW is None:
            idle = supplied(idling.currents_mA, "mA", "mW", method.format("current"))
        else:
            idle = median(idling.powers_mW, "mW", method.format("power"))
        book["energy.trace.power.idle"] = idle
    return {"energy.trace.windows": evidence(n, "1", found, n)} | book


def _finder(trace: Trace, timestamps: Timestamps) -> str:
    if trace.active is not None:
        return "the edges of the recorded pin"
    if timestamps:
        return "the device's timestamps, offset where they correlate best with the current"
    return "the detector"


def _spread(trace: Trace, values: Sequence[float]) -> tuple[tuple[float, float], str]:
    """Return an interval of a median over windows; a synthetic trace's are draws from a range, not repetitions."""
    if trace.kind is Kind.MEASURED:
        return median_interval(values)
    return (min(values), max(values)), "smallest and largest window"


class _Idling(NamedTuple):
    """The pauses after windows."""

    samples_mA: NDArray[np.float64]
    currents_mA: list[float]
    """Mean of each."""
    powers_mW: list[float] | None
    """Mean of each; None where the supply voltage was not recorded."""


def _idling(
    trace: Trace, detector: Detector, spans: Sequence[_Span], timestamps: Timestamps
) -> _Idling | None:
    """Return what was drawn after each window, before the next; None if there was no pause.

    All that the pin or the timestamps leave between windows counts; the detector knows only what is below its band.
    Cut windows and clock gaps are no part of a pause, and it is longer than the shortest window.
    """
    edges_s = [edge for span in spans for edge in (span.start_s, span.end_s)]
    number = np.searchsorted(edges_s, trace.time_s)
    waiting = (number > 0) & (number % 2 == 0)
    if trace.active is not None:
        waiting &= ~trace.active
    elif not timestamps:
        waiting &= trace.current_mA <= detector.current_min_mA
    # Every sample stands for the time up to halfway to its neighbours.
    time_s, gaps = trace.time_s, clock_gaps(trace.time_s)
    share_s = np.diff(np.concatenate([time_s[:1], (time_s[1:] + time_s[:-1]) / 2, time_s[-1:]]))
    share_s[gaps] = share_s[gaps + 1] = 0
    lasts_s = np.bincount(number[waiting], share_s[waiting])
    pauses = np.flatnonzero(lasts_s > detector.min_duration_s)
    if not len(pauses):
        return None

    def means(values: NDArray[np.float64]) -> list[float]:
        totals = np.bincount(number[waiting], (share_s * values)[waiting])
        return (totals[pauses] / lasts_s[pauses]).tolist()

    return _Idling(
        trace.current_mA[waiting & np.isin(number, pauses)],
        means(trace.current_mA),
        None if trace.voltage_V is None else means(trace.current_mA * trace.voltage_V),
    )


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
