"""Requantization as the kernels do it: mode and constants of each channel (``p2b_channel_t``).

The fast form needs one high word of a 32 × 32-bit product instead of TFLite's 64-bit double rounding. With
``e = −shift``, ``h = ⌊acc · 2^6 · multiplier / 2^32⌋``:

    TFLite: round-half-up(acc · multiplier / 2^31) = (h + 16) >> 5, then a division by 2^e, ties away from zero
    fast:   (h + 16 + 2^(4+e) + zero_point · 2^(5+e)) >> (5 + e)

Both are equal where the first rounding is not negative. Where it is, ties go the other way: h must first lose
32 (``FAST_SIGNED``), which does not matter if the clamp begins at the zero point (``FAST``), as a ReLU's does.

That holds for accumulators below :data:`LIMIT` and shifts of 1 to 18. Trained networks have channels beyond: their
weights are next to nothing and their bias is huge, so their outputs are a constant or take a few values. Such a
channel gets other constants. Both forms are staircases that never fall as the accumulator grows, so they are equal
if each of their steps, 255 at most, is at the same accumulator. :func:`_fitted` makes constants for which that is
so. A channel that has none makes its layer ``MIXED``.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier

LIMIT = 1 << 25
"""The fast forms hold for accumulators below this magnitude."""
_LARGEST_SHIFT = 18
"""Of the known form: its sum fits 32 bits whatever the zero point."""
_SUM_BITS = 30
"""Of the fast form's sum before its shift."""
_OFFSETS = 4096
"""What a channel's accumulators may be moved by beyond what they must, to find constants that fit."""


_EXACT_SHIFT = 96
"""``P2B_EXACT_SHIFT``."""


class Mode(IntEnum):
    """``P2B_REQUANT_FAST`` and so on of p2b_kernels.h."""

    FAST = 0
    FAST_SIGNED = 1
    EXACT = 2
    MIXED = 3


@dataclass(frozen=True, eq=False)
class Requantization:
    """How a layer's accumulators become outputs.

    ``offsets``: int64 (out,), what is added to each channel's accumulators before. ``constants``: int64 (out, 3),
    multiplier, rounding and shift of each channel.
    """

    mode: Mode
    offsets: np.ndarray
    constants: np.ndarray

    def records(self, bias: np.ndarray) -> np.ndarray:
        """Return ``p2b_channel_t`` of each channel, int32 (out, 4); ``bias``: the kernel's, taken modulo 2^32."""
        rows = np.column_stack([bias, self.constants]).astype(np.int64)
        return rows.astype(np.uint32).view(np.int32).reshape(-1, 4)


def exact(pairs: list[tuple[int, int]], zero_point: int) -> Requantization:
    """Return TFLite's arithmetic; ``pairs``: (multiplier, shift) of each channel; ``zero_point``: of the output."""
    constants = np.array([(multiplier, zero_point, shift) for multiplier, shift in pairs], np.int64)
    return Requantization(Mode.EXACT, np.zeros(len(pairs), np.int64), constants)


def fastest(
    pairs: list[tuple[int, int]],
    lowest: np.ndarray,
    highest: np.ndarray,
    zero_point: int,
    low: int,
    high: int,
) -> Requantization:
    """Return the same outputs by the fast form for all channels that have one.

    ``lowest``, ``highest``: int64 (out,), what each channel's accumulators can be; ``low``, ``high``: the output's
    clamp.
    """
    mode = Mode.FAST if low >= zero_point else Mode.FAST_SIGNED
    rows = []
    for pair, least, most in zip(pairs, lowest.tolist(), highest.tolist(), strict=True):
        row = _known(*pair, least, most, zero_point, low) or _fitted(
            *pair, least, most, zero_point, low, high, mode
        )
        rows.append(row)
    if None in rows:
        # Constants for FAST do for FAST_SIGNED: it lowers what negative accumulators give, which is below low.
        mode = Mode.MIXED
        rows = [
            row or (0, multiplier, zero_point, shift + _EXACT_SHIFT)
            for row, (multiplier, shift) in zip(rows, pairs, strict=True)
        ]
    table = np.array(rows, np.int64)
    return Requantization(mode, table[:, 0], table[:, 1:])


