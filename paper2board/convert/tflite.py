"""IntegerModel to an int8 ``.tflite`` file, every integer checked.

Two independent roads lead there:

* TensorFlow's converter: the model is rebuilt as a float function (NHWC) of dequantized weights with
  ``fake_quant`` ops on exactly its ranges, and converted without a representative data set. This is the file
  that users get, because it is what the field's tools produce.
* The schema classes that ``tflite-micro`` bundles write the flatbuffer directly. This is the cross-check, and the
  file wherever the converter cannot say the same integers (a weight of −128, a bias beyond float32's 24 bits, a
  scale its arithmetic does not reach, per-channel fully connected weights that do not use all of ±127).

Either file is read back and compared with the model, integer by integer.
"""

import itertools
import os
import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes
from paper2board.core.stderr import captured_stderr
from paper2board.model.integer_model import (
    INT8_MAX,
    INT8_MIN,
    Activated,
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
    Reshape,
    Softmax,
    Tensor,
    Weighted,
    depth_multiplier,
)


class Route(StrEnum):
    """Who wrote a ``.tflite`` file."""

    CONVERTER = "TensorFlow's converter"
    DIRECT = "schema classes"


@dataclass(frozen=True)
class Export:
    """The road a file took, and why it was not the converter's (empty if it was)."""

    route: Route
    reason: str


def export(model: IntegerModel, path: str | Path) -> Export:
    """Write ``model`` to ``path`` as int8 ``.tflite`` whose every integer and scale equals the model's.

    The converter's file if it is equal, else the directly written one. Raises UserError if neither is, which
    means that ``.tflite`` cannot express the model.
    """
    direct = write_flatbuffer(model)
    if reason := difference(model, read_tflite(direct, model.name)):
        raise UserError(f"{path}: .tflite cannot express model {model.name} ({reason}); quantize it again")
    try:
        data = convert(model)
        reason = difference(model, read_tflite(data, model.name))
    except UserError as error:
        reason = str(error)
    write_bytes(path, direct if reason else data)
    return Export(Route.DIRECT, reason) if reason else Export(Route.CONVERTER, "")


# --- comparison -------------------------------------------------------------------------------------


def difference(model: IntegerModel, other: IntegerModel) -> str:
    """Return what distinguishes two models' computations in a few words, or "" if nothing does.

    Ops must come in the same order with the same names, integers and quantization. RESHAPE is a change of
    view, not of data, so it may be present in one and implicit in the other. Tensors' names, the models' names
    and metadata do not count.
    """
    ours, theirs = _flat_ops(model), _flat_ops(other)
    names, other_names = [op.name for op, _ in ours], [op.name for op, _ in theirs]
    if names != other_names:
        return f"ops {', '.join(names)} became {', '.join(other_names)}"
    matched = {model.input: other.input}
    if what := _tensor_difference(model.tensors[model.input], other.tensors[other.input]):
        return f"input {what}"
    for (op, inputs), (twin, twin_inputs) in zip(ours, theirs, strict=True):
        if tuple(matched[i] for i in inputs) != twin_inputs:
            return f"{op.name} reads other tensors"
        matched[op.output] = twin.output
        if what := _op_difference(op, twin) or _tensor_difference(
            model.tensors[op.output], other.tensors[twin.output]
        ):
            return f"{op.name} {what}"
    if matched[_seen_through(model, model.output)] != _seen_through(other, other.output):
        return "output is another tensor"
    if model.tensors[model.output].shape != other.tensors[other.output].shape:
        return "output has another shape"
    return ""


def _seen_through(model: IntegerModel, index: int) -> int:
    """Return the tensor that ``index`` is a view of."""
    views = {op.output: op.inputs[0] for op in model.ops if isinstance(op, Reshape)}
    while index in views:
        index = views[index]
    return index


