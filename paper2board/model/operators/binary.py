"""Operators over two tensors, element by element, which may repeat along an axis (broadcasting)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.operators.elementwise import INT8_VALUES
from paper2board.model.operators.operator import Activated, Op, require
from paper2board.model.tensor import (
    INT8_MAX,
    INT8_MIN,
    Activation,
    Tensor,
    quantize_multiplier,
    shifted_fits,
)

if TYPE_CHECKING:
    import torch


class Binary(Op):
    """An operator over two tensors, whose shapes are compared from their last axis on: along an axis where one has
    length 1, or which it lacks, its values repeat."""

    INPUTS: ClassVar[tuple[int, int]] = (2, 2)
    MOST_AXES: ClassVar[int] = 3
    """Of tensors of different shapes: TFLite Micro repeats values along four axes, one of which is the batch."""

    def combined(self, tensors: Sequence[Tensor], first: Any, second: Any) -> Any:
        """Return the outputs of int64 values, arrays or tensors whose shapes go together."""
        raise NotImplementedError(type(self).__name__)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        shapes = [tensors[i].shape for i in self.inputs]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            shape = ()
        require(shape == tensors[self.output].shape, f"shapes {shapes} do not give its output's")
        same = shapes[0] == shapes[1]
        require(same or len(shape) <= self.MOST_AXES, f"shapes differ in more than {self.MOST_AXES} axes")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        axes = len(tensors[self.output].shape)
        first, second = (
            values.reshape(len(values), *(1,) * (axes + 1 - values.ndim), *values.shape[1:])
            for values in inputs
        )
        return self.combined(tensors, first, second)


class CommonScale(Binary):
    """An operator that first brings both operands to twice the larger scale, with more bits."""

    LEFT_SHIFT: ClassVar[int]
    """Bits that TFLite shifts both inputs to the left first."""
    SIGN: ClassVar[int]
    """Of the second operand."""

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
        """Return the (multiplier, shift) of input 1, input 2 and output."""
        raise NotImplementedError(type(self).__name__)

    def rescaled(self, tensors: Sequence[Tensor], operand: int, values: Any) -> Any:
        """Return int64 ``values`` of an operand (0 or 1) at the common scale, with its sign."""
        shifted = (values - tensors[self.inputs[operand]].zero_point) << self.LEFT_SHIFT
        sign = self.SIGN if operand else 1
        return sign * multiply_by_quantized_multiplier(shifted, *self.multipliers(tensors)[operand])

    def tables(self, tensors: Sequence[Tensor]) -> list[np.ndarray]:
        """Return each operand's 256 values at the common scale, int64, by the byte of q."""
        return [self.rescaled(tensors, operand, INT8_VALUES) for operand in (0, 1)]

    def finished(self, tensors: Sequence[Tensor], values: Any) -> Any:
        """Return the outputs, not yet clamped, for ``values`` at the common scale."""
        scaled = multiply_by_quantized_multiplier(values, *self.multipliers(tensors)[2])
        return scaled + tensors[self.output].zero_point


class Sum(Activated, CommonScale):
    """A sum or difference."""

    LEFT_SHIFT: ClassVar[int] = 20

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        # TFLite Micro aborts the whole process on one whose last multiplier is 1 or more.
        require(self.multipliers(tensors)[2][1] <= 0, "output scale is far below the inputs'")

    def combined(self, tensors: Sequence[Tensor], first: Any, second: Any) -> Any:
        total = self.rescaled(tensors, 0, first) + self.rescaled(tensors, 1, second)
        return self.clamped(tensors, self.finished(tensors, total))


@dataclass(frozen=True)
class Add(Sum):
    """Sum of two tensors."""

    type: ClassVar[str] = "ADD"
    SIGN: ClassVar[int] = 1
    name: str
    inputs: tuple[int, ...]
    output: int
    activation: Activation = "NONE"

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
        first, second = (float(np.float32(tensors[i].scale)) for i in self.inputs)
        twice_largest = 2.0 * max(first, second)
        out = float(np.float32(tensors[self.output].scale))
        return (
            quantize_multiplier(first / twice_largest),
            quantize_multiplier(second / twice_largest),
            quantize_multiplier(twice_largest / ((1 << self.LEFT_SHIFT) * out)),
        )


@dataclass(frozen=True)
class Sub(Sum):
    """Difference of two tensors. TFLite Micro divides its scales in float32, those of ADD in double."""

    type: ClassVar[str] = "SUB"
    SIGN: ClassVar[int] = -1
    name: str
    inputs: tuple[int, ...]
    output: int
    activation: Activation = "NONE"

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
        first, second, out = (np.float32(tensors[i].scale) for i in (*self.inputs, self.output))
        with np.errstate(over="ignore", under="ignore"):
            twice_largest = np.float32(2) * max(first, second)
            ratios = (
                first / twice_largest,
                second / twice_largest,
                twice_largest / (np.float32(1 << self.LEFT_SHIFT) * out),
            )
        one, two, three = (quantize_multiplier(float(ratio)) for ratio in ratios)
        return one, two, three