_Constants = tuple[int, int, int, int]
"""Offset, multiplier, rounding and shift of a channel."""


def _known(
    multiplier: int, shift: int, lowest: int, highest: int, zero_point: int, low: int
) -> _Constants | None:
    in_range = lowest > -LIMIT and highest < LIMIT and 1 <= -shift <= _LARGEST_SHIFT
    if multiplier > 0 and in_range and zero_point >= low:
        return 0, multiplier, 16 + (1 << (4 - shift)) + zero_point * (1 << (5 - shift)), 5 - shift
    return None


@lru_cache(maxsize=1 << 14)
def _fitted(
    multiplier: int, shift: int, lowest: int, highest: int, zero_point: int, low: int, high: int, mode: Mode
) -> _Constants | None:
    """Return constants whose outputs are TFLite's for all accumulators from ``lowest`` to ``highest``; None if none
    are found.

    ``FAST`` gives ``low`` for accumulators up to 0, so they are moved above it where that would be wrong.
    """
    values = np.arange(low, high + 1)

    def outputs(accumulators: np.ndarray) -> np.ndarray:
        scaled = multiply_by_quantized_multiplier(accumulators, np.int64(multiplier), np.int64(shift))
        return (scaled + zero_point).clip(low, high)

    first, last = outputs(np.array([lowest, highest])).tolist()
    # The step of each value above the first: the least accumulator that gives as much.
    values = values[(values > first) & (values <= last)]
    below, steps = np.full(len(values), lowest), np.full(len(values), highest)
    while (steps - below > 1).any():
        middle = (below + steps) // 2
        reached = outputs(middle) >= values
        below, steps = np.where(reached, below, middle), np.where(reached, middle, steps)

    if mode is Mode.FAST_SIGNED:
        begins = [-lowest, 0]
    elif first > low:
        begins = [1 - lowest]
    else:
        begins = [1 - int(steps[0]) if len(steps) else -highest]
    offsets = np.add.outer(begins, np.arange(_OFFSETS)).ravel()
    offsets = offsets[(lowest + offsets > -LIMIT) & (highest + offsets < LIMIT)]
    if not len(offsets):
        return None
    if not len(steps):
        return int(offsets[0]), 0, 2 * first, 1

    slope = multiplier * 2.0 ** (shift - 31)
    reach = np.maximum(-(lowest + offsets), highest + offsets).max()
    right = int(min(31, _SUM_BITS - np.ceil(np.log2(reach * slope + 256)), 5 - np.frexp(slope)[1]))
    factor = round(slope * 2.0 ** (26 + right))
    if right < 1 or not 0 < factor < 1 << 31:
        return None

    def highs(accumulators: np.ndarray | int) -> np.ndarray:
        """Return what the rounding is added to, for each offset."""
        high = np.add.outer(offsets, accumulators) * factor >> 26
        return high - 32 * (high < -16) if mode is Mode.FAST_SIGNED else high

    # The rounding has to lift every step, and nothing before it, to its value: an interval for each offset.
    least = ((values << right) - highs(steps)).max(1)
    most = ((values << right) - highs(steps - 1)).min(1) - 1
    # No accumulator from 0 on may give less than the clamp.
    least = np.maximum(least, low << right)
    if first > low:
        least = np.maximum(least, (first << right) - highs(lowest))
    if last < high:
        most = np.minimum(most, ((last + 1) << right) - highs(highest) - 1)
    best = int(np.argmax(most - least))
    if most[best] < least[best]:
        return None
    return int(offsets[best]), factor, int(least[best] + most[best]) // 2, right
