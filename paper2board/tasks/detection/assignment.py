"""Which cells are trained for which true boxes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from paper2board.tasks.detection.grid import BOX, Grid


@dataclass(frozen=True)
class Targets:
    """What the cells are trained for: ``boxes`` float32 N×4×rows×columns (any where there is none) and ``labels``
    int64 N×rows×columns, −1 for background."""

    boxes: Tensor
    labels: Tensor

    @property
    def positive(self) -> Tensor:
        """Bool N×rows×columns: the cells that have a box."""
        return self.labels >= 0


def assign(grid: Grid, boxes: list[Tensor], labels: list[Tensor], *, neighbours: bool = True) -> Targets:
    """Return the targets of N images, each with M boxes float M×4 (pixels) and int64 labels M.

    A box belongs to the cell of its centre and, with ``neighbours``, to the nearer cell beside it and the
    nearer one above or below, if the grid has them (YOLOv5's rule: three times the positives, and a centre at
    a cell's border is encoded on both sides). Of several boxes in one cell, one whose centre lies there
    goes before a neighbour's; then the smaller area; then the first. Raise ValueError for bad boxes or labels.
    """
    target = torch.zeros(len(boxes), BOX, grid.rows, grid.columns)
    label = torch.full((len(boxes), grid.rows, grid.columns), -1, dtype=torch.int64)
    for image, (its_boxes, its_labels) in enumerate(zip(boxes, labels, strict=True)):
        _check(grid, its_boxes, its_labels)
        claims = []
        for index, (x1, y1, x2, y2) in enumerate(its_boxes.tolist()):
            x, y = (x1 + x2) / 2 / grid.stride, (y1 + y2) / 2 / grid.stride
            column, row = min(int(x), grid.columns - 1), min(int(y), grid.rows - 1)
            cells = [(0, row, column)]
            if neighbours:
                cells += [(1, row, column + (1 if x - column >= 0.5 else -1))]
                cells += [(1, row + (1 if y - row >= 0.5 else -1), column)]
            area = (x2 - x1) * (y2 - y1)
            claims += [(rank, area, index, row, column) for rank, row, column in cells]
        for _, _, index, row, column in sorted(claims, reverse=True):  # the strongest claim is written last
            if 0 <= row < grid.rows and 0 <= column < grid.columns:
                target[image, :, row, column] = its_boxes[index]
                label[image, row, column] = its_labels[index]
    return Targets(target, label)


def _check(grid: Grid, boxes: Tensor, labels: Tensor) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != BOX or len(boxes) != len(labels):
        raise ValueError(f"boxes must be M x 4 with M labels, not {tuple(boxes.shape)} and {len(labels)}")
    if not len(boxes):
        return
    if not bool((boxes[:, 2:] > boxes[:, :2]).all()) or bool(
        labels.min() < 0 or labels.max() >= grid.classes
    ):
        raise ValueError(f"boxes need x1 < x2 and y1 < y2, labels 0 to {grid.classes - 1}")
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    if bool((centres < 0).any() or (centres > torch.tensor([grid.width, grid.height])).any()):
        raise ValueError("a box's centre lies outside the image; cut boxes at the image's edge first")
