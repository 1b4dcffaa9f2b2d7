"""Operators of a file that put values in another order: each becomes a MOVE, a view, or CONCATENATION.

Axes are the file's, with the batch: the values lie in memory in the same order with and without it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from paper2board.convert.reading.file import TfliteNode, without_batch
from paper2board.convert.reading.fold import strided
from paper2board.model.operators.moving import Concatenation, Move


def moved(node: TfliteNode, source: int, target: int, tables: Sequence[np.ndarray]) -> int:
    """Emit a move; ``tables`` has for each axis of the output the places in the source. A view if nothing moves."""
    used = [table for table in tables if len(table) > 1 or table.any()]
    size = node.tensor(source).size
    if math.prod(len(table) for table in tables) != node.tensor(target).size:
        node.refuse("does not have the output that its parameters say")
    total = np.zeros((), np.int64)
    for table in used:
        total = np.add.outer(total, table.astype(np.int64))
    if total.size == size and np.array_equal(total.ravel(), np.arange(size)):
        return node.view(source, target)
    lengths = tuple(len(table) for table in used)
    offsets = np.concatenate(used) if used else np.zeros(1, np.int64)
    return node.emit(Move, (source,), target, lengths=lengths or (1,), offsets=offsets.astype(np.int32))


def strides_of(shape: tuple[int, ...]) -> list[int]:
    """Return how far apart neighbours along each axis are."""
    result = [1]
    for size in reversed(shape[1:]):
        result.insert(0, result[0] * size)
    return result[: len(shape)]


def places(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return the places of each axis' entries."""
    return [np.arange(n) * stride for n, stride in zip(shape, strides_of(shape), strict=True)]


def _transpose(node: TfliteNode) -> None:
    order, shape = node.integers(1).ravel().tolist(), node.shape(0)
    if sorted(order) != list(range(len(shape))):
        node.refuse(f"has no permutation of {len(shape)} dimensions")
    if node.target_shape() != tuple(shape[axis] for axis in order):
        node.refuse("does not have the output's shape that its permutation says")
    source, tables = node.source(0), places(shape)
    moved(node, source, node.target(), [tables[axis] for axis in order])


def _strided_slice(node: TfliteNode) -> None:
    shape = node.shape(0)
    slices, _ = strided(node, shape)
    source = node.source(0)
    moved(node, source, node.target(), _cut(node, shape, slices))


def _cut(node: TfliteNode, shape: tuple[int, ...], slices: Sequence[slice]) -> list[np.ndarray]:
    tables = [table[part] for table, part in zip(places(shape), slices, strict=True)]
    if any(len(table) == 0 for table in tables):
        node.refuse("takes nothing")
    return tables


def _slice(node: TfliteNode) -> None:
    shape = node.shape(0)
    begins, sizes = node.integers(1).ravel().tolist(), node.integers(2).ravel().tolist()
    if not len(begins) == len(sizes) == len(shape):
        node.refuse("does not have a begin and a size for each dimension")
    slices = [slice(b, n if s < 0 else b + s) for b, s, n in zip(begins, sizes, shape, strict=True)]
    if any(part.start < 0 or part.stop > n for part, n in zip(slices, shape, strict=True)):
        node.refuse("takes what lies beyond its input")
    source = node.source(0)
    moved(node, source, node.target(), _cut(node, shape, slices))


