"""Boxes of one image and their overlaps, as arrays: (x1, y1, x2, y2), pixels unless said otherwise."""

from dataclasses import dataclass

import numpy as np

from paper2board.tasks.detection.grid import BOX

MAX_DETECTIONS = 100
"""Of one image that count; COCO's."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image: ``boxes`` float64 M×4 (pixels), ``labels`` int64 M, ``scores`` float64 M in 0 … 1
    (1 for true boxes)."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> "Boxes":
        """Return the boxes at ``index`` (positions or a mask), in that order."""
        return Boxes(self.boxes[index], self.labels[index], self.scores[index])


def true_boxes(boxes: np.ndarray, labels: np.ndarray) -> Boxes:
    """Return an image's annotation as :class:`Boxes`; empty lists are fine."""
    labels = np.asarray(labels, np.int64)
    return Boxes(np.asarray(boxes, np.float64).reshape(-1, BOX), labels, np.ones(len(labels)))


def intersections_and_unions(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return intersections and unions, len(a)×len(b)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return shared, area_a[:, None] + area_b - shared


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU of all pairs, float64 len(a)×len(b)."""
    shared, union = intersections_and_unions(a, b)
    return shared / np.maximum(union, 1e-12)


def keep_greedily(order: np.ndarray, rivals: np.ndarray, limit: int) -> np.ndarray:
    """Return the positions that greedy suppression keeps, at most ``limit``, int64.

    In the given ``order``, each is kept that has no rival (bool M×M) among those kept before.
    """
    kept: list[int] = []
    for index in order:
        if len(kept) < limit and not rivals[index, kept].any():
            kept.append(int(index))
    return np.array(kept, np.int64)