@dataclass(frozen=True)
class Mul(Activated, Binary):
    """Product of two tensors."""

    type: ClassVar[str] = "MUL"
    name: str
    inputs: tuple[int, ...]
    output: int
    activation: Activation = "NONE"

    def multiplier(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return the (multiplier, shift) of the product of both without zero points."""
        first, second, out = (float(np.float32(tensors[i].scale)) for i in (*self.inputs, self.output))
        return quantize_multiplier(first * second / out)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        largest = tensors[self.inputs[0]].largest * tensors[self.inputs[1]].largest
        fits = shifted_fits(largest, self.multiplier(tensors)[1])
        require(fits, "output scale is far below the inputs'")

    def combined(self, tensors: Sequence[Tensor], first: Any, second: Any) -> Any:
        one, two = (tensors[i].zero_point for i in self.inputs)
        scaled = multiply_by_quantized_multiplier((first - one) * (second - two), *self.multiplier(tensors))
        return self.clamped(tensors, scaled + tensors[self.output].zero_point)


@dataclass(frozen=True)
class Prelu(Binary):
    """x, or x times the second tensor (alpha) where x is below 0."""

    type: ClassVar[str] = "PRELU"
    name: str
    inputs: tuple[int, ...]
    output: int

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the (multiplier, shift) of x, and of x · alpha."""
        first, second, out = (float(np.float32(tensors[i].scale)) for i in (*self.inputs, self.output))
        return quantize_multiplier(first / out), quantize_multiplier(first * second / out)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        largest, alpha = (tensors[i].largest for i in self.inputs)
        fits = (
            shifted_fits(most, shift)
            for most, (_, shift) in zip((largest, largest * alpha), self.multipliers(tensors), strict=True)
        )
        require(all(fits), "output scale is far below the inputs'")

    def combined(self, tensors: Sequence[Tensor], first: Any, second: Any) -> Any:
        one, two = (tensors[i].zero_point for i in self.inputs)
        above, below = self.multipliers(tensors)
        x = first - one
        positive = (x >= 0) * 1
        scaled = positive * multiply_by_quantized_multiplier(x, *above) + (
            1 - positive
        ) * multiply_by_quantized_multiplier(x * (second - two), *below)
        return (scaled + tensors[self.output].zero_point).clip(INT8_MIN, INT8_MAX)


@dataclass(frozen=True)
class SquaredDifference(CommonScale):
    """Square of the difference of two tensors."""

    type: ClassVar[str] = "SQUARED_DIFFERENCE"
    LEFT_SHIFT: ClassVar[int] = 7
    SIGN: ClassVar[int] = -1
    name: str
    inputs: tuple[int, ...]
    output: int

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
        first, second = (float(np.float32(tensors[i].scale)) for i in self.inputs)
        twice_largest = 2.0 * max(first, second)
        with np.errstate(over="ignore", under="ignore"):
            out = float(np.float32(1 << 2 * self.LEFT_SHIFT) * np.float32(tensors[self.output].scale))
        return (
            quantize_multiplier(first / twice_largest),
            quantize_multiplier(second / twice_largest),
            quantize_multiplier(twice_largest * twice_largest / out),
        )

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        largest = max(tensors[i].largest for i in self.inputs) << self.LEFT_SHIFT
        fits = shifted_fits(largest * largest, self.multipliers(tensors)[2][1])
        require(fits, "output scale is far below the inputs'")

    def combined(self, tensors: Sequence[Tensor], first: Any, second: Any) -> Any:
        difference = self.rescaled(tensors, 0, first) + self.rescaled(tensors, 1, second)
        return self.finished(tensors, difference * difference).clip(INT8_MIN, INT8_MAX)


class Extremum(Binary):
    """The larger or smaller of two bytes, so all tensors share scale and zero point."""

    KEEPS_QUANTIZATION: ClassVar[bool] = True
    SIGN: ClassVar[int]
    """1 for the larger, −1 for the smaller one."""

    def combined(self, tensors: Sequence[Tensor], first: Any, second: Any) -> Any:
        takes_second = (self.SIGN * (second - first) > 0) * 1
        return first + takes_second * (second - first)


@dataclass(frozen=True)
class Maximum(Extremum):
    """The larger of two values."""

    type: ClassVar[str] = "MAXIMUM"
    SIGN: ClassVar[int] = 1
    name: str
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Minimum(Extremum):
    """The smaller of two values."""

    type: ClassVar[str] = "MINIMUM"
    SIGN: ClassVar[int] = -1
    name: str
    inputs: tuple[int, ...]
    output: int


OPERATORS = (Add, Sub, Mul, Prelu, SquaredDifference, Maximum, Minimum)