def _axis(node: TfliteNode, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        node.refuse(f"has axis {axis} of {rank}")
    return axis % rank


def _split_at(node: TfliteNode, position: int, axis: int, sizes: Sequence[int]) -> None:
    shape = node.shape(position)
    axis = _axis(node, axis, len(shape))
    if sum(sizes) != shape[axis] or min(sizes) < 1 or len(sizes) != len(node.targets):
        node.refuse(
            f"has parts of {list(sizes)}, not the {shape[axis]} of its input for {len(node.targets)} outputs"
        )
    source, begin = node.source(position), 0
    for number, size in enumerate(sizes):
        slices = [slice(None)] * len(shape)
        slices[axis] = slice(begin, begin + size)
        begin += size
        moved(node, source, node.target(number), _cut(node, shape, slices))


def _split(node: TfliteNode) -> None:
    count, axis = len(node.targets), int(node.integers(0).ravel()[0])
    shape = node.shape(1)
    size = shape[_axis(node, axis, len(shape))]
    if count == 0 or size % count:
        node.refuse(f"has {count} equal parts of {size}")
    _split_at(node, 1, axis, [size // count] * count)


def _split_v(node: TfliteNode) -> None:
    sizes, axis = node.integers(1).ravel().tolist(), int(node.integers(2).ravel()[0])
    shape = node.shape(0)
    if sizes.count(-1) == 1:
        rest = shape[_axis(node, axis, len(shape))] - sum(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = rest
    _split_at(node, 0, axis, sizes)


def _unpack(node: TfliteNode) -> None:
    axis = node.options("UnpackOptions").Axis()
    shape = node.shape(0)
    _split_at(node, 0, axis, [1] * shape[_axis(node, axis, len(shape))])


def _pack(node: TfliteNode) -> None:
    axis, shape = node.options("PackOptions").Axis(), node.target_shape()
    axis = _axis(node, axis, len(shape))
    part = (*shape[:axis], 1, *shape[axis + 1 :])
    if shape[axis] != len(node.sources) or any(
        int(np.prod(node.shape(i))) != np.prod(part) for i in range(shape[axis])
    ):
        node.refuse("does not have the output's shape that its inputs say")
    _joined(node, axis, [part] * len(node.sources))


def _concatenation(node: TfliteNode) -> None:
    options = node.options("ConcatenationOptions")
    if options.FusedActivationFunction():
        node.refuse("has a fused activation")
    shape = node.target_shape()
    axis = _axis(node, options.Axis(), len(shape))
    parts = [node.shape(i) for i in range(len(node.sources))]
    same = all(len(part) == len(shape) and (*part[:axis], *part[axis + 1 :]) == (*shape[:axis], *shape[axis + 1 :])
               for part in parts)  # fmt: skip
    if not same or sum(part[axis] for part in parts) != shape[axis]:
        node.refuse("its shapes do not add up to the output's")
    _joined(node, axis, parts)


def _joined(node: TfliteNode, axis: int, parts: list[tuple[int, ...]]) -> None:
    """Emit a CONCATENATION along an axis of the file of inputs that have the shapes ``parts`` there."""
    shape = node.target_shape()
    target = node.target()
    sources = [node.source(i) for i in range(len(parts))]
    # The batch is dropped from all of them or from none.
    keep = axis == 0 and len(shape) > 1 and shape[0] != 1
    inner = [part if keep or len(part) == 1 else without_batch(part) for part in parts]
    dropped = len(parts[0]) - len(inner[0])
    axis -= dropped
    concatenated(
        node, [node.viewed(source, part) for source, part in zip(sources, inner, strict=True)], axis, target
    )


def concatenated(node: TfliteNode, parts: Sequence[int], axis: int, target: int) -> None:
    """Emit the ops that write tensors of the model, joined along an axis of theirs, to ``target``."""
    joined, most = list(parts), Concatenation.INPUTS[1]
    while len(joined) > most:
        groups = [joined[i : i + most] for i in range(0, len(joined), most)]
        joined = [_concatenated(node, group, axis, target) for group in groups]
    natural = list(node.tensor(joined[0]).shape)
    natural[axis] = sum(node.tensor(part).shape[axis] for part in joined)
    if len(joined) > 1 and tuple(natural) == node.tensor(target).shape:
        node.emit(Concatenation, tuple(joined), target, axis=axis)
    else:
        node.view(_concatenated(node, joined, axis, target), target)


def _concatenated(node: TfliteNode, parts: list[int], axis: int, like: int) -> int:
    """Return parts joined along an axis of the model, in a tensor of their own; a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    shapes = [node.tensor(part).shape for part in parts]
    shape = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    return node.emit(Concatenation, tuple(parts), node.between(shape, like), axis=axis)


def _reshape(node: TfliteNode) -> None:
    if node.kind == "RESHAPE" and node.has(1):
        stated, shape = node.integers(1).ravel().tolist(), node.target_shape()
        if len(stated) != len(shape) or any(a not in (b, -1) for a, b in zip(stated, shape, strict=True)):
            node.refuse("its shape is not its output's")
    source = node.source(0)
    node.view(source, node.target())


def _mirror_pad(node: TfliteNode) -> None:
    reflects = node.options("MirrorPadOptions").Mode() == 0
    shape, amounts = node.shape(0), node.integers(1)
    if amounts.shape != (len(shape), 2) or (amounts < 0).any():
        node.refuse("does not have two paddings for each dimension")
    most = [n - 1 if reflects else n for n in shape]
    if any(max(pair) > limit for pair, limit in zip(amounts.tolist(), most, strict=True)):
        node.refuse("mirrors more than there is")
    mode: Literal["reflect", "symmetric"] = "reflect" if reflects else "symmetric"
    source = node.source(0)
    tables = [
        np.pad(table, pair, mode=mode) for table, pair in zip(places(shape), amounts.tolist(), strict=True)
    ]
    moved(node, source, node.target(), tables)


def _resize_nearest(node: TfliteNode) -> None:
    options = node.options("ResizeNearestNeighborOptions")
    corners, centres = options.AlignCorners(), options.HalfPixelCenters()
    shape, size = node.shape(0), tuple(node.integers(1).ravel().tolist())
    if (
        len(shape) != 4
        or len(size) != 2
        or min(size) < 1
        or node.target_shape() != (shape[0], *size, shape[3])
    ):
        node.refuse("does not have the output's shape that its size says")
    tables = places(shape)
    for axis, after in ((1, size[0]), (2, size[1])):
        tables[axis] = tables[axis][_nearest(shape[axis], after, corners, centres)]
    source = node.source(0)
    moved(node, source, node.target(), tables)


def _nearest(before: int, after: int, corners: bool, centres: bool) -> np.ndarray:
    """Return the input pixel of each output pixel, as TFLite computes it: in float32."""
    step = (before - 1) / np.float32(after - 1) if corners and after > 1 else before / np.float32(after)
    scale = np.float32(step)
    offset = np.float32(0.5 if centres else 0.0)
    place = (np.arange(after).astype(np.float32) + offset) * scale
    pixel = np.floor(place.astype(np.float64) + 0.5) if corners else np.floor(place)
    pixel = np.minimum(pixel.astype(np.int64), before - 1)
    return np.maximum(pixel, 0) if centres else pixel


def _space_to_depth(node: TfliteNode) -> None:
    block = node.options("SpaceToDepthOptions").BlockSize()
    shape = node.shape(0)
    if len(shape) != 4 or block < 1 or shape[1] % block or shape[2] % block:
        node.refuse(f"has blocks of {block} of {shape}")
    batch, rows, columns, channels = places(shape)
    tables = [batch, rows[::block], columns[::block], rows[:block], columns[:block], channels]
    source = node.source(0)
    moved(node, source, node.target(), tables)


def _depth_to_space(node: TfliteNode) -> None:
    block = node.options("DepthToSpaceOptions").BlockSize()
    shape = node.shape(0)
    if len(shape) != 4 or block < 1 or shape[3] % (block * block):
        node.refuse(f"has blocks of {block} of {shape}")
    batch, rows, columns, channels = places(shape)
    depth = shape[3] // (block * block)
    in_block = [channels[:: depth * block][:block], channels[::depth][:block]]
    source = node.source(0)
    moved(node, source, node.target(), [batch, rows, in_block[0], columns, in_block[1], channels[:depth]])


def _gather(node: TfliteNode) -> None:
    options = node.options("GatherOptions")
    shape, chosen = node.shape(0), node.integers(1)
    axis = _axis(node, options.Axis(), len(shape))
    if options.BatchDims() or chosen.size == 0:
        node.refuse("has batch dimensions or no indices")
    if chosen.min() < 0 or chosen.max() >= shape[axis]:
        node.refuse("takes what lies beyond its input")
    source, tables = node.source(0), places(shape)
    moved(node, source, node.target(), [*tables[:axis], tables[axis][chosen.ravel()], *tables[axis + 1 :]])


def _broadcast_to(node: TfliteNode) -> None:
    shape, wanted = node.shape(0), node.target_shape()
    if len(wanted) < len(shape):
        node.refuse("has fewer dimensions than its input")
    source, target = node.source(0), node.target()  # no larger than activations may be
    tables = places((1,) * (len(wanted) - len(shape)) + shape)
    for axis, n in enumerate(wanted):
        if len(tables[axis]) not in (1, n):
            node.refuse("does not have the shape of its output")
        tables[axis] = np.resize(tables[axis], n)
    moved(node, source, target, tables)


def _tile(node: TfliteNode) -> None:
    shape, times = node.shape(0), node.integers(1).ravel().tolist()
    if len(times) != len(shape) or min(times, default=1) < 1:
        node.refuse("does not have a number for each dimension")
    if node.target_shape() != tuple(n * size for n, size in zip(times, shape, strict=True)):
        node.refuse("does not have the output's shape that its numbers say")
    source, target = node.source(0), node.target()
    moved(node, source, target, [np.tile(t, n) for t, n in zip(places(shape), times, strict=True)])


def _reverse(node: TfliteNode) -> None:
    shape, tables = node.shape(0), places(node.shape(0))
    for axis in node.integers(1).ravel().tolist():
        axis = _axis(node, axis, len(shape))
        tables[axis] = tables[axis][::-1]
    source = node.source(0)
    moved(node, source, node.target(), tables)


MOVES: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    "BROADCAST_TO": (3, _broadcast_to),
    "CONCATENATION": (3, _concatenation),
    "DEPTH_TO_SPACE": (2, _depth_to_space),
    "EXPAND_DIMS": (1, _reshape),
    "GATHER": (4, _gather),
    "MIRROR_PAD": (2, _mirror_pad),
    "PACK": (4, _pack),
    "RESHAPE": (1, _reshape),
    "RESIZE_NEAREST_NEIGHBOR": (4, _resize_nearest),
    "REVERSE_V2": (3, _reverse),
    "SLICE": (5, _slice),
    "SPACE_TO_DEPTH": (2, _space_to_depth),
    "SPLIT": (4, _split),
    "SPLIT_V": (2, _split_v),
    "SQUEEZE": (2, _reshape),
    "STRIDED_SLICE": (8, _strided_slice),
    "TILE": (3, _tile),
    "TRANSPOSE": (6, _transpose),
    "UNPACK": (4, _unpack),
}
"""Newest version, and reader, of each operator."""
