"""What the windows of a trace and the pauses between them say, as evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from paper2board.boards.board import Board
from paper2board.core.derive import derive
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, Spread, measured
from paper2board.core.statistics import median_interval
from paper2board.energy.states import supply
from paper2board.traces.active_window import Window, locate_windows, measure_pauses, measure_windows
from paper2board.traces.span import in_band
from paper2board.traces.timestamps import Timestamps
from paper2board.traces.trace import Trace

MIN_WINDOW_SAMPLES = 10
"""Of a measured window: its ends are known to half a sampling interval each, so fewer leave more than 10 %."""


def trace_metrics(
    trace: Trace, board: Board, chain: Mapping[str, str], timestamps: Timestamps = ()
) -> dict[str, Evidence]:
    """Return ``energy.trace.*`` of a trace; ``chain`` has the digests of its files.

    Durations and currents are of the trace's kind. So are energy and power where the trace has the supply voltage;
    where not, they are products with the board's, and of the weaker kind.

    A synthetic trace without any active window yields ``energy.trace.windows`` = 0 alone.

    Raises:
        UserError: as :func:`locate_windows` and :func:`measure_windows`; or a measured trace has no complete
            window, or one of few samples.
    """
    spans = locate_windows(trace, board.active_window, timestamps)
    # Only a pin finds windows outside the band.
    if not all(in_band(trace, span, board.active_window) for span in spans):
        outside = "outside the board's detector band: of another clock, or the pin marks something else"
        trace = replace(trace, notes=(*trace.notes, outside))
    windows = measure_windows(trace, spans)
    if trace.kind is Kind.MEASURED:
        _check(trace, windows)

    def noted(method: str) -> str:
        return "; ".join((method, *trace.notes))

    def evidence(
        value: float, unit: str, method: str, n: int | None, values: Sequence[float] = ()
    ) -> Evidence:
        spread = _spread(trace, values) if values else None
        return measured(value, unit, noted(method), trace.kind, n=n, spread=spread, chain=chain)

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
    metrics = {
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
    pauses = measure_pauses(trace, board.active_window, spans, timestamps)
    if pauses is None:
        found += "; no pause after a window tells idling, so the board's file does"
    else:
        where = "" if trace.active is not None or timestamps else ", below the detector's band"
        method = f"median over the pauses after windows of their mean {{}}{where}"
        # A synthetic trace's pauses are one level with noise; a board's hold whatever it does meanwhile.
        metrics["energy.trace.current.idle"] = (
            median(pauses.currents_mA, "mA", method.format("current"))
            if trace.kind is Kind.MEASURED
            else evidence(
                float(np.median(pauses.samples_mA)),
                "mA",
                f"median of the samples in the pauses after windows{where}",
                len(pauses.samples_mA),
            )
        )
        if pauses.powers_mW is None:
            idle = supplied(pauses.currents_mA, "mA", "mW", method.format("current"))
        else:
            idle = median(pauses.powers_mW, "mW", method.format("power"))
        metrics["energy.trace.power.idle"] = idle
    return {"energy.trace.windows": evidence(n, "1", found, n)} | metrics


def _finder(trace: Trace, timestamps: Timestamps) -> str:
    if trace.active is not None:
        return "the edges of the recorded pin"
    if timestamps:
        return "the device's timestamps, offset where they correlate best with the current"
    return "the detector"


def _spread(trace: Trace, values: Sequence[float]) -> Spread:
    """Return an interval of a median over windows; a synthetic trace's are draws from a range, not repetitions."""
    if trace.kind is Kind.MEASURED:
        return median_interval(values)
    return (min(values), max(values)), "smallest and largest window"


def _check(trace: Trace, windows: Sequence[Window]) -> None:
    if not windows:
        raise UserError(
            f"{trace.name}: it holds no complete active window; record from before an inference to after it, or "
            "correct the board's active_window"
        )
    fewest = min(windows, key=lambda window: window.samples)
    if fewest.samples < MIN_WINDOW_SAMPLES:
        raise UserError(
            f"{trace.name}: the window at {fewest.start_s:g} s has {fewest.samples} samples, at least "
            f"{MIN_WINDOW_SAMPLES} are needed; record at a higher rate"
        )
