"""A single-scale grid detector's mathematics: box encoding, assignment of boxes to cells, loss, distillation.

The network's output is float32 N × (4 + classes + 1) × rows × columns, channels in the order in which the
ESP32-CAM paper's heads return them: box, classes, confidence (15 × 8 × 10 at 160×120 with ten classes). The
paper prints only a classification loss; the parts here are its usual completion (Redmon et al. 2016;
Zheng et al. 2020 for CIoU; Hinton et al. 2015 for distillation). Boxes are pixels, (x1, y1, x2, y2).

Encoding, for int8 outputs. With t clamped to ±``logit_range``, u = t / ``logit_range``:

    centre x = (column + 0.5 + u) · stride          half a cell beyond each side, so a neighbour can tell the box
    width    = min_size · (W / min_size)^((u + 1) / 2)        likewise y, height

Offset and log size are *linear* in the output, so equal int8 steps are equal shifts and equal relative sizes
over the whole range (a sigmoid would spend most codes on its tails). The range is that of useful class and
confidence logits, so one scale fits all channels of one output tensor: with ±8 in 256 steps a step is
1/8 pixel of offset and 1.5 % of size at 160×120 with stride 16.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from paper2board.tasks.augmentation import MIN_VISIBLE, Moves
from paper2board.tasks.detection.grid import BOX, DetectionDistillation, DetectionLoss, Grid


@dataclass(frozen=True)
class Targets:
    """What the cells should say: ``boxes`` float32 N×4×rows×columns (any where there is none) and ``labels``
    int64 N×rows×columns, −1 for background."""

    boxes: Tensor
    labels: Tensor

    @property
    def positive(self) -> Tensor:
        """Bool N×rows×columns: the cells that have a box."""
        return self.labels >= 0


def _cell_centres(grid: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return x (1×columns) and y (rows×1) of the cells' centres, pixels."""
    x = (torch.arange(grid.columns, dtype=like.dtype, device=like.device) + 0.5) * grid.stride
    y = (torch.arange(grid.rows, dtype=like.dtype, device=like.device) + 0.5) * grid.stride
    return x[None], y[:, None]


def decode_boxes(grid: Grid, raw: Tensor) -> Tensor:
    """Return the boxes N×4×rows×columns, pixels, of a network's box channels; not cut at the image's edge.

    The clamp passes gradients, so that a value beyond the range finds its way back.
    """
    raw = raw + (raw.clamp(-grid.logit_range, grid.logit_range) - raw).detach()
    x, y = _cell_centres(grid, raw)
    dx, dy, u, v = (raw / grid.logit_range).unbind(1)
    x, y = x + dx * grid.stride, y + dy * grid.stride
    w = grid.min_size * (grid.width / grid.min_size) ** ((u + 1) / 2)
    h = grid.min_size * (grid.height / grid.min_size) ** ((v + 1) / 2)
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)


def encode_boxes(grid: Grid, boxes: Tensor) -> Tensor:
    """Return the box channels that decode to ``boxes`` (N×4×rows×columns), clamped to the range."""
    x, y = _cell_centres(grid, boxes)
    x1, y1, x2, y2 = boxes.unbind(1)
    w, h = (x2 - x1).clamp(min=grid.min_size), (y2 - y1).clamp(min=grid.min_size)
    u = 2 * (w / grid.min_size).log() / torch.tensor(grid.width / grid.min_size).log() - 1
    v = 2 * (h / grid.min_size).log() / torch.tensor(grid.height / grid.min_size).log() - 1
    dx, dy = ((x1 + x2) / 2 - x) / grid.stride, ((y1 + y2) / 2 - y) / grid.stride
    return torch.stack([dx, dy, u, v], 1).clamp(-1, 1) * grid.logit_range


def assign(grid: Grid, boxes: list[Tensor], labels: list[Tensor], *, neighbours: bool = True) -> Targets:
    """Return the targets of N images, each with M boxes float M×4 (pixels) and int64 labels M.

    A box belongs to the cell of its centre and, with ``neighbours``, to the nearer cell beside it and the
    nearer one above or below, if the grid has them (YOLOv5's rule: three times the positives, and a centre at
    a cell's border is told by both sides). Of several boxes in one cell, one whose centre lies there
    goes before a neighbour's; then the smaller area; then the first. Raise ValueError for bad boxes or labels.
    """
    target = torch.zeros(len(boxes), BOX, grid.rows, grid.columns)
    label = torch.full((len(boxes), grid.rows, grid.columns), -1, dtype=torch.int64)
    for image, (its_boxes, its_labels) in enumerate(zip(boxes, labels, strict=True)):
        _check(grid, its_boxes, its_labels)
        claims = []
        for index, (x1, y1, x2, y2) in enumerate(its_boxes.tolist()):
            x, y = (x1 + x2) / 2 / grid.stride, (y1 + y2) / 2 / grid.stride
            column, row = min(int(x), grid.columns - 1), min(int(y), grid.rows - 1)
            cells = [(0, row, column)]
            if neighbours:
                cells += [(1, row, column + (1 if x - column >= 0.5 else -1))]
                cells += [(1, row + (1 if y - row >= 0.5 else -1), column)]
            area = (x2 - x1) * (y2 - y1)
            claims += [(rank, area, index, row, column) for rank, row, column in cells]
        for _, _, index, row, column in sorted(claims, reverse=True):  # the strongest claim is written last
            if 0 <= row < grid.rows and 0 <= column < grid.columns:
                target[image, :, row, column] = its_boxes[index]
                label[image, row, column] = its_labels[index]
    return Targets(target, label)


