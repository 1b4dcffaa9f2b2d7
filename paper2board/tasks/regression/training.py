"""Training of regression networks: mean squared error of N×1 outputs against standardised targets."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from paper2board.acquire.examples import Examples
from paper2board.tasks.training import TrainingTask


class Training(TrainingTask):
    """See the module. Recipes' label smoothing does not concern it."""

    def __init__(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        """Any shapes will do: the study's checks compare the output with one value."""

    def labels(self, examples: Examples, indices: np.ndarray) -> torch.Tensor:
        """Return the targets in deviations from their mean over the training rows, float32 (N, 1)."""
        table = examples.required_table()
        standardised = table.target.standardised(table.targets[indices])
        return torch.from_numpy(standardised.astype(np.float32)).unsqueeze(1)

    def loss(self, output: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        return F.mse_loss(output, targets)

    def distillation_loss(
        self,
        output: torch.Tensor,
        teacher: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        alpha: float,
        label_smoothing: float,
    ) -> torch.Tensor:
        """Both parts are mean squared errors; a number has no temperature."""
        return alpha * F.mse_loss(output, teacher) + (1 - alpha) * F.mse_loss(output, targets)

    def count_correct(self, output: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
        """Return how much of the squared targets' sum the outputs explain, and that sum: their quotient is R² about
        the training rows' mean."""
        total = float(targets.square().sum())
        return total - float((output - targets).square().sum()), total
