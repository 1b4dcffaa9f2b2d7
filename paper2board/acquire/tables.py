"""Rows of numbers: the record form of tabular data, and its file.

A feature x is standardised, z = (x − mean) / deviation, with mean and deviation of the training rows, and coded
in one byte, 128 + round(32 z), clipped to 0 … 255: four deviations either way, 32 steps a deviation. A network gets
the byte as it gets a pixel's; a device computes it in the same way. Halves round to even.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper2board.acquire.split_file import read_split, write_split

FORMAT = "paper2board table 1"
STEPS = 32
"""Of the code, in one deviation."""
ZERO = 128
"""The code of the mean."""


@dataclass(frozen=True)
class Column:
    """A column, and what standardises it. Raise :class:`ValueError` for a deviation that is not positive."""

    name: str
    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not np.isfinite(self.mean):
            raise ValueError("a column has no name or mean")
        if not 0 < self.deviation < np.inf:
            raise ValueError(f"column {self.name} has deviation {self.deviation}")

    def standardised(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the column in deviations from its mean."""
        return (values - self.mean) / self.deviation

    def restored(self, standardised: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return values of the column, float64, from their standardised form."""
        return self.mean + self.deviation * standardised.astype(np.float64)

    def codes(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return values of the column in the code that networks get."""
        return np.clip(ZERO + np.rint(STEPS * self.standardised(values)), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class TableSet:
    """Rows of numbers. Raise :class:`ValueError` on construction if the arrays contradict each other."""

    codes: NDArray[np.uint8]
    """(rows, features)."""
    targets: NDArray[np.float64]
    """(rows,), in ``unit``."""
    features: tuple[Column, ...]
    target: Column
    unit: str
    """Of the target."""
    origin: str
    """What the rows are, in words that a report can print."""

    def __post_init__(self) -> None:
        if self.codes.dtype != np.uint8 or self.targets.dtype != np.float64:
            raise ValueError(f"codes are {self.codes.dtype}, targets {self.targets.dtype}")
        rows = len(self.targets) if self.targets.ndim == 1 else -1
        if self.codes.shape != (rows, len(self.features)):
            raise ValueError(f"codes have shape {self.codes.shape}, targets {self.targets.shape}")
        if not np.isfinite(self.targets).all():
            raise ValueError("a target is not finite")
        if not isinstance(self.unit, str) or not isinstance(self.origin, str):
            raise ValueError("unit or origin is missing")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def images(self) -> NDArray[np.uint8]:
        """(rows, features, 1, 1): the codes as images, a feature a row of one pixel."""
        return self.codes[:, :, None, None]

    def first(self, count: int) -> "TableSet":
        """Return the first rows."""
        return replace(self, codes=self.codes[:count], targets=self.targets[:count])

    def write(self, path: str | Path) -> None:
        """Write the rows atomically to ``path`` as safetensors; the same set gives the same bytes."""
        about = {
            "features": [asdict(column) for column in self.features],
            "target": asdict(self.target),
            "unit": self.unit,
            "code": f"clip({ZERO} + round({STEPS} * (x - mean) / deviation), 0, 255)",
            "origin": self.origin,
        }
        write_split(path, FORMAT, about, {"codes": self.codes, "targets": self.targets})

    @property
    def summary(self) -> str:
        """How much it holds, and its origin."""
        return f"{len(self)} rows of {len(self.features)} features; {self.origin}"


def read_table_set(path: str | Path) -> TableSet:
    """Read what :meth:`TableSet.write` wrote; raise :class:`UserError` if it is missing, damaged or foreign."""
    return read_split(path, FORMAT, "table rows", ("codes", "targets"), _table_set)


def _table_set(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TableSet:
    features = tuple(Column(**column) for column in about["features"])
    return TableSet(
        **arrays,
        features=features,
        target=Column(**about["target"]),
        unit=about["unit"],
        origin=about["origin"],
    )
