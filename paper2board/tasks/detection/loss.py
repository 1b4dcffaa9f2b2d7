"""A grid detector's loss against true boxes, and its distillation.

The ESP32-CAM paper prints only a classification loss; the parts here are its usual completion (Redmon et al. 2016;
Zheng et al. 2020 for CIoU; Hinton et al. 2015 for distillation).
"""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from pydantic import Field
from torch import Tensor

from paper2board.core.strict import StrictModel
from paper2board.tasks.detection.assignment import Targets
from paper2board.tasks.detection.encoding import decode_boxes, encode_boxes, split_channels
from paper2board.tasks.detection.grid import Grid


class DetectionLoss(StrictModel):
    """Weights and kinds of the loss's parts."""

    box_weight: float = Field(default=2.0, ge=0)
    confidence_weight: float = Field(default=4.0, ge=0)
    class_weight: float = Field(default=1.0, ge=0)
    box: Literal["ciou", "smooth-l1"] = "ciou"
    """smooth-l1 compares the encoded values, as shares of ``logit_range``."""
    confidence: Literal["iou", "one"] = "iou"
    """The target of a cell with a box: the IoU of its present box (ranks NMS by box quality), or 1."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class DetectionDistillation(StrictModel):
    """loss = alpha · soft + (1 − alpha) · hard; the soft part's weights are the hard part's."""

    temperature: float = Field(default=3.0, gt=0)
    alpha: float = Field(default=0.5, ge=0, le=1)
    mask_confidence: float = Field(default=0.3, ge=0, lt=1)
    """Box and class are learned only from cells in which the teacher's confidence is larger."""


def _sides(boxes: Tensor) -> Tensor:
    return boxes[..., 2:] - boxes[..., :2]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of matching boxes (…×4)."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    inner = shared.prod(-1)
    return inner / (_sides(a).prod(-1) + _sides(b).prod(-1) - inner).clamp(min=1e-9)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return CIoU (Zheng et al. 2020) of matching boxes (…×4): IoU − centre distance − aspect ratio's part."""
    overlap = iou(a, b)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = apart.square().sum(-1) / hull.square().sum(-1).clamp(min=1e-9)
    (w, h), (v, g) = _sides(a).unbind(-1), _sides(b).unbind(-1)
    aspect = 4 / torch.pi**2 * (torch.atan2(w, h) - torch.atan2(v, g)).square()
    with torch.no_grad():
        trade_off = aspect / (1 - overlap + aspect).clamp(min=1e-9)
    return overlap - distance - trade_off * aspect


def detection_loss(grid: Grid, output: Tensor, targets: Targets, config: DetectionLoss) -> dict[str, Tensor]:
    """Return the weighted parts ``box``, ``confidence``, ``class`` and their sum ``loss`` (scalars).

    Box and class are means over the cells that have a box (0 without any), confidence over all cells.
    """
    raw, classes, confidence = split_channels(output)
    positive = targets.positive
    wanted = targets.boxes.movedim(1, -1)[positive]
    found = decode_boxes(grid, raw).movedim(1, -1)[positive]
    count = max(1, len(wanted))
    if config.box == "ciou":
        box = (1 - complete_iou(found, wanted)).sum() / count
    else:
        encoded = encode_boxes(grid, targets.boxes).movedim(1, -1)[positive]
        box = _box_distance(grid, raw.movedim(1, -1)[positive], encoded).sum() / count
    aim = positive.to(output.dtype)
    if config.confidence == "iou":
        aim[positive] = iou(found, wanted).detach()
    logits = classes.movedim(1, -1)[positive]
    smoothing = config.label_smoothing
    right = F.cross_entropy(logits, targets.labels[positive], reduction="sum", label_smoothing=smoothing)
    return _sum(config, box, F.binary_cross_entropy_with_logits(confidence, aim), right / count)


def distillation_loss(
    grid: Grid, student: Tensor, teacher: Tensor, config: DetectionLoss, settings: DetectionDistillation
) -> dict[str, Tensor]:
    """Return the soft parts ``box``, ``confidence``, ``class`` and ``loss`` against a teacher's output.

    Confidence: T² · KL of Bernoulli(σ(·/T)), mean over all cells. Classes: T² · KL(teacher ‖ student) of the
    softmax at T; box: smooth L1 of the encoded values; both means over the cells where the teacher's
    confidence exceeds the mask, since its box means nothing elsewhere. T² keeps the gradients' size whatever
    the temperature (the paper omits it).
    """
    teacher = teacher.detach()
    t = settings.temperature
    raw, classes, confidence = split_channels(student)
    teacher_raw, teacher_classes, teacher_confidence = split_channels(teacher)
    mask = teacher_confidence.sigmoid() > settings.mask_confidence
    count = max(1, int(mask.sum()))
    teacher_raw = teacher_raw.clamp(-grid.logit_range, grid.logit_range)
    box = _box_distance(grid, raw.movedim(1, -1)[mask], teacher_raw.movedim(1, -1)[mask]).sum() / count
    soft = (teacher_confidence / t).sigmoid()
    entropy = F.binary_cross_entropy_with_logits(teacher_confidence / t, soft)
    sure = F.binary_cross_entropy_with_logits(confidence / t, soft) - entropy
    kind = F.kl_div(
        F.log_softmax(classes.movedim(1, -1)[mask] / t, -1),
        F.log_softmax(teacher_classes.movedim(1, -1)[mask] / t, -1),
        reduction="sum",
        log_target=True,
    )
    return _sum(config, box, t**2 * sure, t**2 * kind / count)


def mixed_loss(
    grid: Grid,
    student: Tensor,
    teacher: Tensor,
    targets: Targets,
    config: DetectionLoss,
    settings: DetectionDistillation,
) -> Tensor:
    """Return ``alpha · soft + (1 − alpha) · hard``, the loss of a student with a teacher (scalar)."""
    soft = distillation_loss(grid, student, teacher, config, settings)["loss"]
    hard = detection_loss(grid, student, targets, config)["loss"]
    return settings.alpha * soft + (1 - settings.alpha) * hard


def _box_distance(grid: Grid, a: Tensor, b: Tensor) -> Tensor:
    """Return the smooth L1 distance of encoded boxes (…×4), as shares of the range, summed over the four."""
    return F.smooth_l1_loss(a / grid.logit_range, b / grid.logit_range, reduction="none", beta=0.1).sum(-1)


def _sum(config: DetectionLoss, box: Tensor, confidence: Tensor, kind: Tensor) -> dict[str, Tensor]:
    parts = {
        "box": config.box_weight * box,
        "confidence": config.confidence_weight * confidence,
        "class": config.class_weight * kind,
    }
    return {**parts, "loss": parts["box"] + parts["confidence"] + parts["class"]}
