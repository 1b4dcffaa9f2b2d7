"""What operators of a file compute without the network's inputs: shapes above all.

A network that was converted with an open batch takes its shapes apart and puts them together again
(SHAPE, STRIDED_SLICE, PACK before RESHAPE). The sizes are all in the file, so the results are known.
"""

from collections.abc import Callable

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.reading.file import MAX_ACTIVATION_BYTES, TfliteNode

_ARITHMETIC: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "FLOOR_DIV": np.floor_divide,
    "FLOOR_MOD": np.mod,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
}
_REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "SUM": np.sum,
    "REDUCE_PROD": np.prod,
    "REDUCE_MAX": np.max,
    "REDUCE_MIN": np.min,
}
FOLDED = (
    "SHAPE", "STRIDED_SLICE", "SLICE", "PACK", "CONCATENATION", "RESHAPE", "EXPAND_DIMS", "SQUEEZE", "CAST",
    "GATHER", "FILL", "RANGE", "BROADCAST_TO", "ZEROS_LIKE", "TRANSPOSE", *_ARITHMETIC, *_REDUCTIONS,
)  # fmt: skip
"""Operators that are computed here where all they read is known."""


def fold(node: TfliteNode) -> bool:
    """Return whether what a node writes is known now: all that it reads is."""
    if node.kind not in FOLDED or len(node.targets) != 1:
        return False
    given = [None if node.kind == "SHAPE" else node.values(i) for i in range(len(node.sources))]
    if node.kind == "SHAPE":
        given = [np.array(node.shape(0), np.int64)]
    values = [value for value in given if value is not None]
    if len(values) != len(given) or (node.kind != "SHAPE" and not values):
        return False
    shape = node.target_shape()
    if int(np.prod(shape, dtype=np.int64)) > MAX_ACTIVATION_BYTES:
        return False
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(_computed(node, values))
    except (ValueError, IndexError, ZeroDivisionError, TypeError) as error:
        node.refuse(f"computes a shape that does not exist ({error})")
    if result.shape != shape:
        node.refuse(f"computes {result.shape}, not {shape} as the file says")
    node.file.known[node.targets[0]] = result.astype(_type_of(node), copy=False)
    return True


def _type_of(node: TfliteNode) -> np.dtype:
    types = {
        schema.TensorType.INT8: np.int8,
        schema.TensorType.INT32: np.int32,
        schema.TensorType.INT64: np.int64,
        schema.TensorType.BOOL: np.bool_,
    }
    kind = types.get(node.file.tensor(node.targets[0])[0].Type())
    if kind is None:
        node.refuse("computes no integers")
    return np.dtype(kind)


def _computed(node: TfliteNode, values: list[np.ndarray]) -> np.ndarray:
    first = values[0]
    if node.kind in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM") and first.dtype == np.int8:
        node.refuse("computes with constants alone", "leave constant parts out of the network")
    match node.kind:
        case "SHAPE" | "CAST":
            return first
        case "STRIDED_SLICE":
            return first[strided(node, first.shape)[0]].reshape(node.target_shape())
        case "SLICE":
            begin, size = values[1].tolist(), values[2].tolist()
            return first[tuple(slice(b, None if s < 0 else b + s) for b, s in zip(begin, size, strict=True))]
        case "PACK":
            return np.stack(values, node.options("PackOptions").Axis())
        case "CONCATENATION":
            return np.concatenate(values, node.options("ConcatenationOptions").Axis())
        case "RESHAPE" | "EXPAND_DIMS" | "SQUEEZE":
            return first.reshape(node.target_shape())
        case "GATHER":
            return np.take(first, values[1], node.options("GatherOptions").Axis())
        case "FILL":
            return np.full(node.target_shape(), values[1])
        case "RANGE":
            return values[0] + values[2] * np.arange(int(np.prod(node.target_shape())))
        case "BROADCAST_TO":
            return np.broadcast_to(first, tuple(values[1].tolist()))
        case "ZEROS_LIKE":
            return np.zeros_like(first)
        case "TRANSPOSE":
            return first.transpose(values[1].tolist())
    if node.kind in _ARITHMETIC:
        return _ARITHMETIC[node.kind](first, values[1])
    options = node.options("ReducerOptions")
    return _REDUCTIONS[node.kind](first, axis=tuple(values[1].ravel().tolist()), keepdims=options.KeepDims())


def strided(node: TfliteNode, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[int, ...]]:
    """Return the slices of a STRIDED_SLICE of a tensor of ``shape``, and the dimensions that it drops.

    Ellipsis and new axes, which converters do not write and TFLite Micro does not take, are refused.
    """
    options = node.options("StridedSliceOptions")
    if options.EllipsisMask() or options.NewAxisMask() or options.Offset():
        node.refuse("has an ellipsis, new axes or offsets")
    begins, ends, strides = (node.integers(i).ravel().tolist() for i in (1, 2, 3))
    if not len(begins) == len(ends) == len(strides) == len(shape) or 0 in strides:
        node.refuse("does not have a begin, end and stride for each dimension")
    slices, dropped = [], []
    for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        if options.ShrinkAxisMask() >> axis & 1:
            place = begin + (shape[axis] if begin < 0 else 0)
            if not 0 <= place < shape[axis]:
                node.refuse("takes what lies beyond its input")
            slices.append(slice(place, place + 1, 1))
            dropped.append(axis)
            continue
        start = None if options.BeginMask() >> axis & 1 else begin
        stop = None if options.EndMask() >> axis & 1 else end
        slices.append(slice(start, stop, stride))
    return tuple(slices), tuple(dropped)
