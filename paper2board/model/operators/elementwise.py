"""Operators that work element by element."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import (
    exp_on_negative,
    multiply_by_quantized_multiplier,
    reciprocal_of_one_plus,
    rounding_shift_right,
)
from paper2board.model.operators.operator import Activated, Op, require
from paper2board.model.tensor import (
    INT8_MAX,
    INT8_MIN,
    Activation,
    Quantization,
    Tensor,
    quantize_multiplier,
)

if TYPE_CHECKING:
    import torch

INT32_MAX = (1 << 31) - 1
INT8_VALUES = np.arange(256).astype(np.int8).astype(np.int64)
"""All int8 values in the order of their bytes: 0 … 127, −128 … −1."""


@dataclass(frozen=True)
class Add(Activated):
    """Element-wise sum of two tensors of the same shape."""

    type: ClassVar[str] = "ADD"
    INPUTS: ClassVar[tuple[int, int]] = (2, 2)
    LEFT_SHIFT: ClassVar[int] = 20
    """Bits that TFLite shifts both inputs to the left first."""
    name: str
    inputs: tuple[int, ...]
    output: int
    activation: Activation = "NONE"

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
        """Return the (multiplier, shift) of input 1, input 2 and output."""
        first, second = (float(np.float32(tensors[i].scale)) for i in self.inputs)
        twice_largest = 2.0 * max(first, second)
        out = float(np.float32(tensors[self.output].scale))
        return (
            quantize_multiplier(first / twice_largest),
            quantize_multiplier(second / twice_largest),
            quantize_multiplier(twice_largest / ((1 << self.LEFT_SHIFT) * out)),
        )

    def tables(self, tensors: Sequence[Tensor]) -> list[np.ndarray]:
        """Return each input's 256 values at the common scale, int64, by the byte of q."""
        return [
            multiply_by_quantized_multiplier((INT8_VALUES - tensors[i].zero_point) << self.LEFT_SHIFT, *pair)
            for i, pair in zip(self.inputs, self.multipliers(tensors), strict=False)
        ]

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        # TFLite Micro aborts the whole process on an ADD whose last multiplier is 1 or more.
        require(self.multipliers(tensors)[2][1] <= 0, "output scale is far below the inputs'")
        shapes = {tensors[i].shape for i in (*self.inputs, self.output)}
        require(len(shapes) == 1, "shapes differ")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        first, second = (
            torch.from_numpy(table)[source & 255]
            for table, source in zip(self.tables(tensors), inputs, strict=True)
        )
        scaled = multiply_by_quantized_multiplier(first + second, *self.multipliers(tensors)[2])
        return self.clamped(tensors, scaled + tensors[self.output].zero_point)


class Tabulated(Op):
    """A function of one int8: each output value depends on one input value alone."""

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        """Return the function's 256 values, int8, by the byte of q; exactly TFLite's."""
        raise NotImplementedError(type(self).__name__)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(tensors[self.inputs[0]].shape == tensors[self.output].shape, "shapes differ")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        return torch.from_numpy(self.table(tensors).astype(np.int64))[inputs[0] & 255]


@dataclass(frozen=True)
class Logistic(Tabulated):
    """1 / (1 + exp(−x)). The output's scale is 1/256, its zero point −128."""

    type: ClassVar[str] = "LOGISTIC"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1 / 256, -128)
    INTEGER_BITS: ClassVar[int] = 4
    """Of the input, as TFLite rescales it."""
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        # Outside, TFLite Micro shifts 64-bit numbers by what C does not define.
        scale = tensors[self.inputs[0]].scale
        require(2.0**-28 <= scale < 2.0**35, f"input scale {scale} is not from 2^-28 to 2^35")

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        """Return TFLite's ``reference_integer_ops::Logistic`` of every int8; from ±15 on it is 0 or 255/256."""
        source, fraction_bits = tensors[self.inputs[0]], 31 - self.INTEGER_BITS
        multiplier, shift = quantize_multiplier(float(np.float32(source.scale)) * (1 << fraction_bits))
        radius = (15 << fraction_bits) >> shift
        x = INT8_VALUES - source.zero_point
        inside = np.abs(x) < radius
        magnitude = multiply_by_quantized_multiplier(np.where(inside, np.abs(x), 0), multiplier, shift)
        upper = reciprocal_of_one_plus(exp_on_negative(-magnitude, self.INTEGER_BITS))  # Q0, of |x|
        real = np.where(x > 0, upper, np.where(x < 0, INT32_MAX - upper, 1 << 30))
        values = (rounding_shift_right(real, 23) + INT8_MIN).clip(INT8_MIN, INT8_MAX)
        return np.where(inside, values, np.where(x <= -radius, INT8_MIN, INT8_MAX)).astype(np.int8)


OPERATORS = (Add, Logistic)
