"""Evidence of a detector: average precision, gains, each class's precision and recall, scenarios.

Outputs come as stored logits, N × (rows · columns · channels) in NHWC order (float32, or int8 of an integer model).
Intervals of average precision resample images; all detectors are resampled alike, so that gains are paired.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from paper2board.acquire.scenes import SceneSet
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.model.tensor import Tensor
from paper2board.tasks.classification.scores import CONFIDENCE, t_interval
from paper2board.tasks.detection.boxes import (
    Boxes,
    Detections,
    Quantization,
    decode,
    decode_int8,
    int8_tables,
    suppress,
    suppress_int8,
    true_boxes,
)
from paper2board.tasks.detection.grid import Grid

DRAWS = 1000
SEED = 0
"""Of the bootstrap: one for all detectors."""
BACKGROUND = "background"
Precision = Literal["map50", "map"]
"""mAP@0.5, or COCO's mean over the thresholds 0.5 … 0.95."""


@dataclass(frozen=True)
class Judged:
    """A detector's answers on the test scenes, and its average precision over the bootstrap's draws, float64
    draws×classes×thresholds."""

    detections: Detections
    draws: np.ndarray

    @classmethod
    def of(cls, detections: Detections) -> "Judged":
        """Judge ``detections``."""
        return cls(detections, detections.resampled(SEED, DRAWS))

    def precision(self, what: Precision) -> tuple[float, np.ndarray]:
        """Return mAP@0.5 or COCO's mAP in %, and its draws."""
        its = slice(1) if what == "map50" else slice(None)
        whole = self.detections.average_precision()[:, its]
        return 100 * float(np.nanmean(whole)), 100 * np.nanmean(self.draws[:, :, its], (1, 2))


# --- from stored outputs to boxes -----------------------------------------------------------------------


def truths(scenes: SceneSet, grid: Grid) -> list[Boxes]:
    """Return each scene's true boxes in pixels of the network's input, to which a scene is stretched.

    Raise :class:`UserError` if there is no object at all: nothing could be told of a detector then.
    """
    if not len(scenes.classes):
        raise UserError(
            f"{scenes.origin}: the test scenes hold no object; take more of them or another data set"
        )
    height, width = scenes.images.shape[1:3]
    scale = np.array([grid.width / width, grid.height / height] * 2)
    return [true_boxes(scene.boxes * scale, scene.classes) for scene in scenes]


def found_boxes(grid: Grid, logits: np.ndarray, output: Tensor | None, where: str) -> list[Boxes]:
    """Return what a network found, after NMS, in pixels of its input.

    ``output``: the integer model's output, whose scale and zero point make int8 ``logits`` real; None for float32.
    """
    _check_size(grid, logits, where)
    if (logits.dtype == np.int8) != (output is not None):
        raise UserError(f"{where} is {logits.dtype}, unlike its model's outputs; delete it and run again")
    values = logits.astype(np.float32)
    if output is not None:
        values = np.float32(output.scale) * (values - output.zero_point)
    cells = values.reshape(-1, grid.rows, grid.columns, grid.channels).transpose(0, 3, 1, 2)
    return [suppress(found) for found in decode(grid, cells)]


def device_boxes(grid: Grid, outputs: np.ndarray, scale: float, zero_point: int, where: str) -> list[Boxes]:
    """Return what the device finds, in its own integers (``firmware/app/p2b_boxes.h``), from int8 N×values."""
    _check_size(grid, outputs, where)
    tables = int8_tables(grid, Quantization(scale, zero_point))
    cells = outputs.reshape(-1, grid.rows, grid.columns, grid.channels)
    return [suppress_int8(tables, found).pixels() for found in decode_int8(tables, cells)]


def _check_size(grid: Grid, outputs: np.ndarray, where: str) -> None:
    if outputs.shape[1] != grid.rows * grid.columns * grid.channels:
        raise UserError(
            f"{where} has {outputs.shape[1]} values an image, not {grid.rows} x {grid.columns} cells of"
            f" {grid.channels}; delete it and run again"
        )


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
        return Evidence(
            **vars(self), unit=unit, kind=Kind.MEASURED, method=method, seeds=tuple(seeds), chain=chain
        )


