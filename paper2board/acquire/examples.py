"""Prepared files of every kind as labelled examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.acquire import scenes, tables
from paper2board.acquire.cifar10 import load_files
from paper2board.acquire.scenes import SceneSet, read_scenes
from paper2board.acquire.split_file import split_format
from paper2board.acquire.tables import TableSet, read_table_set
from paper2board.core.errors import UserError


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled examples of one size."""

    images: NDArray[np.uint8]
    """(n, height, width, channels): what networks see, 3 channels RGB."""
    labels: NDArray[np.int64]
    """(n,): the class; of a scene, the one whose boxes have the largest total area, −1 if it shows no object; 0
    of a row of a table."""
    scenes: SceneSet | None
    """The same images with their boxes; None where there are none."""
    origin: str
    """What the images are, in words that a report can print."""
    table: TableSet | None = None
    """The same examples as rows of numbers; None where they are images."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(n,): whether an image shows an object, so that a classifier can be judged by it."""
        return self.labels >= 0

    def required_table(self) -> TableSet:
        """Return the rows of numbers; raise :class:`UserError` if the examples are others."""
        if self.table is None:
            raise UserError(
                f"{self.origin} has no numbers to predict; name a data set of kind table in the study"
            )
        return self.table

    def names(self, default: Sequence[str]) -> list[str]:
        """Return the classes' names: those of the file, for it may hold a stand-in, else ``default``."""
        return list(default if self.scenes is None else self.scenes.names)


def load_examples(files: Sequence[str | Path], limit: int | None = None) -> Examples:
    """Read one split's prepared files: ``.bin`` (kind ``cifar10``) in order, or one ``.safetensors`` of a format in
    :data:`READERS`.

    ``limit`` keeps the first examples. Raise :class:`UserError` if a file is missing or damaged, or if the files
    are of another kind.
    """
    paths = [Path(file) for file in files]
    if paths and all(path.suffix == ".bin" for path in paths):
        images, labels = load_files(paths, limit)
        return Examples(images, labels, None, paths[0].parent.name)
    if len(paths) != 1 or paths[0].suffix != ".safetensors":
        raise UserError(
            f"{', '.join(map(str, paths)) or 'no file'}: give CIFAR-10's .bin files, or one .safetensors file"
        )
    file_format = split_format(paths[0])
    if file_format not in READERS:
        raise UserError(f"{paths[0]} states the unknown format {file_format!r}; remove it and run again")
    return READERS[file_format](paths[0], limit)


def _scene_examples(path: Path, limit: int | None) -> Examples:
    found = read_scenes(path)
    if limit is not None and limit < len(found):
        found = found.take(np.arange(limit))
    return Examples(found.images, label_scenes(found), found, found.origin)


def _table_examples(path: Path, limit: int | None) -> Examples:
    rows = read_table_set(path)
    if limit is not None:
        rows = rows.first(limit)
    return Examples(rows.images, np.zeros(len(rows), np.int64), None, rows.origin, rows)


READERS: dict[str, Callable[[Path, int | None], Examples]] = {
    scenes.FORMAT: _scene_examples,
    tables.FORMAT: _table_examples,
}
"""How a ``.safetensors`` file is read, by the format that it states. New content has its reader here."""


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
