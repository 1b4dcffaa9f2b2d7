"""Requantization as the kernels do it: mode and constants of each channel (``p2b_channel_t``).

The fast form needs one high word of a 32 × 32-bit product instead of TFLite's 64-bit double rounding. With
``e = −shift``, ``h = ⌊acc · 2^6 · multiplier / 2^32⌋``:

    TFLite: round-half-up(acc · multiplier / 2^31) = (h + 16) >> 5, then a division by 2^e, ties away from zero
    fast:   (h + 16 + 2^(4+e) + zero_point · 2^(5+e)) >> (5 + e)

Both are equal where the first rounding is not negative. Where it is, ties go the other way: h must first lose
32 (``FAST_SIGNED``), which does not matter if the clamp begins at the zero point (``FAST``).
"""

from enum import IntEnum

import numpy as np

LIMIT = 1 << 25
"""The fast forms hold for accumulators below this magnitude."""


class Mode(IntEnum):
    """``P2B_REQUANT_FAST``, ``P2B_REQUANT_FAST_SIGNED``, ``P2B_REQUANT_EXACT`` of p2b_kernels.h."""

    FAST = 0
    FAST_SIGNED = 1
    EXACT = 2


def channels(
    pairs: list[tuple[int, int]],
    bias: np.ndarray,
    largest: np.ndarray,
    zero_point: int,
    low: int,
    *,
    requires_tflite_rounding: bool = False,
) -> tuple[Mode, np.ndarray]:
    """Return the mode of a layer and its channels, int32 (out, 4): bias, multiplier, rounding, shift.

    ``pairs``: TFLite's (multiplier, shift) of each channel; ``bias``: int64, taken modulo 2^32; ``largest``: the
    greatest magnitude that each channel's accumulator can have; ``zero_point``, ``low``: of the output.
    """
    fits = not requires_tflite_rounding and all(
        multiplier > 0 and 1 <= -shift <= 16 and int(magnitude) < LIMIT
        for (multiplier, shift), magnitude in zip(pairs, largest, strict=True)
    )
    rows = []
    for (multiplier, shift), value in zip(pairs, bias.tolist(), strict=True):
        if fits:
            rounding, right = 16 + (1 << (4 - shift)) + zero_point * (1 << (5 - shift)), 5 - shift
            rows.append((value, multiplier, rounding, right))
        else:
            rows.append((value, multiplier, zero_point, shift))
    mode = Mode.EXACT if not fits else Mode.FAST if low >= zero_point else Mode.FAST_SIGNED
    return mode, np.array(rows, np.int64).astype(np.uint32).view(np.int32).reshape(-1, 4)
