"""The catalogue of metrics: which names the report may use, their units and who produces them."""

from itertools import product
from pathlib import Path
from re import split
from typing import Literal

from pydantic import BaseModel, ConfigDict

from paper2board.errors import UserError
from paper2board.study import load_yaml

Stage = Literal["acquire", "train", "compress", "convert", "firmware", "capture", "energy", "report"]


class Metric(BaseModel):
    """One line of the catalogue; ``name`` may hold ``{a,b}`` alternatives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: str
    stage: Stage
    meaning: str
    optional: bool = False
    """A run may lack it without a fault."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[Metric, ...]


def read_catalogue(path: str | Path) -> dict[str, Metric]:
    """Read a catalogue into its full names; raise :class:`UserError` if it is malformed or repeats a name."""
    catalogue: dict[str, Metric] = {}
    for metric in load_yaml(path, _File).metrics:
        for name in expand(metric.name):
            if name in catalogue:
                raise UserError(f"{path}: the metric {name} is listed twice; remove one")
            catalogue[name] = metric
    return catalogue


def expand(pattern: str) -> list[str]:
    """Return the names that ``pattern`` stands for, as a shell expands braces: ``a.{b,c}`` → a.b, a.c."""
    parts = split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(combination) for combination in product(*choices)]
