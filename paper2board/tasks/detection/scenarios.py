"""Evidence of a detector under perturbations of the test scenes."""

import numpy as np

from paper2board.core.evidence import Evidence
from paper2board.core.statistics import percentile_interval
from paper2board.tasks.detection.average_precision import Detections
from paper2board.tasks.detection.metrics import DetectionRun, Estimate, counting_rule, share


def scenario_metrics(
    detections: Detections, scores: np.ndarray, name: str, seed: int, method: str, chain: dict[str, str]
) -> dict[str, Evidence]:
    """Return ``scenario.{name}.map50`` and ``.detection-rate``: the share of true boxes found with their class at
    IoU ≥ 0.5 by boxes with at least their scene's score in ``scores``, the ``Detections.fitted_scores`` of the
    unchanged scenes in the same order."""
    value, draws = DetectionRun.of(detections).precision("map50")
    average = Estimate(
        value, percentile_interval(draws), "95 % of a bootstrap over images", detections.images
    )
    correct, _, true = detections.counts(scores).sum(0).tolist()
    found = f"true boxes found with their class at {counting_rule(scores)} of the unchanged scenes, {method}"
    return {
        f"scenario.{name}.map50": average.evidence(f"mAP@0.5, {method}", [seed], chain),
        f"scenario.{name}.detection-rate": share(correct, true).evidence(found, [seed], chain),
    }
