"""Operators of a file that pad images, exchange their size with the batch, or interpolate them."""

import math
from collections.abc import Callable

import numpy as np

from paper2board.convert.tflite_file import TfliteNode
from paper2board.convert.tflite_moves import moved, places
from paper2board.model.operators.moving import Pad
from paper2board.model.operators.resizing import ResizeBilinear

_OPEN_BATCH = (
    "the network was converted with an open batch: give Input(batch_size=1), or convert a concrete function"
)


def _pairs(node: TfliteNode, position: int, count: int) -> list[tuple[int, int]]:
    """Return ``count`` paddings or crops (before, after)."""
    pairs = node.integers(position)
    if pairs.size != 2 * count or (pairs < 0).any():
        node.refuse(f"does not have two paddings for each of {count} dimensions")
    return [(int(before), int(after)) for before, after in pairs.reshape(count, 2)]


def _pad(node: TfliteNode) -> None:
    shape = node.shape(0)
    paddings = _pairs(node, 1, len(shape))
    if node.target_shape() != tuple(n + sum(pair) for n, pair in zip(shape, paddings, strict=True)):
        node.refuse("does not have the output's shape that its paddings say")
    source, target = node.source(0), node.target()
    value = _value(node, target) if node.has(2) else None
    padded(node, source, target, shape, paddings, value)


def _value(node: TfliteNode, target: int) -> int | None:
    """Return the value that an input gives; None if it is the zero point."""
    tensor = node.tensor(node.source(2))
    values = node.values(2)
    if values is None or values.size != 1 or tensor.quantization != node.tensor(target).quantization:
        node.refuse("has a value that is no constant of its output's scale and zero point")
    value = int(values.ravel()[0])
    return None if value == tensor.zero_point else value


def padded(
    node: TfliteNode,
    source: int,
    target: int,
    shape: tuple[int, ...],
    paddings: list[tuple[int, int]],
    value: int | None,
) -> None:
    """Emit the paddings of a tensor, which has ``shape`` with the batch, as those of one or more images."""
    own = node.tensor(source).shape
    if len(own) == 3 and len(own) == len(node.tensor(target).shape) and not any(paddings[: len(shape) - 3]):
        node.emit(Pad, (source,), target, paddings=tuple(paddings[-3:]), value=value)
        return
    # An axis that is padded takes those after it that are not into itself.
    sizes, merged = [1], [(0, 0)]
    for n, (before, after) in zip(shape, paddings, strict=True):
        if before or after:
            sizes.append(n)
            merged.append((before, after))
        else:
            sizes[-1] *= n
            merged[-1] = (merged[-1][0] * n, merged[-1][1] * n)
    while any(map(any, merged)) or node.tensor(source).shape != node.tensor(target).shape:
        at = max((i for i, pair in enumerate(merged) if any(pair)), default=0)
        image = (1, math.prod(sizes[:at]), math.prod(sizes[at:]))
        inner = math.prod(sizes[at + 1 :])
        before, after = (amount * inner for amount in merged[at])
        output = node.between((*image[:2], image[2] + before + after), target)
        if before or after:
            fields = {"paddings": ((0, 0), (0, 0), (before, after)), "value": value}
            source = node.emit(Pad, (node.viewed(source, image),), output, **fields)
        sizes[at] += sum(merged[at])
        merged[at] = (0, 0)
        if not any(map(any, merged)):
            node.view(source, target)
            return


SPACES: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    "PAD": (4, _pad),
    "PADV2": (4, _pad),
}
"""Newest version, and reader, of each operator."""
