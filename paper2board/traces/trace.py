"""Current traces: a board's supply current over time, as an instrument recorded it, and whether it is fit for use.

A synthetic trace says so in its first line, and whatever is computed from it is ``modelled``, never ``measured``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper2board.boards.board import Board
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.core.files import write_text
from paper2board.traces.columns import UNSTATED, TraceColumns
from paper2board.traces.instruments import SYNTHETIC, Recording, read_text
from paper2board.traces.jls import is_jls, read_jls
from paper2board.traces.lost import NO_NUMBER, find_lost

HEADER = "time_s,current_mA"
MIN_SAMPLES = 100
"""Fewer samples are no trace of an inference at any useful rate."""
MAX_DROPPED = 0.001
"""Share of missing samples above which a capture is invalid (the limit of EEMBC's EnergyRunner)."""
GAP_INTERVALS = 10
"""A step of time longer than so many sampling intervals is a clock gap."""
_CEILING_RUN = 5
"""Samples; shorter runs of equal maxima happen by chance."""
_CEILING_LONGER = 4
"""Times the longest run of any other value."""
_RESOLVED_STEPS = 1.5
"""Smallest changes of the current to its median change, above which the converter resolves the noise."""


@dataclass(frozen=True)
class Trace:
    """Supply current over time; equally long arrays, float64 but for ``active``, time strictly increasing."""

    time_s: NDArray[np.float64]
    current_mA: NDArray[np.float64]
    kind: Kind
    voltage_V: NDArray[np.float64] | None = None
    """Supply voltage, where the instrument recorded it."""
    active: NDArray[np.bool_] | None = None
    """Level of the pin that marks inferences, where the instrument recorded it."""
    notes: tuple[str, ...] = ()
    """What whoever uses a number from this trace is to know: the instrument, what is not quite right."""
    name: str = "current trace"
    """How messages call it: the file's path."""


def read_trace(path: str | Path, stated: TraceColumns = UNSTATED) -> Trace:
    """Read and check a trace in any format of :mod:`paper2board.traces.instruments` and ``instrument_jls``.

    Raises:
        UserError: the file is not understood, the trace is too short, time does not increase, more than 0.1 % of
            the samples are missing or lost, or the instrument was saturated.
    """
    recording = read_jls(path, stated) if is_jls(path) else read_text(path, stated)
    recording, unjudged = _regular(path, recording)
    notes = [f"recorded by {recording.instrument}"] if recording.instrument else []
    return Trace(
        recording.time_s,
        recording.current_mA,
        Kind.MODELLED if recording.synthetic else Kind.MEASURED,
        recording.voltage_V,
        recording.active,
        (*notes, *recording.notes, *unjudged, *_noted_gaps(recording.time_s)),
        str(path),
    )


def _regular(path: str | Path, recording: Recording) -> tuple[Recording, tuple[str, ...]]:
    """Return a recording without the samples that the instrument lost, and what is to be noted of them.

    Refuse one that is too short, whose time does not increase, or that lost more than 0.1 % in all ways together.
    """
    time_s = recording.time_s
    if len(time_s) < MIN_SAMPLES:
        raise UserError(f"{path}: {len(time_s)} samples, at least {MIN_SAMPLES} are needed; record longer")
    timed = np.isfinite(time_s)
    if not timed.any():
        raise UserError(f"{path}: sample 1 is not finite in time; export time as a number")
    # Of equal times the first sample counts.
    latest_s = np.fmax.accumulate(np.where(timed, time_s, -np.inf))
    before_s = np.concatenate([[-np.inf], latest_s[:-1]])
    back, again = timed & (time_s < before_s), timed & (time_s == before_s)
    if back.any() or again.mean() > MAX_DROPPED:
        raise UserError(
            f"{path}: time does not increase at sample {_first(back | again)}; record without a clock reset, and "
            "export time with more digits"
        )
    at = np.flatnonzero(timed & ~again)
    with np.errstate(over="ignore"):
        missing = _missing(np.diff(time_s[at])) if len(at) > 1 else 0.0
    whole = _part(recording, at)
    unjudged = _check(path, whole)
    lost = find_lost(whole.current_mA, whole.voltage_V, whole.active, whole.unit_mA)
    counts = {
        "missing": missing,
        "without a number": int(lost.missing_numbers.sum()) + int((~timed).sum()),
        "markers such as 0 or -1": int(lost.markers.sum()),
        "repeated": int(lost.repeated.sum()),
        "of a time that was there": int(again.sum()),
    }
    total = sum(counts.values())
    told = ", ".join(f"{count:.0f} {what}" for what, count in counts.items() if count)
    share = total / (missing + len(time_s)) if np.isfinite(missing) else 1.0
    if share > MAX_DROPPED:
        where = f"; the first is sample {at[_first(lost.where) - 1] + 1}" if lost.where.any() else ""
        raise UserError(
            f"{path}: {share:.2%} of the samples are missing or lost ({told}{where}), at most {MAX_DROPPED:.1%} "
            "may be; record at a lower rate, or with a finer clock, and choose a larger range"
        )
    notes = (f"samples missing or lost: {told}",) if total else ()
    return _part(recording, at[~lost.where]), (*unjudged, *notes, *lost.notes)


def _part(recording: Recording, at: NDArray[np.intp]) -> Recording:
    """Return these samples of a recording."""
    voltage_V, active = recording.voltage_V, recording.active
    return replace(
        recording,
        time_s=recording.time_s[at],
        current_mA=recording.current_mA[at],
        voltage_V=None if voltage_V is None else voltage_V[at],
        active=None if active is None else active[at],
    )


def _check(path: str | Path, recording: Recording) -> tuple[str, ...]:
    """Refuse a saturated recording; return what is to be noted of another."""
    ceiling, notes = _saturated(recording)
    if ceiling is not None:
        raise UserError(
            f"{path}: the instrument is saturated at {recording.current_mA[ceiling]:g} mA, "
            f"{recording.time_s[ceiling]:g} s; choose a larger range, export without the start-up, or state the "
            "range as 'full_scale_mA'"
        )
    return notes


def _first(where: NDArray[np.bool_]) -> int:
    """Return the number, from 1, of the first sample that is True."""
    return int(np.argmax(where)) + 1


def _missing(steps: NDArray[np.float64]) -> float:
    """Return how many samples are missing between those present, at the median sampling interval."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.maximum(np.round(steps / np.median(steps)) - 1, 0).sum())


def _saturated(recording: Recording) -> tuple[int | None, tuple[str, ...]]:
    """Return the index of the first sample at the instrument's ceiling, or None, and what is to be noted.

    Where the full scale is unknown, a run of samples that all equal the maximum is taken for it, if no other value
    lasts nearly as long and the noise spans several steps of the converter. A calm or coarsely quantised current
    that stays at its maximum is not judged but noted: cut without any noise it would look the same.
    """
    current = recording.current_mA
    current = np.where(np.isfinite(current) & (np.abs(current) < NO_NUMBER), current, 0.0)
    if recording.full_scale_mA is not None:
        over = np.abs(current) >= recording.full_scale_mA
        return (_first(over) - 1 if over.any() else None), ()
    starts = np.flatnonzero(np.diff(current, prepend=np.nan))
    lengths, levels = np.diff(starts, append=len(current)), current[starts]
    highest = np.where(levels == levels.max(), lengths, 0)
    others = np.where(levels == levels.max(), 0, lengths)
    with np.errstate(over="ignore"):
        changes = np.abs(np.diff(levels))
    if highest.max() < max(_CEILING_RUN, _CEILING_LONGER * others.max()):
        return None, ()
    if not len(changes) or np.median(changes) <= _RESOLVED_STEPS * changes.min():
        return None, ("saturation cannot be judged; state full_scale_mA",)
    return int(starts[highest.argmax()]), ()


def clock_gaps(time_s: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the indices of the samples that a clock gap follows."""
    steps = np.diff(time_s)
    return np.flatnonzero(steps > GAP_INTERVALS * np.median(steps))


def _noted_gaps(time_s: NDArray[np.float64]) -> tuple[str, ...]:
    gaps = clock_gaps(time_s)
    if not len(gaps):
        return ()
    steps_ms = 1e3 * (time_s[gaps + 1] - time_s[gaps])
    longest = steps_ms.argmax()
    return (
        f"clock gaps: {len(gaps)}, the longest {steps_ms[longest]:.3g} ms at {time_s[gaps[longest]]:g} s",
    )


def write_trace(path: str | Path, trace: Trace) -> None:
    """Write a trace in the form that :func:`read_trace` reads, atomically; time counts from the first sample.

    Nine digits distinguish the times of 10⁸ samples, and more than an instrument resolves.
    """
    columns: dict[str, tuple[str, NDArray[Any]]] = {
        "time_s": (".9g", trace.time_s - trace.time_s[0]),
        "current_mA": (".9g", trace.current_mA),
    }
    if trace.voltage_V is not None:
        columns["voltage_V"] = (".9g", trace.voltage_V)
    if trace.active is not None:
        columns["gpio"] = ("d", trace.active)
    forms = [form for form, _ in columns.values()]
    lines = [",".join(columns)] if trace.kind is Kind.MEASURED else [SYNTHETIC, ",".join(columns)]
    lines += [
        ",".join(map(format, row, forms))
        for row in zip(*(values.tolist() for _, values in columns.values()), strict=True)
    ]
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
    segments = [(board.active_window.boot_s / 2, 2 * board.active_window.current_max_mA)]
    segments += [(board.active_window.boot_s / 2 + gap_s, idle)]
    for duration_s in inferences_s:
        segments += [(duration_s, active), (gap_s, idle)]
    counts = [round(duration_s * rate_Hz) for duration_s, _ in segments]
    level_mA = np.repeat([float(level) for _, level in segments], counts)
    noise = np.random.default_rng(seed).normal(0.0, noise_mA, len(level_mA))
    return Trace(np.arange(len(level_mA)) / rate_Hz, level_mA + noise, Kind.MODELLED)
