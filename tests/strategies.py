"""Hypothesis strategies that several test modules share."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.elementwise import Add
from paper2board.model.operators.moving import Concatenation, Pad, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.reduction import Mean
from paper2board.model.operators.softmax import Softmax
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Padding, Tensor, pad_before

_activations = st.sampled_from(["NONE", "RELU", "RELU6"])
_paddings = st.sampled_from(["SAME", "VALID"])
_zero_points = st.one_of(st.sampled_from([INT8_MIN, 0, INT8_MAX]), st.integers(INT8_MIN, INT8_MAX))
_channels = st.one_of(st.integers(1, 5), st.integers(1, 20))
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

    def any_image(self) -> int:
        return self.draw(st.sampled_from(self.images()))

    def any_tensor(self) -> int:
        return self.draw(st.integers(0, len(self.tensors) - 1))

    def weighted(self, source: int, shape: tuple[int, ...], output: tuple[int, ...]) -> dict[str, Any]:
        """Draw weights, bias, scales and the output of a layer so that most outputs do not saturate."""
        channels = output[-1]
        weights = self.rng.integers(-128, 128, shape).astype(np.int8)
        if self.draw(st.booleans()):
            weights = self.rng.choice(np.array([-128, -127, 0, 127], np.int8), shape)
        bias = self.rng.integers(-(2**14), 2**14, channels).astype(np.int32)
        centre = self.draw(_scales)
        count = self.draw(st.sampled_from([1, channels]))
        scales = (centre * 2.0 ** self.rng.uniform(-2, 2, count)).astype(np.float32)
        # Typical size of an accumulator: 2^12 a weight; the exponent takes it above and below int8's range.
        reach = self.tensors[source].scale * centre * 2.0**12 * np.sqrt(weights.size / channels) / 64
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

    def window(self, source: int) -> tuple[tuple[int, int], tuple[int, int], Padding]:
        """Draw kernel, stride and padding of a window over a tensor."""
        padding = self.draw(_paddings)
        kernel, stride = [], []
        for length in self.tensors[source].shape[:2]:
            kernel.append(self.draw(st.integers(1, 5 if padding == "SAME" else min(length, 5))))
            stride.append(self.draw(st.integers(1, 3)))
        return tuple(kernel), tuple(stride), padding  # type: ignore[return-value]

    def window_output(
        self, source: int, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
    ) -> tuple[int, int]:
        height, width = (
            pad_before(self.tensors[source].shape[axis], kernel[axis], stride[axis], padding)[1]
            for axis in (0, 1)
        )
        return height, width

    def convolution(self) -> None:
        source = self.any_image()
        self.convolve(source, *self.window(source))

    def convolve(
        self, source: int, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
    ) -> None:
        channels = self.draw(_channels)
        shape = (channels, *kernel, self.tensors[source].shape[2])
        output = (*self.window_output(source, kernel, stride, padding), channels)
        fields = self.weighted(source, shape, output)
        self.ops.append(Conv2D(name=self.name("conv"), stride=stride, padding=padding, **fields))

    def depthwise(self) -> None:
        source = self.any_image()
        self.convolve_depthwise(source, *self.window(source))

    def convolve_depthwise(
        self, source: int, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
    ) -> None:
        multiplier = self.draw(st.integers(1, 3 if self.tensors[source].shape[2] <= 10 else 1))
        channels = self.tensors[source].shape[2] * multiplier
        output = (*self.window_output(source, kernel, stride, padding), channels)
        fields = self.weighted(source, (*kernel, channels), output)
        self.ops.append(DepthwiseConv2D(name=self.name("depth"), stride=stride, padding=padding, **fields))

    def pooling(self) -> None:
        source = self.any_image()
        kind = self.draw(st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
        self.pool(kind, source, *self.window(source))

    def pool(
        self, kind: Any, source: int, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
    ) -> None:
        tensor = self.tensors[source]
        size = self.window_output(source, kernel, stride, padding)
        output = self.tensor((*size, tensor.shape[2]), tensor.scale, tensor.zero_point)
        activation = self.draw(_activations)
        self.ops.append(
            Pool2D(kind, self.name("pool"), (source,), output, kernel, stride, padding, activation)
        )

    def padding(self) -> None:
        amounts = st.tuples(st.integers(0, 2), st.integers(0, 2))
        channels = st.one_of(st.just((0, 0)), amounts)
        self.pad(self.any_image(), self.draw(st.tuples(amounts, amounts, channels)))

    def pad(self, source: int, paddings: Any) -> None:
        tensor = self.tensors[source]
        shape = tuple(n + sum(pair) for n, pair in zip(tensor.shape, paddings, strict=True))
        output = self.tensor(shape, tensor.scale, tensor.zero_point)
        self.ops.append(Pad(self.name("pad"), (source,), output, paddings))

    def mean(self) -> None:
        source = self.any_image()
        tensor = self.tensors[source]
        shape = (1, 1, tensor.shape[2])[self.draw(st.sampled_from([0, 2])) :]
        if self.draw(st.booleans()):
            scale, zero_point = tensor.scale, tensor.zero_point
        else:
            scale = max(float(np.float32(tensor.scale * 2.0 ** self.draw(st.floats(-4, 4)))), 2.0**-20)
            zero_point = self.draw(_zero_points)
        self.ops.append(Mean(self.name("mean"), (source,), self.tensor(shape, scale, zero_point)))

    def concatenation(self) -> None:
        first = self.tensors[self.any_tensor()]
        axis = self.draw(st.integers(0, len(first.shape) - 1))

        def same_but_for_axis(tensor: Tensor) -> tuple[Any, ...]:
            return (
                tensor.scale,
                tensor.zero_point,
                len(tensor.shape),
                tensor.shape[:axis],
                tensor.shape[axis + 1 :],
            )

        alike = [
            index
            for index, tensor in enumerate(self.tensors)
            if same_but_for_axis(tensor) == same_but_for_axis(first) and tensor.size <= 1000
        ]
        if not alike:
            return
        inputs = tuple(self.draw(st.lists(st.sampled_from(alike), min_size=2, max_size=3)))
        total = sum(self.tensors[i].shape[axis] for i in inputs)
        shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
        output = self.tensor(shape, first.scale, first.zero_point)
        self.ops.append(Concatenation(self.name("concat"), inputs, output, axis))

    def softmax(self) -> None:
        source = self.any_tensor()
        shape = self.tensors[source].shape
        if shape[-1] > Softmax.MAX_DEPTH:
            return
        beta = self.draw(st.one_of(st.just(1.0), st.floats(0.125, 8, width=32)))
        self.ops.append(Softmax(self.name("softmax"), (source,), self.tensor(shape, 1 / 256, INT8_MIN), beta))

    # --- what networks are made of ---

    def strided_after_padding(self) -> None:
        """PAD, then a 3 × 3 stride-2 VALID convolution: how frameworks say 'same' padding of their own."""
        self.pad(
            self.any_image(), self.draw(st.sampled_from([((0, 1), (0, 1), (0, 0)), ((1, 1), (1, 1), (0, 0))]))
        )
        source = len(self.tensors) - 1
        height, width, _ = self.tensors[source].shape
        kernel = (min(3, height), min(3, width))
        self.draw(st.sampled_from([self.convolve, self.convolve_depthwise]))(source, kernel, (2, 2), "VALID")

    def convolution_and_pooling(self) -> None:
        self.convolve(self.any_image(), (3, 3), (1, 1), "SAME")
        source = len(self.tensors) - 1
        height, width, _ = self.tensors[source].shape
        kernel = (min(2, height), min(2, width))
        self.pool("MAX_POOL_2D", source, kernel, (2, 2), "VALID")

    def residual(self) -> None:
        self.convolve(self.any_image(), (3, 3), (1, 1), "SAME")
        first = len(self.tensors) - 1
        self.convolve_depthwise(first, (3, 3), (1, 1), "SAME")
        self.add(first)

    def product(self) -> None:
        source = self.any_tensor()
        outputs = self.draw(st.integers(1, 8))
        fields = self.weighted(source, (outputs, self.tensors[source].size), (outputs,))
        self.ops.append(FullyConnected(name=self.name("fc"), **fields))

    def addition(self) -> None:
        self.add(self.any_tensor())

    def add(self, first: int) -> None:
        shape = self.tensors[first].shape
        alike = [index for index, tensor in enumerate(self.tensors) if tensor.shape == shape]
        second = self.draw(st.sampled_from(alike))
        largest = max(self.tensors[first].scale, self.tensors[second].scale)
        scale = max(float(np.float32(largest * 2.0 ** self.draw(st.floats(-3, 3)))), 2.0**-20)
        output = self.tensor(shape, scale, self.draw(_zero_points))
        self.ops.append(Add(self.name("add"), (first, second), output, self.draw(_activations)))

    def reshape(self) -> None:
        source = self.any_tensor()
        tensor = self.tensors[source]
        output = self.tensor((tensor.size,), tensor.scale, tensor.zero_point)
        self.ops.append(Reshape(self.name("reshape"), (source,), output))


@st.composite
def integer_models(draw: st.DrawFn, max_ops: int = 6) -> IntegerModel:
    """Return a random small IntegerModel: a directed graph of every operator (at least one of them computes)
    with any stride, padding, activation, scale and zero point, and of what networks are made of; now and then a
    softmax ends it. ``max_ops`` counts steps, of which one may be two or three ops.

    The output is the last op's; tensors may be read more than once, or never.
    """
    graph = _Graph(draw)
    shape = (draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(_channels))
    graph.tensor(shape, draw(_scales), draw(_zero_points))
    computing = (
        graph.convolution,
        graph.depthwise,
        graph.pooling,
        graph.product,
        graph.addition,
        graph.mean,
        graph.strided_after_padding,
        graph.convolution_and_pooling,
        graph.residual,
    )
    copying = (graph.reshape, graph.padding, graph.concatenation)
    for _ in range(draw(st.integers(0, max_ops - 1))):
        draw(st.sampled_from((*computing, *copying)))()
    draw(st.sampled_from(computing))()
    if draw(st.booleans()):
        graph.softmax()
    return IntegerModel("random", tuple(graph.tensors), tuple(graph.ops), 0, len(graph.tensors) - 1)


def inputs_for(model: IntegerModel, n: int, seed: int = 0) -> np.ndarray:
    """Return ``n`` random int8 inputs of a model, N × its input's shape, extremes among them."""
    shape = model.tensors[model.input].shape
    inputs = np.random.default_rng(seed).integers(-128, 128, (n, *shape)).astype(np.int8)
    inputs[0], inputs[-1] = INT8_MIN, INT8_MAX
    return inputs
