"""Evidence of a detector: average precision, gains, each class's precision and recall.

Intervals of average precision resample images; all detectors are resampled alike, so that gains are paired.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from paper2board.core.evidence import Evidence, measured
from paper2board.core.statistics import percentile_interval, t_interval, wilson_percent
from paper2board.tasks.detection.average_precision import Detections

DRAWS = 1000
SEED = 0
"""Of the bootstrap: one for all detectors."""
BACKGROUND = "background"
Precision = Literal["map50", "map"]
"""mAP@0.5, or COCO's mean over the thresholds 0.5 … 0.95."""


@dataclass(frozen=True)
class DetectionRun:
    """What a detector found on the test scenes, and its average precision over the bootstrap's draws, float64
    draws×classes×thresholds."""

    detections: Detections
    draws: np.ndarray

    @classmethod
    def of(cls, detections: Detections) -> "DetectionRun":
        """Draw the bootstrap of ``detections``."""
        return cls(detections, detections.resampled(SEED, DRAWS))

    def precision(self, what: Precision) -> tuple[float, np.ndarray]:
        """Return mAP@0.5 or COCO's mAP in %, and its draws."""
        its = slice(1) if what == "map50" else slice(None)
        whole = self.detections.average_precision()[:, its]
        return 100 * float(np.nanmean(whole)), 100 * np.nanmean(self.draws[:, :, its], (1, 2))


# --- average precision and gains ------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A percentage, its 95 % interval, how that was come by, and over how many observations."""

    value: float
    interval: tuple[float, float]
    interval_method: str
    n: int

    def evidence(self, method: str, seeds: Sequence[int], chain: dict[str, str], unit: str = "%") -> Evidence:
        """Return it as evidence."""
        spread = self.interval, self.interval_method
        return measured(self.value, unit, method, n=self.n, spread=spread, seeds=seeds, chain=chain)


def precision_evidence(
    runs: Sequence[DetectionRun], what: Precision, seeds: Sequence[int], method: str, chain: dict[str, str]
) -> Evidence:
    """Return one detector's average precision in %, one run a seed.

    One seed: percentile interval of a bootstrap over the images. Several: Student's t over the seeds.
    """
    values, draws = zip(*[run.precision(what) for run in runs], strict=True)
    images = sum(run.detections.images for run in runs)
    return _over_seeds(values, draws[0], "bootstrap", images).evidence(method, seeds, chain)


def gain_evidence(
    before: Sequence[DetectionRun], after: Sequence[DetectionRun], seeds: Sequence[int], method: str
) -> Evidence:
    """Return the gain in mAP@0.5, percentage points, on the same images.

    One seed: bootstrap of the paired difference over the images, which does not cover the luck of the seed.
    Several: Student's t over the seeds' differences.
    """
    pairs = [
        (early.precision("map50"), late.precision("map50")) for early, late in zip(before, after, strict=True)
    ]
    values = [late[0] - early[0] for early, late in pairs]
    draws = pairs[0][1][1] - pairs[0][0][1]
    images = sum(run.detections.images for run in after)
    return _over_seeds(values, draws, "paired bootstrap", images).evidence(
        method, seeds, {}, "percentage points"
    )


def _over_seeds(values: Sequence[float], draws: np.ndarray, name: str, images: int) -> Estimate:
    """Return the mean of ``values``, one a seed; ``draws`` are the first seed's bootstrap, used if it is alone."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, percentile_interval(draws), f"95 % of a {name} over images, one seed", images)
    return Estimate(mean, t_interval(np.array(values)), f"Student's t 95 % over {len(values)} seeds", images)


# --- each class -----------------------------------------------------------------------------------------


def slug(name: str) -> str:
    """Return a class's name as a part of a metric's name: ``traffic light`` → ``traffic-light``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def class_metrics(
    run: DetectionRun, classes: Sequence[str], seed: int, prefix: str, chain: dict[str, str]
) -> dict[str, Evidence]:
    """Return ``{prefix}.{class}.{ap50,precision,recall}`` of one run; a class without true boxes has none, one
    that was never found no precision. Score thresholds are cross-fitted, see ``Detections.fitted_scores``."""
    scores = run.detections.fitted_scores()
    condition = counting_rule(scores)
    precisions = 100 * run.detections.average_precision()[:, 0]
    metrics = {}
    counts = run.detections.counts(scores).tolist()
    for kind, (name, (correct, found, true)) in enumerate(zip(classes, counts, strict=True)):
        if not true:
            continue
        bounds = percentile_interval(100 * run.draws[:, kind, 0])
        average = Estimate(
            float(precisions[kind]), bounds, "95 % of a bootstrap over images", run.detections.images
        )
        parts = {
            "ap50": (average, "average precision at IoU >= 0.5"),
            "recall": (share(correct, true), f"true boxes found with {condition}"),
        }
        if found:
            parts["precision"] = share(correct, found), f"answers that are right, with {condition}"
        for what, (estimate, method) in parts.items():
            metrics[f"{prefix}.{slug(name)}.{what}"] = estimate.evidence(method, [seed], chain)
    return metrics


def counting_rule(scores: np.ndarray) -> str:
    """Return which boxes count, in words. ``scores``: ``Detections.fitted_scores``, alternating between the
    halves."""
    both = " or ".join(f"{score:.3f}" for score in scores[:2].tolist())
    return (
        f"IoU >= 0.5 and a score of at least {both}, for images at even or odd positions: the best F1 of all"
        " classes on the other half"
    )


def share(count: int, whole: int) -> Estimate:
    """Return ``count`` of ``whole`` boxes with Wilson's interval, as if the boxes of a scene were independent."""
    return Estimate(100 * count / whole, wilson_percent(count, whole), "Wilson 95 % over boxes", whole)


def confusion(run: DetectionRun, classes: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Return the names, background last, and counts[true][found] at the scores of ``Detections.fitted_scores``."""
    return [*classes, BACKGROUND], run.detections.confusion(run.detections.fitted_scores()).tolist()


def precision_recall(runs: Mapping[str, DetectionRun], device: str, classes: Sequence[str]) -> dict[str, Any]:
    """Return what ``detection_figures.Curves`` reads: precision at IoU ≥ 0.5 at the 101 recalls, the mean over the
    classes of each run, and every class of the run called ``device``."""
    curves = {name: run.detections.curves() for name, run in runs.items()}
    known = np.isfinite(curves[device]).all(1)
    return {
        "device": device,
        "networks": {name: np.nanmean(curve, 0).tolist() for name, curve in curves.items()},
        "classes": {
            name: curve.tolist()
            for name, curve, has_truth in zip(classes, curves[device], known, strict=True)
            if has_truth
        },
    }