def _flat_ops(model: IntegerModel) -> list[tuple[Op, tuple[int, ...]]]:
    """Return the ops that compute something, each with the tensors it reads, views resolved."""
    return [
        (op, tuple(_seen_through(model, i) for i in op.inputs))
        for op in model.ops
        if not isinstance(op, Reshape)
    ]


def _tensor_difference(tensor: Tensor, twin: Tensor) -> str:
    if tensor.shape != twin.shape:
        return f"has shape {twin.shape} for {tensor.shape}"
    if np.float32(tensor.scale) != np.float32(twin.scale):
        return f"has scale {twin.scale!r} for {tensor.scale!r}"
    if tensor.zero_point != twin.zero_point:
        return f"has zero point {twin.zero_point} for {tensor.zero_point}"
    return ""


def _op_difference(op: Op, twin: Op) -> str:
    if op.type != twin.type:
        return f"is {twin.type} for {op.type}"
    ours, theirs = vars(op), vars(twin)
    for key in ours.keys() - {"name", "inputs", "output"}:
        if key == "weight_scales":
            # One scale said once or once a channel is the same arithmetic in a convolution.
            equal = _same_scales(op, twin)
        elif key == "beta":
            equal = np.float32(ours[key]) == np.float32(theirs[key])
        elif isinstance(ours[key], np.ndarray):
            equal = np.array_equal(ours[key], theirs[key])
        else:
            equal = ours[key] == theirs[key]
        if not equal:
            return f"has other {key.replace('_', ' ')}"
    return ""


def _same_scales(op: Op, twin: Op) -> bool:
    assert isinstance(op, Weighted) and isinstance(twin, Weighted)
    if op.weight_scales.shape == twin.weight_scales.shape:
        return np.array_equal(op.weight_scales, twin.weight_scales)
    scales = np.broadcast_to(op.weight_scales, op.bias.shape)
    return not isinstance(op, FullyConnected) and np.array_equal(
        scales, np.broadcast_to(twin.weight_scales, op.bias.shape)
    )


# --- TensorFlow's converter -------------------------------------------------------------------------


def convert(model: IntegerModel) -> bytes:
    """Return the file that TensorFlow's converter makes of ``model``, unchecked: see :func:`export`.

    Raises UserError if the converter fails or the model cannot be put to it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
        from tensorflow.lite.python.convert_phase import ConverterError

        shape = (1, *model.tensors[model.input].shape)
        function = tf.function(
            lambda x: _network(tf, model, x),
            input_signature=[tf.TensorSpec(shape, tf.float32, name="input")],
            autograph=False,
        )
        try:
            converter = tf.lite.TFLiteConverter.from_concrete_functions(
                [function.get_concrete_function()], tf.Module()
            )
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
            return converter.convert()
        except ConverterError as error:
            first = str(error).strip().splitlines()[0][:300]
            raise UserError(f"model {model.name}: TensorFlow's converter failed ({first})") from error


def _network(tf, model: IntegerModel, x):
    """Build the float twin of the model. Every node's name starts with its op's, and so do the file's."""
    values = {model.input: _quantized(tf, x, model.tensors[model.input], "input")}
    for op in model.ops:
        sources = [values[i] for i in op.inputs]
        target = model.tensors[op.output]
        y = _layer(tf, model, op, sources)
        if isinstance(op, Activated):
            y = _activated(tf, op, y)
        # Where range and values are the input's, and of a softmax, the converter knows the quantization.
        known = isinstance(op, Pool2D | Reshape | Pad | Softmax | Concatenation)
        values[op.output] = y if known else _quantized(tf, y, target, op.name)
    return tf.identity(values[model.output], name="output")


