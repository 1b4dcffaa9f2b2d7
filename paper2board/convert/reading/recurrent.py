"""Recurrent layers of a file."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.reading.file import TfliteNode
from paper2board.model.integer_model import State
from paper2board.model.operators.recurrent import Lstm, Svdf
from paper2board.model.tensor import Tensor

_REMEDY = "use keras.layers.LSTM as it is, and convert to int8"


def _lstm(node: TfliteNode) -> None:
    if len(node.sources) != 24:
        node.refuse(f"has {len(node.sources)} inputs, not 24", _REMEDY)
    options = node.options("UnidirectionalSequenceLSTMOptions")
    if options.FusedActivationFunction() != schema.ActivationFunctionType.TANH:
        node.refuse("has another activation than tanh", _REMEDY)
    for what, first, last in (("peepholes", 9, 12), ("a projection", 16, 18), ("normalization", 20, 24)):
        if any(node.has(i) for i in range(first, last)):
            node.refuse(f"has {what}", _REMEDY)
    shape = node.shape(0)
    batch, steps = shape[:2][:: -1 if options.TimeMajor() else 1] if len(shape) == 3 else (0, 0)
    if batch != 1:
        node.refuse(f"has an input of {shape}, not of one sequence", "convert with a batch of 1")
    fields: dict[str, Any] = {}
    for what, first in (("input", 1), ("recurrent", 5)):
        weights, scales = zip(*(_weights(node, i) for i in range(first, first + 4)), strict=True)
        if len({values.shape for values in weights}) > 1:
            node.refuse("has gates of different shapes", _REMEDY)
        fields |= {f"{what}_weights": np.stack(weights), f"{what}_scales": np.concatenate(scales)}
    biases = [node.file.constant(node.sources[i], schema.TensorType.INT32)[0] for i in range(12, 16)]
    if any(bias.shape != biases[0].shape or bias.ndim != 1 for bias in biases):
        node.refuse("has gates of different shapes", _REMEDY)
    hidden = _state(node, 18, schema.TensorType.INT8, len(biases[0]))
    cell = _state(node, 19, schema.TensorType.INT16, len(biases[0]))
    power = math.log2(node.tensor(cell).scale)
    if not power.is_integer():
        node.refuse("has a cell whose scale is no power of 2", _REMEDY)
    source, target = node.viewed(node.source(0), (steps, shape[2])), node.target()
    output = node.between((steps, len(biases[0])), target)
    node.emit(
        Lstm,
        (source, hidden, cell),
        output,
        bias=np.stack(biases),
        cell_power=int(power),
        cell_clip=float(options.CellClip()),
        **fields,
    )
    if node.tensor(target).size != node.tensor(output).size:
        node.refuse("does not have an output of its units for each step", _REMEDY)
    node.view(output, target)


def _svdf(node: TfliteNode) -> None:
    if len(node.sources) != 5 or not node.has(3):
        node.refuse("has no bias", "convert the network again, with a bias")
    options = node.options("SVDFOptions")
    features = node.file.constant(node.sources[1], schema.TensorType.INT8)[0]
    kind = node.file.tensor(node.sources[2])[0].Type()
    wide = kind == schema.TensorType.INT16
    times = node.file.constant(node.sources[2], kind if wide else schema.TensorType.INT8)[0]
    if features.ndim != 2 or times.ndim != 2 or len(features) != len(times):
        node.refuse(f"has weights of shapes {features.shape} and {times.shape}")
    feature_scale, time_scale = (float(node.file.scales(node.sources[i], {1})[0]) for i in (1, 2))
    bias = node.file.constant(node.sources[3], schema.TensorType.INT32)[0]
    state = _state(node, 4, schema.TensorType.INT16 if wide else schema.TensorType.INT8, times.size)
    source, target = node.source(0), node.target()
    if node.shape(0) != (1, features.shape[1]):
        node.refuse(f"has an input of {node.shape(0)}, not (1, {features.shape[1]})")
    node.emit(
        Svdf,
        (source, state),
        target,
        feature_weights=features,
        time_weights=times,
        bias=bias,
        feature_scale=feature_scale,
        time_scale=time_scale,
        rank=int(options.Rank()),
    )


def _weights(node: TfliteNode, position: int) -> tuple[np.ndarray, np.ndarray]:
    values = node.file.constant(node.sources[position], schema.TensorType.INT8)[0]
    if values.ndim != 2:
        node.refuse(f"has weights of shape {values.shape}", _REMEDY)
    return values, node.file.scales(node.sources[position], {1})


def _state(node: TfliteNode, position: int, kind: int, units: int) -> int:
    """Add a variable tensor as a state, which begins with its zero point; return it."""
    if not node.has(position):
        node.refuse("lacks a state", _REMEDY)
    tensor, name = node.file.tensor(node.sources[position])
    if not tensor.IsVariable() or tensor.Type() != kind or node.sources[position] in node.file.index:
        node.refuse(f"has no state {name} of its own type", _REMEDY)
    if math.prod(node.file.shape(tensor, name)) != units:
        node.refuse(f"has a state {name} of another size than its units", _REMEDY)
    wide = kind == schema.TensorType.INT16
    scale, zero_point = node.file.one_scale(tensor, name, (0, 0) if wide else (-128, 127))
    index = node.file.add(Tensor(name, (units * (2 if wide else 1),), scale, zero_point))
    node.file.index[node.sources[position]] = index
    node.file.states.append(State(index, index, np.full(node.tensor(index).shape, zero_point, np.int8)))
    return index


RECURRENT: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    "SVDF": (4, _svdf),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (2, _lstm),
}
"""Newest version, and reader, of each operator."""
