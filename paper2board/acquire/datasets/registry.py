"""All kinds of data sets, and the one way to read a file of config/datasets.

A new kind is a file beside this one and a line in :data:`KINDS` (docs/contributing/dataset-kind.md).
"""

from collections.abc import Iterable
from pathlib import Path

from paper2board.acquire.datasets.base import Dataset
from paper2board.acquire.datasets.boxes import BoxesDataset
from paper2board.acquire.datasets.cifar10 import Cifar10Dataset
from paper2board.acquire.datasets.folders import FoldersDataset
from paper2board.acquire.datasets.scenes import ScenesDataset
from paper2board.acquire.datasets.table import TableDataset
from paper2board.core.configuration import read_yaml

KINDS: dict[str, type[Dataset]] = {
    "cifar10": Cifar10Dataset,
    "scenes": ScenesDataset,
    "boxes": BoxesDataset,
    "folders": FoldersDataset,
    "table": TableDataset,
}
"""By the value of the key ``kind``."""


def read_dataset(path: str | Path) -> Dataset:
    """Read a data set's YAML file, and those beside it that it builds on, for its classes.

    Raise :class:`UserError` naming the first key that is wrong.
    """
    path = Path(path)
    return _parse(path).completed(path, _parse)


def read_datasets(names: Iterable[str], folder: str | Path = "config/datasets") -> dict[str, Dataset]:
    """Read the named data sets of ``folder`` and all that they build on, by name."""
    read: dict[str, Dataset] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop(0)
        if name not in read:
            read[name] = read_dataset(Path(folder) / f"{name}.yaml")
            waiting.extend(read[name].needs)
    return read


def _parse(path: Path) -> Dataset:
    document = read_yaml(path)
    dataset = document.validated(document.chosen("kind", KINDS))
    if dataset.name != path.stem:
        document.refuse(
            ("name",), f"name: {dataset.name} must be the file's name, {path.stem}; rename either"
        )
    return dataset
