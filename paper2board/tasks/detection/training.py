"""Training of grid detectors: boxes assigned to cells, a loss in three parts."""

from collections.abc import Sequence

import numpy as np
import torch

from paper2board.acquire.examples import Examples
from paper2board.tasks.augmentation import Transforms
from paper2board.tasks.box_labels import BoxLabels, box_labels, transform_box_labels
from paper2board.tasks.detection import transform
from paper2board.tasks.detection.assignment import Targets, assign
from paper2board.tasks.detection.encoding import decode_boxes
from paper2board.tasks.detection.grid import BOX, Grid
from paper2board.tasks.detection.loss import (
    DetectionDistillation,
    DetectionLoss,
    detection_loss,
    iou,
    mixed_loss,
)
from paper2board.tasks.training import TrainingTask


class Training(TrainingTask):
    """Boxes on the cells of the network's :class:`Grid`."""

    def __init__(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        self.input_shape, self.grid = input_shape, Grid.of(input_shape, output_shape)

    def labels(self, examples: Examples, indices: np.ndarray) -> BoxLabels:
        return box_labels(examples, indices, self.input_shape)

    def transform_labels(
        self, labels: BoxLabels, transforms: Transforms, height: int, width: int
    ) -> BoxLabels:
        return transform_box_labels(labels, transforms, height, width)

    def targets(self, labels: BoxLabels) -> Targets:
        return assign(self.grid, list(labels.boxes), list(labels.classes))

    def transform_output(self, output: torch.Tensor, transforms: Transforms) -> torch.Tensor:
        return transform.transform_output(self.grid, output, transforms)

    def loss(self, output: torch.Tensor, targets: Targets, label_smoothing: float) -> torch.Tensor:
        settings = DetectionLoss(label_smoothing=label_smoothing)
        return detection_loss(self.grid, output, targets, settings)["loss"]

    def distillation_loss(
        self,
        output: torch.Tensor,
        teacher: torch.Tensor,
        targets: Targets,
        temperature: float,
        alpha: float,
        label_smoothing: float,
    ) -> torch.Tensor:
        settings = DetectionDistillation(temperature=temperature, alpha=alpha)
        loss = DetectionLoss(label_smoothing=label_smoothing)
        return mixed_loss(self.grid, output, teacher, targets, loss, settings)

    def count_correct(self, output: torch.Tensor, targets: Targets) -> tuple[int, int]:
        return count_correct(self.grid, output, targets)


def count_correct(grid: Grid, output: torch.Tensor, targets: Targets) -> tuple[int, int]:
    """Return how many cells with an object have a box that overlaps it by half and the right class, and how many
    cells have an object."""
    positive = targets.positive
    found = decode_boxes(grid, output[:, :BOX]).movedim(1, -1)[positive]
    overlap = iou(found, targets.boxes.movedim(1, -1)[positive])
    correct = output[:, BOX:-1].argmax(1)[positive] == targets.labels[positive]
    return int((correct & (overlap >= 0.5)).sum()), int(positive.sum())
