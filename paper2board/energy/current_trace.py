"""Current traces: CSV files with the two columns ``time_s,current_mA``.

Every instrument's export reduces to these columns. A synthetic trace says so in its first line, and
whatever is computed from it is ``modelled``, never ``measured``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.energy.board import Board
from paper2board.errors import UserError
from paper2board.evidence import Kind
from paper2board.files import write_text

HEADER = "time_s,current_mA"
SYNTHETIC = "# synthetic trace: generated from the board configuration, not measured"
MIN_SAMPLES = 100
"""Fewer samples are no trace of an inference at any useful rate."""
MAX_DROPPED = 0.001
"""Share of missing samples above which a capture is invalid (the limit of EEMBC's EnergyRunner)."""


@dataclass(frozen=True)
class Trace:
    """Supply current over time; equally long float64 arrays, time strictly increasing."""

    time_s: NDArray[np.float64]
    current_mA: NDArray[np.float64]
    kind: Kind


def read_trace(path: str | Path) -> Trace:
    """Read and check a trace.

    Raises:
        UserError: the file is not such a CSV, is too short, holds NaN or infinity, time does not
            increase, or more than 0.1 % of the samples are missing.
    """
    try:
        with open(path, encoding="utf-8-sig") as stream:
            line = stream.readline().strip()
            kind = Kind.MEASURED
            if line == SYNTHETIC:
                kind = Kind.MODELLED
                line = stream.readline().strip()
            if line != HEADER:
                raise UserError(f"{path}: the first line is not {HEADER!r}; export exactly these columns")
            rows = [row for row in stream if row.strip()]
            table = np.loadtxt(rows, delimiter=",", comments=None, ndmin=2) if rows else np.empty((0, 2))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a CSV of numbers ({' '.join(str(error).split())}); export it again with a "
            "decimal point and a comma between columns"
        ) from error
    if table.shape[1] != 2:
        raise UserError(f"{path}: rows have {table.shape[1]} columns; export {HEADER} with a decimal point")
    if len(table) < MIN_SAMPLES:
        raise UserError(f"{path}: {len(table)} samples, at least {MIN_SAMPLES} are needed; record longer")
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0]) + 1
        raise UserError(f"{path}: sample {row} is not finite; remove overrange samples and record again")
    time_s, current_mA = np.ascontiguousarray(table.T)
    with np.errstate(over="ignore"):
        steps = np.diff(time_s)
    if not (steps > 0).all():
        row = int(np.flatnonzero(~(steps > 0))[0]) + 2
        raise UserError(f"{path}: time_s does not increase at sample {row}; record without a clock reset")
    dropped = _dropped_share(steps)
    if dropped > MAX_DROPPED:
        raise UserError(
            f"{path}: {dropped:.2%} of the samples are missing, at most {MAX_DROPPED:.1%} may be; "
            "record at a lower rate"
        )
    return Trace(time_s, current_mA, kind)


def _dropped_share(steps: NDArray[np.float64]) -> float:
    """Return the share of samples missing between those present, at the median sampling interval."""
    with np.errstate(over="ignore"):
        missing = np.maximum(np.round(steps / np.median(steps)) - 1, 0).sum()
    return 1.0 if np.isinf(missing) else float(missing / (missing + len(steps) + 1))


def write_trace(path: str | Path, trace: Trace) -> None:
    """Write a trace in the form that :func:`read_trace` reads (µs and µA kept), atomically."""
    lines = [HEADER] if trace.kind is Kind.MEASURED else [SYNTHETIC, HEADER]
    lines += [f"{t:.6f},{i:.3f}" for t, i in zip(trace.time_s, trace.current_mA, strict=True)]
    write_text(path, "\n".join(lines) + "\n")


def synthetic_trace(
    board: Board,
    inferences_s: Sequence[float],
    *,
    gap_s: float = 1.0,
    noise_mA: float = 0.1,
    rate_Hz: float = 1000.0,
    seed: int = 0,
) -> Trace:
    """Return a stand-in for an instrument: start-up spike, idle, and one active window per inference.

    Levels are the board's idle and active current. Start-up draws twice the detector's upper
    threshold for the first half of its start-up time, so a detector that ignores ``t > t_boot`` or
    ``I < I_max`` is found out.

    Args:
        board: currents and detector thresholds.
        inferences_s: duration of each active window.
        gap_s: idle time before, between and after windows.
        noise_mA: standard deviation of white noise (the deck: below 0.1 mA).
        rate_Hz: sampling rate.
        seed: of the noise.
    """
    idle, active = board.currents.idle_mA.value, board.currents.active_mA.value
    segments = [(board.detector.boot_s / 2, 2 * board.detector.current_max_mA)]
    segments += [(board.detector.boot_s / 2 + gap_s, idle)]
    for duration_s in inferences_s:
        segments += [(duration_s, active), (gap_s, idle)]
    counts = [round(duration_s * rate_Hz) for duration_s, _ in segments]
    level_mA = np.repeat([float(level) for _, level in segments], counts)
    noise = np.random.default_rng(seed).normal(0.0, noise_mA, len(level_mA))
    return Trace(np.arange(len(level_mA)) / rate_Hz, level_mA + noise, Kind.MODELLED)
