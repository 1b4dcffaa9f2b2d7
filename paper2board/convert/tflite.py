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

import os
import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from paper2board.convert.fake_quant import fake_quant_range
from paper2board.convert.operators import operator_of
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes
from paper2board.core.stderr import captured_stderr
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Activated, Op
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Tensor


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
    views = {op.output: op.inputs[0] for op in model.ops if operator_of(op).view}
    while index in views:
        index = views[index]
    return index


def _flat_ops(model: IntegerModel) -> list[tuple[Op, tuple[int, ...]]]:
    """Return the ops that compute something, each with the tensors it reads, views resolved."""
    return [
        (op, tuple(_seen_through(model, i) for i in op.inputs))
        for op in model.ops
        if not operator_of(op).view
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
    for key in vars(op).keys() - {"name", "inputs", "output"}:
        if not op.same(twin, key):
            return f"has other {key.replace('_', ' ')}"
    return ""


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
        # Never the bare name, to which the converter may append a digit.
        twin = operator_of(op).twin
        if twin is None:
            raise UserError(f"model {model.name}: TensorFlow's converter is given no {op.type}")
        y = twin(tf, model, op, sources, f"{op.name}/{op.type.lower()}")
        if isinstance(op, Activated):
            y = _activated(tf, op, y)
        # Where the quantization is the inputs', or fixed, the converter knows it.
        known = op.KEEPS_QUANTIZATION or op.OUTPUT_QUANTIZATION is not None
        values[op.output] = y if known else _quantized(tf, y, target, op.name)
    return tf.identity(values[model.output], name="output")


def _activated(tf, op: Activated, y):
    if op.activation == "NONE":
        return y
    function = tf.nn.relu if op.activation == "RELU" else tf.nn.relu6
    return function(y, name=f"{op.name}/activation")


def _quantized(tf, x, tensor: Tensor, name: str):
    low, high = fake_quant_range(tensor.scale, tensor.zero_point, INT8_MIN, INT8_MAX)
    return tf.quantization.fake_quant_with_min_max_args(x, low, high, num_bits=8, name=f"{name}/range")
