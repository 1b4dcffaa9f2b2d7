"""Augmentation of a whole batch at once: random shifts and mirrorings, of images and of their boxes."""

from dataclasses import dataclass

import torch

MIN_VISIBLE = 0.3
"""Least share of a box's area that must stay in the image; augmentation drops a box that keeps less."""


@dataclass(frozen=True)
class Transforms:
    """How each of N images is shifted and mirrored by augmentation."""

    shift: torch.Tensor
    """int64 2×N×1: rows and columns by which the image's content moves up and left."""
    mirrored: torch.Tensor
    """bool N×1: mirrored left to right after the shift."""


def draw_transforms(count: int, crop_padding: int, flip: bool, generator: torch.Generator) -> Transforms:
    """Draw shifts of up to ``crop_padding`` pixels and, with ``flip``, mirrorings by chance."""
    shift = torch.randint(-crop_padding, crop_padding + 1, (2, count, 1), generator=generator)
    if flip:
        return Transforms(shift, torch.rand(count, 1, generator=generator) < 0.5)
    return Transforms(shift, torch.zeros(count, 1, dtype=torch.bool))


def transform_pixels(pixels: torch.Tensor, transforms: Transforms) -> torch.Tensor:
    """Return uint8 N×C×H×W pixels shifted and mirrored.

    What a shift uncovers is 128, the grey that normalises to zero.
    """
    _, _, height, width = pixels.shape
    padding = int(transforms.shift.abs().max())
    padded = torch.nn.functional.pad(pixels, [padding] * 4, value=128).permute(0, 2, 3, 1).contiguous()
    starts = (transforms.shift.squeeze(2).T + padding).tolist()
    shifted = torch.stack(  # slices are copied several times faster than indexed pixels
        [image[y : y + height, x : x + width] for image, (y, x) in zip(padded, starts, strict=True)]
    )
    return torch.where(transforms.mirrored[:, :, None, None], shifted.flip(2), shifted).permute(0, 3, 1, 2)


def transform_boxes(boxes: torch.Tensor, shift: torch.Tensor, mirrored: bool, width: int) -> torch.Tensor:
    """Return float M×4 boxes (x1, y1, x2, y2, pixels) of one image, as :func:`transform_pixels` moves its pixels.

    ``shift`` is the image's 2 numbers of :class:`Transforms`; boxes may then leave the image.
    """
    dy, dx = shift.tolist()
    boxes = boxes - torch.tensor([dx, dy, dx, dy], dtype=boxes.dtype)
    if mirrored:
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    return boxes
