"""What networks see of an image: its pixels fitted to the input, and as integers."""

import numpy as np
from numpy.typing import NDArray

from paper2board.core.errors import UserError

PIXEL_SCALE = 1 / 64
"""Real value of one grey level; with zero point 0 the int8 input is exactly ``pixel − 128``."""

LUMA = (299, 587, 114)
"""Thousandths of red, green, blue in BT.601's luma."""
_BATCH = 64
"""Images resized at a time: bounds memory."""


def to_int8(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 pixels (any shape) as the integer networks see them: ``pixel − 128``, int8."""
    return (pixels ^ 0x80).view(np.int8)


def fit_images(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return what a network with the input ``shape`` (channels, height, width) sees of ``images``.

    ``images`` is uint8 (n, rows, columns, 3); the result uint8 (n, height, width, channels), the pixels that
    the device gets. Images of that shape, whatever it is, come back as they are. Otherwise each pixel is the mean
    of the area it covers, the image being stretched if its aspect is another; with one channel, of BT.601's luma
    0.299 R + 0.587 G + 0.114 B. Halves round up. The sums are of integers that their type holds, hence exact and
    the same everywhere. Raise :class:`UserError` for another number of channels than 1 or 3, and for examples of
    another shape that are no RGB images.
    """
    channels, height, width = shape
    rows, columns, planes = images.shape[1:]
    if shape == (planes, rows, columns):
        return images
    if planes != 3:
        raise UserError(
            f"the network's input is {shape}, the data set's examples are {(planes, rows, columns)} and no images"
            " that can be resized; write that as the input"
        )
    if channels not in (1, 3) or min(height, width) < 1:
        raise UserError(f"the network's input is {shape}; give it 1 or 3 channels and a height and width")
    whole = rows * columns * (1 if channels == 3 else sum(LUMA))
    exact: type[np.floating] = np.float32 if 255 * whole <= 1 << 24 else np.float64
    down, across = _coverage(rows, height).astype(exact), _coverage(columns, width).astype(exact)
    result = np.empty((len(images), height, width, channels), dtype=np.uint8)
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH].transpose(0, 3, 1, 2).astype(exact, order="C")
        if channels == 1:
            part = np.tensordot(part, np.array(LUMA, dtype=exact), axes=([1], [0]))[:, None]
        # (height, rows) · (rows, columns) · (columns, width), a channel each
        sums = (down @ part) @ across.T
        means = (2 * sums.astype(np.int64) + whole) // (2 * whole)
        result[start : start + _BATCH] = means.transpose(0, 2, 3, 1)
    return result


def _coverage(before: int, after: int) -> NDArray[np.float64]:
    """Return how much of each of ``before`` pixels each of ``after`` covers, (after, before), in 1/``after``.

    Along an axis of ``before`` · ``after`` units a pixel spans ``after`` units before and ``before`` after, so
    every row adds up to ``before``.
    """
    old, new = np.arange(before) * after, np.arange(after)[:, None] * before
    overlap = np.minimum(old + after, new + before) - np.maximum(old, new)
    return np.maximum(overlap, 0).astype(np.float64)
