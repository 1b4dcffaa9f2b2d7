"""Convolutions and fully connected layers: operators for which back ends have kernels of their own."""

from typing import Any

import numpy as np

from paper2board.convert.fake_quant import fake_quant_range
from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed, accumulator_range
from paper2board.convert.kernels.requantization import Requantization, exact, fastest
from paper2board.convert.operators.registry import CFields, Constant, Operator, Written
from paper2board.convert.operators.window import (
    WINDOW,
    read_window,
    window_operands,
    window_pad,
    write_window,
)
from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Operand, Step, output_range, row_by_row, whole_inputs
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators import weighted
from paper2board.model.operators.moving import Pad
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Weighted,
    weight_sums,
)

# --- .tflite ----------------------------------------------------------------------------------------


def read_weights(source: TfliteOperator, rank: int, dimension: int = 0) -> dict[str, Any]:
    """Return weights, bias and weight scales; ``dimension``: of the weights, along which output channels lie."""
    weights, name = source.int8(0)
    if weights.ndim != rank:
        source.refuse(f"weights {name} have {weights.ndim} dimensions, not {rank}")
    outputs = weights.shape[dimension]
    scales = source.scales(0, {1, outputs}, dimension)
    bias = np.zeros(outputs, np.int32)
    if source.has(1):
        bias, name = source.integers(1)
        if bias.shape != (outputs,):
            source.refuse(f"bias {name} has shape {bias.shape}, not {(outputs,)}")
        products = np.float64(np.float32(source.source.scale)) * scales
        # TFLite Micro does not look at a bias' dimension, and there are files that state the weights'.
        if not np.allclose(source.scales(1, {1, outputs}, None), products, rtol=1e-5, atol=0):
            source.refuse(f"scale of bias {name} is not the input's times the weights'")
    return {"weights": weights, "bias": bias, "weight_scales": scales}


def _read_convolution(source: TfliteOperator) -> dict[str, Any]:
    options = source.options()
    dilation = source.pair("dilation", options.DilationHFactor(), options.DilationWFactor())
    return read_window(source) | {"dilation": dilation}


def _read_conv2d(source: TfliteOperator) -> dict[str, Any]:
    return _read_convolution(source) | read_weights(source, 4)


def _read_depthwise(source: TfliteOperator) -> dict[str, Any]:
    fields = _read_convolution(source) | read_weights(source, 4, 3)
    weights, channels = fields["weights"], source.source.shape[-1]
    multiplier = source.options().DepthMultiplier()
    if multiplier * channels != weights.shape[3]:
        source.refuse(f"has depth multiplier {multiplier} for {channels} to {weights.shape[3]} channels")
    if len(weights) != 1:
        source.refuse(f"weights do not have shape (1, H, W, C) but {weights.shape}")
    return fields | {"weights": weights[0]}


def _read_fully_connected(source: TfliteOperator) -> dict[str, Any]:
    options = source.options()
    activation = source.activation(options)
    if options.WeightsFormat() != 0:
        source.refuse("has shuffled weights")
    return {"activation": activation} | read_weights(source, 2)


def _written_weights(
    model: IntegerModel, op: Weighted, weights: np.ndarray, dimension: int = 0
) -> tuple[Constant, ...]:
    return (
        Constant("weights", weights, op.weight_scales, dimension),
        Constant("bias", op.bias, _bias_scales(model, op)),
    )


def _bias_scales(model: IntegerModel, op: Weighted) -> np.ndarray:
    return np.float64(np.float32(model.tensors[op.inputs[0]].scale)) * op.weight_scales


def _write_dilation(op: weighted.Convolution) -> dict[str, int]:
    height, width = op.dilation
    return {"dilationHFactor": height, "dilationWFactor": width}


def _write_conv2d(model: IntegerModel, op: Conv2D) -> Written:
    return Written(_written_weights(model, op, op.weights), write_window(op) | _write_dilation(op))


def _write_depthwise(model: IntegerModel, op: DepthwiseConv2D) -> Written:
    options = {"depthMultiplier": op.depth_multiplier(model.tensors)} | _write_dilation(op)
    return Written(_written_weights(model, op, op.weights[np.newaxis], 3), write_window(op) | options)


def _write_fully_connected(model: IntegerModel, op: FullyConnected) -> Written:
    options = {"fusedActivationFunction": op.activation, "keepNumDims": op.by_pixel(model.tensors)}
    return Written(_written_weights(model, op, op.weights), options)


# --- TensorFlow -------------------------------------------------------------------------------------


def _conv2d_twin(tf: Any, model: IntegerModel, op: Conv2D, sources: list, node: str) -> Any:
    weights = _fake_quant_weights(tf, op.weights.transpose(1, 2, 3, 0), op)
    y = tf.nn.conv2d(sources[0], weights, op.stride, op.padding, dilations=op.dilation, name=node)
    return _with_bias(tf, model, op, y)


