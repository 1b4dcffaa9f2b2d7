"""FOMO (Edge Impulse): every cell of a grid says which class of object has its centre there, or background.

Cells are ``stride`` pixels wide. Channel 0 of the network's output is background, channel k + 1 class k. A box
counts by its centre alone, so two objects in one cell are one to FOMO, and their sizes are not told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from scipy import ndimage
from torch import Tensor

OBJECT_WEIGHT = 100.0
"""How much more a cell with an object counts than background; Edge Impulse's default."""
THRESHOLD = 0.5
"""Least probability of a cell that is believed; Edge Impulse's default."""
_NEIGHBOURS = np.ones((3, 3), int)
"""Cells that touch, also at a corner, belong together."""


def assign_centroids(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], rows: int, columns: int, stride: int
) -> Tensor:
    """Return the targets of N images, int64 N×rows×columns: 0 background, class + 1 in the cell of a box's centre.

    ``boxes`` are float M×4 (x1, y1, x2, y2 in pixels of the network's input), ``labels`` int64 M. Of several
    centres in one cell the largest box's is written, the first of equals. Raise ValueError for a centre outside
    the grid.
    """
    targets = torch.zeros(len(boxes), rows, columns, dtype=torch.int64)
    for image, (its_boxes, its_labels) in enumerate(zip(boxes, labels, strict=True)):
        by_area = sorted(
            zip(its_boxes.tolist(), its_labels.tolist(), strict=True),
            key=lambda item: (item[0][2] - item[0][0]) * (item[0][3] - item[0][1]),
            reverse=True,
        )
        for (x1, y1, x2, y2), label in reversed(by_area):  # the strongest claim is written last
            x, y = (x1 + x2) / 2 / stride, (y1 + y2) / 2 / stride
            if not (0 <= x <= columns and 0 <= y <= rows):
                raise ValueError(
                    f"a box's centre, cell ({y:.1f}, {x:.1f}), lies outside {rows} x {columns} cells"
                )
            targets[image, min(int(y), rows - 1), min(int(x), columns - 1)] = label + 1
    return targets


def centroid_loss(
    output: Tensor, targets: Tensor, label_smoothing: float = 0.0, object_weight: float = OBJECT_WEIGHT
) -> Tensor:
    """Return the weighted cross entropy of N×(1 + classes)×rows×columns logits and N×rows×columns targets.

    A cell with an object weighs ``object_weight``, background 1; the sum is divided by the weights' sum, where Edge
    Impulse divides by the number of cells, so that its size does not depend on how many objects there are.
    """
    weight = torch.full((output.shape[1],), object_weight, dtype=output.dtype)
    weight[0] = 1
    return F.cross_entropy(output, targets, weight, label_smoothing=label_smoothing)


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
