"""A data set's files, made by the preparer of its kind."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from paper2board.acquire.datasets.base import Dataset, PreparedDataset, Split
from paper2board.acquire.findings import Findings


@dataclass(frozen=True)
class Inputs:
    """What a preparer may use beside the set's own configuration."""

    needed: Mapping[str, Dataset] = field(default_factory=dict)
    """The sets that the set needs, by name."""
    files: Mapping[Split, Sequence[Path]] = field(default_factory=dict)
    """Their prepared files, by split."""
    mirror: Path | None = None
    """The configured mirror."""


class PreparedSplit(Protocol):
    """One split, ready to be stored in a form that :func:`paper2board.acquire.examples.load_examples` reads."""

    def write(self, path: str | Path) -> None:
        """Write the split atomically to ``path`` as safetensors; the same split gives the same bytes."""

    @property
    def summary(self) -> str:
        """How much it holds, and its origin, for the log."""


Stored = TypeVar("Stored", bound=PreparedSplit)


@dataclass(frozen=True)
class Prepared(Generic[Stored]):
    """Both splits of a data set, and where it came from."""

    train: Stored
    test: Stored
    provenance: dict[str, Any]
    """Plain data for ``provenance.json``: ``dataset``, ``delivered_by``, ``source``, and the kind's own notes."""
    findings: Findings = field(default_factory=Findings)
    """What was left out, repaired or converted with loss."""

    def __getitem__(self, split: Split) -> Stored:
        return self.train if split == "train" else self.test


def prepare(dataset: PreparedDataset, inputs: Inputs) -> Prepared[Any]:
    """Return ``dataset`` as its kind prepares it; raise :class:`UserError` if that cannot be done."""
    prepared: Prepared[Any] = importlib.import_module(dataset.preparer).prepare(dataset, inputs)
    return prepared
