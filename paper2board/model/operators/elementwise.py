"""Functions of one int8, element by element: each is a table of 256 values, exactly TFLite's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import (
    exp_on_negative,
    inverse_square_root,
    multiply_by_quantized_multiplier,
    one_minus_over_one_plus,
    reciprocal_of_one_plus,
    rounding_shift_right,
)
from paper2board.model.operators.operator import Op, require
from paper2board.model.port import Port
from paper2board.model.tensor import (
    INT8_MAX,
    INT8_MIN,
    Quantization,
    Tensor,
    activation_range,
    quantize_multiplier,
    shifted_fits,
)

if TYPE_CHECKING:
    import torch

INT32_MAX = (1 << 31) - 1
INT8_VALUES = np.arange(256).astype(np.int8).astype(np.int64)
"""All int8 values in the order of their bytes: 0 … 127, −128 … −1."""


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


class Curve(Tabulated):
    """A saturating function that TFLite computes in fixed point, of an input in Q4; from ±15 on it is constant."""

    INTEGER_BITS: ClassVar[int] = 4
    """Of the input, as TFLite rescales it."""

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        # Outside, TFLite Micro shifts 64-bit numbers by what C does not define.
        scale = tensors[self.inputs[0]].scale
        require(2.0**-28 <= scale < 2.0**35, f"input scale {scale} is not from 2^-28 to 2^35")

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        source, fraction_bits = tensors[self.inputs[0]], 31 - self.INTEGER_BITS
        multiplier, shift = quantize_multiplier(float(np.float32(source.scale)) * (1 << fraction_bits))
        radius = (15 << fraction_bits) >> shift
        x = INT8_VALUES - source.zero_point
        inside = np.abs(x) < radius
        rescaled = multiply_by_quantized_multiplier(np.where(inside, x, 0), multiplier, shift)
        values = self.curve(rescaled).clip(INT8_MIN, INT8_MAX)
        return np.where(inside, values, np.where(x <= -radius, INT8_MIN, INT8_MAX)).astype(np.int8)

    def curve(self, x: np.ndarray) -> np.ndarray:
        """Return the function of ``x`` (Q4) in steps of the output's scale, not yet clamped to int8."""
        raise NotImplementedError(type(self).__name__)


@dataclass(frozen=True)
class Logistic(Curve):
    """1 / (1 + exp(−x)). The output's scale is 1/256, its zero point −128. Source: TFLite's
    ``reference_integer_ops::Logistic``."""

    type: ClassVar[str] = "LOGISTIC"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1 / 256, -128)
    name: str
    inputs: tuple[int, ...]
    output: int

    def curve(self, x: np.ndarray) -> np.ndarray:
        upper = reciprocal_of_one_plus(exp_on_negative(-np.abs(x), self.INTEGER_BITS))  # Q0, of |x|
        real = np.where(x > 0, upper, np.where(x < 0, INT32_MAX - upper, 1 << 30))
        return rounding_shift_right(real, 23) + INT8_MIN


@dataclass(frozen=True)
class Tanh(Curve):
    """Hyperbolic tangent. The output's scale is 1/128, its zero point 0. Source: TFLite's
    ``reference_integer_ops::Tanh``."""

    type: ClassVar[str] = "TANH"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1 / 128, 0)
    name: str
    inputs: tuple[int, ...]
    output: int

    def curve(self, x: np.ndarray) -> np.ndarray:
        # The same integer in Q5 is twice the number.
        magnitude = one_minus_over_one_plus(exp_on_negative(-np.abs(x), self.INTEGER_BITS + 1))
        return rounding_shift_right(np.sign(x) * magnitude, 24)


