"""A data set's files, made by the preparer of its kind."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paper2board.acquire.datasets.base import Dataset, PreparedDataset, Split
from paper2board.acquire.scenes import SceneSet


@dataclass(frozen=True)
class Inputs:
    """What a preparer may use beside the set's own configuration."""

    needed: Mapping[str, Dataset] = field(default_factory=dict)
    """The sets that the set needs, by name."""
    files: Mapping[Split, Sequence[Path]] = field(default_factory=dict)
    """Their prepared files, by split."""
    mirror: Path | None = None
    """The configured mirror."""


@dataclass(frozen=True)
class Prepared:
    """A data set as scenes, and where it came from."""

    train: SceneSet
    test: SceneSet
    provenance: dict[str, Any]
    """Plain data for ``provenance.json``: ``dataset``, ``delivered_by``, ``source``, and the kind's own notes."""

    def __getitem__(self, split: Split) -> SceneSet:
        return self.train if split == "train" else self.test


def prepare(dataset: PreparedDataset, inputs: Inputs) -> Prepared:
    """Return ``dataset`` as its kind prepares it; raise :class:`UserError` if that cannot be done."""
    prepared: Prepared = importlib.import_module(dataset.preparer).prepare(dataset, inputs)
    return prepared
