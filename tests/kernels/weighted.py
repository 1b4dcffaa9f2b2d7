"""Layers with weights for the kernels' tests: drawn at random, as calls of a kernel, and as their definition."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import definitions
import numpy as np
from kernel_calls import Call

from paper2board.convert.kernels import mac16, paper, portable, winograd
from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed, accumulator_range
from paper2board.convert.kernels.requantization import Requantization, exact, fastest
from paper2board.convert.operators.window import WINDOW
from paper2board.firmware.runner import Target

CONV2D: dict[str, Callable[[Convolution], Packed | None]] = {
    "p2b_conv2d_paper": paper.conv2d,
    "p2b_conv2d_portable": portable.conv2d,
    "p2b_conv2d_mac16": mac16.conv2d,
    "p2b_conv2d_winograd_portable": winograd.conv2d_portable,
    "p2b_conv2d_winograd_mac16": winograd.conv2d_mac16,
}
DEPTHWISE_CONV2D: dict[str, Callable[[Convolution], Packed | None]] = {
    "p2b_depthwise_conv2d_paper": paper.depthwise_conv2d,
    "p2b_depthwise_conv2d_portable": portable.depthwise_conv2d,
    "p2b_depthwise_conv2d_3x3_mac16": mac16.depthwise_conv2d_3x3,
    "p2b_depthwise_conv2d_mac16": mac16.depthwise_conv2d,
    "p2b_depthwise_conv2d_rows_mac16": mac16.depthwise_conv2d_rows,
}
FULLY_CONNECTED: dict[str, Callable[[FullyConnectedWeights], Packed | None]] = {
    "p2b_fully_connected_paper": paper.fully_connected,
    "p2b_fully_connected_portable": portable.fully_connected,
    "p2b_fully_connected_mac16": mac16.fully_connected,
}
"""What prepares a layer for each kernel."""


def targets(kernel: str) -> tuple[Target, ...]:
    """Return where a kernel is tested."""
    return (Target.DE212,) if "mac16" in kernel else (Target.HOST_SANITIZED, Target.LX106)


@dataclass(frozen=True)
class Quantization:
    """The output's: (multiplier, shift) of each channel, zero point, clamp."""

    pairs: list[tuple[int, int]]
    zero_point: int
    low: int
    high: int

    @classmethod
    def draw(
        cls, rng: np.random.Generator, sums: np.ndarray, clamp: str, gain: float, *, odd: bool = False
    ) -> "Quantization":
        """Return one that spreads accumulators (…, channels) over int8 at ``gain`` 1, and saturates above.

        ``clamp``: ``none``, ``relu``, or ``both``, which leaves a few values. ``odd``: channels 1 and 2, 5 and 6
        and so on need exact requantization.
        """
        spread = np.abs(sums).reshape(-1, sums.shape[-1]).max(0).clip(1)
        reals = gain * 150 / spread * rng.uniform(0.7, 1.5, len(spread))
        if odd:
            reals *= np.where(np.isin(np.arange(len(reals)) % 4, (1, 2)), 1e6, 1.0)
        # The zero point of a ReLU is where its range begins, in most networks.
        zero_point = int(rng.choice([-128, -128, 0, 127, int(rng.integers(-128, 128))]))
        low = -128 if clamp == "none" else zero_point
        high = min(127, low + 20) if clamp == "both" else 127
        return cls([_pair(real) for real in reals], zero_point, low, high)

    def apply(self, sums: np.ndarray) -> np.ndarray:
        """Return int8 outputs."""
        return definitions.output(sums, self.pairs, self.zero_point, self.low, self.high)

    def fastest(self, weights: np.ndarray, bias: np.ndarray, input_zero_point: int) -> Requantization:
        """Return the requantization of a layer with these constants."""
        limits = accumulator_range(weights, bias, input_zero_point)
        return fastest(self.pairs, *limits, self.zero_point, self.low, self.high)

    def fields(self, layer: Convolution | FullyConnectedWeights, packed: Packed) -> dict[str, Any]:
        """Return ``p2b_output_t``."""
        found = layer.requantization
        if packed.requires_tflite_rounding or found is None:
            found = exact(self.pairs, self.zero_point)
        records = found.records(packed.bias)
        return {"mode": found.mode, "low": self.low, "high": self.high, "channels": records}


