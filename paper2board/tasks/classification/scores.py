"""From stored outputs of classifiers to evidence: the part that :mod:`paper2board.tasks.scoring` loads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence
from paper2board.tasks.classification.metrics import (
    accuracy_evidence,
    confusion,
    cross_entropies,
    gain_evidence,
    is_correct,
    loss_evidence,
)
from paper2board.tasks.classification.task import CLASSIFICATION
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.scoring import Details, ScoredNetwork, ScoringTask


@dataclass(frozen=True)
class ClassificationRun:
    """Outputs N×classes, float32 or int8, and int64 (N,) labels of the images that show an object."""

    outputs: np.ndarray
    labels: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool."""
        return is_correct(self.outputs, self.labels)


class Scoring(ScoringTask[ClassificationRun]):
    """Accuracy, and the loss of networks as trained. Wilson's interval for one seed, Student's t over several;
    gains are paired over the same images."""

    score_name = CLASSIFICATION.score

    def compare(
        self, outputs: np.ndarray, layout: OutputLayout, examples: Examples, where: str
    ) -> ClassificationRun:
        return ClassificationRun(outputs[examples.shown], examples.labels[examples.shown])

    def score(self, network: ScoredNetwork[ClassificationRun]) -> Evidence:
        correct = [run.correct for run in network.runs]
        return accuracy_evidence(correct, network.seeds, network.method, network.chain)

    def metrics(self, name: str, network: ScoredNetwork[ClassificationRun]) -> dict[str, Evidence]:
        metrics = super().metrics(name, network)
        if network.float32:
            losses = [cross_entropies(run.outputs, run.labels) for run in network.runs]
            metrics[f"loss.{name}"] = loss_evidence(losses, network.seeds, network.method, network.chain)
        return metrics

    def gain(
        self, before: ScoredNetwork[ClassificationRun], after: ScoredNetwork[ClassificationRun], method: str
    ) -> Evidence:
        early, late = ([run.correct for run in network.runs] for network in (before, after))
        return gain_evidence(early, late, after.seeds, method)

    def details(
        self,
        networks: Mapping[str, ScoredNetwork[ClassificationRun]],
        shown: str,
        model: str,
        examples: Examples,
        classes: Sequence[str],
    ) -> Details:
        """Return ``confusion.json`` of the first seed."""
        run, names = networks[shown].runs[0], examples.names(classes)
        matrix = confusion(run.outputs, run.labels, len(names)).tolist()
        counted = "test images; cells are percentages of the true class"
        content = {"variant": model, "classes": names, "matrix": matrix, "counted": counted}
        return Details(files={"confusion.json": content})