@torch.no_grad()
def move_answers(grid: Grid, output: Tensor, moves: Moves) -> Tensor:
    """Return what a detector that answered ``output`` to some images would answer to them after ``moves``.

    Each cell's object moves with its image, is cut at the image's edge (and gone if less than
    :data:`~paper2board.tasks.augmentation.MIN_VISIBLE` of it is left), and is told by the cells that :func:`assign`
    trains for it. Of several in one cell, a likely one (confidence above 0) whose centre lies there goes first,
    then the most confident. Cells without any get confidence −``logit_range`` and zeros.
    """
    _, classes, confidence = (part.flatten(-2) for part in _split(output))
    whole = decode_boxes(grid, _split(output)[0]).flatten(2)
    dy, dx = moves.shift
    x1, y1, x2, y2 = (whole - torch.stack([dx, dy, dx, dy], 1)).unbind(1)
    x1, x2 = (
        torch.where(moves.mirrored, grid.width - x2, x1),
        torch.where(moves.mirrored, grid.width - x1, x2),
    )
    left, right = x1.clamp(0, grid.width), x2.clamp(0, grid.width)
    top, bottom = y1.clamp(0, grid.height), y2.clamp(0, grid.height)
    seen = (right - left) * (bottom - top) >= MIN_VISIBLE * (x2 - x1) * (y2 - y1)
    x, y = (left + right) / 2 / grid.stride, (top + bottom) / 2 / grid.stride
    column, row = x.floor().clamp(max=grid.columns - 1), y.floor().clamp(max=grid.rows - 1)
    beside = column + torch.where(x - column >= 0.5, 1, -1)
    above = row + torch.where(y - row >= 0.5, 1, -1)
    columns, rows = torch.stack([column, beside, column], 1), torch.stack([row, row, above], 1)
    likely = (confidence > 0).to(confidence.dtype) * 2 * grid.logit_range
    strength = torch.stack([confidence + likely, confidence, confidence], 1)
    inside = (columns >= 0) & (columns < grid.columns) & (rows >= 0) & (rows < grid.rows)
    told = inside & (seen & (confidence > -grid.logit_range))[:, None]
    places = torch.where(told, rows * grid.columns + columns, -1).flatten(1)
    boxes = torch.stack([left, top, right, bottom], 1)
    objects = torch.cat([boxes, classes, confidence[:, None]], 1)
    return tell(grid, objects, places, strength.flatten(1))


def tell(grid: Grid, objects: Tensor, places: Tensor, strength: Tensor) -> Tensor:
    """Return the output in which every cell tells the strongest of the objects that claim it.

    ``objects``: N×channels×K, boxes in pixels, class logits, confidence. ``places`` and ``strength``: N×M claims,
    M a multiple of K, claim m of object m modulo K; the cell's number, row after row (any other claims none). Cells
    that nobody claims get confidence −``logit_range`` and zeros.
    """
    cells = torch.arange(grid.rows * grid.columns, device=places.device)
    claims = strength[:, None].masked_fill(places[:, None] != cells[:, None], -torch.inf)
    best, index = claims.max(-1)  # N × cells
    source = (index % objects.shape[2])[:, None].expand(-1, objects.shape[1], -1)
    told = objects.gather(2, source).unflatten(2, (grid.rows, grid.columns))
    answer = torch.cat([encode_boxes(grid, told[:, :BOX]), told[:, BOX:]], 1)
    nothing = torch.zeros(grid.channels, device=places.device)
    nothing[-1] = -grid.logit_range
    empty = best.isinf()[:, None].unflatten(2, (grid.rows, grid.columns))
    return torch.where(empty, nothing[:, None, None], answer)


def _check(grid: Grid, boxes: Tensor, labels: Tensor) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != BOX or len(boxes) != len(labels):
        raise ValueError(f"boxes must be M x 4 with M labels, not {tuple(boxes.shape)} and {len(labels)}")
    if not len(boxes):
        return
    if not bool((boxes[:, 2:] > boxes[:, :2]).all()) or bool(
        labels.min() < 0 or labels.max() >= grid.classes
    ):
        raise ValueError(f"boxes need x1 < x2 and y1 < y2, labels 0 to {grid.classes - 1}")
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    if bool((centres < 0).any() or (centres > torch.tensor([grid.width, grid.height])).any()):
        raise ValueError("a box's centre lies outside the image; cut boxes at the image's edge first")


def _split(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return box N×4×…, class N×classes×… and confidence N×… channels."""
    return output[:, :BOX], output[:, BOX:-1], output[:, -1]


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
    raw, classes, confidence = _split(output)
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
    confidence exceeds the mask, since its box says nothing elsewhere. T² keeps the gradients' size whatever
    the temperature (the paper omits it).
    """
    teacher = teacher.detach()
    t = settings.temperature
    raw, classes, confidence = _split(student)
    teacher_raw, teacher_classes, teacher_confidence = _split(teacher)
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
