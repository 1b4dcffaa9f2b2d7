"""Operators of a file that reduce dimensions.

MEAN, SUM, REDUCE_MIN, REDUCE_MAX, which is a max pooling, ARG_MAX and ARG_MIN, whose indices are an output's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.operators import OPERATORS
from paper2board.convert.reading.file import TfliteNode
from paper2board.convert.reading.moves import moved, places
from paper2board.model.operators.pooling import Pool2D


@dataclass(frozen=True)
class _Reduced:
    """A tensor of the model in which the axes that an operator reduces are consecutive."""

    source: int
    axes: tuple[int, ...]


def _reduced(node: TfliteNode, *, keeps: bool) -> _Reduced:
    """Return the input, its values moved if the axes of the file are not consecutive in it.

    ``keeps``: whether the output has the axes, with length 1.
    """
    shape, numbers = node.shape(0), node.integers(1).ravel().tolist()
    rank = len(shape)
    if any(not -rank <= axis < rank for axis in numbers):
        node.refuse(f"has axes {numbers} of {rank}")
    axes = sorted({axis % rank for axis in numbers})
    if keeps:
        wanted = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    else:
        wanted = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    if node.target_shape() != wanted:
        node.refuse(f"does not have the output's shape {wanted} that its axes say")
    source = node.source(0)
    own = node.tensor(source).shape
    inside = [axis - (len(shape) - len(own)) for axis in axes if axis >= len(shape) - len(own)]
    if inside and inside == list(range(inside[0], inside[-1] + 1)) and len(own) <= len(shape):
        return _Reduced(source, tuple(inside))
    long = [axis for axis in axes if shape[axis] > 1]
    if not long:
        return _Reduced(node.viewed(source, (1, math.prod(shape))), (0,))
    between = [axis for axis in range(long[0], long[-1]) if shape[axis] > 1 and axis not in long]
    if not between:
        first, last = long[0], long[-1] + 1
        grouped = tuple(math.prod(part) for part in (shape[:first], shape[first:last], shape[last:]))
        return _Reduced(node.viewed(source, grouped), (1,))
    kept = [axis for axis in range(rank) if axis not in long]
    tables = places(shape)
    grouped = math.prod(shape[axis] for axis in kept), math.prod(shape[axis] for axis in long)
    target = node.between(grouped, source)
    return _Reduced(moved(node, source, target, [tables[axis] for axis in kept + long]), (1,))


def _keeps(node: TfliteNode) -> bool:
    return bool(node.options("ReducerOptions").KeepDims())


def _along_axes(node: TfliteNode) -> None:
    _emit(node, _reduced(node, keeps=_keeps(node)), node.target())


def _emit(node: TfliteNode, reduced: _Reduced, target: int) -> None:
    kind = OPERATORS[node.kind].op
    shape, own = node.tensor(reduced.source).shape, node.tensor(target).shape
    dropped = tuple(n for axis, n in enumerate(shape) if axis not in reduced.axes) or (1,)
    kept = tuple(1 if axis in reduced.axes else n for axis, n in enumerate(shape))
    if own in (dropped, kept):
        node.emit(kind, (reduced.source,), target, axes=reduced.axes)
    else:
        output = node.between(dropped, target)
        node.view(node.emit(kind, (reduced.source,), output, axes=reduced.axes), target)


def _reduce_max(node: TfliteNode) -> None:
    """A max pooling with one window a group."""
    reduced = _reduced(node, keeps=_keeps(node))
    target, shape = node.target(), node.tensor(reduced.source).shape
    source, axes = reduced.source, reduced.axes
    if len(shape) != 3 or axes[-1] > 1:
        first, last = axes[0], axes[-1] + 1
        grouped = tuple(math.prod(part) for part in (shape[:first], shape[first:last], shape[last:]))
        source, shape, axes = node.viewed(source, grouped), grouped, (1,)
    height, width = (shape[axis] if axis in axes else 1 for axis in (0, 1))
    output = node.between((shape[0] // height, shape[1] // width, shape[2]), target)
    window = {"kernel": (height, width), "stride": (height, width)}
    node.view(node.emit(Pool2D, (source,), output, type="MAX_POOL_2D", **window), target)


def _indices(node: TfliteNode) -> None:
    """Indices are no activation of the file's, and only its caller can use them."""
    kind = node.file.tensor(node.targets[0])[0].Type() if len(node.targets) == 1 else None
    if kind != schema.TensorType.INT32:
        node.refuse("does not write int32", "use tf.argmax(…, output_type=tf.int32)")
    if node.integers(1).size != 1:
        node.refuse("has more than one axis")
    reduced = _reduced(node, keeps=False)
    _emit(node, reduced, node.indices())


REDUCTIONS: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    "ARG_MAX": (2, _indices),
    "ARG_MIN": (2, _indices),
    "MEAN": (3, _along_axes),
    "REDUCE_MAX": (3, _reduce_max),
    "REDUCE_MIN": (3, _along_axes),
    "SUM": (2, _along_axes),
}
"""Newest version, and reader, of each operator."""
