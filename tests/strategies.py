"""Hypothesis strategies that several test modules share."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from paper2board.integer_model import (
    INT8_MAX,
    INT8_MIN,
    Add,
    Conv2D,
    FullyConnected,
    IntegerModel,
    Op,
    Pool2D,
    Reshape,
    Tensor,
    pad_before,
)

_activations = st.sampled_from(["NONE", "RELU", "RELU6"])
_paddings = st.sampled_from(["SAME", "VALID"])
_zero_points = st.one_of(st.sampled_from([INT8_MIN, 0, INT8_MAX]), st.integers(INT8_MIN, INT8_MAX))
_scales = st.floats(-12, 2).map(lambda exponent: float(np.float32(2.0**exponent)))


class _Graph:
    """A model under construction; every tensor so far may be read by the next op."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []

    def tensor(self, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        self.tensors.append(Tensor(f"tensor{len(self.tensors)}", shape, scale, zero_point))
        return len(self.tensors) - 1

    def images(self) -> list[int]:
        return [index for index, tensor in enumerate(self.tensors) if len(tensor.shape) == 3]

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.ops)}"

    def weighted(self, source: int, shape: tuple[int, ...], output: tuple[int, ...]) -> dict[str, Any]:
        """Draw weights, bias, scales and the output of a layer so that most outputs do not saturate."""
        channels = shape[0]
        weights = self.rng.integers(-128, 128, shape).astype(np.int8)
        if self.draw(st.booleans()):
            weights = self.rng.choice(np.array([-128, -127, 0, 127], np.int8), shape)
        bias = self.rng.integers(-(2**14), 2**14, channels).astype(np.int32)
        centre = self.draw(_scales)
        count = self.draw(st.sampled_from([1, channels]))
        scales = (centre * 2.0 ** self.rng.uniform(-2, 2, count)).astype(np.float32)
        # Typical size of an accumulator: 2^12 a weight; the exponent takes it above and below int8's range.
        reach = self.tensors[source].scale * centre * 2.0**12 * np.sqrt(weights[0].size) / 64
        # A chain of small scales would end where RELU6's bound is beyond 32 bits, which models must not be.
        scale = max(float(np.float32(reach * 2.0 ** self.draw(st.floats(-6, 4)))), 2.0**-20)
        return {
            "inputs": (source,),
            "output": self.tensor(output, scale, self.draw(_zero_points)),
            "weights": weights,
            "bias": bias,
            "weight_scales": scales,
            "activation": self.draw(_activations),
        }

    def window(self, source: int) -> tuple[tuple[int, int], tuple[int, int], str, tuple[int, int]]:
        """Draw kernel, stride, padding of a window over a tensor; return them and the output's size."""
        padding = self.draw(_paddings)
        size = self.tensors[source].shape[:2]
        kernel, stride, output = [], [], []
        for length in size:
            kernel.append(self.draw(st.integers(1, 5 if padding == "SAME" else min(length, 5))))
            stride.append(self.draw(st.integers(1, 3)))
            output.append(pad_before(length, kernel[-1], stride[-1], padding)[1])
        return tuple(kernel), tuple(stride), padding, tuple(output)  # type: ignore[return-value]

    def convolution(self) -> None:
        source = self.draw(st.sampled_from(self.images()))
        kernel, stride, padding, size = self.window(source)
        channels = self.draw(st.integers(1, 5))
        shape = (channels, *kernel, self.tensors[source].shape[2])
        fields = self.weighted(source, shape, (*size, channels))
        self.ops.append(Conv2D(name=self.name("conv"), stride=stride, padding=padding, **fields))

    def pooling(self) -> None:
        source = self.draw(st.sampled_from(self.images()))
        kernel, stride, padding, size = self.window(source)
        kind = self.draw(st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
        tensor = self.tensors[source]
        output = self.tensor((*size, tensor.shape[2]), tensor.scale, tensor.zero_point)
        activation = self.draw(_activations)
        self.ops.append(
            Pool2D(kind, self.name("pool"), (source,), output, kernel, stride, padding, activation)
        )

    def product(self) -> None:
        source = self.draw(st.integers(0, len(self.tensors) - 1))
        outputs = self.draw(st.integers(1, 8))
        fields = self.weighted(source, (outputs, self.tensors[source].size), (outputs,))
        self.ops.append(FullyConnected(name=self.name("fc"), **fields))

    def addition(self) -> None:
        first = self.draw(st.integers(0, len(self.tensors) - 1))
        shape = self.tensors[first].shape
        alike = [index for index, tensor in enumerate(self.tensors) if tensor.shape == shape]
        second = self.draw(st.sampled_from(alike))
        largest = max(self.tensors[first].scale, self.tensors[second].scale)
        scale = max(float(np.float32(largest * 2.0 ** self.draw(st.floats(-3, 3)))), 2.0**-20)
        output = self.tensor(shape, scale, self.draw(_zero_points))
        self.ops.append(Add(self.name("add"), (first, second), output, self.draw(_activations)))

    def reshape(self) -> None:
        source = self.draw(st.integers(0, len(self.tensors) - 1))
        tensor = self.tensors[source]
        output = self.tensor((tensor.size,), tensor.scale, tensor.zero_point)
        self.ops.append(Reshape(self.name("reshape"), (source,), output))


@st.composite
def integer_models(draw: st.DrawFn, max_ops: int = 6) -> IntegerModel:
    """Return a random small IntegerModel: a directed graph of convolutions, poolings, products, sums and
    reshapes (at least one of them computes) with any stride, padding, activation, scale and zero point.

    The output is the last op's; tensors may be read more than once, or never.
    """
    graph = _Graph(draw)
    shape = (draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.integers(1, 4)))
    graph.tensor(shape, draw(_scales), draw(_zero_points))
    steps = (graph.convolution, graph.pooling, graph.product, graph.addition, graph.reshape)
    for _ in range(draw(st.integers(0, max_ops - 1))):
        draw(st.sampled_from(steps))()
    draw(st.sampled_from((*steps[:4],)))()
    return IntegerModel("random", tuple(graph.tensors), tuple(graph.ops), 0, len(graph.tensors) - 1)


def inputs_for(model: IntegerModel, n: int, seed: int = 0) -> np.ndarray:
    """Return ``n`` random int8 inputs of a model, N × its input's shape, extremes among them."""
    shape = model.tensors[model.input].shape
    inputs = np.random.default_rng(seed).integers(-128, 128, (n, *shape)).astype(np.int8)
    inputs[0], inputs[-1] = INT8_MIN, INT8_MAX
    return inputs
