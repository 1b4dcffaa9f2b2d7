"""How a grid detector's output encodes boxes, to and fro.

The network's output is float32 N × (4 + classes + 1) × rows × columns, channels in the order in which the
ESP32-CAM paper's heads return them: box, classes, confidence (15 × 8 × 10 at 160×120 with ten classes). Boxes are
pixels, (x1, y1, x2, y2).

Encoding, for int8 outputs. With t clamped to ±``logit_range``, u = t / ``logit_range``:

    centre x = (column + 0.5 + u) · stride          half a cell beyond each side, so a neighbour can encode the box
    width    = min_size · (W / min_size)^((u + 1) / 2)        likewise y, height

Offset and log size are *linear* in the output, so equal int8 steps are equal shifts and equal relative sizes
over the whole range (a sigmoid would spend most codes on its tails). The range is that of useful class and
confidence logits, so one scale fits all channels of one output tensor: with ±8 in 256 steps a step is
1/8 pixel of offset and 1.5 % of size at 160×120 with stride 16.
"""

import torch
from torch import Tensor

from paper2board.tasks.detection.grid import BOX, Grid


def split_channels(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return box N×4×…, class N×classes×… and confidence N×… channels."""
    return output[:, :BOX], output[:, BOX:-1], output[:, -1]


def _cell_centres(grid: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return x (1×columns) and y (rows×1) of the cells' centres, pixels."""
    x = (torch.arange(grid.columns, dtype=like.dtype, device=like.device) + 0.5) * grid.stride
    y = (torch.arange(grid.rows, dtype=like.dtype, device=like.device) + 0.5) * grid.stride
    return x[None], y[:, None]


def decode_boxes(grid: Grid, raw: Tensor) -> Tensor:
    """Return the boxes N×4×rows×columns, pixels, of a network's box channels; not cut at the image's edge.

    The clamp passes gradients, so that training can bring back a value beyond the range.
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


def encode_to_cells(grid: Grid, objects: Tensor, places: Tensor, strength: Tensor) -> Tensor:
    """Return the output in which every cell encodes the strongest of the objects that claim it.

    ``objects``: N×channels×K, boxes in pixels, class logits, confidence. ``places`` and ``strength``: N×M claims,
    M a multiple of K; claim m is of object m modulo K. A place is a cell's number, row after row; any other number
    claims no cell. Cells without a claim get confidence −``logit_range`` and zeros.
    """
    cells = torch.arange(grid.rows * grid.columns, device=places.device)
    claims = strength[:, None].masked_fill(places[:, None] != cells[:, None], -torch.inf)
    best, index = claims.max(-1)  # N × cells
    source = (index % objects.shape[2])[:, None].expand(-1, objects.shape[1], -1)
    strongest = objects.gather(2, source).unflatten(2, (grid.rows, grid.columns))
    output = torch.cat([encode_boxes(grid, strongest[:, :BOX]), strongest[:, BOX:]], 1)
    nothing = torch.zeros(grid.channels, device=places.device)
    nothing[-1] = -grid.logit_range
    empty = best.isinf()[:, None].unflatten(2, (grid.rows, grid.columns))
    return torch.where(empty, nothing[:, None, None], output)
