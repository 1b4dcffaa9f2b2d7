"""Two networks with every operator, and .tflite files edited field by field."""

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add
from paper2board.model.operators.moving import Concatenation, Pad, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.reduction import Mean
from paper2board.model.operators.softmax import Softmax
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.tensor import Tensor


def residual_model(per_channel: bool = True, seed: int = 0) -> IntegerModel:
    """A network with convolutions, strides, a shortcut convolution, poolings, RELU6 and products."""
    rng = np.random.default_rng(seed)
    tensors = [Tensor("input", (9, 8, 3), 1 / 64, 0)]
    ops: list[Op] = []

    def tensor(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        tensors.append(Tensor(name, shape, float(np.float32(scale)), zero_point))
        return len(tensors) - 1

    def weights(shape: tuple[int, ...], per_channel: bool) -> dict[str, np.ndarray]:
        values = rng.integers(-127, 128, shape).astype(np.int8)
        values.reshape(len(values), -1)[:, 0] = 127
        scales = (rng.uniform(0.2, 1.0, shape[0] if per_channel else 1) / 127).astype(np.float32)
        bias = rng.integers(-9000, 9000, shape[0]).astype(np.int32)
        return {"weights": values, "bias": bias, "weight_scales": scales}

    def conv(name, source, shape, out, activation, zero_point, **window):
        target = tensor(name, out, 0.09, zero_point)
        fields = weights(shape, per_channel)
        ops.append(Conv2D(name, (source,), target, **fields, activation=activation, **window))
        return target

    first = conv("conv1", 0, (4, 3, 3, 3), (5, 4, 4), "RELU", -128, stride=(2, 2))
    second = conv("conv2", first, (6, 3, 3, 4), (5, 4, 6), "NONE", 3)
    shortcut = conv("conv3", first, (6, 1, 1, 4), (5, 4, 6), "NONE", -20, padding="VALID")
    total = tensor("add1", (5, 4, 6), 0.13, -128)
    ops.append(Add("add1", (shortcut, second), total, "RELU6"))
    largest = tensor("pool1", (2, 2, 6), tensors[total].scale, -128)
    ops.append(Pool2D("MAX_POOL_2D", "pool1", (total,), largest, (2, 2), (2, 2)))
    average = tensor("pool2", (1, 1, 6), tensors[total].scale, -128)
    ops.append(Pool2D("AVERAGE_POOL_2D", "pool2", (largest,), average, (2, 2), (2, 2)))
    flat = tensor("flatten1", (6,), tensors[total].scale, -128)
    ops.append(Reshape("flatten1", (average,), flat))
    hidden = tensor("fc1", (7,), 0.2, -128)
    ops.append(FullyConnected("fc1", (flat,), hidden, **weights((7, 6), False), activation="RELU"))
    logits = tensor("fc2", (10,), 0.3, 12)
    ops.append(FullyConnected("fc2", (hidden,), logits, **weights((10, 7), False)))
    return IntegerModel.single("residual", tuple(tensors), tuple(ops), 0, logits)


def mobile_model(per_channel: bool = True, seed: int = 0) -> IntegerModel:
    """A network with the ops of a MobileNet and a concatenation."""
    rng = np.random.default_rng(seed)

    def weights(shape: tuple[int, ...], channels: int) -> dict[str, np.ndarray]:
        scales = (rng.uniform(0.2, 1.0, channels if per_channel else 1) / 127).astype(np.float32)
        bias = rng.integers(-9000, 9000, channels).astype(np.int32)
        return {
            "weights": rng.integers(-127, 128, shape).astype(np.int8),
            "bias": bias,
            "weight_scales": scales,
        }

    def tensor(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> Tensor:
        return Tensor(name, shape, float(np.float32(scale)), zero_point)

    tensors = (
        tensor("input", (9, 8, 3), 1 / 64, 5),
        tensor("pad1", (11, 9, 3), 1 / 64, 5),
        tensor("conv1", (5, 4, 4), 0.1, -128),
        tensor("depthwise1", (5, 4, 4), 0.05, -128),
        tensor("conv2", (5, 4, 6), 0.05, -128),
        tensor("concat1", (5, 4, 10), 0.05, -128),
        tensor("depthwise2", (3, 2, 20), 0.04, -30),
        tensor("mean1", (20,), 0.012, -9),
        tensor("fc1", (7,), 0.06, 12),
        tensor("softmax1", (7,), 1 / 256, -128),
    )
    product = weights((7, 20), 7) | {"weight_scales": np.array([0.4 / 127], np.float32)}
    ops: tuple[Op, ...] = (
        Pad("pad1", (0,), 1, ((0, 2), (1, 0), (0, 0))),
        Conv2D("conv1", (1,), 2, **weights((4, 3, 3, 3), 4), stride=(2, 2), padding="VALID"),
        DepthwiseConv2D("depthwise1", (2,), 3, **weights((3, 3, 4), 4), activation="RELU6"),
        Conv2D("conv2", (3,), 4, **weights((6, 1, 1, 4), 6), activation="RELU6"),
        Concatenation("concat1", (3, 4), 5, 2),
        DepthwiseConv2D("depthwise2", (5,), 6, **weights((3, 2, 20), 20), stride=(2, 2)),
        Mean("mean1", (6,), 7),
        FullyConnected("fc1", (7,), 8, **product),
        Softmax("softmax1", (8,), 9),
    )
    return IntegerModel.single("mobile", tensors, ops, 0, 9)


def edited(content: bytes, change) -> bytes:
    """Return the file after ``change(file, graph, tensors by name, operators by output's name)``."""
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    (graph,) = file.subgraphs
    tensors = {tensor.name.decode(): tensor for tensor in graph.tensors}
    operators = {graph.tensors[op.outputs[0]].name.decode(): op for op in graph.operators}
    change(file, graph, tensors, operators)
    builder = flatbuffers.Builder(0)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())