def _layer(tf, model: IntegerModel, op: Op, sources: list):
    x = sources[0]
    node = f"{op.name}/{op.type.lower()}"  # never the bare name, to which the converter may append a digit
    if isinstance(op, Reshape):
        return tf.reshape(x, (1, *model.tensors[op.output].shape), name=node)
    if isinstance(op, Add):
        return tf.add(*sources, name=node)
    if isinstance(op, Pool2D):
        pool = tf.nn.max_pool2d if op.type == "MAX_POOL_2D" else tf.nn.avg_pool2d
        return pool(x, op.kernel, op.stride, op.padding, name=node)
    if isinstance(op, Mean):
        keep = len(model.tensors[op.output].shape) == 3
        return tf.reduce_mean(x, axis=(1, 2), keepdims=keep, name=node)
    if isinstance(op, Pad):
        return tf.pad(x, ((0, 0), *op.paddings), name=node)
    if isinstance(op, Softmax):
        return tf.nn.softmax(x if op.beta == 1 else x * op.beta, name=node)
    if isinstance(op, Concatenation):
        return tf.concat(sources, 1 + op.axis, name=node)
    bias_scale = np.float64(np.float32(model.tensors[op.inputs[0]].scale)) * op.weight_scales
    if isinstance(op, Conv2D):
        weights = _fake_quant_weights(tf, op.weights.transpose(1, 2, 3, 0), op)
        y = tf.nn.conv2d(x, weights, op.stride, op.padding, name=node)
    elif isinstance(op, DepthwiseConv2D):
        height, width, channels = op.weights.shape
        multiplier = depth_multiplier(model, op)
        shape = (height, width, channels // multiplier, multiplier)
        weights = tf.reshape(_fake_quant_weights(tf, op.weights, op), shape)
        y = tf.nn.depthwise_conv2d(x, weights, (1, *op.stride, 1), op.padding, name=node)
    else:
        if x.shape.rank != 2:
            x = tf.reshape(x, (1, -1), name=f"{op.name}/flatten")
        if op.weight_scales.size == 1:
            weights = _fake_quant_weights(tf, op.weights.T, op)
        else:
            # fake_quant per channel would follow the wrong axis through the converter's transposition, so
            # its own choice has to be the right one: largest magnitude / 127.
            weights = _weights_peaking_at_127(op).T
        y = tf.matmul(x, weights, name=node)
    return tf.nn.bias_add(y, (op.bias * bias_scale).astype(np.float32), name=f"{op.name}/bias")


def _activated(tf, op: Activated, y):
    if op.activation == "NONE":
        return y
    function = tf.nn.relu if op.activation == "RELU" else tf.nn.relu6
    return function(y, name=f"{op.name}/activation")


def _quantized(tf, x, tensor: Tensor, name: str):
    low, high = fake_quant_range(tensor.scale, tensor.zero_point, INT8_MIN, INT8_MAX)
    return tf.quantization.fake_quant_with_min_max_args(x, low, high, num_bits=8, name=f"{name}/range")


def _fake_quant_weights(tf, weights: np.ndarray, op: Weighted):
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


def fake_quant_range(scale: float, zero_point: int, lowest: int, highest: int) -> tuple[float, float]:
    """Return float32 (min, max) from which the converter computes exactly ``scale`` and ``zero_point``.

    It takes (max − min) / (highest − lowest) in double and rounds to float32, so the nearest float32 to
    scale · (q − zero_point) is now and then one unit off; its neighbours are tried. Without success the
    nearest is returned and the comparison after conversion tells.
    """
    target = np.float32(scale)
    nearest = [float(np.float32(float(target) * (q - zero_point))) for q in (lowest, highest)]
    # So small a shift (a hundred-thousandth of a step) leaves the zero point where it is.
    quarter = float(np.spacing(np.float32(max(map(abs, nearest))))) / 4
    near = sorted(range(-8, 9), key=abs)
    for i, j in itertools.product(near, near):
        low, high = np.float32(nearest[0] + i * quarter), np.float32(nearest[1] + j * quarter)
        step = (float(high) - float(low)) / (highest - lowest)
        if low <= 0 <= high and np.float32(step) == target:
            return float(low), float(high)
    return nearest[0], nearest[1]
