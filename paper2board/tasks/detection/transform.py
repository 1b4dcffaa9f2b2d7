"""A teacher's output for some images, as it would be for the images after augmentation."""

import torch
from torch import Tensor

from paper2board.tasks.augmentation import MIN_VISIBLE, Transforms
from paper2board.tasks.detection.encoding import decode_boxes, encode_to_cells, split_channels
from paper2board.tasks.detection.grid import Grid


@torch.no_grad()
def transform_output(grid: Grid, output: Tensor, transforms: Transforms) -> Tensor:
    """Return the output that belongs to ``output`` after ``transforms`` of its images.

    Each cell's object is transformed as its image and cut at the image's edge; it is dropped if less than
    :data:`~paper2board.tasks.augmentation.MIN_VISIBLE` of its area stays inside. It is encoded in the cells that
    :func:`~paper2board.tasks.detection.assignment.assign` trains for it. Of several objects in one cell, a likely
    one (confidence above 0) whose centre lies there goes first, then the most confident. Cells without an object
    get confidence −``logit_range`` and zeros.
    """
    _, classes, confidence = (part.flatten(-2) for part in split_channels(output))
    whole = decode_boxes(grid, split_channels(output)[0]).flatten(2)
    dy, dx = transforms.shift
    x1, y1, x2, y2 = (whole - torch.stack([dx, dy, dx, dy], 1)).unbind(1)
    x1, x2 = (
        torch.where(transforms.mirrored, grid.width - x2, x1),
        torch.where(transforms.mirrored, grid.width - x1, x2),
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
    claimed = inside & (seen & (confidence > -grid.logit_range))[:, None]
    places = torch.where(claimed, rows * grid.columns + columns, -1).flatten(1)
    boxes = torch.stack([left, top, right, bottom], 1)
    objects = torch.cat([boxes, classes, confidence[:, None]], 1)
    return encode_to_cells(grid, objects, places, strength.flatten(1))
