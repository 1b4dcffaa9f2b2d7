"""Detection: boxes on a grid of cells, decoded on the device."""

from collections.abc import Sequence

from paper2board.acquire.datasets.base import Dataset
from paper2board.tasks.detection.grid import BOX
from paper2board.tasks.protocol import RequiredOutput, Task, cells_fault


class Detection(Task):
    """See the module."""

    name = "detection"
    learns_from = "boxes"
    score = "map50"
    score_label = "mAP@0.5"
    training_score = "for a detector cells with an object whose box (IoU ≥ 0.5) and class are right"
    compared = True
    decoded_on_device = True
    perturbed = True
    topics = ("comparison",)

    def required_output(self, dataset: Dataset) -> RequiredOutput:
        classes = len(dataset.classes)
        meaning = f" a cell: {BOX} of the box, {classes} classes, 1 confidence"
        return RequiredOutput(BOX + classes + 1, 3, meaning)

    def shape_fault(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> str | None:
        return cells_fault(input_shape, output_shape)


DETECTION = Detection()
