"""Active windows of a trace: where they come from, and what they and the pauses between them hold.

Windows are found, in this order, by the edges of the pin that the instrument recorded (on its own clock, so nothing
is estimated), by the device's timestamps where they are given, or by the deck's detector (slide 'Energy'):

    Active(t) = 1  if  I_min < I(t) < I_max  and  t > t_boot  and  τ > τ_min,  else 0

The detector's window is a run of samples that meet the first two conditions, τ its duration; t counts from the
beginning of the trace. Runs that touch the end of start-up or an end of the trace, and pulses that touch the
latter, are cut: their duration is unknown, so they are left out. So are windows with a clock gap in or at them.

A pulse or pause of the pin no longer than τ_min is refused, and so is such a pause beside a detected window: to
merge or to drop would both be guesses, the first counting a pause as inference, the second hiding a bad contact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import find_objects, label

from paper2board.boards.board import ActiveWindowThresholds
from paper2board.core.errors import UserError
from paper2board.traces.span import Span, awake
from paper2board.traces.timestamps import Timestamps, stamped
from paper2board.traces.trace import Trace, clock_gaps


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


def locate_windows(
    trace: Trace, thresholds: ActiveWindowThresholds, timestamps: Timestamps = ()
) -> list[Span]:
    """Return where the active windows of a trace are, in order of time.

    Raises:
        UserError: the pin bounces, an outlier breaks a window, or pin or timestamps do not fit the current.
    """
    if trace.active is not None:
        return _pulses(trace, trace.active, thresholds)
    if timestamps:
        return stamped(trace, thresholds, timestamps)
    return _detected(trace, thresholds)


def measure_windows(trace: Trace, spans: Sequence[Span]) -> list[Window]:
    """Return the windows that lie there, but for those with a clock gap.

    Raises:
        UserError: a window has no supply voltage.
    """
    gaps = clock_gaps(trace.time_s)
    return [
        _window(trace, span)
        for span in spans
        if not ((span.run.start - 1 <= gaps) & (gaps < span.run.stop)).any()
    ]


class Pauses(NamedTuple):
    """The pauses after windows."""

    samples_mA: NDArray[np.float64]
    currents_mA: list[float]
    """Mean of each."""
    powers_mW: list[float] | None
    """Mean of each; None where the supply voltage was not recorded."""


def measure_pauses(
    trace: Trace, thresholds: ActiveWindowThresholds, spans: Sequence[Span], timestamps: Timestamps
) -> Pauses | None:
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
        waiting &= trace.current_mA <= thresholds.current_min_mA
    # Every sample stands for the time up to halfway to its neighbours.
    time_s, gaps = trace.time_s, clock_gaps(trace.time_s)
    share_s = np.diff(np.concatenate([time_s[:1], (time_s[1:] + time_s[:-1]) / 2, time_s[-1:]]))
    share_s[gaps] = share_s[gaps + 1] = 0
    lasts_s = np.bincount(number[waiting], share_s[waiting])
    pauses = np.flatnonzero(lasts_s > thresholds.min_duration_s)
    if not len(pauses):
        return None

    def means(values: NDArray[np.float64]) -> list[float]:
        totals = np.bincount(number[waiting], (share_s * values)[waiting])
        return (totals[pauses] / lasts_s[pauses]).tolist()

    return Pauses(
        trace.current_mA[waiting & np.isin(number, pauses)],
        means(trace.current_mA),
        None if trace.voltage_V is None else means(trace.current_mA * trace.voltage_V),
    )


def _runs(trace: Trace, where: NDArray[np.bool_], first: int = 0) -> list[Span]:
    """Return the whole runs of samples, those that begin after ``first`` and end before the trace."""
    time = trace.time_s
    runs, _ = label(where)
    return [
        Span(
            run,
            float((time[run.start - 1] + time[run.start]) / 2),
            float((time[run.stop - 1] + time[run.stop]) / 2),
        )
        for (run,) in find_objects(runs)
        if run.start != first and run.stop != len(time)
    ]


def _detected(trace: Trace, thresholds: ActiveWindowThresholds) -> list[Span]:
    current, started = trace.current_mA, awake(trace, thresholds)
    inside = (thresholds.current_min_mA < current) & (current < thresholds.current_max_mA)
    first = len(current) - int(started.sum())
    runs = _runs(trace, inside & started, first)
    spans = [span for span in runs if span.duration_s > thresholds.min_duration_s]
    edges = {edge for span in spans for edge in (span.run.start, span.run.stop)}
    for pause in _runs(trace, ~inside & started, first):
        if pause.duration_s <= thresholds.min_duration_s and edges & {pause.run.start, pause.run.stop}:
            raise UserError(
                f"{trace.name}: beside a window the current leaves the detector's band for only "
                f"{pause.duration_s:.3g} s at {pause.start_s:g} s; smooth or decimate the recording, or pause "
                "longer than the board's active_window.min_duration_s"
            )
    return spans


def _pulses(trace: Trace, active: NDArray[np.bool_], thresholds: ActiveWindowThresholds) -> list[Span]:
    pulses = _runs(trace, active)
    for span in sorted((*pulses, *_runs(trace, ~active)), key=lambda span: span.start_s):
        if span.duration_s <= thresholds.min_duration_s:
            level = "high" if active[span.run.start] else "low"
            raise UserError(
                f"{trace.name}: the pin is {level} for only {span.duration_s:.3g} s at {span.start_s:g} s; keep "
                "every pulse and pause longer than the board's active_window.min_duration_s, several inferences to "
                "a pulse if need be"
            )
    if pulses:
        _require_more_in_pulses(trace, pulses, active, thresholds)
    return pulses


def _require_more_in_pulses(
    trace: Trace, pulses: Sequence[Span], active: NDArray[np.bool_], thresholds: ActiveWindowThresholds
) -> None:
    """Refuse pulses of an idling or sleeping board; the band does not show it, for it is of the board file's
    clock."""
    current = trace.current_mA
    for pulse in pulses:
        mean_mA = current[pulse.run].mean()
        if mean_mA >= thresholds.current_max_mA:
            raise UserError(
                f"{trace.name}: the pulse at {pulse.start_s:g} s draws {mean_mA:.3g} mA, above the detector's "
                "band; the pin marks something else (name the right one with 'gpio'), or the board's "
                "active_window.current_max_mA is too low"
            )
    # Start-up comes before the first pulse; a radio in a pause is above the band.
    after = np.arange(len(current)) >= pulses[0].run.stop
    pauses_mA = current[after & ~active & (current < thresholds.current_max_mA)]
    pulses_mA = np.concatenate([current[pulse.run] for pulse in pulses])
    if not len(pauses_mA) or pulses_mA.mean() <= max(pauses_mA.mean(), 0):
        raise UserError(
            f"{trace.name}: the pin's pulses draw {pulses_mA.mean():.3g} mA, no more than the pauses after them or "
            "than nothing; the pin is inverted or the wrong one (name the right one with 'gpio'), or the current's "
            "probe is reversed"
        )


def _window(trace: Trace, span: Span) -> Window:
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
        duration_s=span.duration_s,
        samples=len(samples),
        mean_mA=charge_mC / span.duration_s,
        median_mA=float(np.median(samples)),
        std_mA=float(np.std(samples, ddof=1)) if len(samples) > 1 else 0.0,
        charge_mC=charge_mC,
        energy_mJ=energy_mJ,
    )