def _depthwise_twin(tf: Any, model: IntegerModel, op: DepthwiseConv2D, sources: list, node: str) -> Any:
    height, width, channels = op.weights.shape
    multiplier = op.depth_multiplier(model.tensors)
    shape = (height, width, channels // multiplier, multiplier)
    weights = tf.reshape(_fake_quant_weights(tf, op.weights, op), shape)
    y = tf.nn.depthwise_conv2d(
        sources[0], weights, (1, *op.stride, 1), op.padding, dilations=op.dilation, name=node
    )
    return _with_bias(tf, model, op, y)


def _fully_connected_twin(tf: Any, model: IntegerModel, op: FullyConnected, sources: list, node: str) -> Any:
    x = sources[0]
    if x.shape.rank != 2 and not op.by_pixel(model.tensors):
        x = tf.reshape(x, (1, -1), name=f"{op.name}/flatten")
    if op.weight_scales.size == 1:
        weights = _fake_quant_weights(tf, op.weights.T, op)
    else:
        # fake_quant per channel would follow the wrong axis through the converter's transposition, so
        # its own choice has to be the right one: largest magnitude / 127.
        weights = _weights_peaking_at_127(op).T
    return _with_bias(tf, model, op, tf.matmul(x, weights, name=node))


def _with_bias(tf: Any, model: IntegerModel, op: Weighted, y: Any) -> Any:
    bias = (op.bias * _bias_scales(model, op)).astype(np.float32)
    return tf.nn.bias_add(y, bias, name=f"{op.name}/bias")


def _fake_quant_weights(tf: Any, weights: np.ndarray, op: Weighted) -> Any:
    """Return dequantized ``weights`` (output channels last) under a fake_quant of their range."""
    ranges = np.array([fake_quant_range(float(s), 0, -127, 127) for s in op.weight_scales], np.float32)
    values = (weights * op.weight_scales).astype(np.float32)
    if len(ranges) == 1:
        return tf.quantization.fake_quant_with_min_max_vars(
            values, *ranges[0], num_bits=8, narrow_range=True, name=f"{op.name}/weights"
        )
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        values, *ranges.T, num_bits=8, narrow_range=True, name=f"{op.name}/weights"
    )


def _weights_peaking_at_127(op: FullyConnected) -> np.ndarray:
    """Return dequantized weights (out, in) whose largest magnitude / 127 is each channel's scale."""
    scales = op.weight_scales
    peaks = np.float32(127) * scales
    for units in (-1, 1, -2, 2):
        wrong = (peaks.astype(np.float64) / 127).astype(np.float32) != scales
        peaks = np.where(wrong, np.float32(127) * scales + units * np.spacing(peaks), peaks)
    dequantized = (op.weights * scales[:, None]).astype(np.float32)
    return np.where(np.abs(op.weights) == 127, np.sign(op.weights) * peaks[:, None], dequantized)


# --- steps ------------------------------------------------------------------------------------------


def _becomes_padding(model: IntegerModel, op: weighted.Convolution, before: Op) -> bool:
    """Return whether the op before a convolution is a PAD that the convolution can do by itself.

    It does not pad yet, no channels are added, and its windows reach beyond the padding before the image.
    """
    if not isinstance(before, Pad) or op.padding != "VALID":
        return False
    if before.filling(model.tensors) != model.tensors[op.inputs[0]].zero_point:
        return False
    size = model.tensors[op.output].shape
    return before.paddings[2] == (0, 0) and all(
        before.paddings[axis][0] < (size[axis] - 1) * op.stride[axis] + op.window[axis] for axis in (0, 1)
    )


def _pools_inside(model: IntegerModel, op: weighted.Convolution, after: Op) -> bool:
    """Return whether the op after a convolution is a max pooling that can be fused.

    Its windows neither overlap nor leave its input. The convolution's sums over bytes q + 128, which are compared,
    fit 32 bits.
    """
    if not isinstance(after, Pool2D) or after.type != "MAX_POOL_2D":
        return False
    source, target = model.tensors[after.inputs[0]].shape, model.tensors[after.output].shape
    return (
        after.kernel != (1, 1)
        and after.pad_before(model.tensors) == (0, 0)
        and all(
            after.stride[axis] >= after.kernel[axis]
            and (target[axis] - 1) * after.stride[axis] + after.kernel[axis] <= source[axis]
            for axis in (0, 1)
        )
        and 255 * int(weight_sums(op.weights).max()) < 1 << 31
    )


# --- C ----------------------------------------------------------------------------------------------


def _convolution(model: IntegerModel, step: Step) -> Convolution:
    op = step.op
    assert isinstance(op, weighted.Convolution)
    source = model.tensors[step.inputs[0]]
    in_h, in_w, in_c = source.shape
    out_h, out_w, out_c = model.tensors[op.output].shape
    pooled_h, pooled_w, _ = model.tensors[step.output].shape
    (kernel_h, kernel_w), (stride_h, stride_w) = op.window, op.stride
    pad_h, pad_w = window_pad(model, step)
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
        weights=op.undilated(),
        bias=op.bias,
        requantization=_requantization(model, step),
    )


