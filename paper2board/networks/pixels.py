"""What networks see of an image: its pixels fitted to the input, and as integers.

There is one way to bring pixels to another size, the mean of the area: of w × h pixels that become W × H ones,
source column j covers [j · W, (j + 1) · W) and target column i [i · w, (i + 1) · w), rows likewise; a byte is
⌊(Σ overlap across · overlap down · byte + ⌊w · h / 2⌋) / (w · h)⌋. Devices compute the same
(``firmware/app/p2b_fit.h``).
"""

import numpy as np
from numpy.typing import NDArray

from paper2board.core.errors import UserError
from paper2board.core.photo_fit import BORDER, PhotoFit

PIXEL_SCALE = 1 / 64
"""Real value of one grey level; with zero point 0 the int8 input is exactly ``pixel − 128``."""

LUMA = (299, 587, 114)
"""Thousandths of red, green, blue in BT.601's luma."""
_BLOCK_PIXELS = 1 << 16
"""Resized at a time: bounds memory."""


def to_int8(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 pixels (any shape) as the integer networks see them: ``pixel − 128``, int8."""
    return (pixels ^ 0x80).view(np.int8)


def fit_photo(photo: NDArray[np.uint8], fit: PhotoFit) -> NDArray[np.uint8]:
    """Return ``photo``, uint8 (rows, columns, 3), as an image, uint8 (``fit.height``, ``fit.width``, 3).

    A network's input is made of the image by :func:`fit_images`. Devices do both.
    """
    rows, columns = photo.shape[:2]
    place = fit.place(columns, rows)
    seen, filled = place.seen, place.filled
    part = photo[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
    image = np.full((fit.height, fit.width, 3), BORDER, dtype=np.uint8)
    means = _means(part[None], (3, filled.height, filled.width))[0]
    image[filled.top : filled.top + filled.height, filled.left : filled.left + filled.width] = means
    return image


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
    return _means(images, shape)


def _means(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the means over areas of ``images`` as in :func:`fit_images`."""
    channels, height, width = shape
    rows, columns = images.shape[1:3]
    weight = 1 if channels == 3 else sum(LUMA)
    whole = weight * rows * columns
    across, down = _coverage(columns, width, weight * columns).T, _coverage(rows, height, whole)
    result = np.empty((len(images), height, width, channels), dtype=np.uint8)
    batch, band = max(1, _BLOCK_PIXELS // (rows * columns)), max(1, _BLOCK_PIXELS // columns)
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        narrow = np.empty((len(some), channels, rows, width), dtype=down.dtype)
        for top in range(0, rows, band):
            part = some[:, top : top + band].transpose(0, 3, 1, 2).astype(across.dtype, order="C")
            if channels == 1:
                part = np.tensordot(part, np.array(LUMA, dtype=across.dtype), axes=([1], [0]))[:, None]
            narrow[:, :, top : top + band] = part @ across
        sums = (down @ narrow).astype(np.int64)
        result[start : start + batch] = ((2 * sums + whole) // (2 * whole)).transpose(0, 2, 3, 1)
    return result


def _coverage(before: int, after: int, whole: int) -> NDArray[np.floating]:
    """Return how much of each of ``before`` pixels each of ``after`` covers, (after, before), in 1/``after``.

    Along an axis of ``before`` · ``after`` units a pixel spans ``after`` units before and ``before`` after, so
    every row adds up to ``before``. The type holds sums of up to 255 · ``whole`` exactly.
    """
    old, new = np.arange(before) * after, np.arange(after)[:, None] * before
    overlap = np.minimum(old + after, new + before) - np.maximum(old, new)
    return np.maximum(overlap, 0).astype(np.float32 if 255 * whole <= 1 << 24 else np.float64)
