"""Operators of a file with weights, in the forms that the ops with weights do not have themselves.

FULLY_CONNECTED of several rows takes them as pixels. CONV_2D with groups becomes a depthwise convolution, or
a convolution for each group. TRANSPOSE_CONV becomes a convolution that computes blocks of pixels as channels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from paper2board.convert.operators import OPERATORS
from paper2board.convert.operators.weighted import read_weights
from paper2board.convert.reading.file import TfliteNode, TfliteOperator
from paper2board.convert.reading.moves import concatenated, moved, places
from paper2board.model.operators.moving import Pad
from paper2board.model.operators.products import BatchMatMul
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.tensor import pad_before


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
    if len(shape) != 4 or shape[3] % inputs:
        node.refuse(f"has weights of shape {weights_shape} for an input of shape {shape}")
    groups = shape[3] // inputs
    if groups == 1:
        _convolved(node, Conv2D, source, target, fields)
        return
    if outputs % groups:
        node.refuse(f"has {outputs} output channels in {groups} groups")
    if inputs == 1:
        depthwise = fields | {"weights": np.ascontiguousarray(fields["weights"][..., 0].transpose(1, 2, 0))}
        _convolved(node, DepthwiseConv2D, source, target, depthwise)
        return
    if shape[0] != 1:
        node.refuse("has groups and a batch other than 1")
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


def _depthwise_conv2d(node: TfliteNode) -> None:
    source, target = node.source(0), node.target()
    _convolved(node, DepthwiseConv2D, source, target, _fields(node, source, target))


def _convolved(
    node: TfliteNode, kind: type[Conv2D | DepthwiseConv2D], source: int, target: int, fields: dict[str, Any]
) -> None:
    """Emit a convolution; several images, as SPACE_TO_BATCH_ND makes them, lie one below the other."""
    shape, size = node.shape(0), node.target_shape()
    if len(shape) != 4 or len(size) != 4 or shape[0] != size[0]:
        node.refuse(f"does not make images of images, but {size} of {shape}")
    count, height, width, depth = shape
    if count == 1:
        node.emit(kind, (source,), target, **fields)
        return
    window = (fields["weights"].shape[kind.KERNEL_AXIS] - 1) * fields["dilation"][0] + 1
    if fields["stride"][0] != 1 or (window > 1 and fields["padding"] != "VALID") or window > height:
        node.refuse("reads over the edge of several images", "convert the network with a batch of 1")
    image = node.viewed(source, (count * height, width, depth))
    below = count * height - window + 1
    output = node.between((below, *size[2:]), target)
    node.emit(kind, (image,), output, **fields)
    y, x, channels = places((below, *size[2:]))
    rows = (np.arange(count)[:, None] * height + np.arange(height - window + 1)).ravel()
    moved(node, output, target, [y[rows], x, channels])


@dataclass(frozen=True)
class _Phases:
    """One axis of a transposed convolution as a convolution without stride that writes ``stride`` values at once.

    Output y = q · stride + r gets tap k of the kernel from input i where y = i · stride − pad + k. So outputs of
    all r together need inputs q + ``first`` to q + ``last``.
    """

    taps: int
    stride: int
    pad: int
    before: int
    """Size of the input."""
    after: int
    """Size of the output."""

    @property
    def first(self) -> int:
        return -((self.taps - 1 - self.pad) // self.stride)

    @property
    def last(self) -> int:
        return (self.stride - 1 + self.pad) // self.stride

    @property
    def window(self) -> int:
        return self.last - self.first + 1

    @property
    def paddings(self) -> tuple[int, int]:
        blocks = -(-self.after // self.stride)
        return -self.first, max(blocks + self.last - self.before, 0)

    @property
    def blocks(self) -> int:
        """Outputs of the convolution; the last ones may lie beyond the output."""
        return sum(self.paddings) + self.before - self.window + 1

    def spread(self, weights: np.ndarray, axis: int) -> np.ndarray:
        """Return weights with ``axis`` replaced by (r, place in the window)."""
        wide = np.moveaxis(weights, axis, 0)
        result = np.zeros((self.stride, self.window, *wide.shape[1:]), weights.dtype)
        for r in range(self.stride):
            for place in range(self.window):
                tap = r + self.pad - (self.first + place) * self.stride
                if 0 <= tap < self.taps:
                    result[r, place] = wide[tap]
        return np.moveaxis(result, (0, 1), (axis, axis + 1))


def _transpose_conv(node: TfliteNode) -> None:
    options = node.options("TransposeConvOptions")
    if not 3 <= len(node.sources) <= 4:
        node.refuse(f"has {len(node.sources)} inputs, not 3 to 4")
    source, target = node.source(2), node.target()
    shape, size = node.shape(2), node.target_shape()
    if len(shape) != 4 or len(size) != 4 or shape[0] != 1 or node.integers(0).ravel().tolist() != [*size]:
        node.refuse("does not have an image, or not the output's shape that it states")
    reading = TfliteOperator(
        node.file,
        node.operator,
        "TransposeConvOptions",
        (source,),
        target,
        [node.sources[1], *node.sources[3:]],
    )
    fields = read_weights(reading, 4)
    weights = fields.pop("weights")
    if weights.shape[3] != shape[3] or weights.shape[0] != size[3]:
        node.refuse(f"has weights of shape {weights.shape} for {shape[3]} to {size[3]} channels")
    stride, padding = reading.pair("stride", options.StrideH(), options.StrideW()), reading.padding(options)
    axes = []
    for axis in (1, 2):
        taps, step, after = weights.shape[axis], stride[axis - 1], size[axis]
        pad = pad_before(after, taps, step, padding)[0]
        if taps <= pad or -(-after // step) > shape[axis] + taps:
            node.refuse(f"has an output of {size[1:3]} that its input of {shape[1:3]} does not reach")
        axes.append(_Phases(taps, step, pad, shape[axis], after))
    rows, columns = axes
    # (out, r, window, s, window, in): each phase of each output channel is a channel of the convolution.
    wide = columns.spread(rows.spread(weights, 1), 3).transpose(1, 3, 0, 2, 4, 5)
    blocks = (rows.blocks, columns.blocks)
    channels = math.prod(stride) * size[3]
    count = math.prod(stride)
    paddings = (rows.paddings, columns.paddings, (0, 0))
    padded = source
    if any(map(any, paddings)):
        sizes = (n + sum(pair) for n, pair in zip(shape[1:], paddings, strict=True))
        padded = node.emit(Pad, (source,), node.between(tuple(sizes), source), paddings=paddings)
    scales = fields["weight_scales"]
    written = target if (*blocks, channels) == size[1:] else node.between((*blocks, channels), target)
    node.emit(
        Conv2D,
        (padded,),
        written,
        weights=np.ascontiguousarray(wide.reshape(channels, rows.window, columns.window, shape[3])),
        bias=np.tile(fields["bias"], count),
        weight_scales=scales if len(scales) == 1 else np.tile(scales, count),
        padding="VALID",
        activation=reading.activation(options),
    )
    if written == target:
        return
    row, pixel = blocks[1] * channels, channels
    y, x = np.arange(size[1]), np.arange(size[2])
    moved(
        node,
        written,
        target,
        [
            y // stride[0] * row + y % stride[0] * (stride[1] * size[3]),
            x // stride[1] * pixel + x % stride[1] * size[3],
            np.arange(size[3]),
        ],
    )


def _batch_matmul(node: TfliteNode) -> None:
    """Both tensors with what is summed last, in as many copies as there are batches."""
    options = node.options("BatchMatMulOptions")
    left, right = (list(node.shape(i)) for i in (0, 1))
    rank = max(len(left), len(right))
    if min(len(left), len(right)) < 2 or rank > 5:
        node.refuse(f"multiplies {tuple(left)} and {tuple(right)}")
    target, sources = node.target(), []
    lead = [
        max(pair) for pair in zip(*(([1] * rank + shape)[-rank:-2] for shape in (left, right)), strict=True)
    ]
    for position, (shape, swapped) in enumerate(((left, options.AdjX()), (right, not options.AdjY()))):
        tables = [np.zeros(1, np.int64)] * (rank - len(shape)) + places(tuple(shape))
        if any(len(table) not in (1, n) for table, n in zip(tables, lead, strict=False)):
            node.refuse(f"multiplies {tuple(left)} and {tuple(right)}")
        if swapped:
            tables[-2:] = tables[:-3:-1]
        sources.append((position, tables))
    (rows, depth), (columns, other) = (tuple(map(len, tables[-2:])) for _, tables in sources)
    if depth != other or node.tensor(target).size != math.prod(lead) * rows * columns:
        node.refuse(f"multiplies {tuple(left)} and {tuple(right)} to {node.target_shape()}")
    batches = math.prod(lead)
    if all(len(table) == 1 for table in sources[1][1][:-2]):
        batches, rows = 1, batches * rows
    inner = []
    for position, tables in sources:
        if position == 0 or batches > 1:
            tables = [*(np.resize(t, n) for t, n in zip(tables, lead, strict=False)), *tables[-2:]]
        source = node.source(position)
        size = (batches, rows if position == 0 else columns, depth)
        if node.tensor(source).shape == size and tables[-1][-1] == depth - 1:
            inner.append(source)  # as it is
        else:
            inner.append(moved(node, source, node.between(size, source), tables))
    natural = (batches, rows, columns)
    output = target if node.tensor(target).shape == natural else node.between(natural, target)
    node.emit(BatchMatMul, tuple(inner), output)
    if output != target:
        node.view(output, target)


PRODUCTS: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    "BATCH_MATMUL": (4, _batch_matmul),
    "CONV_2D": (OPERATORS["CONV_2D"].reads, _conv2d),
    "DEPTHWISE_CONV_2D": (OPERATORS["DEPTHWISE_CONV_2D"].reads, _depthwise_conv2d),
    "FULLY_CONNECTED": (OPERATORS["FULLY_CONNECTED"].reads, _fully_connected),
    "TRANSPOSE_CONV": (4, _transpose_conv),
}
"""Newest version, and reader, of each operator."""
