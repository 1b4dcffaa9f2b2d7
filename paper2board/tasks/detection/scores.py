"""From stored outputs of detectors to evidence: the part that :mod:`paper2board.tasks.scoring` loads."""

from collections.abc import Mapping, Sequence

import numpy as np

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence
from paper2board.tasks.detection.average_precision import Detections
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.metrics import (
    DetectionRun,
    class_metrics,
    confusion,
    gain_evidence,
    precision_evidence,
    precision_recall,
)
from paper2board.tasks.detection.stored import found_boxes, truths
from paper2board.tasks.detection.task import DETECTION
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.scenes import required_scenes
from paper2board.tasks.scoring import Details, ScoredNetwork, ScoringTask

COUNTED = (
    "objects and answers; cells are percentages of the true class, in the last row of answers where nothing is."
    " Each half of the images counts answers from the score with the best F1 on the other half"
)
"""What a confusion matrix counts."""


class Scoring(ScoringTask[DetectionRun]):
    """Decoding and NMS in float, COCO's average precision; bootstrap over the images for one seed, Student's t over
    several; gains are paired over the same images.

    Precision, recall and confusions count boxes from a score that each half of the images gets from the other
    half: that with the best F1 there.
    """

    score_name = DETECTION.score

    def compare(
        self, outputs: np.ndarray, layout: OutputLayout, examples: Examples, where: str
    ) -> DetectionRun:
        grid = Grid.of(layout.input, layout.output)
        found, truth = found_boxes(outputs, layout, where), truths(required_scenes(examples), grid)
        return DetectionRun.of(Detections(found, truth, grid.classes))

    def score(self, network: ScoredNetwork[DetectionRun]) -> Evidence:
        return precision_evidence(network.runs, "map50", network.seeds, network.method, network.chain)

    def metrics(self, name: str, network: ScoredNetwork[DetectionRun]) -> dict[str, Evidence]:
        runs, seeds, chain = network.runs, network.seeds, network.chain
        on = f"{network.method}, {{}} on the test images"
        return {
            f"map50.{name}": precision_evidence(runs, "map50", seeds, on.format("mAP@0.5"), chain),
            f"map.{name}": precision_evidence(runs, "map", seeds, on.format("mAP@[.5:.95]"), chain),
        }

    def gain(
        self, before: ScoredNetwork[DetectionRun], after: ScoredNetwork[DetectionRun], method: str
    ) -> Evidence:
        return gain_evidence(before.runs, after.runs, after.seeds, method)

    def details(
        self,
        networks: Mapping[str, ScoredNetwork[DetectionRun]],
        shown: str,
        model: str,
        examples: Examples,
        classes: Sequence[str],
    ) -> Details:
        """Return each class's scores, ``confusion.json`` and ``precision_recall.json``, of the first seed."""
        network = networks[shown]
        run = network.runs[0]
        prefix = f"detection.{network.variant}"
        names, matrix = confusion(run, examples.names(classes))
        curves = precision_recall(
            {name: its.runs[0] for name, its in networks.items()}, shown, examples.names(classes)
        )
        return Details(
            class_metrics(run, classes, network.seeds[0], prefix, network.chain),
            {
                "confusion.json": {"variant": model, "classes": names, "matrix": matrix, "counted": COUNTED},
                "precision_recall.json": curves,
            },
        )
