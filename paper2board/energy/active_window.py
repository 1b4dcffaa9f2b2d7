"""The deck's active-window detector (slide 'Energy') and what its windows say.

    Active(t) = 1  if  I_min < I(t) < I_max  and  t > t_boot  and  τ > τ_min,  else 0

A window is a run of samples that meet the first two conditions, τ its duration. Runs that touch the
end of start-up or of the trace are cut: their duration is unknown, so they are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import find_objects, label

from paper2board.energy.board import Board, Detector
from paper2board.energy.current_trace import Trace
from paper2board.evidence import Evidence


@dataclass(frozen=True)
class Window:
    """One active window; every sample stands for the time up to halfway to its neighbours."""

    start_s: float
    duration_s: float
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


def _in_band(trace: Trace, detector: Detector) -> NDArray[np.bool_]:
    current = trace.current_mA
    return (
        (detector.current_min_mA < current)
        & (current < detector.current_max_mA)
        & (trace.time_s > detector.boot_s)
    )


def find_windows(trace: Trace, detector: Detector, supply_V: float) -> list[Window]:
    """Return the active windows of a trace in order of time."""
    time, current = trace.time_s, trace.current_mA
    first = int(np.searchsorted(time, detector.boot_s, side="right"))
    runs, _ = label(_in_band(trace, detector))
    windows = []
    for (run,) in find_objects(runs):
        if run.start == first or run.stop == len(time):
            continue
        start = (time[run.start - 1] + time[run.start]) / 2
        end = (time[run.stop - 1] + time[run.stop]) / 2
        if end - start <= detector.min_duration_s:
            continue
        samples = current[run]
        charge_mC = trapezoid(
            np.concatenate([samples[:1], samples, samples[-1:]]),
            np.concatenate([[start], time[run], [end]]),
        )
        windows.append(
            Window(
                start_s=float(start),
                duration_s=float(end - start),
                mean_mA=float(charge_mC / (end - start)),
                median_mA=float(np.median(samples)),
                std_mA=float(np.std(samples, ddof=1)) if len(samples) > 1 else 0.0,
                charge_mC=float(charge_mC),
                energy_mJ=float(charge_mC * supply_V),
            )
        )
    return windows


def trace_book(trace: Trace, board: Board, trace_sha256: str) -> dict[str, Evidence]:
    """Return ``energy.trace.*`` of a trace, of the trace's kind, chained to the trace file's digest.

    A trace without any active window yields ``energy.trace.windows`` = 0 alone.
    """
    windows = find_windows(trace, board.detector, board.supply_V.value)
    chain = {"trace": trace_sha256}

    def evidence(value: float, unit: str, method: str, values: list[float] | None = None) -> Evidence:
        return Evidence(
            value=value,
            unit=unit,
            kind=trace.kind,
            method=method,
            n=len(windows) or None,
            interval=(min(values), max(values)) if values else None,
            interval_method="smallest and largest window" if values else None,
            chain=chain,
        )

    def median_of(attribute: str, unit: str, method: str) -> Evidence:
        values = [getattr(window, attribute) for window in windows]
        return evidence(float(np.median(values)), unit, method, values)

    book = {"energy.trace.windows": evidence(len(windows), "1", "active windows found by the detector")}
    if not windows:
        return book
    book |= {
        "energy.trace.duration": median_of("duration_s", "s", "median duration of the active windows"),
        "energy.trace.current.active": median_of("mean_mA", "mA", "median of the windows' mean currents"),
        "energy.trace.energy": median_of(
            "energy_mJ", "mJ", "median over windows of supply voltage × trapezoidal integral of current"
        ),
        "energy.trace.current.spread": evidence(
            max(window.std_mA for window in windows), "mA", "largest standard deviation within a window"
        ),
        "energy.trace.current.cv": evidence(
            max(window.cv_percent for window in windows), "%", "largest coefficient of variation in a window"
        ),
    }
    waiting = (trace.time_s > board.detector.boot_s) & (trace.current_mA <= board.detector.current_min_mA)
    if waiting.any():
        book["energy.trace.current.idle"] = evidence(
            float(np.median(trace.current_mA[waiting])),
            "mA",
            "median of samples below the detector's band",
        )
    return book
