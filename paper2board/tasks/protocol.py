"""The facts of a task that configuration, rules and report ask for. Imports neither torch nor numpy.

What a task computes lies in the other modules of its package, which are loaded by its name:

| module | base class | what it is for |
|---|---|---|
| ``training`` | :class:`paper2board.tasks.training.TrainingTask` | labels, targets, losses |
| ``scores`` | :class:`paper2board.tasks.scoring.ScoringTask` | from stored outputs to evidence |
| ``device`` (optional) | :class:`paper2board.tasks.device.DeviceTask` | what the device decodes, its score |
| ``teacher`` (optional) | :func:`paper2board.tasks.teachers.read_teacher` | teachers other than networks |
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paper2board.acquire.datasets.base import Dataset, LabelKind


@dataclass(frozen=True)
class RequiredOutput:
    """The output that a data set asks of a network."""

    width: int
    """Values, or channels a cell."""
    rank: Literal[1, 3]
    """1: (values,). 3: (channels, rows, columns)."""
    meaning: str
    """What the values are, to go on after "needs 7 values"."""


class Task(ABC):
    """A task's facts. They are class attributes; an instance stands in :mod:`paper2board.tasks.registry`."""

    name: str
    learns_from: LabelKind
    """What of the data set's labels its networks are trained on."""
    score: str
    """First part of the main score's metric: ``accuracy`` of ``accuracy.deployed.int8``."""
    score_label: str
    """How figures call the main score."""
    training_score: str
    """What the score of training histories counts, for a caption."""
    training_label: str = "right answers"
    """What that score is a share of, in %, for the axis."""
    outputs_are_classes: bool = False
    """An int8 model carries the classes' names: one value a class, the largest counts."""
    compared: bool = False
    """A study may report gains in the main score."""
    cross_validated: bool = False
    """A transferred network's head may be cross-validated (:mod:`paper2board.train.frozen_backbone`)."""
    imported: bool = False
    """A variant may be a .tflite file."""
    decoded_on_device: bool = False
    """The device decodes outputs by generated tables (``firmware/app/p2b_boxes.h``)."""
    perturbed: bool = False
    """The network on the device may be scored under perturbations of the test scenes."""
    topics: tuple[str, ...] = ()
    """Metrics files of a study that has this task, beside its scores."""

    @abstractmethod
    def required_output(self, dataset: Dataset) -> RequiredOutput:
        """Return the output that a network needs for a data set."""

    def shape_fault(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> str | None:
        """Return what is wrong with an output of the required width and rank, and the remedy; None if nothing."""
        return None


def cells_fault(input_shape: Sequence[int], output_shape: Sequence[int]) -> str | None:
    """Return the fault of rows and columns of cells, one stride apart both ways, that do not just cover an
    input."""
    _, height, width = input_shape
    _, rows, columns = output_shape
    stride = -(-width // columns)
    if (-(-height // stride), -(-width // stride)) == (rows, columns):
        return None
    return (
        f"its {rows} × {columns} cells, one stride apart both ways, do not just cover an input of {height} ×"
        f" {width} pixels; make both sides of the input multiples of its stride"
    )