@dataclass(frozen=True)
class Shape:
    """A convolution's. ``after``: rows and columns of padding below and right of the input."""

    size: tuple[int, int] = (5, 6)
    inputs: int = 3
    outputs: int = 4
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (1, 1)
    after: tuple[int, int] = (1, 1)
    pool: tuple[int, int] = (1, 1)
    pool_stride: tuple[int, int] = (1, 1)
    clamp: str = "none"
    gain: float = 1.0
    odd: bool = False
    extreme: bool = False
    """Weights and inputs at the ends of their range only."""

    @property
    def convolved(self) -> tuple[int, int]:
        """Size of the convolution's output."""
        ends = (
            n + b + a - k for n, b, a, k in zip(self.size, self.before, self.after, self.kernel, strict=True)
        )
        height, width = (end // s + 1 for end, s in zip(ends, self.stride, strict=True))
        return height, width

    @property
    def pooled(self) -> tuple[int, int]:
        """Size of the output."""
        height, width = (
            (n - k) // s + 1 for n, k, s in zip(self.convolved, self.pool, self.pool_stride, strict=True)
        )
        return height, width


@dataclass(frozen=True)
class ConvolutionTest:
    """A convolution, its input, and the outputs that it must give."""

    layer: Convolution
    quantization: Quantization
    x: np.ndarray
    expected: np.ndarray = field(repr=False)

    @classmethod
    def draw(cls, shape: Shape, seed: int, *, depthwise: bool = False) -> "ConvolutionTest":
        rng = np.random.default_rng(seed)
        geometry = (
            (*shape.kernel, shape.outputs) if depthwise else (shape.outputs, *shape.kernel, shape.inputs)
        )
        weights, x = (_int8(rng, s, extreme=shape.extreme) for s in (geometry, (*shape.size, shape.inputs)))
        bias = rng.integers(-2000, 2000, shape.outputs).astype(np.int32)
        zero_point = int(rng.choice([-128, 0, 127, int(rng.integers(-128, 128))]))
        define = definitions.depthwise_conv2d if depthwise else definitions.conv2d
        sums = define(x, zero_point, weights, bias, shape.stride, shape.before, shape.convolved)
        quantization = Quantization.draw(rng, sums, shape.clamp, shape.gain, odd=shape.odd)
        outputs = quantization.apply(sums)
        expected = definitions.max_pool(outputs, shape.pool, shape.pool_stride, (0, 0), shape.pooled)
        layer = Convolution(
            *(*shape.size, shape.inputs, *shape.convolved, shape.outputs),
            *(*shape.kernel, *shape.stride, *shape.before),
            *(*shape.pool, *shape.pool_stride, *shape.pooled),
            zero_point,
            weights,
            bias,
            quantization.fastest(weights, bias, zero_point),
        )
        return cls(layer, quantization, x, expected.astype(np.int8))

    def calls(self, packed: Packed) -> Iterator[Call]:
        """Yield the calls that compute all rows of the output."""
        layer = self.layer
        for first in range(0, layer.pooled_h, packed.rows):
            rows = min(packed.rows, layer.pooled_h - first)
            top = first * layer.pool_stride_h * layer.stride_h - layer.pad_h
            convolved = (rows - 1) * layer.pool_stride_h + layer.pool_h
            seen = range(top, top + (convolved - 1) * layer.stride_h + layer.kernel_h)
            inputs = [self.x[y] if 0 <= y < layer.in_h else None for y in seen]
            row_bytes = layer.pooled_w * layer.out_c
            yield Call(
                packed.function,
                "p2b_conv2d_t",
                self.fields(packed),
                inputs,
                row_bytes,
                rows,
                packed.scratch_bytes,
            )

    def fields(self, packed: Packed) -> dict[str, Any]:
        """Return ``p2b_conv2d_t``."""
        layer = self.layer
        starts = np.arange(layer.out_w) * layer.stride_w - layer.pad_w
        (unpadded,) = np.nonzero((starts >= 0) & (starts + layer.kernel_w <= layer.in_w))
        names = (
            "out_c",
            "pool_h",
            "pool_w",
            "pool_stride_h",
            "pool_stride_w",
            "pooled_w",
            "input_zero_point",
        )
        return {
            "window": {name: getattr(layer, name) for name in WINDOW},
            **{name: getattr(layer, name) for name in names},
            "left": unpadded[0] if len(unpadded) else 0,
            "right": unpadded[-1] + 1 if len(unpadded) else 0,
            "output": self.quantization.fields(layer, packed),
            "weights": packed.weights,
        }


@dataclass(frozen=True)
class ProductTest:
    """A fully connected layer, its input, and the outputs that it must give."""

    layer: FullyConnectedWeights
    quantization: Quantization
    x: np.ndarray
    expected: np.ndarray = field(repr=False)

    @classmethod
    def draw(
        cls,
        inputs: int,
        outputs: int,
        seed: int,
        clamp: str = "none",
        gain: float = 1.0,
        *,
        extreme: bool = False,
    ) -> "ProductTest":
        rng = np.random.default_rng(seed)
        weights, x = (_int8(rng, shape, extreme=extreme) for shape in ((outputs, inputs), (inputs,)))
        bias = rng.integers(-2000, 2000, outputs).astype(np.int32)
        zero_point = int(rng.choice([-128, 0, 127]))
        sums = weights.astype(np.int64) @ (x.astype(np.int64) - zero_point) + bias
        # One input tells nothing about the spread of a channel.
        quantization = Quantization.draw(rng, np.full_like(sums, np.abs(sums).max()), clamp, gain)
        found = quantization.fastest(weights, bias, zero_point)
        layer = FullyConnectedWeights(zero_point, weights, bias, found)
        return cls(layer, quantization, x, quantization.apply(sums))

    def calls(self, packed: Packed) -> Iterator[Call]:
        """Yield the one call."""
        outputs, inputs = self.layer.weights.shape
        constants = {
            "in_n": inputs,
            "out_n": outputs,
            "input_zero_point": self.layer.input_zero_point,
            "output": self.quantization.fields(self.layer, packed),
            "weights": packed.weights,
        }
        yield Call(
            packed.function,
            "p2b_fully_connected_t",
            constants,
            [self.x],
            outputs,
            scratch_bytes=packed.scratch_bytes,
        )


def _int8(rng: np.random.Generator, shape: tuple[int, ...], *, extreme: bool) -> np.ndarray:
    if extreme:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    return rng.integers(-128, 128, shape).astype(np.int8)


def _pair(real: float) -> tuple[int, int]:
    """Return TensorFlow Lite's multiplier and shift of a real number."""
    fraction, shift = np.frexp(real)
    return min(int(np.round(fraction * (1 << 31))), (1 << 31) - 1), int(shift)
