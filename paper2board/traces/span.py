"""Where a window lies in a trace, and whether its current is that of an inference."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paper2board.boards.board import ActiveWindowThresholds
from paper2board.traces.trace import Trace


class Span(NamedTuple):
    """Where a window or pause lies: its samples, and its ends in time."""

    run: slice
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Time between the ends."""
        return self.end_s - self.start_s


def in_band(trace: Trace, span: Span, thresholds: ActiveWindowThresholds) -> bool:
    """Return whether the mean current of a span is in the detector's band; not that of no sample."""
    samples = trace.current_mA[span.run]
    return len(samples) > 0 and thresholds.current_min_mA < samples.mean() < thresholds.current_max_mA


def awake(trace: Trace, thresholds: ActiveWindowThresholds) -> NDArray[np.bool_]:
    """Return which samples are after start-up, if the trace begins with it."""
    return trace.time_s - trace.time_s[0] > thresholds.boot_s
