"""Samples that an instrument lost: what stands for them in its file, and how many there are.

A lost sample has no row, no number, the number of the sample before it, or a number that stands for none: zero, −1,
the end of the converter's range. The last two kinds are told from currents by what surrounds them:

- A *marker* is a value that comes and goes within three samples, while the samples around it stay at another level,
  far from it compared to their noise. At zero that is enough: a board draws its current through capacitors, and no
  sleep is that short. Any other value has to be the same each time, and to be −1 in the file's unit, the end of a
  converter's range, or the lowest value of all.
- A *repeated* sample equals the one before it. In noise that the file resolves, equal neighbours are as frequent as
  neighbours that differ by one, two, … steps; what exceeds that by far was repeated. Where the noise is not
  resolved, equal neighbours are natural and nothing is said.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label, median_filter

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MARKER_RUN = 3
"""Samples; what lasts longer may be a state of the board."""
_AROUND = 21
"""Samples from which level and noise around a sample are taken."""
_FAR = 10.0
"""Times the noise that a marker is off the level around it."""
_ENDS = tuple(end for bits in (15, 16, 23, 24, 31, 32) for end in (2**bits - 1, 2**bits))
"""Ends of converters' ranges."""
NO_NUMBER = 1e30
"""Nothing is as large; instruments write 9.91e37 for a number that they do not have."""
_STEPS = 2
"""Steps of the file that the smallest resolved noise spans, for equal neighbours to be judged."""
_EXCESS = 1.5
"""Times the expected number of equal neighbours, and …"""
_DEVIATIONS = 6.0
"""… standard deviations above it, from which on samples were repeated."""
_HELD = 0.4
"""Share of equal neighbours from which on the logger was faster than the instrument."""


class Lost(NamedTuple):
    """Which samples are lost, by the reason."""

    missing_numbers: Mask
    markers: Mask
    repeated: Mask
    notes: tuple[str, ...]
    """What cannot be decided."""

    @property
    def where(self) -> Mask:
        """All that hold no current."""
        return self.missing_numbers | self.markers | self.repeated


def find_lost(current_mA: Floats, voltage_V: Floats | None, active: Mask | None, unit_mA: float) -> Lost:
    """Return which samples of a recording are lost.

    Args:
        current_mA: the current.
        voltage_V: the supply voltage, where it was recorded.
        active: level of the pin, where it was recorded; a board that infers draws a current.
        unit_mA: one unit of the file's column of the current.
    """
    with np.errstate(invalid="ignore"):
        absent = ~np.isfinite(current_mA) | (np.abs(current_mA) >= NO_NUMBER)
        if voltage_V is not None:
            absent |= ~np.isfinite(voltage_V) | (np.abs(voltage_V) >= NO_NUMBER)
    here = np.flatnonzero(~absent)
    markers, repeated = np.zeros_like(absent), np.zeros_like(absent)
    notes: tuple[str, ...] = ()
    if len(here) > _AROUND:
        found = _markers(current_mA[here], unit_mA)
        if voltage_V is not None:
            found |= _markers(voltage_V[here], 1.0)
        if active is not None:
            found |= (current_mA[here] == 0) & active[here] & _draws_well(current_mA[here], active[here])
        markers[here] = found
        zeros = int((current_mA[here][~found] == 0).sum())
        if zeros:
            notes += (f"{zeros} samples are exactly 0 mA: below the instrument's resolution, or lost",)
        kept = here[~found]
        equal, held = _repeated(current_mA[kept])
        repeated[kept] = equal
        if held:
            notes += (
                f"the instrument is slower than its file: {held:.0%} of the samples repeat the one before",
            )
    return Lost(absent, markers, repeated, notes)


def _markers(values: Floats, unit: float) -> Mask:
    """Return where a value comes and goes that stands for no number."""
    level = median_filter(values, _AROUND, mode="nearest")
    noise = median_filter(np.abs(values - level), _AROUND, mode="nearest") / 0.6745
    step = _step(values)
    off = np.abs(values - level)
    apart = (off > _FAR * np.maximum(noise, step)) & (off > np.abs(level) / 2) & (level != 0)
    runs, _ = label(apart)
    found = np.zeros(len(values), bool)
    for (run,) in find_objects(runs):
        if run.stop - run.start <= _MARKER_RUN and run.start > 0 and run.stop < len(values):
            found[run] = True
    candidates, counts = np.unique(values[found], return_counts=True)
    lowest, highest = values.min(), values.max()
    above = values[found & (values > level)]
    resolved = step > 0 and np.median(noise) > _STEPS * step

    def stands_for_none(value: float, count: int) -> bool:
        if value == 0:
            return True
        ends = value == -unit or any(np.isclose(_mantissa(value), _mantissa(end), rtol=1e-9) for end in _ENDS)
        if value < 0:
            return ends or (value == lowest and count > 1)
        if value == lowest or count == 1:
            return False
        # Peaks of a radio differ like all else, if the file resolves the noise.
        return value == highest and (ends or (resolved and count > 2 and (above == value).all()))

    markers = [
        value for value, count in zip(candidates, counts, strict=True) if stands_for_none(value, count)
    ]
    return found & np.isin(values, markers)


def _draws_well(current_mA: Floats, active: Mask) -> bool:
    """Return whether what the board draws while it infers is far above a step of the file."""
    drawn = current_mA[active & (current_mA != 0)]
    return bool(len(drawn) and np.median(drawn) > _FAR * _step(current_mA))


def _mantissa(value: float) -> float:
    return abs(value) / 10.0 ** np.floor(np.log10(abs(value)))


def _step(values: Floats) -> float:
    """Return the smallest difference between two values of a recording, rounding left aside; 0 if there is none."""
    steps = np.diff(np.unique(values))
    steps = steps[steps > 1e-7 * max(np.abs(values).max(), 1e-300)]
    return float(steps.min()) if len(steps) else 0.0


def _repeated(values: Floats) -> tuple[Mask, float]:
    """Return where a sample repeats the one before it, or else the share in which an instrument that is slower than
    its file does so."""
    none = np.zeros(len(values), bool)
    change = np.abs(np.diff(values))
    equal, step = change == 0, _step(values)
    if not equal.any() or equal.all() or not step:
        return none, 0.0
    # Noise around each sample, from the changes alone: a sample that is repeated makes none.
    changes = change[~equal]
    noise = median_filter(changes, _AROUND, mode="nearest")[np.maximum(np.cumsum(~equal) - 1, 0)]
    reach = np.floor(noise / 2 / step)
    judged = reach >= _STEPS
    # A state of the board that the file does not resolve, as sleep, is at another level than the noise before it.
    runs, _ = label(equal)
    for (run,) in find_objects(runs):
        before = values[max(run.start - 10, 0) : run.start]
        extreme = values[run.start] in (values.min(), values.max(), 0.0)
        if extreme or not len(before) or abs(values[run.start] - np.median(before)) > 6 * noise[run.start]:
            judged[run] = False
    near = judged & ~equal & (change <= reach * step * (1 + 1e-6))
    expected = float((1 / (2 * np.maximum(reach, 1)))[near].sum())
    seen = int((equal & judged).sum())
    if not near.any() or seen < _EXCESS * expected or seen < expected + _DEVIATIONS * np.sqrt(expected + 1):
        return none, 0.0
    if (share := float(equal.mean())) >= _HELD:
        return none, share
    return np.concatenate([[False], equal & judged]), 0.0
