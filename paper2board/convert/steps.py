"""From ops to steps: what the engine runs as one layer, and which input rows a row of its output needs.

A step is an op with what is fused into it. Two forms of the same model:

* **unfused**: a step for each op that computes something, as TFLite Micro runs it;
* **fused**: a PAD before a convolution becomes the convolution's padding, and a MAX_POOL_2D after one its
  last act. The maximum commutes with requantization (which never falls as the accumulator grows), so a
  pooled output is requantized once.

A RESHAPE is never a step: its output is another view of its input's bytes.
"""

from dataclasses import dataclass, field

import numpy as np

from paper2board.model.integer_model import (
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    IntegerModel,
    Mean,
    Op,
    Pad,
    Pool2D,
    Reshape,
    activation_range,
    kernel_size,
    pad_before,
)


@dataclass(frozen=True)
class Operand:
    """One input of a step. Output row ``y`` needs rows ``y · stride − pad`` to ``… + height − 1`` of tensor
    ``tensor``; ``height`` 0 means all of it, as one piece."""

    tensor: int
    height: int = 1
    stride: int = 1
    pad: int = 0


@dataclass(frozen=True)
class Step:
    """One layer as the engine runs it. ``op`` None is the arrival of the model's input.

    ``pool``: the max pooling fused into a convolution. ``window_pad``: (rows above, columns left) of a
    convolution or pooling, a fused PAD included.
    """

    name: str
    op: Op | None
    operands: tuple[Operand, ...]
    output: int
    pool: Pool2D | None = None
    window_pad: tuple[int, int] = (0, 0)
    fused: tuple[Op, ...] = field(default=())
    """All ops of the step, in order."""


def rows(model: IntegerModel, tensor: int) -> int:
    """Return the number of rows of a tensor: its H, or 1 for a vector."""
    shape = model.tensors[tensor].shape
    return shape[0] if len(shape) == 3 else 1


def row_bytes(model: IntegerModel, tensor: int) -> int:
    """Return the bytes of one row."""
    return model.tensors[tensor].size // rows(model, tensor)


def storage(model: IntegerModel) -> dict[int, int]:
    """Return for each computed tensor the tensor whose bytes it has (another one only after a RESHAPE)."""
    result = {model.input: model.input}
    for op in model.ops:
        result[op.output] = result[op.inputs[0]] if isinstance(op, Reshape) else op.output
    return result


def lower(model: IntegerModel, *, fuse: bool) -> tuple[Step, ...]:
    """Return the model's steps in execution order; the first is the input's arrival."""
    consumers: dict[int, list[Op]] = {}
    for op in model.ops:
        for index in op.inputs:
            consumers.setdefault(index, []).append(op)

    def only_consumer(op: Op) -> Op | None:
        readers = consumers.get(op.output, [])
        return readers[0] if fuse and len(readers) == 1 and op.output != model.output else None

    pads: dict[int, Pad] = {}
    done: set[int] = set()
    steps = [Step("input", None, (), model.input)]
    for op in model.ops:
        if isinstance(op, Reshape) or id(op) in done:
            continue
        if isinstance(op, Pad) and _becomes_padding(model, op, only_consumer(op)):
            pads[op.output] = op
            continue
        pool = None
        if isinstance(op, Conv2D | DepthwiseConv2D):
            follower = only_consumer(op)
            if isinstance(follower, Pool2D) and _pools_inside(model, follower) and _sums_compare(op):
                pool = follower
                done.add(id(follower))
        steps.append(_step(model, op, pool, pads.pop(op.inputs[0], None)))
    return tuple(steps)


def _becomes_padding(model: IntegerModel, pad: Pad, follower: Op | None) -> bool:
    """Tell whether a PAD's only reader is a convolution that can pad by itself: VALID so far, all channels, and its
    windows reach beyond the padding before the image."""
    if not isinstance(follower, Conv2D | DepthwiseConv2D) or follower.padding != "VALID":
        return False
    size, kernel = model.tensors[follower.output].shape, kernel_size(follower)
    return pad.paddings[2] == (0, 0) and all(
        pad.paddings[axis][0] < (size[axis] - 1) * follower.stride[axis] + kernel[axis] for axis in (0, 1)
    )


def _pools_inside(model: IntegerModel, pool: Pool2D) -> bool:
    """Tell whether a max pooling's windows neither overlap nor leave its input, so that it can be fused."""
    source, target = model.tensors[pool.inputs[0]].shape, model.tensors[pool.output].shape
    return (
        pool.type == "MAX_POOL_2D"
        and pool.kernel != (1, 1)
        and all(
            pool.stride[axis] >= pool.kernel[axis]
            and pad_before(source[axis], pool.kernel[axis], pool.stride[axis], pool.padding)[0] == 0
            and (target[axis] - 1) * pool.stride[axis] + pool.kernel[axis] <= source[axis]
            for axis in (0, 1)
        )
    )


def _sums_compare(op: Conv2D | DepthwiseConv2D) -> bool:
    """Tell whether a convolution's sums over bytes q + 128, which a fused max pooling compares, fit 32 bits."""
    window = (0, 1) if isinstance(op, DepthwiseConv2D) else (1, 2, 3)
    return int(255 * np.abs(op.weights.astype(np.int64)).sum(axis=window).max()) < 1 << 31


def _step(model: IntegerModel, op: Op, pool: Pool2D | None, pad: Pad | None) -> Step:
    source = pad.inputs[0] if pad else op.inputs[0]
    fused = tuple(item for item in (pad, op, pool) if item)
    output = pool.output if pool else op.output
    if isinstance(op, Conv2D | DepthwiseConv2D | Pool2D):
        shape = model.tensors[source].shape
        kernel = kernel_size(op)
        above, left = (
            pad.paddings[axis][0]
            if pad
            else pad_before(shape[axis], kernel[axis], op.stride[axis], op.padding)[0]
            for axis in (0, 1)
        )
        height, stride = kernel[0], op.stride[0]
        if pool:
            height, stride = (pool.kernel[0] - 1) * stride + height, stride * pool.stride[0]
        operands: tuple[Operand, ...] = (Operand(source, height, stride, above),)
        return Step(op.name, op, operands, output, pool, (above, left), fused)
    if isinstance(op, FullyConnected | Mean):
        operands = (Operand(source, height=0),)
    elif isinstance(op, Pad):
        operands = (Operand(source, pad=op.paddings[0][0]),)
    elif isinstance(op, Concatenation) and op.axis == 0 and len(model.tensors[output].shape) == 3:
        above, operands = 0, ()
        for index in op.inputs:
            operands += (Operand(index, pad=above),)
            above += rows(model, index)
    else:
        operands = tuple(Operand(index) for index in op.inputs)
    return Step(op.name, op, operands, output, fused=fused)


def output_range(model: IntegerModel, step: Step) -> tuple[int, int]:
    """Return the clamp (lowest, highest) of a step with its fused activations, one after the other."""
    low, high = activation_range(model.tensors[step.op.output], step.op.activation)  # type: ignore[union-attr]
    if step.pool:
        bounds = activation_range(model.tensors[step.output], step.pool.activation)
        low, high = (min(max(value, bounds[0]), bounds[1]) for value in (low, high))
    return low, high
