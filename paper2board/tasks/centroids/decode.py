"""From a FOMO network's output to objects' centres."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

THRESHOLD = 0.5
"""Least probability of a cell that is believed; Edge Impulse's default."""
_NEIGHBOURS = np.ones((3, 3), int)
"""Cells that touch, also at a corner, belong together."""


@dataclass(frozen=True)
class Centroids:
    """Centres in one image: ``points`` float64 M×2 (x, y in pixels of the network's input), ``labels`` int64 M,
    ``scores`` float64 M in 0 … 1."""

    points: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def decode_centroids(logits: np.ndarray, stride: int, threshold: float = THRESHOLD) -> list[Centroids]:
    """Return the centroids of N×rows×columns×(1 + classes) logits (channels last, real values).

    A cell is believed if its softmax exceeds ``threshold`` for the likeliest class and that is not background.
    Believed cells of one class that touch are one object: its centre is the mean of their centres, its score
    the largest of theirs. In the order of classes, then of the first cell by rows.
    """
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    kinds = probabilities.argmax(-1)
    kinds[probabilities.max(-1) <= threshold] = 0
    return [_fuse(kind, its, stride) for kind, its in zip(kinds, probabilities, strict=True)]


def _fuse(kinds: np.ndarray, probabilities: np.ndarray, stride: int) -> Centroids:
    points, labels, scores = [], [], []
    for kind in range(1, probabilities.shape[-1]):
        groups, count = ndimage.label(kinds == kind, _NEIGHBOURS)
        for group in range(1, count + 1):
            rows, columns = np.nonzero(groups == group)
            points.append([(columns.mean() + 0.5) * stride, (rows.mean() + 0.5) * stride])
            labels.append(kind - 1)
            scores.append(probabilities[rows, columns, kind].max())
    return Centroids(
        np.array(points, np.float64).reshape(-1, 2), np.array(labels, np.int64), np.array(scores, np.float64)
    )