def _fully_connected(model: IntegerModel, step: Step) -> Convolution | FullyConnectedWeights:
    """Return the layer; a product of each pixel is a convolution of 1 x 1."""
    op = step.op
    assert isinstance(op, FullyConnected)
    source = model.tensors[op.inputs[0]]
    if not op.by_pixel(model.tensors):
        return FullyConnectedWeights(source.zero_point, op.weights, op.bias, _requantization(model, step))
    height, width, inputs = source.shape
    return Convolution(
        in_h=height,
        in_w=width,
        in_c=inputs,
        out_h=height,
        out_w=width,
        out_c=op.channels,
        kernel_h=1,
        kernel_w=1,
        stride_h=1,
        stride_w=1,
        pad_h=0,
        pad_w=0,
        pool_h=1,
        pool_w=1,
        pool_stride_h=1,
        pool_stride_w=1,
        pooled_h=height,
        pooled_w=width,
        input_zero_point=source.zero_point,
        weights=op.weights[:, np.newaxis, np.newaxis],
        bias=op.bias,
        requantization=_requantization(model, step),
    )


def _requantization(model: IntegerModel, step: Step, packed: Packed | None = None) -> Requantization:
    """Return how a layer's accumulators become outputs, ``packed``: by its kernel."""
    op, zero_point = step.op, model.tensors[step.output].zero_point
    assert isinstance(op, Weighted)
    pairs = op.output_multipliers(model.tensors)
    if packed and packed.requires_tflite_rounding:
        return exact(pairs, zero_point)
    lowest, highest = accumulator_range(op.weights, op.bias, model.tensors[op.inputs[0]].zero_point)
    return fastest(pairs, lowest, highest, zero_point, *output_range(model, step))


def _fully_connected_operands(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    assert isinstance(step.op, FullyConnected)
    return row_by_row(model, step) if step.op.by_pixel(model.tensors) else whole_inputs(model, step)


def _convolution_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    return _with_output(model, step, packed, _window_fields(_convolution(model, step)))


def _window_fields(layer: Convolution) -> CFields:
    left = min(-(-layer.pad_w // layer.stride_w), layer.out_w)
    right = (layer.in_w - layer.kernel_w + layer.pad_w) // layer.stride_w + 1
    return {
        "input_zero_point": layer.input_zero_point,
        "window": {name: getattr(layer, name) for name in WINDOW},
        "out_c": layer.out_c,
        "pool_h": layer.pool_h,
        "pool_w": layer.pool_w,
        "pool_stride_h": layer.pool_stride_h,
        "pool_stride_w": layer.pool_stride_w,
        "pooled_w": layer.pooled_w,
        "left": left,
        "right": max(left, min(right, layer.out_w)),
    }


def _fully_connected_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    layer = _fully_connected(model, step)
    if isinstance(layer, Convolution):
        return _with_output(model, step, packed, _window_fields(layer))
    outputs, inputs = layer.weights.shape
    fields: CFields = {"input_zero_point": layer.input_zero_point, "in_n": inputs, "out_n": outputs}
    return _with_output(model, step, packed, fields)


def _with_output(
    model: IntegerModel, step: Step, packed: Packed | None, fields: CFields
) -> tuple[CFields, dict[str, np.ndarray]]:
    """Add weights and requantization."""
    assert packed is not None
    requantization = _requantization(model, step, packed)
    low, high = output_range(model, step)
    mode = f"P2B_REQUANT_{requantization.mode.name}"
    output = {"mode": mode, "low": low, "high": high, "channels": "channels"}
    arrays = {"weights": packed.weights, "channels": requantization.records(packed.bias)}
    return fields | {"output": output, "weights": "weights"}, arrays


OPERATORS = (
    Operator(
        op=Conv2D,
        type="CONV_2D",
        stem="conv",
        reads=6,
        writes=3,
        options="Conv2DOptions",
        constants=(1, 2),
        read=_read_conv2d,
        write=_write_conv2d,
        twin=_conv2d_twin,
        operands=window_operands,
        fuses_before=_becomes_padding,
        fuses_after=_pools_inside,
        weighted=_convolution,
        kernel="p2b_conv2d",
        fields=_convolution_fields,
    ),
    Operator(
        op=DepthwiseConv2D,
        type="DEPTHWISE_CONV_2D",
        stem="depthwise",
        reads=3,
        writes=3,
        options="DepthwiseConv2DOptions",
        constants=(1, 2),
        read=_read_depthwise,
        write=_write_depthwise,
        twin=_depthwise_twin,
        operands=window_operands,
        fuses_before=_becomes_padding,
        fuses_after=_pools_inside,
        weighted=_convolution,
        kernel="p2b_depthwise_conv2d",
        fields=_convolution_fields,
    ),
    Operator(
        op=FullyConnected,
        type="FULLY_CONNECTED",
        stem="fc",
        reads=6,
        writes=4,
        options="FullyConnectedOptions",
        constants=(1, 2),
        read=_read_fully_connected,
        write=_write_fully_connected,
        twin=_fully_connected_twin,
        operands=_fully_connected_operands,
        weighted=_fully_connected,
        kernel="p2b_fully_connected",
        fields=_fully_connected_fields,
    ),
)
