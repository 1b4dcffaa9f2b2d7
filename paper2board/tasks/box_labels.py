"""Boxes as labels of training images, and what augmentation makes of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from paper2board.acquire.examples import Examples
from paper2board.tasks.augmentation import MIN_VISIBLE, Transforms, transform_boxes
from paper2board.tasks.scenes import required_scenes


@dataclass(frozen=True)
class BoxLabels:
    """The objects of N images: ``boxes`` float32 M×4 (x1, y1, x2, y2 in pixels) and ``classes`` int64 M of each."""

    boxes: tuple[torch.Tensor, ...]
    classes: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, indices: torch.Tensor) -> "BoxLabels":
        listed = indices.tolist()
        return BoxLabels(tuple(self.boxes[i] for i in listed), tuple(self.classes[i] for i in listed))

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield all that decides what is learned."""
        yield from self.boxes
        yield from self.classes


def box_labels(examples: Examples, indices: np.ndarray, input_shape: Sequence[int]) -> BoxLabels:
    """Return the boxes of the examples at ``indices``, in pixels of a network's (C, H, W) input.

    Raise :class:`~paper2board.core.errors.UserError` if the examples have no boxes.
    """
    every = required_scenes(examples)
    scenes = [every[int(i)] for i in indices]
    (_, height, width), (_, old_height, old_width, _) = input_shape, examples.images.shape
    scale = torch.tensor([width / old_width, height / old_height] * 2)
    return BoxLabels(
        tuple((torch.from_numpy(scene.boxes.copy()) * scale).float() for scene in scenes),
        tuple(torch.from_numpy(scene.classes.copy()) for scene in scenes),
    )


def transform_box_labels(labels: BoxLabels, transforms: Transforms, height: int, width: int) -> BoxLabels:
    """Return the objects after ``transforms`` of their images, cut at the image's edge.

    An object is dropped if less than :data:`~paper2board.tasks.augmentation.MIN_VISIBLE` of its area stays inside.
    """
    boxes, classes = [], []
    limit = torch.tensor([width, height, width, height])
    parts = zip(
        labels.boxes,
        labels.classes,
        transforms.shift.squeeze(2).T,
        transforms.mirrored.tolist(),
        strict=True,
    )
    for its_boxes, its_classes, shift, (mirrored,) in parts:
        whole = transform_boxes(its_boxes, shift, mirrored, width)
        cut = torch.minimum(whole.clamp(min=0), limit)
        sides, seen = whole[:, 2:] - whole[:, :2], (cut[:, 2:] - cut[:, :2]).clamp(min=0)
        kept = seen.prod(1) >= MIN_VISIBLE * sides.prod(1)
        boxes.append(cut[kept])
        classes.append(its_classes[kept])
    return BoxLabels(tuple(boxes), tuple(classes))