def precision_evidence(
    runs: Sequence[Judged], what: Precision, seeds: Sequence[int], method: str, chain: dict[str, str]
) -> Evidence:
    """Return one detector's average precision in %, one run a seed.

    One seed: percentile interval of a bootstrap over the images. Several: Student's t over the seeds.
    """
    values, draws = zip(*[run.precision(what) for run in runs], strict=True)
    images = sum(run.detections.images for run in runs)
    return _over_seeds(values, draws[0], "bootstrap", images).evidence(method, seeds, chain)


def gain_evidence(
    before: Sequence[Judged], after: Sequence[Judged], seeds: Sequence[int], method: str
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
        return Estimate(mean, _percentiles(draws), f"95 % of a {name} over images, one seed", images)
    return Estimate(mean, t_interval(np.array(values)), f"Student's t 95 % over {len(values)} seeds", images)


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)


# --- each class -----------------------------------------------------------------------------------------


def slug(name: str) -> str:
    """Return a class's name as a part of a metric's name: ``traffic light`` → ``traffic-light``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def class_metrics(
    run: Judged, classes: Sequence[str], seed: int, prefix: str, chain: dict[str, str]
) -> dict[str, Evidence]:
    """Return ``{prefix}.{class}.{ap50,precision,recall}`` of one run; a class without true boxes has none, one
    without answers no precision. Score thresholds are cross-fitted, see ``Detections.fitted_scores``."""
    scores = run.detections.fitted_scores()
    condition = _condition(scores)
    precisions = 100 * run.detections.average_precision()[:, 0]
    metrics = {}
    counts = run.detections.counts(scores).tolist()
    for kind, (name, (right, said, wanted)) in enumerate(zip(classes, counts, strict=True)):
        if not wanted:
            continue
        bounds = _percentiles(100 * run.draws[:, kind, 0])
        average = Estimate(
            float(precisions[kind]), bounds, "95 % of a bootstrap over images", run.detections.images
        )
        parts = {
            "ap50": (average, "average precision at IoU >= 0.5"),
            "recall": (share(right, wanted), f"true boxes found with {condition}"),
        }
        if said:
            parts["precision"] = share(right, said), f"answers that are right, with {condition}"
        for what, (estimate, method) in parts.items():
            metrics[f"{prefix}.{slug(name)}.{what}"] = estimate.evidence(method, [seed], chain)
    return metrics


def _condition(scores: np.ndarray) -> str:
    """Say which answers count; ``scores`` are those of ``Detections.fitted_scores``, in turns of either half."""
    both = " or ".join(f"{score:.3f}" for score in scores[:2].tolist())
    return (
        f"IoU >= 0.5 and a score of at least {both}, for images at even or odd positions: the best F1 of all"
        " classes on the other half"
    )


def share(count: int, whole: int) -> Estimate:
    """Return ``count`` of ``whole`` boxes with Wilson's interval, as if the boxes of a scene were independent."""
    low, high = proportion_confint(count, whole, alpha=1 - CONFIDENCE, method="wilson")
    return Estimate(
        100 * count / whole, (100 * float(low), 100 * float(high)), "Wilson 95 % over boxes", whole
    )


def confusion(run: Judged, classes: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Return the names, background last, and counts[true][answer] at the scores of ``Detections.fitted_scores``."""
    return [*classes, BACKGROUND], run.detections.confusion(run.detections.fitted_scores()).tolist()


def precision_recall(runs: Mapping[str, Judged], device: str, classes: Sequence[str]) -> dict[str, Any]:
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


# --- scenarios ------------------------------------------------------------------------------------------


def scenario_metrics(
    detections: Detections, scores: np.ndarray, name: str, seed: int, method: str, chain: dict[str, str]
) -> dict[str, Evidence]:
    """Return ``scenario.{name}.map50`` and ``.detection-rate``: the share of true boxes found with their class at
    IoU ≥ 0.5 by answers with at least their scene's score in ``scores``, the ``Detections.fitted_scores`` of the
    unchanged scenes in the same order."""
    value, draws = Judged.of(detections).precision("map50")
    average = Estimate(value, _percentiles(draws), "95 % of a bootstrap over images", detections.images)
    right, _, wanted = detections.counts(scores).sum(0).tolist()
    found = f"true boxes found with their class at {_condition(scores)} of the unchanged scenes, {method}"
    return {
        f"scenario.{name}.map50": average.evidence(f"mAP@0.5, {method}", [seed], chain),
        f"scenario.{name}.detection-rate": share(right, wanted).evidence(found, [seed], chain),
    }
