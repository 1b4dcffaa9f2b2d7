"""The constants of each layer in C: the fields of the structures in ``firmware/engine/p2b_kernels.h``."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed
from paper2board.convert.kernels.requantization import channels
from paper2board.convert.steps import Step, output_range, row_bytes
from paper2board.model.integer_model import (
    ADD_LEFT_SHIFT,
    Add,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    IntegerModel,
    Mean,
    Op,
    Pad,
    Pool2D,
    Softmax,
    activation_range,
    add_multipliers,
    kernel_size,
    largest_accumulators,
    mean_multiplier,
    multiply,
    output_multipliers,
    softmax_parameters,
)

_PLAIN_KERNELS = {
    "MAX_POOL_2D": "p2b_max_pool2d",
    "AVERAGE_POOL_2D": "p2b_average_pool2d",
    "ADD": "p2b_add",
    "MEAN": "p2b_mean",
    "PAD": "p2b_pad",
    "SOFTMAX": "p2b_softmax",
    "CONCATENATION": "p2b_concatenation",
}


@dataclass(frozen=True)
class CLayer:
    """A layer's kernel, the C type and nested fields of its constants, and the arrays they point to (field by
    name). ``channels`` are int32 (out, 4)."""

    kernel: str
    struct: str
    fields: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def weight_bytes(self) -> int:
        """Flash that the arrays take."""
        return sum(array.nbytes for array in self.arrays.values())


def weighted_layer(model: IntegerModel, step: Step) -> Convolution | FullyConnectedWeights | None:
    """Return a layer with weights as a kernel's packer sees it, None for other layers."""
    op = step.op
    if isinstance(op, FullyConnected):
        return FullyConnectedWeights(model.tensors[op.inputs[0]].zero_point, op.weights, op.bias)
    if not isinstance(op, Conv2D | DepthwiseConv2D):
        return None
    source = model.tensors[step.operands[0].tensor]
    in_h, in_w, in_c = source.shape
    out_h, out_w, out_c = model.tensors[op.output].shape
    pooled_h, pooled_w, _ = model.tensors[step.output].shape
    (kernel_h, kernel_w), (stride_h, stride_w) = kernel_size(op), op.stride
    pad_h, pad_w = step.window_pad
    pool_h, pool_w = step.pool.kernel if step.pool else (1, 1)
    pool_stride_h, pool_stride_w = step.pool.stride if step.pool else (1, 1)
    return Convolution(
        in_h=in_h,
        in_w=in_w,
        in_c=in_c,
        out_h=out_h,
        out_w=out_w,
        out_c=out_c,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=stride_h,
        stride_w=stride_w,
        pad_h=pad_h,
        pad_w=pad_w,
        pool_h=pool_h,
        pool_w=pool_w,
        pool_stride_h=pool_stride_h,
        pool_stride_w=pool_stride_w,
        pooled_h=pooled_h,
        pooled_w=pooled_w,
        input_zero_point=source.zero_point,
        weights=op.weights,
        bias=op.bias,
    )


def c_layer(model: IntegerModel, step: Step, packed: Packed | None) -> CLayer:
    """Return a step's constants; ``packed`` for a layer with weights."""
    op = step.op
    layer = weighted_layer(model, step)
    if packed is not None and layer is not None:
        fields, arrays = _weighted(model, step, layer, packed)
        struct = "p2b_conv2d_t" if isinstance(layer, Convolution) else "p2b_fully_connected_t"
        return CLayer(packed.function, struct, fields, arrays)
    assert op is not None
    struct, fields, arrays = _plain(model, step, op)
    return CLayer(_PLAIN_KERNELS[op.type], struct, fields, arrays)


