"""What a network learns to answer, and how its answers are judged: the loss and the score of each task.

Three tasks: a class an image (classification), boxes on a grid of cells (detection), and objects' centres among
cells (centroids, as FOMO does). The training loop knows nothing else of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from paper2board.tasks.augmentation import MIN_VISIBLE, Moves, move_boxes
from paper2board.tasks.centroids.cells import assign_centroids, centroid_loss
from paper2board.tasks.detection.grid import BOX, DetectionDistillation, DetectionLoss, Grid
from paper2board.tasks.detection.grid_detector import (
    Targets,
    assign,
    decode_boxes,
    detection_loss,
    iou,
    mixed_loss,
    move_answers,
)

Hits = tuple[int, int]
"""Right answers, and how many there could have been."""


@dataclass(frozen=True)
class Boxes:
    """The objects of N images: ``boxes`` float32 M×4 (x1, y1, x2, y2 in pixels) and ``labels`` int64 M of each."""

    boxes: tuple[torch.Tensor, ...]
    labels: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: torch.Tensor) -> "Boxes":
        listed = indices.tolist()
        return Boxes(tuple(self.boxes[i] for i in listed), tuple(self.labels[i] for i in listed))

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield all that decides what is learned."""
        yield from self.boxes
        yield from self.labels


class Task(Protocol):
    """A task's part of the training loop. ``output`` is the network's, float32."""

    def moved(self, answers: Any, moves: Moves, height: int, width: int) -> Any:
        """Return the answers of images of that size, in pixels, after augmentation has moved them."""

    def targets(self, answers: Any) -> Any:
        """Return what the network should answer."""

    @property
    def moved_output(self) -> Callable[[torch.Tensor, Moves], torch.Tensor] | None:
        """From a teacher's output for some images, what it would be after augmentation has moved them; None if
        only the teacher can tell."""

    def loss(self, output: torch.Tensor, targets: Any, label_smoothing: float) -> torch.Tensor:
        """Return the loss against the truth, a scalar."""

    def distillation_loss(
        self,
        output: torch.Tensor,
        teacher: torch.Tensor,
        targets: Any,
        temperature: float,
        alpha: float,
        label_smoothing: float,
    ) -> torch.Tensor:
        """Return ``alpha`` of the loss against a teacher's output and 1 − ``alpha`` of that against the truth."""

    def hits(self, output: torch.Tensor, targets: Any) -> Hits:
        """Return right and possible answers; their quotient is the score that training histories show."""


def distillation_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    temperature: float,
    alpha: float,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Hinton's loss over N×classes logits: ``alpha · T² · KL(teacher ‖ student) + (1 − alpha) · CE``.

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


class Classification:
    """N×classes logits; answers and targets are int64 (N,) labels."""

    moved_output = None

    def moved(self, answers: torch.Tensor, moves: Moves, height: int, width: int) -> torch.Tensor:
        return answers

    def targets(self, answers: torch.Tensor) -> torch.Tensor:
        return answers

    def loss(self, output: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        return F.cross_entropy(output, targets, label_smoothing=label_smoothing)

    distillation_loss = staticmethod(distillation_loss)

    def hits(self, output: torch.Tensor, targets: torch.Tensor) -> Hits:
        return int((output.argmax(1) == targets).sum()), len(targets)


@dataclass(frozen=True)
class Detection:
    """Boxes on the cells of ``grid``; see :mod:`paper2board.tasks.detection.grid_detector`."""

    grid: Grid

    def moved(self, answers: Boxes, moves: Moves, height: int, width: int) -> Boxes:
        return moved_boxes(answers, moves, height, width)

    def targets(self, answers: Boxes) -> Targets:
        return assign(self.grid, list(answers.boxes), list(answers.labels))

    def moved_output(self, output: torch.Tensor, moves: Moves) -> torch.Tensor:
        return move_answers(self.grid, output, moves)

    def loss(self, output: torch.Tensor, targets: Targets, label_smoothing: float) -> torch.Tensor:
        return detection_loss(self.grid, output, targets, DetectionLoss(label_smoothing=label_smoothing))[
            "loss"
        ]

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

    def hits(self, output: torch.Tensor, targets: Targets) -> Hits:
        """Cells with an object whose box overlaps it by half and whose class is right."""
        positive = targets.positive
        found = decode_boxes(self.grid, output[:, :BOX]).movedim(1, -1)[positive]
        overlap = iou(found, targets.boxes.movedim(1, -1)[positive])
        right = output[:, BOX:-1].argmax(1)[positive] == targets.labels[positive]
        return int((right & (overlap >= 0.5)).sum()), int(positive.sum())


@dataclass(frozen=True)
class Centroids:
    """Scores of background and classes a cell; see :mod:`paper2board.tasks.centroids.cells`."""

    rows: int
    columns: int
    stride: int
    moved_output: ClassVar[None] = None

    def moved(self, answers: Boxes, moves: Moves, height: int, width: int) -> Boxes:
        return moved_boxes(answers, moves, height, width)

    def targets(self, answers: Boxes) -> torch.Tensor:
        return assign_centroids(answers.boxes, answers.labels, self.rows, self.columns, self.stride)

    def loss(self, output: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        return centroid_loss(output, targets, label_smoothing)

    def distillation_loss(
        self,
        output: torch.Tensor,
        teacher: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        alpha: float,
        label_smoothing: float,
    ) -> torch.Tensor:
        output, teacher = (x.movedim(1, -1).flatten(0, -2) for x in (output, teacher))
        return distillation_loss(output, teacher, targets.flatten(), temperature, alpha, label_smoothing)

    def hits(self, output: torch.Tensor, targets: torch.Tensor) -> Hits:
        """Cells that are an object's by truth and by answer, among those that are by either."""
        answer = output.argmax(1)
        return int(((answer == targets) & (targets > 0)).sum()), int(((answer > 0) | (targets > 0)).sum())


def make_task(name: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Task:
    """Return the task called ``name`` (:data:`paper2board.study.schema.Task`) of a network from (C, H, W) input to
    (channels, rows, columns) or (classes,) output; raise ValueError if such an output cannot answer it."""
    if name == "classification":
        return Classification()
    if name == "detection":
        return Detection(Grid.of(input_shape, output_shape))
    if len(output_shape) != 3:
        raise ValueError(f"a network for {name} ends in rows and columns of cells, not {output_shape}")
    _, rows, columns = output_shape
    return Centroids(rows, columns, -(-input_shape[2] // columns))


def moved_boxes(answers: Boxes, moves: Moves, height: int, width: int) -> Boxes:
    """Return the objects after their images have moved, cut at the image's edge; what is hardly left of goes."""
    boxes, labels = [], []
    limit = torch.tensor([width, height, width, height])
    parts = zip(answers.boxes, answers.labels, moves.shift.squeeze(2).T, moves.mirrored.tolist(), strict=True)
    for its_boxes, its_labels, shift, (mirrored,) in parts:
        whole = move_boxes(its_boxes, shift, mirrored, width)
        cut = torch.minimum(whole.clamp(min=0), limit)
        sides, seen = whole[:, 2:] - whole[:, :2], (cut[:, 2:] - cut[:, :2]).clamp(min=0)
        kept = seen.prod(1) >= MIN_VISIBLE * sides.prod(1)
        boxes.append(cut[kept])
        labels.append(its_labels[kept])
    return Boxes(tuple(boxes), tuple(labels))
