"""What networks see of a pixel."""

import numpy as np

PIXEL_SCALE = 1 / 64
"""Real value of one grey level; with zero point 0 the int8 input is exactly ``pixel − 128``."""


def to_int8(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 pixels (any shape) as the integer networks see them: ``pixel − 128``, int8."""
    return (pixels ^ 0x80).view(np.int8)
