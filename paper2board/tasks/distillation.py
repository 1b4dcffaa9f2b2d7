"""Hinton's distillation loss (2015) over logits."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)


def distillation_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    temperature: float,
    alpha: float,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return ``alpha · T² · KL(teacher ‖ student) + (1 − alpha) · CE`` of N×classes logits and int64 (N,) labels.

    T² keeps the soft part's gradient at the same size whatever the temperature; the detector paper omits it.
    """
    soft = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = F.cross_entropy(student, labels, label_smoothing=label_smoothing)
    return alpha * temperature**2 * soft + (1 - alpha) * hard
