"""Random integer networks that reach into every corner of the kernels.

A network is a chain of what networks are made of (convolutions, separable and residual blocks, branches joined
again, poolings …) with any zero point, activation, stride, padding, and scales for which most outputs do not
saturate. The same seed gives the same network with the same version of numpy. The blocks take their choices from a
small interface (:class:`Draws`), so property tests draw from the same grammar.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from paper2board.model.integer_model import IntegerModel, State
from paper2board.model.operators import OPERATORS
from paper2board.model.operators.binary import (
    Add,
    Maximum,
    Minimum,
    Mul,
    Prelu,
    SquaredDifference,
    Sub,
)
from paper2board.model.operators.elementwise import FloatFunction, Gelu, LeakyRelu, Logistic, Rsqrt, Tabulated
from paper2board.model.operators.moving import AssignVariable, Concatenation, Move, Pad, Reshape
from paper2board.model.operators.moving import Constant as ConstantOp
from paper2board.model.operators.normalization import L2Normalization
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.products import BatchMatMul
from paper2board.model.operators.recurrent import Lstm, Svdf
from paper2board.model.operators.reduction import ArgMax, ArgMin, Mean, ReduceMin, Sum
from paper2board.model.operators.resizing import ResizeBilinear
from paper2board.model.operators.softmax import LogSoftmax, Softmax
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.port import Port, PortType
from paper2board.model.simulate import activations, initial_states
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Activation, Padding, Quantization, Tensor, pad_before

MAX_LAYER_MACS = 60_000
"""Keeps a network's emulation within a fraction of a second."""
_ACTIVATIONS: tuple[Activation, ...] = ("NONE", "RELU", "RELU6")
_PADDINGS: tuple[Padding, ...] = ("SAME", "VALID")
_FUNCTIONS = tuple(kind for kind in OPERATORS.values() if issubclass(kind, Tabulated) and kind is not Gelu)
"""All but what TFLite Micro does not have."""
_FLOAT_FUNCTIONS = ("NEG", "SQUARE", "ABS", "ELU", "LOGISTIC", "RELU", "SIN")
_TRIES = 8
_DEVIATION = 74.0
"""Of a uniformly distributed int8."""
_LEAST_SCALE = 2.0**-20
"""A chain of small scales would end where operators cannot compute in 32 bits, which models must not be."""


class Draws(Protocol):
    """Where a network's choices come from."""

    numbers: np.random.Generator
    """For values in bulk: weights and biases."""

    def integer(self, low: int, high: int) -> int:
        """Draw from ``low`` to ``high``, both included."""

    def uniform(self, low: float, high: float) -> float:
        """Draw a real number."""

    def chance(self, probability: float) -> bool:
        """Draw True with this probability."""

    def pick(self, choices: Sequence[Any]) -> Any:
        """Draw one of ``choices``."""


