"""How good found centroids are: matching to the truth, precision, recall and F1 with intervals."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from paper2board.acquire.scenes import SceneSet
from paper2board.core.evidence import Evidence, measured
from paper2board.core.statistics import percentile_interval, t_interval
from paper2board.tasks.centroids.decode import Centroids, decode_centroids
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.seeds import measurements

DRAWS = 2000
"""Of the bootstrap."""
MAX_DISTANCE = 0.2
"""Farthest that a found centre may lie from the true one, as a share of the image's sides; Edge Impulse's."""
Score = Literal["f1", "precision", "recall"]
SCORES: tuple[Score, ...] = ("f1", "precision", "recall")


def stride(layout: OutputLayout) -> int:
    """Return the side of a cell in pixels of the input, as in training."""
    return -(-layout.input[2] // layout.output[2])


def size(layout: OutputLayout) -> tuple[int, int]:
    """Return width and height of the input, pixels."""
    return layout.input[2], layout.input[1]


def found_centroids(outputs: np.ndarray, layout: OutputLayout) -> list[Centroids]:
    """Decode N×K outputs (order row, column, channel), float32 or int8, to centres in pixels of the input.

    Raise ValueError if K is not the number of the cells' channels.
    """
    channels, rows, columns = layout.output
    if outputs.ndim != 2 or outputs.shape[1] != math.prod(layout.output):
        raise ValueError(f"outputs are {outputs.shape}, not N x {math.prod(layout.output)}")
    values = outputs.reshape(-1, rows, columns, channels).astype(np.float64)
    scale = 1.0 if layout.scale is None else layout.scale
    return decode_centroids(scale * (values - layout.zero_point), stride(layout))


def truths(scenes: SceneSet, layout: OutputLayout) -> list[Centroids]:
    """Return each scene's true centres in pixels of the network's input, to which a scene is stretched."""
    height, width = scenes.images.shape[1:3]
    input_width, input_height = size(layout)
    scale = np.array([input_width / width, input_height / height] * 2)
    return [true_centroids(scene.boxes * scale, scene.classes) for scene in scenes]


def true_centroids(boxes: np.ndarray, labels: np.ndarray) -> Centroids:
    """Return the centres of M×4 boxes (x1, y1, x2, y2) as :class:`Centroids`; empty lists are fine."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    labels = np.asarray(labels, np.int64)
    return Centroids((boxes[:, :2] + boxes[:, 2:]) / 2, labels, np.ones(len(labels)))


def match(found: Centroids, truth: Centroids, size: tuple[int, int]) -> int:
    """Return how many found centres are right in an image of ``size`` (width, height) pixels.

    A centre is right if it can be paired with a true one of its class that lies within :data:`MAX_DISTANCE`
    (Euclidean, x in widths, y in heights). Pairs are one to one, as many as possible; Edge Impulse lets
    several found centres share a true one, which forgives counting an object twice.
    """
    if not len(found) or not len(truth):
        return 0
    apart = (found.points[:, None] - truth.points[None]) / np.array(size)
    near = np.linalg.norm(apart, axis=-1) <= MAX_DISTANCE
    pairs = near & (found.labels[:, None] == truth.labels)
    return int(pairs[linear_sum_assignment(pairs, maximize=True)].sum())


def counts(found: Sequence[Centroids], truth: Sequence[Centroids], size: tuple[int, int]) -> np.ndarray:
    """Return int64 images×3: centres that are right, found, and true."""
    return np.array(
        [[match(a, b, size), len(a), len(b)] for a, b in zip(found, truth, strict=True)], np.int64
    ).reshape(-1, 3)


def precision(counts: np.ndarray) -> float:
    """Return the share of found centres that are right; 0 if none was found."""
    right, found, _ = counts.sum(0)
    return float(right / found) if found else 0.0


def recall(counts: np.ndarray) -> float:
    """Return the share of true centres that were found; 0 if there are none."""
    right, _, true = counts.sum(0)
    return float(right / true) if true else 0.0


def f1(counts: np.ndarray) -> float:
    """Return the harmonic mean of precision and recall, over all objects of all classes and images together."""
    right, found, true = counts.sum(0)
    return float(2 * right / (found + true)) if found + true else 0.0


_FUNCTIONS: dict[Score, Callable[[np.ndarray], float]] = {"f1": f1, "precision": precision, "recall": recall}


def score_evidence(
    score: Score, counts: Sequence[np.ndarray], seeds: Sequence[int], method: str, chain: dict[str, str]
) -> Evidence:
    """Return a score in % with its interval. ``counts``: one images×3 array a seed (:func:`counts`).

    One seed, or all the same: percentile bootstrap over images. Several: Student's t over the seeds' scores.
    """
    counts, which = measurements(counts)
    function = _FUNCTIONS[score]
    values = np.array([100 * function(one) for one in counts])
    if len(values) == 1:
        draws = _bootstrap(function, counts[0])
        spread = percentile_interval(draws), f"bootstrap 95 % over images ({DRAWS} draws), {which}"
    else:
        spread = t_interval(values), f"Student's t 95 % over {which}"
    n = sum(len(one) for one in counts)
    return measured(float(values.mean()), "%", method, n=n, spread=spread, seeds=seeds, chain=chain)


def _bootstrap(function: Callable[[np.ndarray], float], counts: np.ndarray) -> list[float]:
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(counts), size=(DRAWS, len(counts)))
    return [100 * function(counts[chosen]) for chosen in drawn]