class Rescaled(Tabulated):
    """A function whose values TFLite takes to the output's scale by fixed-point products."""

    def centred(self, tensors: Sequence[Tensor]) -> np.ndarray:
        """Return all inputs without the zero point, in the order of their bytes."""
        return INT8_VALUES - tensors[self.inputs[0]].zero_point

    def ratio(self, tensors: Sequence[Tensor], factor: float = 1.0) -> tuple[int, int]:
        """Return the (multiplier, shift) of input scale · ``factor`` / output scale, computed in float32."""
        source, target = (np.float32(tensors[i].scale) for i in (self.inputs[0], self.output))
        with np.errstate(over="ignore", under="ignore"):
            return quantize_multiplier(float(source * np.float32(factor) / target))

    def check_shift(self, tensors: Sequence[Tensor], pair: tuple[int, int]) -> None:
        """Refuse what TFLite Micro's 32 bits do not hold."""
        fits = shifted_fits(tensors[self.inputs[0]].largest, pair[1])
        require(fits, "output scale is far below the input's")

    def finished(self, tensors: Sequence[Tensor], values: np.ndarray) -> np.ndarray:
        """Return int8 of ``values`` in steps of the output's scale."""
        shifted = values + tensors[self.output].zero_point
        return shifted.clip(INT8_MIN, INT8_MAX).astype(np.int8)


@dataclass(frozen=True)
class Relu(Rescaled):
    """max(x, 0) as an operator of its own; input and output may differ in scale and zero point. Source: TFLite
    Micro's ``ReluQuantized``."""

    type: ClassVar[str] = "RELU"
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        self.check_shift(tensors, self.ratio(tensors))

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        scaled = multiply_by_quantized_multiplier(self.centred(tensors), *self.ratio(tensors))
        return self.finished(tensors, scaled.clip(0))


@dataclass(frozen=True)
class Relu6(Tabulated):
    """min(max(x, 0), 6) as an operator of its own, on the bytes themselves."""

    type: ClassVar[str] = "RELU6"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        scale = tensors[self.output].scale
        require(6.0 / scale < 1 << 30, f"scale {scale} is too small for RELU6")

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        return INT8_VALUES.clip(*activation_range(tensors[self.output], "RELU6")).astype(np.int8)


@dataclass(frozen=True)
class LeakyRelu(Rescaled):
    """x, or ``alpha`` · x below 0. Source: TFLite's ``QuantizeLeakyRelu``."""

    type: ClassVar[str] = "LEAKY_RELU"
    name: str
    inputs: tuple[int, ...]
    output: int
    alpha: float

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(0 <= self.alpha <= 1e6, f"alpha is {self.alpha}")
        for factor in (1.0, self.alpha):
            self.check_shift(tensors, self.ratio(tensors, factor))

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        x = self.centred(tensors)
        above, below = (
            multiply_by_quantized_multiplier(x, *self.ratio(tensors, factor)) for factor in (1.0, self.alpha)
        )
        return self.finished(tensors, np.where(x >= 0, above, below))


@dataclass(frozen=True)
class Abs(Rescaled):
    """Magnitude. Source: TFLite Micro's ``AbsEvalQuantized``."""

    type: ClassVar[str] = "ABS"
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        self.check_shift(tensors, self.ratio(tensors))

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        values = np.abs(self.centred(tensors))
        if np.float32(tensors[self.inputs[0]].scale) != np.float32(tensors[self.output].scale):
            values = multiply_by_quantized_multiplier(values, *self.ratio(tensors))
        return self.finished(tensors, values)


@dataclass(frozen=True)
class Quantize(Rescaled):
    """The same number at another scale and zero point. Source: TFLite's ``Requantize``."""

    type: ClassVar[str] = "QUANTIZE"
    name: str
    inputs: tuple[int, ...]
    output: int

    def ratio(self, tensors: Sequence[Tensor], factor: float = 1.0) -> tuple[int, int]:
        source, target = (float(np.float32(tensors[i].scale)) for i in (self.inputs[0], self.output))
        return quantize_multiplier(source / target)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        self.check_shift(tensors, self.ratio(tensors))

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        scaled = multiply_by_quantized_multiplier(self.centred(tensors), *self.ratio(tensors))
        return self.finished(tensors, scaled)


