"""Centroids: objects' centres among cells (FOMO)."""

from collections.abc import Sequence

from paper2board.acquire.datasets.base import Dataset
from paper2board.tasks.protocol import RequiredOutput, Task, cells_fault


class Centroids(Task):
    """See the module."""

    name = "centroids"
    learns_from = "boxes"
    score = "f1"
    score_label = "F1"
    training_score = "for centroids cells right among those that are an object's by truth or answer"

    def required_output(self, dataset: Dataset) -> RequiredOutput:
        classes = len(dataset.classes)
        return RequiredOutput(1 + classes, 3, f" a cell: background, {classes} classes")

    def shape_fault(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> str | None:
        return cells_fault(input_shape, output_shape)


CENTROIDS = Centroids()