def _weighted(
    model: IntegerModel, step: Step, layer: Convolution | FullyConnectedWeights, packed: Packed
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected)
    low, high = output_range(model, step)
    mode, records = channels(
        output_multipliers(model, op),
        packed.bias,
        largest_accumulators(layer.weights, layer.bias, layer.input_zero_point),
        model.tensors[step.output].zero_point,
        low,
        requires_tflite_rounding=packed.requires_tflite_rounding,
    )
    fields: dict[str, Any] = {"input_zero_point": layer.input_zero_point}
    if isinstance(layer, Convolution):
        fields |= {"window": _window(layer), "out_c": layer.out_c}
        names = ("pool_h", "pool_w", "pool_stride_h", "pool_stride_w", "pooled_w")
        fields |= {name: getattr(layer, name) for name in names}
        left = min(-(-layer.pad_w // layer.stride_w), layer.out_w)
        right = (layer.in_w - layer.kernel_w + layer.pad_w) // layer.stride_w + 1
        fields |= {"left": left, "right": max(left, min(right, layer.out_w))}
    else:
        fields |= {"in_n": layer.weights.shape[1], "out_n": layer.weights.shape[0]}
    fields["output"] = {"mode": f"P2B_REQUANT_{mode.name}", "low": low, "high": high, "channels": "channels"}
    fields["weights"] = "weights"
    return fields, {"weights": packed.weights, "channels": records}


_WINDOW = ("in_h", "in_w", "in_c", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w")


def _window(layer: Convolution) -> dict[str, int]:
    return {name: getattr(layer, name) for name in (*_WINDOW, "pad_h", "pad_w")}


def _plain(model: IntegerModel, step: Step, op: Op) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    source, target = model.tensors[step.operands[0].tensor], model.tensors[step.output]
    if isinstance(op, Pool2D):
        geometry = (*source.shape, *target.shape[:2], *op.kernel, *op.stride, *step.window_pad)
        low, high = activation_range(target, op.activation)
        window = dict(zip((*_WINDOW, "pad_h", "pad_w"), geometry, strict=True))
        return "p2b_pool2d_t", {"window": window, "low": low, "high": high}, {}
    if isinstance(op, Add):
        low, high = activation_range(target, op.activation)
        first, second, (multiplier, shift) = add_multipliers(model, op)
        arrays = {"table_1": _operand_values(source.zero_point, first)}
        other = _operand_values(model.tensors[op.inputs[1]].zero_point, second)
        same = np.array_equal(other, arrays["table_1"])
        if not same:
            arrays["table_2"] = other
        fields: dict[str, Any] = {
            "n": row_bytes(model, step.output),
            "table_1": "table_1",
            "table_2": "table_1" if same else "table_2",
            "multiplier": multiplier,
            "shift": -shift,
            "zero_point": target.zero_point,
            "low": low,
            "high": high,
        }
        return "p2b_add_t", fields, arrays
    if isinstance(op, Mean):
        multiplier, shift = mean_multiplier(model, op)
        fields = {
            "pixels": source.shape[0] * source.shape[1],
            "channels": source.shape[2],
            "input_zero_point": source.zero_point,
            "output_zero_point": target.zero_point,
            "multiplier": multiplier,
            "shift": shift,
        }
        return "p2b_mean_t", fields, {}
    if isinstance(op, Pad):
        _, (left, right), (before, after) = op.paddings
        fields = {"left": left, "width": source.shape[1], "right": right}
        fields |= {"before": before, "depth": source.shape[2], "after": after, "value": target.zero_point}
        return "p2b_pad_t", fields, {}
    if isinstance(op, Softmax):
        multiplier, shift, diff_min = softmax_parameters(model, op)
        depth = target.shape[-1]
        fields = {"pixels": row_bytes(model, step.output) // depth, "depth": depth}
        fields |= {"multiplier": multiplier, "shift": shift, "diff_min": diff_min}
        return "p2b_softmax_t", fields, {}
    assert isinstance(op, Concatenation)
    runs = target.shape[1] if len(target.shape) == 3 and op.axis == 2 else 1
    lengths = np.array([row_bytes(model, i) // runs for i in op.inputs], np.int32)
    named: dict[str, Any] = {"runs": runs, "inputs": len(lengths), "lengths": "lengths"}
    return "p2b_concatenation_t", named, {"lengths": lengths}


def _operand_values(zero_point: int, multiplier: tuple[int, int]) -> np.ndarray:
    """Return an ADD operand's 256 values at the common scale, int32, for q = 0 … 127, −128 … −1."""
    values = (q - zero_point for q in (*range(128), *range(-128, 0)))
    return np.array([multiply(value << ADD_LEFT_SHIFT, *multiplier) for value in values], np.int32)
