"""Operators of a file that pad images, exchange their size with the batch, or interpolate them."""

import math
from collections.abc import Callable

import numpy as np

from paper2board.convert.reading.file import TfliteNode
from paper2board.convert.reading.moves import moved, places
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
    _padded(node, source, target, shape, paddings, value)


def _value(node: TfliteNode, target: int) -> int | None:
    """Return the value that an input gives; None if it is the zero point."""
    tensor = node.tensor(node.source(2))
    values = node.values(2)
    if values is None or values.size != 1 or tensor.quantization != node.tensor(target).quantization:
        node.refuse("has a value that is no constant of its output's scale and zero point")
    value = int(values.ravel()[0])
    return None if value == tensor.zero_point else value


def _padded(
    node: TfliteNode,
    source: int,
    target: int,
    shape: tuple[int, ...],
    paddings: list[tuple[int, int]],
    value: int | None,
) -> None:
    """Emit the paddings of a tensor, which has ``shape`` in the file: as of one image, or axis by axis."""
    own = node.tensor(source).shape
    dropped = len(shape) - len(own)
    if len(own) <= 3 and not any(map(any, paddings[:dropped])):
        before = (1,) * (3 - len(own))
        image = node.viewed(source, (*before, *own))
        amounts = (*((0, 0) for _ in before), *paddings[dropped:])
        wide = tuple(n + sum(pair) for n, pair in zip(node.tensor(image).shape, amounts, strict=True))
        same = wide == node.tensor(target).shape
        output = target if same else node.between(wide, target)
        node.emit(Pad, (image,), output, paddings=amounts, value=value)
        if not same:
            node.view(output, target)
        return
    sizes = list(shape)
    for axis, pair in enumerate(paddings):
        if any(pair):
            outer, inner = math.prod(sizes[:axis]), math.prod(sizes[axis + 1 :])
            image = node.viewed(source, (outer, sizes[axis], inner))
            sizes[axis] += sum(pair)
            output = node.between((outer, sizes[axis], inner), target)
            source = node.emit(Pad, (image,), output, paddings=((0, 0), pair, (0, 0)), value=value)
    node.view(source, target)


def _blocks(node: TfliteNode, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the (height, width) of blocks; of N × T × C the height is T's."""
    blocks = node.integers(1).ravel().tolist()
    if len(shape) not in (3, 4) or len(blocks) != len(shape) - 2 or min(blocks) < 1:
        node.refuse(f"has blocks {blocks} of {shape}")
    return blocks[0], blocks[1] if len(blocks) == 2 else 1


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return N × T × C as N × T × 1 × C."""
    return shape if len(shape) == 4 else (*shape[:2], 1, shape[2])


def _space_to_batch(node: TfliteNode) -> None:
    high, wide = _blocks(node, node.shape(0))
    count, height, width, depth = _image(node.shape(0))
    pairs = _pairs(node, 2, len(node.shape(0)) - 2)
    rows, columns = pairs[0], pairs[1] if len(pairs) == 2 else (0, 0)
    tall, broad = height + sum(rows), width + sum(columns)
    if _image(node.target_shape()) != (count * high * wide, tall // high, broad // wide, depth):
        node.refuse("does not have the output's shape that its blocks say", _OPEN_BATCH)
    if any(rows) or any(columns):
        # TFLite Micro fills with whatever its memory holds.
        node.refuse("pads", "use ZeroPadding2D before the convolution, with a size that its dilation divides")
    if height % high or width % wide:
        node.refuse(f"has blocks of {(high, wide)} of {(height, width)}")
    source, target = node.source(0), node.target()
    batch, y, x, channels = places((count, height, width, depth))
    moved(node, source, target, [y[:high], x[:wide], batch, y[::high], x[::wide], channels])


def _batch_to_space(node: TfliteNode) -> None:
    high, wide = _blocks(node, node.shape(0))
    batch, height, width, depth = shape = _image(node.shape(0))
    pairs = _pairs(node, 2, len(node.shape(0)) - 2)
    rows, columns = pairs[0], pairs[1] if len(pairs) == 2 else (0, 0)
    count = batch // (high * wide)
    size = (height * high - sum(rows), width * wide - sum(columns))
    if batch % (high * wide) or _image(node.target_shape()) != (count, *size, depth):
        node.refuse("does not have the output's shape that its blocks say", _OPEN_BATCH)
    source, target = node.source(0), node.target()
    images, y, x, channels = places(shape)
    down, right = (np.arange(n) + pair[0] for n, pair in zip(size, (rows, columns), strict=True))
    tables = [
        images[:count],
        y[down // high] + images[down % high * (wide * count)],
        x[right // wide] + images[right % wide * count],
        channels,
    ]
    moved(node, source, target, tables)


def _resize_bilinear(node: TfliteNode) -> None:
    options = node.options("ResizeBilinearOptions")
    shape, size = node.shape(0), node.integers(1).ravel().tolist()
    if len(shape) != 4 or shape[0] != 1 or node.target_shape() != (1, *size, shape[3]):
        node.refuse("does not have the output's shape that its size says")
    fields = {"corners": bool(options.AlignCorners()), "centres": bool(options.HalfPixelCenters())}
    node.emit(ResizeBilinear, (node.source(0),), node.target(), **fields)


SPACES: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    "BATCH_TO_SPACE_ND": (3, _batch_to_space),
    "PAD": (4, _pad),
    "PADV2": (4, _pad),
    "RESIZE_BILINEAR": (4, _resize_bilinear),
    "SPACE_TO_BATCH_ND": (3, _space_to_batch),
}
"""Newest version, and reader, of each operator."""
