"""Training of FOMO networks (Edge Impulse): every cell is classified as an object's centre or background.

Cells are ``stride`` pixels wide. Channel 0 of the network's output is background, channel k + 1 class k. A box
counts by its centre alone, so two objects in one cell are one to FOMO, and their sizes are not learned.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from paper2board.acquire.examples import Examples
from paper2board.tasks.augmentation import Transforms
from paper2board.tasks.box_labels import BoxLabels, box_labels, transform_box_labels
from paper2board.tasks.distillation import distillation_loss
from paper2board.tasks.training import TrainingTask

OBJECT_WEIGHT = 100.0
"""How much more a cell with an object counts than background; Edge Impulse's default."""


class Training(TrainingTask):
    """Scores of background and classes for ``rows`` × ``columns`` cells, ``stride`` pixels apart."""

    def __init__(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        if len(output_shape) != 3:
            raise ValueError(
                f"a network for centroids ends in rows and columns of cells, not {tuple(output_shape)}"
            )
        self.input_shape = input_shape
        _, self.rows, self.columns = output_shape
        self.stride = -(-input_shape[2] // self.columns)

    def labels(self, examples: Examples, indices: np.ndarray) -> BoxLabels:
        return box_labels(examples, indices, self.input_shape)

    def transform_labels(
        self, labels: BoxLabels, transforms: Transforms, height: int, width: int
    ) -> BoxLabels:
        return transform_box_labels(labels, transforms, height, width)

    def targets(self, labels: BoxLabels) -> Tensor:
        return assign_centroids(labels.boxes, labels.classes, self.rows, self.columns, self.stride)

    def loss(self, output: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return centroid_loss(output, targets, label_smoothing)

    def distillation_loss(
        self,
        output: Tensor,
        teacher: Tensor,
        targets: Tensor,
        temperature: float,
        alpha: float,
        label_smoothing: float,
    ) -> Tensor:
        """All cells weigh alike here."""
        output, teacher = (x.movedim(1, -1).flatten(0, -2) for x in (output, teacher))
        return distillation_loss(output, teacher, targets.flatten(), temperature, alpha, label_smoothing)

    def count_correct(self, output: Tensor, targets: Tensor) -> tuple[int, int]:
        """Return how many cells are an object's by truth and by output with the same class, and how many are an
        object's by either."""
        found = output.argmax(1)
        return int(((found == targets) & (targets > 0)).sum()), int(((found > 0) | (targets > 0)).sum())


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
