"""The catalogue of metrics: which names the report may use, their units and who produces them."""

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Literal

from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel
from paper2board.study.schemes import FORMS

Stage = Literal[
    "acquire", "train", "compress", "convert", "firmware", "capture", "evaluate", "energy", "report"
]


class Metric(StrictModel):
    """One line of the catalogue; ``name`` may hold ``{a,b}`` alternatives, ``{form}`` and ``*``."""

    name: str
    unit: str
    stage: Stage
    meaning: str
    data_dependent: bool = False
    """It is another number on other data than the paper's: no claim of it is judged on stand-in data."""
    optional: bool = False
    """A run may lack it without a fault."""


class MetricsFile(StrictModel):
    """A file of reports/metrics: metrics that the report may name."""

    metrics: tuple[Metric, ...]


class Catalogue:
    """All metrics that a report may name; ``*`` in a catalogued name stands for any one part between dots."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = dict(metrics)
        self._patterns = [
            (re.compile(re.escape(name).replace(r"\*", "[a-z0-9_-]+")), metric)
            for name, metric in metrics.items()
            if "*" in name
        ]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __getitem__(self, name: str) -> Metric:
        if (metric := self.find(name)) is None:
            raise KeyError(name)
        return metric

    def find(self, name: str) -> Metric | None:
        """Return the metric called ``name``, an exact name before a pattern; None if there is none."""
        if name in self._metrics:
            return self._metrics[name]
        return next((metric for pattern, metric in self._patterns if pattern.fullmatch(name)), None)


def read_catalogue(folder: str | Path) -> Catalogue:
    """Read all ``*.yaml`` of a folder; raise :class:`UserError` if one is malformed or a name comes twice."""
    catalogue: dict[str, Metric] = {}
    for path in sorted(Path(folder).glob("*.yaml")):
        for metric in load_yaml(path, MetricsFile).metrics:
            for name in expand(metric.name):
                if name in catalogue:
                    raise UserError(f"{path}: the metric {name} is listed twice; remove one")
                catalogue[name] = metric
    return Catalogue(catalogue)


def expand(pattern: str) -> list[str]:
    """Return the names that ``pattern`` stands for, as a shell expands braces: ``a.{b,c}`` → a.b, a.c; ``{form}``
    is every form of a network (:data:`paper2board.study.schemes.FORMS`)."""
    pattern = pattern.replace("{form}", f"{{{','.join(FORMS)}}}")
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(combination) for combination in product(*choices)]
