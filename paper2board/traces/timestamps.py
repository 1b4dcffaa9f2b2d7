"""Windows by the device's clock, moved to the instrument's by correlation with the current."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid

from paper2board.boards.board import ActiveWindowThresholds
from paper2board.core.errors import UserError
from paper2board.traces.span import Span, awake, in_band
from paper2board.traces.trace import Trace

Timestamps = Sequence[tuple[float, float]]
"""Start and end (s) of each window on a clock that runs as fast as the instrument's, in order of time."""


def stamped(trace: Trace, thresholds: ActiveWindowThresholds, timestamps: Timestamps) -> list[Span]:
    """Return the windows of the timestamps, moved to the instrument's clock.

    Raises:
        UserError: as :func:`clock_offset`, or a window has no current in the detector's band.
    """
    spans = []
    for start_s, end_s in np.array(timestamps) + clock_offset(trace, thresholds, timestamps):
        first, last = np.searchsorted(trace.time_s, [start_s, end_s])
        span = Span(slice(int(first), int(last)), float(start_s), float(end_s))
        if not in_band(trace, span, thresholds):
            raise UserError(
                f"{trace.name}: where the timestamps fit best, the window at {start_s:g} s has no current in the "
                "detector's band; record the current from before the first inference to after the last"
            )
        spans.append(span)
    return spans


def clock_offset(trace: Trace, thresholds: ActiveWindowThresholds, timestamps: Timestamps) -> float:
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
    usable = awake(trace, thresholds) & (trace.current_mA < thresholds.current_max_mA)
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

    # One window misplaced among n costs a n-th of what distinguishes windows from the rest.
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
