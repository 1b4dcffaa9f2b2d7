"""Operators of a file with weights, in the forms that the ops with weights do not have themselves.

FULLY_CONNECTED of several rows takes them as pixels. CONV_2D with groups becomes a depthwise convolution, or
a convolution for each group.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from paper2board.convert.operators import OPERATORS
from paper2board.convert.tflite_file import TfliteNode, TfliteOperator
from paper2board.convert.tflite_moves import concatenated, moved, places
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected


def _fields(node: TfliteNode, source: int, target: int) -> dict[str, Any]:
    """Return what the operator's row reads of it: its constants and options."""
    row = OPERATORS[node.kind]
    least, most = (1 + count for count in row.constants)
    if not least <= len(node.sources) <= most:
        node.refuse(f"has {len(node.sources)} inputs, not {least} to {most}")
    return row.read(
        TfliteOperator(node.file, node.operator, row.options, (source,), target, node.sources[1:])
    )


def _fully_connected(node: TfliteNode) -> None:
    source, target = node.source(0), node.target()
    fields = _fields(node, source, target)
    shape, size = node.tensor(source).shape, node.tensor(source).size
    outputs, inputs = fields["weights"].shape
    if size % inputs:
        node.refuse(f"has weights for {inputs} values, of which its input's {size} are no multiple")
    rows = size // inputs
    if node.tensor(target).size != rows * outputs or node.target_shape()[-1] != outputs:
        node.refuse("does not have the output's shape that its weights say")
    if rows == 1:
        natural: tuple[int, ...] = (outputs,)
    else:
        pixels = shape[:2] if len(shape) == 3 and shape[2] == inputs else (1, rows)
        source, natural = node.viewed(source, (*pixels, inputs)), (*pixels, outputs)
    _emit_between(node, FullyConnected, source, natural, target, fields)


def _emit_between(
    node: TfliteNode,
    kind: type[Conv2D | DepthwiseConv2D | FullyConnected],
    source: int,
    natural: tuple[int, ...],
    target: int,
    fields: dict[str, Any],
) -> None:
    """Emit an op whose output has the shape ``natural``, which the file's output has or is a view of."""
    if node.tensor(target).shape == natural:
        node.emit(kind, (source,), target, **fields)
    else:
        node.view(node.emit(kind, (source,), node.between(natural, target), **fields), target)


def _conv2d(node: TfliteNode) -> None:
    shape, weights_shape = node.shape(0), node.shape(1)
    source, target = node.source(0), node.target()
    fields = _fields(node, source, target)
    outputs, inputs = weights_shape[0], weights_shape[3]
    if len(shape) != 4 or shape[0] != 1 or shape[3] % inputs:
        node.refuse(f"has weights of shape {weights_shape} for an input of shape {shape}")
    groups = shape[3] // inputs
    if groups == 1:
        node.emit(Conv2D, (source,), target, **fields)
        return
    if outputs % groups:
        node.refuse(f"has {outputs} output channels in {groups} groups")
    if inputs == 1:
        depthwise = fields | {"weights": np.ascontiguousarray(fields["weights"][..., 0].transpose(1, 2, 0))}
        node.emit(DepthwiseConv2D, (source,), target, **depthwise)
        return
    size, parts = outputs // groups, []
    for group in range(groups):
        rows, columns, channels = places(shape[1:])
        cut = node.between((*shape[1:3], inputs), source)
        moved(node, source, cut, [rows, columns, channels[group * inputs : (group + 1) * inputs]])
        part = slice(group * size, (group + 1) * size)
        own = {name: fields[name][part] for name in ("weights", "bias")}
        if len(fields["weight_scales"]) > 1:
            own["weight_scales"] = fields["weight_scales"][part]
        output = node.between((*node.tensor(target).shape[:2], size), target)
        parts.append(node.emit(Conv2D, (cut,), output, **fields | own))
    concatenated(node, parts, 2, target)


PRODUCTS: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    "CONV_2D": (OPERATORS["CONV_2D"].reads, _conv2d),
    "FULLY_CONNECTED": (OPERATORS["FULLY_CONNECTED"].reads, _fully_connected),
}
"""Newest version, and reader, of each operator."""
