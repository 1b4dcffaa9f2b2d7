"""Training of classifiers: cross entropy of N×classes logits against int64 (N,) labels."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from paper2board.acquire.examples import Examples
from paper2board.tasks.distillation import distillation_loss
from paper2board.tasks.training import TrainingTask


class Training(TrainingTask):
    """See the module. The correct outputs are those that are largest at the label."""

    def __init__(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        """Any shapes will do: the study's checks compare the output with the classes."""

    def labels(self, examples: Examples, indices: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(examples.labels[indices])

    def loss(self, output: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        return F.cross_entropy(output, targets, label_smoothing=label_smoothing)

    def distillation_loss(
        self,
        output: torch.Tensor,
        teacher: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        alpha: float,
        label_smoothing: float,
    ) -> torch.Tensor:
        return distillation_loss(output, teacher, targets, temperature, alpha, label_smoothing)

    def count_correct(self, output: torch.Tensor, targets: torch.Tensor) -> tuple[int, int]:
        return int((output.argmax(1) == targets).sum()), len(targets)