@dataclass(frozen=True)
class Rsqrt(Rescaled):
    """1 / √x. Where x is 0 it is the greatest int8; below 0 too, where TFLite Micro stops instead. Source: TFLite
    Micro's ``RsqrtEvalQuantized``."""

    type: ClassVar[str] = "RSQRT"
    FRACTION_BITS: ClassVar[int] = 20
    """Of the root before it is taken to the output's scale."""
    name: str
    inputs: tuple[int, ...]
    output: int

    def ratio(self, tensors: Sequence[Tensor], factor: float = 1.0) -> tuple[int, int]:
        source, target = (np.float32(tensors[i].scale) for i in (self.inputs[0], self.output))
        with np.errstate(over="ignore", under="ignore"):
            product = float(np.sqrt(source) * target)
        return quantize_multiplier(1 / product if product else float("inf"))

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        fits = shifted_fits(1 << self.FRACTION_BITS, self.ratio(tensors)[1] - self.FRACTION_BITS)
        require(fits, "output scale is far below the input's")

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        x = self.centred(tensors)
        multiplier, shift = inverse_square_root(x.clip(1))
        root = multiply_by_quantized_multiplier(1 + 0 * x, multiplier, self.FRACTION_BITS - shift)
        scale, left = self.ratio(tensors)
        scaled = multiply_by_quantized_multiplier(root, scale, left - self.FRACTION_BITS)
        return np.where(x > 0, self.finished(tensors, scaled), np.int8(INT8_MAX)).astype(np.int8)


@dataclass(frozen=True)
class HardSwish(Tabulated):
    """x · min(max(x + 3, 0), 6) / 6, in 16 bits. Source: TFLite's ``reference_ops::HardSwish``."""

    type: ClassVar[str] = "HARD_SWISH"
    name: str
    inputs: tuple[int, ...]
    output: int

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the int16 (multiplier, shift) to the output's scale, and to that on which 3 is 2^15."""
        source, target = (float(np.float32(tensors[i].scale)) for i in (self.inputs[0], self.output))
        fine = source / 128
        ratios = fine / target, fine / (3 / 32768)
        pairs = [quantize_multiplier(ratio) for ratio in ratios]
        return tuple((min((m + (1 << 15)) >> 16, (1 << 15) - 1), shift) for m, shift in pairs)  # type: ignore[return-value]

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        (_, to_output), (_, to_three) = self.multipliers(tensors)
        require(-15 <= to_output <= 0 and -15 <= to_three <= 30, "its scales are too far from one another")

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        (to_output, output_shift), (to_three, shift) = self.multipliers(tensors)
        fine = (INT8_VALUES - tensors[self.inputs[0]].zero_point) << 7
        unshifted = _rounded_high_16(fine, to_output)
        gate = _int16_clipped(fine << max(shift - 1, 0))
        gate = _rounded_high_16(gate, to_three)
        gate = _int16_clipped(gate << 1) if shift > 0 else rounding_shift_right(gate, -shift)
        gate = (gate + (1 << 15)) >> 1  # 0 to 1 in 15 bits
        product = gate * unshifted
        value = np.sign(product) * (np.abs(product) >> 15)  # rounded to zero
        value = rounding_shift_right(value, -output_shift) + tensors[self.output].zero_point
        return value.astype(np.int16).clip(INT8_MIN, INT8_MAX).astype(np.int8)


def _rounded_high_16(values: np.ndarray, multiplier: int) -> np.ndarray:
    """Return gemmlowp's SaturatingRoundingDoublingHighMul of int16, ties towards +∞."""
    return (values * multiplier + (1 << 14)) >> 15


def _int16_clipped(values: np.ndarray) -> np.ndarray:
    return values.clip(-(1 << 15), (1 << 15) - 1)


class RealFunction(Tabulated):
    """A function that TFLite computes in float32 for each int8."""

    def real(self, x: np.ndarray) -> np.ndarray:
        """Return the function of float32 ``x``, in float32."""
        raise NotImplementedError(type(self).__name__)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        source, target = tensors[self.inputs[0]].scale, tensors[self.output].scale
        require(256 * source / target < 1 << 30, "output scale is far below the input's")

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        source, target = tensors[self.inputs[0]], tensors[self.output]
        real = self.real(np.float32(source.scale) * (INT8_VALUES - source.zero_point).astype(np.float32))
        scaled = real * (np.float32(1) / np.float32(target.scale))
        rounded = np.trunc(scaled.astype(np.float64) + np.copysign(0.5, scaled))
        return (rounded + target.zero_point).clip(INT8_MIN, INT8_MAX).astype(np.int8)


