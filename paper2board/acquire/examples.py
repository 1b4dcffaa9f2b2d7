"""Prepared files of every kind as labelled images, and what a network sees of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.acquire.cifar10 import load_files
from paper2board.acquire.scenes import SceneSet, read_scenes
from paper2board.errors import UserError

LUMA = (299, 587, 114)
"""Thousandths of red, green, blue in BT.601's luma."""
_BATCH = 64
"""Images resized at a time: bounds memory."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images of one size."""

    images: NDArray[np.uint8]
    """(n, height, width, 3), RGB."""
    labels: NDArray[np.int64]
    """(n,): the class; of a scene, the one whose boxes have the largest total area, −1 if it shows no object."""
    scenes: SceneSet | None
    """The same images with their boxes; None where there are none."""
    origin: str
    """What the images are, in words that a report can print."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(n,): whether an image shows an object, so that a classifier can be judged by it."""
        return self.labels >= 0

    def names(self, default: Sequence[str]) -> list[str]:
        """Return the classes' names: those of the file, for it may hold a stand-in, else ``default``."""
        return list(default if self.scenes is None else self.scenes.names)


def load_examples(files: Sequence[str | Path], limit: int | None = None) -> Examples:
    """Read one split's prepared files: ``.bin`` (CIFAR-10) in order, or one ``.safetensors`` (scenes).

    ``limit`` keeps the first images. Raise :class:`UserError` if a file is missing or damaged, or if the files are
    of another kind.
    """
    paths = [Path(file) for file in files]
    if paths and all(path.suffix == ".bin" for path in paths):
        images, labels = load_files(paths, limit)
        return Examples(images, labels, None, "CIFAR-10")
    if len(paths) != 1 or paths[0].suffix != ".safetensors":
        raise UserError(
            f"{', '.join(map(str, paths)) or 'no file'}: give CIFAR-10's .bin files, or one .safetensors file"
        )
    scenes = read_scenes(paths[0])
    if limit is not None and limit < len(scenes):
        scenes = scenes.take(np.arange(limit))
    return Examples(scenes.images, label_scenes(scenes), scenes, scenes.origin)


def label_scenes(scenes: SceneSet) -> NDArray[np.int64]:
    """Return the class of each scene: largest total area of its boxes, of equals the first; −1 without boxes.

    Boxes that overlap count in full.
    """
    counts = np.diff(scenes.offsets)
    corners = scenes.boxes.astype(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    area = np.zeros((len(scenes), len(scenes.names)))
    np.add.at(area, (np.repeat(np.arange(len(scenes)), counts), scenes.classes), sides[:, 0] * sides[:, 1])
    return np.where(counts > 0, area.argmax(axis=1), -1)


def fit_images(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return what a network with the input ``shape`` (channels, height, width) sees of ``images``.

    ``images`` is uint8 (n, rows, columns, 3); the result uint8 (n, height, width, channels), the pixels that
    the device gets. Each is the mean of the area it covers, the picture being stretched if its aspect is
    another; with one channel, of BT.601's luma 0.299 R + 0.587 G + 0.114 B. Halves round up. The sums are of
    integers that their type holds, hence exact and the same everywhere. Images of that shape come back as they
    are. Raise :class:`UserError` for another number of channels than 1 or 3.
    """
    channels, height, width = shape
    if channels not in (1, 3) or min(height, width) < 1:
        raise UserError(f"the network's input is {shape}; give it 1 or 3 channels and a height and width")
    rows, columns = images.shape[1:3]
    if (channels, height, width) == (3, rows, columns):
        return images
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
