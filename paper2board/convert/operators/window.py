"""What convolutions and poolings have in common: a window that moves over an image."""

from typing import Any

from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Operand, Step
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.window import Windowed

WINDOW = (
    "in_h",
    "in_w",
    "in_c",
    "out_h",
    "out_w",
    "kernel_h",
    "kernel_w",
    "stride_h",
    "stride_w",
    "pad_h",
    "pad_w",
)
"""Fields of ``p2b_window_t``."""


def read_window(source: TfliteOperator) -> dict[str, Any]:
    """Return stride, padding and activation."""
    options = source.options()
    activation, padding = source.activation(options), source.padding(options)
    stride = source.pair("stride", options.StrideH(), options.StrideW())
    return {"stride": stride, "padding": padding, "activation": activation}


def write_window(op: Windowed) -> dict[str, Any]:
    """Return the fields that all options tables of windows have."""
    stride_h, stride_w = op.stride
    return {
        "padding": op.padding,
        "strideH": stride_h,
        "strideW": stride_w,
        "fusedActivationFunction": op.activation,
    }


def window_pad(model: IntegerModel, step: Step) -> tuple[int, int]:
    """Return the padding (rows above, columns left) of a window, that of a fused PAD if there is one."""
    if step.pad:
        (above, _), (left, _), _ = step.pad.paddings
        return above, left
    assert isinstance(step.op, Windowed)
    return step.op.pad_before(model.tensors)


def window_operands(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    """Return the rows that a row of the output needs, through the fused pooling if there is one."""
    assert isinstance(step.op, Windowed)
    height, stride = step.op.window[0], step.op.stride[0]
    if step.pool:
        height, stride = (step.pool.kernel[0] - 1) * stride + height, stride * step.pool.stride[0]
    return (Operand(step.inputs[0], height, stride, window_pad(model, step)[0]),)