@dataclass(frozen=True)
class Elu(RealFunction):
    """x, or exp(x) − 1 below 0. Source: TFLite Micro's ``elu.cc``."""

    type: ClassVar[str] = "ELU"
    name: str
    inputs: tuple[int, ...]
    output: int

    def real(self, x: np.ndarray) -> np.ndarray:
        # A float32 exponential of C's library is the rounded exact one, up to the rarest ties.
        exponential = np.exp(x.clip(None, 0).astype(np.float64)).astype(np.float32)
        return np.where(x < 0, exponential - np.float32(1), x)


@dataclass(frozen=True)
class Gelu(RealFunction):
    """x · Φ(x), or its approximation by tanh. TFLite Micro lacks it; this is TFLite's table (``GeluTransform``)."""

    type: ClassVar[str] = "GELU"
    name: str
    inputs: tuple[int, ...]
    output: int
    approximate: bool = False

    def real(self, x: np.ndarray) -> np.ndarray:
        exact = x.astype(np.float64)
        if self.approximate:
            inner = np.sqrt(2 / np.pi) * (exact + 0.044715 * exact**3)
            return (0.5 * exact * (1 + np.tanh(inner))).astype(np.float32)
        return (0.5 * exact * np.vectorize(math.erfc)(-exact * math.sqrt(0.5))).astype(np.float32)


def _exp(x: np.ndarray) -> np.ndarray:
    return np.exp(x.astype(np.float64)).astype(np.float32)


def _logistic(x: np.ndarray) -> np.ndarray:
    middle = np.float32(1) / (np.float32(1) + _exp(-x))
    return np.where(x < -9, _exp(x), np.where(x > np.float32(16.619047), np.float32(1), middle))


FLOAT_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ABS": np.abs,
    "COS": lambda x: np.cos(x.astype(np.float64)).astype(np.float32),
    "ELU": lambda x: np.where(x < 0, np.expm1(x.astype(np.float64)).astype(np.float32), x),
    "EXP": _exp,
    "LOG": lambda x: np.log(x.astype(np.float64)).astype(np.float32),
    "LOGISTIC": _logistic,
    "NEG": np.negative,
    "RELU": lambda x: np.maximum(x, np.float32(0)),
    "SIN": lambda x: np.sin(x.astype(np.float64)).astype(np.float32),
    "SQRT": np.sqrt,
    "SQUARE": np.square,
}
"""What TFLite Micro's float32 kernels compute of a value, by the operator's name."""


@dataclass(frozen=True)
class FloatFunction(Tabulated):
    """DEQUANTIZE, one of :data:`FLOAT_FUNCTIONS` after the other in float32, QUANTIZE: in a file, all of them."""

    type: ClassVar[str] = "FLOAT_FUNCTION"
    name: str
    inputs: tuple[int, ...]
    output: int
    functions: tuple[str, ...]

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(bool(self.functions) and set(self.functions) <= set(FLOAT_FUNCTIONS), "no such function")
        require(bool(np.isfinite(self._values(tensors)).all()), "some of its values are no numbers")

    def _values(self, tensors: Sequence[Tensor]) -> np.ndarray:
        values = Port("", 0, "float32").dequantized(tensors[self.inputs[0]], INT8_VALUES)
        with np.errstate(all="ignore"):
            for function in self.functions:
                values = FLOAT_FUNCTIONS[function](values)
        return values

    def table(self, tensors: Sequence[Tensor]) -> np.ndarray:
        return Port("", 0, "float32").quantized(tensors[self.output], self._values(tensors))


OPERATORS = (
    FloatFunction,
    Logistic,
    Tanh,
    HardSwish,
    Relu,
    Relu6,
    LeakyRelu,
    Elu,
    Gelu,
    Abs,
    Rsqrt,
    Quantize,
)
