"""What a task brings to evaluation: from stored outputs of the test set to evidence.

A task's own class is ``Scoring`` in its module ``scores``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence
from paper2board.tasks.loading import required_part
from paper2board.tasks.outputs import OutputLayout

Run = TypeVar("Run")
"""One network's outputs, of one seed, compared with the truth; each task has its own type."""


@dataclass(frozen=True)
class ScoredNetwork(Generic[Run]):
    """A variant under a quantization scheme: its runs, one a seed, and what their evidence says of them."""

    variant: str
    runs: Sequence[Run]
    seeds: tuple[int, ...]
    method: str
    """How the outputs were computed."""
    chain: dict[str, str]
    float32: bool = False
    """Whether it is the variant as trained, nothing quantized."""


@dataclass(frozen=True)
class Details:
    """What is reported of one network only: further metrics, and the contents of JSON files by their names.

    The report draws ``confusion.json`` and ``precision_recall.json`` (:mod:`paper2board.report.figures`).
    """

    metrics: dict[str, Evidence] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)


class ScoringTask(ABC, Generic[Run]):
    """How a task's outputs are scored on the test set."""

    score_name: str
    """First part of the main score's name (:attr:`paper2board.tasks.protocol.Task.score`)."""
    lower_is_better: bool = False
    """The main score is an error; a gain is how much smaller it became."""

    @abstractmethod
    def compare(self, outputs: np.ndarray, layout: OutputLayout, examples: Examples, where: str) -> Run:
        """Return a run: ``outputs`` (N×K, float32 or int8) compared with the truth of the N ``examples``.

        Raise :class:`~paper2board.core.errors.UserError`, naming the file ``where``, if they are of another
        network.
        """

    @abstractmethod
    def score(self, network: ScoredNetwork[Run]) -> Evidence:
        """Return the main score."""

    def metrics(self, name: str, network: ScoredNetwork[Run]) -> dict[str, Evidence]:
        """Return every score of a network, the main one among them: ``{score}.{name}`` and so on."""
        return {f"{self.score_name}.{name}": self.score(network)}

    def gain(self, before: ScoredNetwork[Run], after: ScoredNetwork[Run], method: str) -> Evidence:
        """Return the gain in the main score on the same images.

        Only called for tasks whose scores are compared (:attr:`paper2board.tasks.protocol.Task.compared`).
        """
        raise NotImplementedError

    def details(
        self,
        networks: Mapping[str, ScoredNetwork[Run]],
        shown: str,
        model: str,
        examples: Examples,
        classes: Sequence[str],
    ) -> Details:
        """Return what is reported of the network ``shown`` (a key of ``networks``) alone; by default nothing.

        ``model``: its ``variant.scheme``, for captions. ``classes``: the data set's.
        """
        return Details()


def scoring_task(task: str) -> ScoringTask[Any]:
    """Return the scoring part of ``task``."""
    made: ScoringTask[Any] = required_part(task, "scores").Scoring()
    return made
