"""What a task brings to the training loop: labels, targets, losses, and a score of the training itself.

The training loop knows nothing else of tasks. A task's own class is ``Training`` in its module ``training``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from paper2board.acquire.examples import Examples
from paper2board.tasks.augmentation import Transforms
from paper2board.tasks.box_labels import BoxLabels
from paper2board.tasks.loading import required_part

Labels = torch.Tensor | BoxLabels
"""One entry an image: (N,) or N×… numbers, or boxes."""


class TrainingTask(ABC):
    """A task's part of the training loop, for a network of one input and output shape.

    ``output`` is the network's, float32; ``targets`` are what :meth:`targets` returns.
    """

    transform_output: Callable[[torch.Tensor, Transforms], torch.Tensor] | None = None
    """From a teacher's output for some images, its output for them after transforms; None if only the teacher can
    compute that."""

    @abstractmethod
    def labels(self, examples: Examples, indices: np.ndarray) -> Labels:
        """Return the labels of the examples at ``indices``, as a network of this input shape needs them.

        Raise :class:`~paper2board.core.errors.UserError` if the examples have no such labels.
        """

    def transform_labels(self, labels: Any, transforms: Transforms, height: int, width: int) -> Any:
        """Return the labels of images of that size, in pixels, after ``transforms``; by default they stay."""
        return labels

    def targets(self, labels: Any) -> Any:
        """Return what the network's output is trained towards; by default the labels."""
        return labels

    @abstractmethod
    def loss(self, output: torch.Tensor, targets: Any, label_smoothing: float) -> torch.Tensor:
        """Return the loss against the targets, a scalar."""

    @abstractmethod
    def distillation_loss(
        self,
        output: torch.Tensor,
        teacher: torch.Tensor,
        targets: Any,
        temperature: float,
        alpha: float,
        label_smoothing: float,
    ) -> torch.Tensor:
        """Return ``alpha`` of the loss against a teacher's output and 1 − ``alpha`` of that against the targets."""

    @abstractmethod
    def count_correct(self, output: torch.Tensor, targets: Any) -> tuple[float, float]:
        """Return a numerator and a denominator, such as correct outputs and their total.

        Training histories show the quotient of their sums over an epoch, in %.
        """


def training_task(task: str, input_shape: Sequence[int], output_shape: Sequence[int]) -> TrainingTask:
    """Return the training part of ``task`` for a network of (C, H, W) input and (channels, rows, columns) or
    (values,) output; raise ValueError if the task cannot use such an output."""
    made: TrainingTask = required_part(task, "training").Training(tuple(input_shape), tuple(output_shape))
    return made
