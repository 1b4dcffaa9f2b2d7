"""From a grid detector's float output to boxes, and greedy non-maximum suppression (NMS)."""

import numpy as np
import torch

from paper2board.tasks.detection.boxes import MAX_DETECTIONS, Boxes, iou_matrix, keep_greedily
from paper2board.tasks.detection.encoding import decode_boxes
from paper2board.tasks.detection.grid import BOX, Grid


def decode(grid: Grid, output: np.ndarray, score_threshold: float = 0.05) -> list[Boxes]:
    """Decode float N×channels×rows×columns: one box a cell, the likeliest class (first of equals), score
    σ(confidence) · softmax(class), cut at the image; in the cells' order, before NMS."""
    output = np.asarray(output, np.float32)
    if output.ndim != 4 or output.shape[1:] != (grid.channels, grid.rows, grid.columns):
        expected = (grid.channels, grid.rows, grid.columns)
        raise ValueError(f"output must be N x {expected}, not {output.shape}")
    values = torch.from_numpy(output).double()
    cells = decode_boxes(grid, values[:, :BOX]).permute(0, 2, 3, 1).reshape(len(output), -1, BOX).numpy()
    cells = np.clip(cells, 0, [grid.width, grid.height] * 2)
    best, kind = values[:, BOX:-1].softmax(1).max(1)
    scores = (best * values[:, -1].sigmoid()).flatten(1).numpy()
    kinds = values[:, BOX:-1].numpy().argmax(1).reshape(kind.shape[0], -1)
    found = []
    for its_boxes, its_kinds, its_scores in zip(cells, kinds, scores, strict=True):
        keep = (its_scores >= score_threshold) & (its_boxes[:, 2:] > its_boxes[:, :2]).all(1)
        found.append(Boxes(its_boxes[keep], its_kinds[keep], its_scores[keep]))
    return found


def suppress(found: Boxes, iou_threshold: float = 0.5, limit: int = MAX_DETECTIONS) -> Boxes:
    """Greedy NMS within each class: by falling score, first of equals first; drop what overlaps a kept box
    by more than ``iou_threshold``. Return at most ``limit`` boxes, by falling score."""
    order = np.argsort(-found.scores, kind="stable")
    overlaps = iou_matrix(found.boxes, found.boxes) > iou_threshold
    return found.take(keep_greedily(order, overlaps & (found.labels[:, None] == found.labels), limit))