class GeneratorDraws:
    """Choices of numpy's generator: the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.numbers.integers(low, high + 1))

    def uniform(self, low: float, high: float) -> float:
        return float(self.numbers.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.numbers.random() < probability)

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.integer(0, len(choices) - 1)]


@dataclass(frozen=True)
class Style:
    """What networks look like: inputs of up to ``side`` × ``side`` × ``channels``, up to ``blocks`` blocks on them.

    ``earlier``: how often a block reads another tensor than the last. ``redraw``: whether a block is drawn again,
    mostly, while its outputs hardly depend on the network's input. ``indices``: whether some networks end with
    indices, which are int32 to a caller.
    """

    side: int = 14
    channels: int = 40
    blocks: int = 4
    earlier: float = 0.05
    redraw: bool = True
    indices: bool = False


def random_network(seed: int) -> IntegerModel:
    """Return the network of a seed: up to seven blocks on an input of up to 14 × 14 × 40, or a vector."""
    return draw_network(GeneratorDraws(seed), Style(indices=True), f"random{seed}")


def draw_network(draws: Draws, style: Style, name: str) -> IntegerModel:
    """Return a network of choices; at least one of its ops computes something.

    Its output is the last op's; now and then nothing reads some other tensor.
    """
    graph = _Graph(draws, style)
    for _ in range(draws.integer(0, style.blocks) if len(graph.shape) == 3 else 0):
        graph.grow(graph.image_blocks)
    if draws.chance(0.5):
        for _ in range(draws.integer(1, 2)):
            graph.grow(graph.vector_blocks)
    graph.grow(graph.computing_blocks())
    if draws.chance(0.2) and 1 < graph.shape[-1] < Softmax.LARGEST_SUM:
        graph.grow((graph.softmax,))
    elif draws.chance(0.2) and 1 < graph.shape[-1] <= ArgMax.MAX_COUNT:
        graph.grow((graph.log_softmax, graph.arg_extremum) if style.indices else (graph.log_softmax,))
    return graph.model(name)


def random_inputs(model: IntegerModel, count: int, seed: int) -> np.ndarray:
    """Return int8 inputs, ``count`` × the model's input shape: the first uniform, the second of the
    two extremes alone, the others uniform."""
    rng = np.random.default_rng(seed)
    shape = model.tensors[model.input].shape
    inputs = rng.integers(INT8_MIN, INT8_MAX + 1, (count, *shape)).astype(np.int8)
    if count > 1:
        inputs[1] = rng.choice(np.array([INT8_MIN, INT8_MAX], np.int8), shape)
    return inputs


class _Graph:
    """A network under construction. Blocks read the last tensor, or now and then an earlier one."""

    def __init__(self, draws: Draws, style: Style) -> None:
        self.integer, self.uniform, self.chance, self.pick = (
            draws.integer,
            draws.uniform,
            draws.chance,
            draws.pick,
        )
        self.numbers, self.style = draws.numbers, style
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.states: list[State] = []
        self.last = 0
        side = style.side
        shape: tuple[int, ...] = (self.integer(1, side), self.integer(1, side), self.channels())
        if self.chance(0.05):
            shape = shape[2:]
        self.image_blocks: tuple[Callable[[], None], ...] = (
            self.convolution,
            self.depthwise,
            self.square_convolution,
            self.pooled_convolution,
            self.separable,
            self.residual,
            self.padded_convolution,
            self.branches,
            self.pooling,
            self.addition,
            self.padding,
            self.moving,
            self.remembering,
            self.product_of_pixels,
            self.products_of_pairs,
            self.dilated_convolution,
            self.resizing,
            self.reduction,
            self.normalization,
            self.function,
            self.combination,
            self.gate,
            self.recurrent,
        )
        self.vector_blocks: tuple[Callable[[], None], ...] = (
            self.mean if len(shape) == 3 else self.product,
            self.product,
            self.vector_addition,
            self.vector_branches,
            self.flattened_product,
            self.product,
            self.flattened_product,
            self.product,
            self.function,
            self.combination,
            self.remembered_product,
        )
        self.add_tensor(shape, *self.quantization())
        self.samples = self.numbers.integers(INT8_MIN, INT8_MAX + 1, (3, *shape)).astype(np.int8)

    def model(self, name: str) -> IntegerModel:
        dtype: PortType = "int32" if self.ops and isinstance(self.ops[-1], ArgMax) else "int8"
        ports = (Port("input", 0),), (Port("output", self.last, dtype),)
        return IntegerModel(name, tuple(self.tensors), tuple(self.ops), *ports, {}, tuple(self.states))

    def computing_blocks(self) -> tuple[Callable[[], None], ...]:
        """Return the blocks on the last tensor that do more than move values."""
        blocks = self.image_blocks if len(self.shape) == 3 else self.vector_blocks
        return tuple(block for block in blocks if block not in (self.padding, self.moving))

    def grow(self, blocks: Sequence[Callable[[], None]]) -> None:
        """Add a block."""
        tensors, ops, states, last = len(self.tensors), len(self.ops), len(self.states), self.last
        for _ in range(_TRIES):
            del self.tensors[tensors:], self.ops[ops:], self.states[states:]
            self.last = last
            self.pick(blocks)()
            if not self.style.redraw or self.chance(0.02):
                return
            model, count = self.model("grown"), len(self.samples)
            memory = {read: first.repeat(count, 0) for read, first in initial_states(model).items()}
            outputs = activations(model, {0: self.samples} | memory)[self.last]
            if np.mean(outputs[1:] != outputs[0]) > 0.1:
                return

    # --- draws ---

    def channels(self, most: int | None = None) -> int:
        """Draw small numbers as often as large ones, and often what kernels take four at a time."""
        channels = int(2.0 ** self.uniform(0, math.log2(self.style.channels + 1)))
        if self.chance(0.4):
            channels = -(-channels // 4) * 4
        return min(most or self.style.channels, channels)

    def activation(self) -> Activation:
        return self.pick(_ACTIVATIONS)

    def zero_point(self, activation: Activation = "NONE") -> int:
        """Draw anything, but mostly what leaves the activation room in int8."""
        if self.chance(0.3):
            return self.pick((INT8_MIN, 0, INT8_MAX, self.integer(INT8_MIN, INT8_MAX)))
        if activation == "NONE":
            return self.integer(-40, 40)
        return self.pick((INT8_MIN, self.integer(-120, -60)))

    def scale(self, activation: Activation = "NONE") -> float:
        """Draw a scale; RELU6 has its bound in or near int8's range."""
        low, high = (-6.5, -4.5) if activation == "RELU6" else (-7.0, 0.0)
        if self.chance(0.05):
            low, high = -12.0, 2.0
        return float(np.float32(2.0 ** self.uniform(low, high)))

    def quantization(self, activation: Activation = "NONE") -> tuple[float, int]:
        return self.scale(activation), self.zero_point(activation)

    # --- tensors ---

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensors[self.last].shape

    def add_tensor(self, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        name = f"tensor{len(self.tensors)}"
        self.tensors.append(Tensor(name, shape, max(scale, _LEAST_SCALE), zero_point))
        self.last = len(self.tensors) - 1
        return self.last

    def like(self, source: int, shape: tuple[int, ...]) -> int:
        """Add a tensor with the quantization of another."""
        return self.add_tensor(shape, self.tensors[source].scale, self.tensors[source].zero_point)

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.ops)}"

    def readable(self) -> list[int]:
        """Return the tensors that any block may read; a state is changed by the time, a constant never is."""
        others = {tensor for state in self.states for tensor in (state.read, state.written)}
        others |= {op.output for op in self.ops if isinstance(op, ConstantOp)}
        return [index for index in range(len(self.tensors)) if index not in others]

    def image(self) -> int:
        """Choose an H × W × C tensor to read."""
        images = [i for i in self.readable() if len(self.tensors[i].shape) == 3]
        another = self.chance(self.style.earlier) or self.last not in images
        return self.pick(images) if another else self.last

    # --- layers ---

    def weighted(
        self,
        source: int,
        weights: tuple[int, ...],
        output: tuple[int, ...],
        quantization: tuple[float, int] | None,
    ) -> dict[str, Any]:
        """Draw weights, bias, scales and the output of a layer; ``quantization`` of the output may be given.

        The weights' scales are such that an accumulator's deviation becomes about a third of the output's range.
        """
        style = self.integer(0, 3)
        if style == 0:
            values = self.numbers.choice(np.array([-128, -127, 0, 127], np.int8), weights)
        else:
            most = (127, 127, 7)[style - 1]
            values = self.numbers.integers(-most, most + 1, weights).astype(np.int8)
        channels = output[-1]
        inputs = values.size // channels
        tensor = self.tensors[source]
        deviation = (
            math.sqrt(inputs) * max(float(values.std()), 1.0) * math.hypot(_DEVIATION, tensor.zero_point)
        )
        bias = self.numbers.normal(0, deviation, channels).clip(-(2**24), 2**24).astype(np.int32)
        activation = self.activation()
        scale, zero_point = quantization or self.quantization(activation)
        # Mostly moderate; sometimes all saturates, or vanishes.
        gain = 2.0 ** (self.uniform(-0.5, 0.5) if self.chance(0.9) else self.uniform(-8, 8))
        centre = 45 * gain / deviation * scale / tensor.scale
        count = self.pick((1, channels))
        return {
            "inputs": (source,),
            "output": self.add_tensor(output, scale, zero_point),
            "weights": values,
            "bias": bias,
            "weight_scales": (centre * 2.0 ** self.numbers.uniform(-1.5, 1.5, count)).astype(np.float32),
            "activation": activation,
        }

    def window(self, source: int) -> tuple[tuple[int, int], tuple[int, int], Padding]:
        """Draw kernel, stride and padding of a window over a tensor; mostly square ones."""
        padding = self.pick(_PADDINGS)
        height, width = self.tensors[source].shape[:2]
        kernel = (self.integer(1, 5), self.integer(1, 5))
        stride = (self.integer(1, 3), self.integer(1, 3))
        if self.chance(0.7):
            kernel, stride = (kernel[0],) * 2, (stride[0],) * 2
        if padding == "VALID":
            kernel = (min(kernel[0], height), min(kernel[1], width))
        return kernel, stride, padding

    def size(
        self, source: int, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
    ) -> tuple[int, int]:
        height, width = (
            pad_before(self.tensors[source].shape[axis], kernel[axis], stride[axis], padding)[1]
            for axis in (0, 1)
        )
        return height, width

    def convolve(
        self,
        source: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: Padding = "SAME",
        channels: int | None = None,
        quantization: tuple[float, int] | None = None,
    ) -> int:
        size = self.size(source, kernel, stride, padding)
        depth = self.tensors[source].shape[2]
        if channels is None:
            most = MAX_LAYER_MACS // (math.prod(size) * math.prod(kernel) * depth)
            channels = self.channels(max(1, most))
        fields = self.weighted(source, (channels, *kernel, depth), (*size, channels), quantization)
        self.ops.append(Conv2D(name=self.name("conv"), stride=stride, padding=padding, **fields))
        return self.last

    def convolve_depthwise(
        self,
        source: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: Padding = "SAME",
        multiplier: int = 1,
    ) -> int:
        size = self.size(source, kernel, stride, padding)
        channels = self.tensors[source].shape[2] * multiplier
        fields = self.weighted(source, (*kernel, channels), (*size, channels), None)
        self.ops.append(
            DepthwiseConv2D(name=self.name("depthwise"), stride=stride, padding=padding, **fields)
        )
        return self.last

    def pool(
        self, kind: Any, source: int, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
    ) -> int:
        size = self.size(source, kernel, stride, padding)
        output = self.like(source, (*size, self.tensors[source].shape[2]))
        name, activation = self.name("pool"), self.activation()
        self.ops.append(Pool2D(kind, name, (source,), output, kernel, stride, padding, activation))
        return output

    def add(self, first: int, second: int) -> int:
        largest = max(self.tensors[first].scale, self.tensors[second].scale)
        activation = self.activation()
        scale = float(np.float32(largest * 2.0 ** self.uniform(-0.5, 1.5)))
        output = self.add_tensor(self.tensors[first].shape, scale, self.zero_point(activation))
        self.ops.append(Add(self.name("add"), (first, second), output, activation))
        return output

    def concatenate(self, parts: list[int], axis: int) -> int:
        shape = list(self.tensors[parts[0]].shape)
        shape[axis] = sum(self.tensors[part].shape[axis] for part in parts)
        output = self.like(parts[0], tuple(shape))
        self.ops.append(Concatenation(self.name("concatenation"), tuple(parts), output, axis))
        return output

    def pad(self, source: int, paddings: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]) -> int:
        shape = self.tensors[source].shape
        output = self.like(source, tuple(n + sum(pair) for n, pair in zip(shape, paddings, strict=True)))
        self.ops.append(Pad(self.name("pad"), (source,), output, paddings))
        return output

    def multiply(self, source: int, quantization: tuple[float, int] | None = None) -> int:
        channels = self.channels(max(1, MAX_LAYER_MACS // self.tensors[source].size))
        fields = self.weighted(source, (channels, self.tensors[source].size), (channels,), quantization)
        self.ops.append(FullyConnected(name=self.name("product"), **fields))
        return self.last

    def flatten(self) -> int:
        source = self.last
        output = self.like(source, (self.tensors[source].size,))
        self.ops.append(Reshape(self.name("flatten"), (source,), output))
        return output

    # --- blocks on images ---

    def convolution(self) -> None:
        source = self.image()
        self.convolve(source, *self.window(source))

    def depthwise(self) -> None:
        source = self.image()
        multiplier = self.integer(1, 3) if self.tensors[source].shape[2] <= self.style.channels // 3 else 1
        self.convolve_depthwise(source, *self.window(source), multiplier)

    def square_convolution(self) -> None:
        """3 × 3, stride 1: what Winograd is for."""
        source = self.image()
        valid = min(self.tensors[source].shape[:2]) >= 3 and self.chance(0.3)
        self.convolve(source, (3, 3), padding="VALID" if valid else "SAME")

    def pooled_convolution(self) -> None:
        """A convolution, then a max pooling, whose windows mostly fit without overlap."""
        source = self.image()
        if self.chance(0.6):
            self.convolve(source, (3, 3))
        elif self.chance(0.5):
            self.convolve_depthwise(source, *self.window(source))
        else:
            self.convolve(source, *self.window(source))
        height, width = self.shape[:2]
        side = self.integer(2, 3)
        kernel = (min(side, height), min(side, width))
        stride = kernel if self.chance(0.7) else (self.integer(1, 3), self.integer(1, 3))
        self.pool("MAX_POOL_2D", self.last, kernel, stride, self.pick(("VALID", "VALID", "SAME")))

    def separable(self) -> None:
        """Depthwise 3 × 3 of stride 1 or 2, then 1 × 1."""
        stride = (self.integer(1, 2),) * 2
        self.convolve(self.convolve_depthwise(self.image(), (3, 3), stride), (1, 1))

    def residual(self) -> None:
        """Two convolutions beside a shortcut, which is a 1 × 1 convolution if sizes differ."""
        source = self.image()
        depth = self.tensors[source].shape[2]
        if self.chance(0.5):
            inner = self.convolve(source, (3, 3)) if self.chance(0.5) else source
            first, second = self.convolve(inner, (3, 3), channels=depth), source
        else:
            stride = (self.integer(1, 2),) * 2
            first = self.convolve(source, (3, 3), stride)
            second = self.convolve(source, (1, 1), stride, channels=self.tensors[first].shape[2])
        self.add(*((first, second) if self.chance(0.5) else (second, first)))

    def padded_convolution(self) -> None:
        """PAD, then a VALID convolution of stride 2: how frameworks say SAME padding of their own."""
        source = self.pad(self.image(), self.pick((((0, 1), (0, 1), (0, 0)), ((1, 1), (1, 1), (0, 0)))))
        height, width = self.tensors[source].shape[:2]
        convolve: Callable[..., int] = self.convolve if self.chance(0.5) else self.convolve_depthwise
        convolve(source, (min(3, height), min(3, width)), (2, 2), "VALID")

    def branches(self) -> None:
        """Two or three convolutions of one tensor, joined along any axis."""
        source, axis = self.image(), self.integer(0, 2)
        quantization = self.quantization()
        channels = self.channels(12)
        parts = []
        for _ in range(self.integer(2, 3)):
            side = self.pick((1, 3))
            depth = self.channels(12) if axis == 2 else channels
            parts.append(self.convolve(source, (side, side), channels=depth, quantization=quantization))
        if self.chance(0.2):
            parts.append(parts[0])
        self.concatenate(parts, axis)

    def pooling(self) -> None:
        source = self.image()
        self.pool(
            self.pick(("MAX_POOL_2D", "AVERAGE_POOL_2D", "AVERAGE_POOL_2D")),
            source,
            *self.window(source),
        )

    def addition(self) -> None:
        source = self.image()
        shape = self.tensors[source].shape
        self.add(source, self.pick([i for i in self.readable() if self.tensors[i].shape == shape]))

    def padding(self) -> None:
        def amount(most: int) -> tuple[int, int]:
            return self.integer(0, most), self.integer(0, most)

        self.pad(self.image(), (amount(2), amount(2), amount(2) if self.chance(0.3) else (0, 0)))

    def moving(self) -> None:
        """Rows or columns left out or repeated, or axes exchanged."""
        source = self.image()
        shape = self.tensors[source].shape
        places = [
            np.arange(n) * step for n, step in zip(shape, (shape[1] * shape[2], shape[2], 1), strict=True)
        ]
        for axis in self.pick(((0,), (1,), (2,), (0, 1), ())):
            n = shape[axis]
            begin = self.integer(0, n - 1)
            places[axis] = self.pick(
                (places[axis][begin::2], places[axis][begin:], np.repeat(places[axis], 2))
            )
        order = self.pick(((0, 1, 2), (0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)))
        tables = [places[axis] for axis in order]
        lengths = tuple(map(len, tables))
        offsets = np.concatenate(tables).astype(np.int32)
        output = self.like(source, lengths)
        self.ops.append(Move(self.name("move"), (source,), output, lengths, offsets))

    def remembering(self) -> None:
        """Rows of the inference before above those of this one; the last rows of both are kept for the next."""
        source = self.image()
        tensor, kept = self.tensors[source], self.integer(1, 3)
        height, row = tensor.shape[0], tensor.shape[1] * tensor.shape[2]
        state = self.like(source, (kept, *tensor.shape[1:]))
        joined = self.concatenate([state, source], 0)
        newest = self.like(source, self.tensors[state].shape)
        offsets = np.concatenate([(height + np.arange(kept)) * row, np.arange(row)]).astype(np.int32)
        self.ops.append(Move(self.name("newest"), (joined,), newest, (kept, row), offsets))
        written = self.like(source, self.tensors[state].shape)
        self.ops.append(AssignVariable(self.name("kept"), (newest,), written))
        first = self.numbers.integers(INT8_MIN, INT8_MAX + 1, self.tensors[state].shape).astype(np.int8)
        if self.chance(0.5):
            first[:] = tensor.zero_point
        self.states.append(State(state, written, first))
        self.last = joined

    def function(self) -> None:
        """A function of one int8, of an image or a vector."""
        source = self.last
        tensor = self.tensors[source]
        # Below the zero point TFLite Micro has no root.
        kind = self.pick([k for k in _FUNCTIONS if k is not Rsqrt or tensor.zero_point == INT8_MIN])
        scale = float(np.float32(tensor.scale * 2.0 ** self.uniform(-1, 2)))
        quantization = kind.OUTPUT_QUANTIZATION or (scale, self.zero_point())
        if kind.KEEPS_QUANTIZATION:
            quantization = tensor.quantization
        if kind is Rsqrt:
            quantization = float(np.float32(tensor.scale**-0.5 / 100)), quantization[1]
        fields: dict[str, Any] = {}
        if kind is LeakyRelu:
            fields["alpha"] = float(np.float32(self.uniform(0, 1)))
        if kind is FloatFunction:
            fields["functions"] = (
                self.pick(_FLOAT_FUNCTIONS),
                *((self.pick(("NEG", "ABS")),) if self.chance(0.3) else ()),
            )
            if fields["functions"][0] == "SQUARE":
                quantization = float(np.float32(tensor.scale**2 * 90)), quantization[1]
        output = self.add_tensor(tensor.shape, *quantization)
        self.ops.append(kind(name=self.name("function"), inputs=(source,), output=output, **fields))

    def combination(self) -> None:
        """An image or vector with a constant, or with itself, element by element."""
        source = self.last
        tensor = self.tensors[source]
        *lead, depth = tensor.shape
        shape = self.pick([(1,), (depth,), (*(1 for _ in lead), depth), (*lead, 1), tensor.shape])
        second = source
        if self.chance(0.8):
            quantization = tensor.quantization if self.chance(0.3) else self.quantization()
            second = self.add_tensor(shape, *quantization)
            values = self.numbers.integers(INT8_MIN, INT8_MAX + 1, shape).astype(np.int8)
            self.ops.append(ConstantOp(self.name("constant"), (), second, values))
        self.combine(source, second)

    def gate(self) -> None:
        """An image times a factor for each channel that it gives itself, as in squeeze and excitation."""
        source = self.image()
        depth = self.tensors[source].shape[2]
        mean = self.add_tensor((1, 1, depth), *self.tensors[source].quantization)
        self.ops.append(Mean(self.name("mean"), (source,), mean))
        logits = self.convolve(mean, (1, 1), channels=depth)
        factors = self.add_tensor((1, 1, depth), *cast(Quantization, Logistic.OUTPUT_QUANTIZATION))
        self.ops.append(Logistic(self.name("logistic"), (logits,), factors))
        self.combine(*((source, factors) if self.chance(0.7) else (factors, source)), kind=Mul)

    def combine(self, first: int, second: int, kind: type[Op] | None = None) -> None:
        """Add an operator over two tensors whose shapes go together."""
        one, two = self.tensors[first], self.tensors[second]
        if kind is None:
            alike = one.quantization == two.quantization
            small = max(one.scale, two.scale) <= 1
            kinds = [Add, Sub, *((Maximum, Minimum) if alike else ())]
            kinds += [Mul, SquaredDifference, Prelu] if small else []
            kind = self.pick(kinds)
        activation = self.activation()
        zero_point = self.zero_point(activation)
        spreads = [math.hypot(_DEVIATION, tensor.zero_point) for tensor in (one, two)]
        largest = max(one.scale, two.scale)
        scale = {
            Mul: one.scale * two.scale * spreads[0] * spreads[1] / 45,
            SquaredDifference: largest**2 * (2 * _DEVIATION) ** 2 / 45,
            Prelu: one.scale * max(1, two.scale * spreads[1]),
        }.get(kind, largest) * 2.0 ** self.uniform(-0.5, 1.5)
        quantization = float(np.float32(scale)), zero_point
        if kind.KEEPS_QUANTIZATION:
            quantization = one.quantization
        output = self.add_tensor(np.broadcast_shapes(one.shape, two.shape), *quantization)
        fused = {"activation": activation} if kind in (Add, Sub, Mul) else {}
        self.ops.append(kind(name=self.name("combination"), inputs=(first, second), output=output, **fused))  # type: ignore[call-arg]

    def recurrent(self) -> None:
        """An LSTM over the rows of an image."""
        source = self.image()
        height, width, depth = self.tensors[source].shape
        inputs = width * depth
        units = max(1, min(self.channels(12), MAX_LAYER_MACS // (4 * height * (inputs + 12))))
        sequence = self.like(source, (height, inputs))
        self.ops.append(Reshape(self.name("sequence"), (source,), sequence))
        quantization = float(np.float32(2.0 ** self.uniform(-9, -6))), self.zero_point()
        power = self.integer(-14, -8)
        states = self.add_tensor((units,), *quantization), self.add_tensor((2 * units,), 2.0**power, 0)
        output = self.like(states[0], (height, units))

        def weights(size: int, scale: float, zero_point: int) -> tuple[np.ndarray, np.ndarray]:
            values = self.numbers.integers(-127, 128, (4, units, size)).astype(np.int8)
            deviation = math.sqrt(size) * _DEVIATION * math.hypot(_DEVIATION, zero_point) * scale
            return values, (2.0 ** self.numbers.uniform(-1, 1.5, 4) / deviation).astype(np.float32)

        own, own_scales = weights(inputs, *self.tensors[source].quantization)
        recurrent, recurrent_scales = weights(units, *quantization)
        bias = self.numbers.integers(-3000, 3000, (4, units)).astype(np.int32)
        clip = float(self.pick((0.0, 0.0, 1.0)))
        self.ops.append(
            Lstm(
                self.name("lstm"), (sequence, *states), output, own, recurrent, bias, own_scales,
                recurrent_scales, power, clip,
            )
        )  # fmt: skip
        for state, first in zip(states, (quantization[1], 0), strict=True):
            initial = np.full(self.tensors[state].shape, first, np.int8)
            self.states.append(State(state, state, initial))
        image = self.like(output, (height, 1, units))
        self.ops.append(Reshape(self.name("image"), (output,), image))

    def remembered_product(self) -> None:
        """SVDF of a vector."""
        source = self.flatten()
        tensor = self.tensors[source]
        wide, rank, memory = self.chance(0.5), self.integer(1, 3), self.integer(1, 6)
        units = max(1, min(self.channels(12), MAX_LAYER_MACS // (rank * (tensor.size + memory))))
        filters = rank * units
        # Steps of the state: an int16 has 256 times as many.
        zero_point = 0 if wide else self.integer(-40, 40)
        state_scale = float(np.float32(2.0 ** self.uniform(-4, 0) / (256 if wide else 1)))
        state = self.add_tensor((filters * memory * (1 + wide),), state_scale, zero_point)
        output = self.add_tensor((units,), float(np.float32(2.0 ** self.uniform(-4, 0))), self.zero_point())
        spread = math.sqrt(tensor.size) * _DEVIATION * math.hypot(_DEVIATION, tensor.zero_point)
        feature_scale = 45 * (256 if wide else 1) * state_scale / tensor.scale / spread
        most = 3000 if wide else 127
        spread = math.sqrt(rank * memory) * most * 0.6 * 45 * (256 if wide else 1)
        time_scale = 45 * self.tensors[output].scale / state_scale / spread
        self.ops.append(
            Svdf(
                name=self.name("svdf"),
                inputs=(source, state),
                output=output,
                feature_weights=self.numbers.integers(-127, 128, (filters, tensor.size)).astype(np.int8),
                time_weights=self.numbers.integers(-most, most + 1, (filters, memory)).astype(
                    np.int16 if wide else np.int8
                ),
                bias=self.numbers.integers(-3000, 3000, units).astype(np.int32),
                feature_scale=float(np.float32(feature_scale)),
                time_scale=float(np.float32(time_scale)),
                rank=rank,
            )
        )
        initial = np.full(self.tensors[state].shape, zero_point, np.int8)
        self.states.append(State(state, state, initial))

    def product_of_pixels(self) -> None:
        """A dense layer on each pixel."""
        source = self.image()
        *size, depth = self.tensors[source].shape
        channels = self.channels(max(1, MAX_LAYER_MACS // self.tensors[source].size))
        fields = self.weighted(source, (channels, depth), (*size, channels), None)
        self.ops.append(FullyConnected(name=self.name("product"), **fields))

    def products_of_pairs(self) -> None:
        """The pixels of each row by each other, as in attention."""
        source = self.image()
        tensor = self.tensors[source]
        height, width, depth = tensor.shape
        spread = math.hypot(_DEVIATION, tensor.zero_point) ** 2 * math.sqrt(depth)
        scale = float(np.float32(spread / 45 * tensor.scale**2))
        output = self.add_tensor((height, width, width), scale, self.zero_point())
        self.ops.append(BatchMatMul(self.name("pairs"), (source, source), output))

    def dilated_convolution(self) -> None:
        source, padding = self.image(), self.pick(_PADDINGS)
        kernel, dilation = (self.integer(1, 3), self.integer(1, 3)), (self.integer(1, 4), self.integer(1, 4))
        height, width, depth = self.tensors[source].shape
        window = tuple((taps - 1) * apart + 1 for taps, apart in zip(kernel, dilation, strict=True))
        if padding == "VALID" and (window[0] > height or window[1] > width):
            padding = "SAME"
        size = self.size(source, (window[0], window[1]), (1, 1), padding)
        channels = self.channels(max(1, MAX_LAYER_MACS // (math.prod(size) * math.prod(window) * depth)))
        kind: Any = self.pick((Conv2D, DepthwiseConv2D))
        shape = (channels, *kernel, depth) if kind is Conv2D else (*kernel, depth)
        fields = self.weighted(source, shape, (*size, channels if kind is Conv2D else depth), None)
        self.ops.append(kind(name=self.name("dilated"), padding=padding, dilation=dilation, **fields))

    def resizing(self) -> None:
        source = self.image()
        height, width, depth = self.tensors[source].shape
        size = (self.integer(1, 2 * height), self.integer(1, 2 * width))
        corners, centres = self.pick(((False, False), (True, False), (False, True)))
        output = self.like(source, (*size, depth))
        self.ops.append(ResizeBilinear(self.name("resized"), (source,), output, corners, centres))

    def reduction(self) -> None:
        """Over one axis of an image."""
        source, axis, kind = self.image(), self.integer(0, 2), self.pick((Sum, Mean, ReduceMin))
        tensor = self.tensors[source]
        shape = tuple(1 if i == axis else n for i, n in enumerate(tensor.shape))
        quantization = tensor.quantization
        if kind is not ReduceMin:
            growth = math.sqrt(tensor.shape[axis]) if kind is Sum else 1.0
            ratio = growth * 2.0 ** self.uniform(-1, 1)
            quantization = float(np.float32(tensor.scale * ratio)), self.zero_point()
        self.ops.append(kind(self.name("reduced"), (source,), self.add_tensor(shape, *quantization), (axis,)))

    def normalization(self) -> None:
        source = self.image()
        output = self.add_tensor(self.tensors[source].shape, 1 / 128, 0)
        self.ops.append(L2Normalization(self.name("normalized"), (source,), output))

    # --- blocks that end in vectors ---

    def mean(self) -> None:
        source = self.image()
        tensor = self.tensors[source]
        scale, zero_point = tensor.scale, tensor.zero_point
        if self.chance(0.5):
            scale, zero_point = float(np.float32(scale * 2.0 ** self.uniform(-4, 2))), self.zero_point()
        shape = self.pick(((tensor.shape[2],), (1, 1, tensor.shape[2])))
        self.ops.append(Mean(self.name("mean"), (source,), self.add_tensor(shape, scale, zero_point)))

    def product(self) -> None:
        self.multiply(self.last)

    def flattened_product(self) -> None:
        self.multiply(self.flatten())

    def vector_addition(self) -> None:
        source = self.flatten()
        self.add(source, source if self.chance(0.2) else self.same_vector(source))

    def same_vector(self, source: int) -> int:
        """Add a product with as many values as a vector has."""
        n = self.tensors[source].size
        first = self.multiply(source)
        fields = self.weighted(first, (n, self.tensors[first].size), (n,), None)
        self.ops.append(FullyConnected(name=self.name("product"), **fields))
        return self.last

    def vector_branches(self) -> None:
        source, quantization = self.last, self.quantization()
        self.concatenate([self.multiply(source, quantization) for _ in range(self.integer(2, 3))], 0)

    def softmax(self) -> None:
        beta = 1.0 if self.chance(0.5) else float(np.float32(2.0 ** self.uniform(-3, 3)))
        source = self.last
        output = self.add_tensor(self.tensors[source].shape, 1 / 256, INT8_MIN)
        self.ops.append(Softmax(self.name("softmax"), (source,), output, beta))

    def log_softmax(self) -> None:
        source = self.last
        output = self.add_tensor(self.tensors[source].shape, 1 / 16, INT8_MAX)
        self.ops.append(LogSoftmax(self.name("logsoftmax"), (source,), output))

    def arg_extremum(self) -> None:
        source, shape = self.last, self.shape
        axis = self.pick([axis for axis, n in enumerate(shape) if n <= ArgMax.MAX_COUNT])
        output = self.add_tensor((*shape[:axis], *shape[axis + 1 :]) or (1,), 1.0, INT8_MIN)
        kind = self.pick((ArgMax, ArgMin))
        self.ops.append(kind(self.name("arg"), (source,), output, (axis,)))
