"""Ranges of ``fake_quant`` from which TensorFlow's converter computes given integers."""

import itertools

import numpy as np


def fake_quant_range(scale: float, zero_point: int, lowest: int, highest: int) -> tuple[float, float]:
    """Return float32 (min, max) from which the converter computes exactly ``scale`` and ``zero_point``.

    It takes (max − min) / (highest − lowest) in double and rounds to float32, so the nearest float32 to
    scale · (q − zero_point) is now and then one unit off; its neighbours are tried. Without success the
    nearest is returned, and the comparison after conversion finds the difference.
    """
    target = np.float32(scale)
    nearest = [float(np.float32(float(target) * (q - zero_point))) for q in (lowest, highest)]
    # So small a shift (a hundred-thousandth of a step) leaves the zero point where it is.
    quarter = float(np.spacing(np.float32(max(map(abs, nearest))))) / 4
    near = sorted(range(-8, 9), key=abs)
    for i, j in itertools.product(near, near):
        low, high = np.float32(nearest[0] + i * quarter), np.float32(nearest[1] + j * quarter)
        step = (float(high) - float(low)) / (highest - lowest)
        if low <= 0 <= high and np.float32(step) == target:
            return float(low), float(high)
    return nearest[0], nearest[1]
