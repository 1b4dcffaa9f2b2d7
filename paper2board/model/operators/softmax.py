"""SOFTMAX and LOG_SOFTMAX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import (
    doubling_high_multiply,
    exp_on_negative,
    leading_zeros,
    log_of_sum,
    multiply_by_quantized_multiplier,
    reciprocal_of_one_plus,
    rounding_shift_right,
)
from paper2board.model.operators.operator import Op, require
from paper2board.model.tensor import (
    INT8_MAX,
    INT8_MIN,
    LARGEST_SCALE,
    Quantization,
    Tensor,
    quantize_multiplier,
)

if TYPE_CHECKING:
    import torch


class _Exponentials(Op):
    """An operator on exp(beta · x) of the values along the last axis."""

    def _beta(self) -> float:
        return 1.0

    def parameters(self, tensors: Sequence[Tensor]) -> tuple[int, int, int]:
        """Return (multiplier, shift, lowest difference).

        ``multiplier · 2^shift / 2^31`` takes an input's difference from its row's largest to beta · x with 26
        fractional bits; a difference below the lowest counts for nothing in the sum.
        """
        multiplier, shift = quantize_multiplier(min(self._step(tensors), float((1 << 31) - 1)))
        return multiplier, shift, -((31 << 26) >> shift)

    def _step(self, tensors: Sequence[Tensor]) -> float:
        """Return beta times one step of the input, with 26 fractional bits."""
        scale = float(np.float32(tensors[self.inputs[0]].scale))
        return float(np.float32(self._beta())) * scale * (1 << 26)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(tensors[self.inputs[0]].shape == tensors[self.output].shape, "shapes differ")
        require(0 < self._beta() <= LARGEST_SCALE, f"beta {self._beta()} is not a positive number")
        # TFLite Micro aborts where one step of the input is lost below the 26 fractional bits.
        require(self._step(tensors) > 1, "beta times input scale is too small")

    def _difference(self, values: "torch.Tensor") -> "torch.Tensor":
        return values - values.amax(dim=-1, keepdim=True)

    def _exponent(self, tensors: Sequence[Tensor], difference: "torch.Tensor") -> "torch.Tensor":
        """Return beta · x, Q5; of what lies below the lowest difference, that of the lowest."""
        multiplier, shift, lowest = self.parameters(tensors)
        return doubling_high_multiply(difference.clamp(min=lowest) << shift, multiplier)

    def _sums(
        self, tensors: Sequence[Tensor], difference: "torch.Tensor", exps: "torch.Tensor"
    ) -> "torch.Tensor":
        """Return the sums of ``exps``, Q12, at least 1."""
        lowest = self.parameters(tensors)[2]
        return (rounding_shift_right(exps, 12) * (difference >= lowest)).sum(dim=-1, keepdim=True)


@dataclass(frozen=True)
class Softmax(_Exponentials):
    """exp(beta · x) over its sum along the last axis. The output's scale is 1/256, its zero point −128.

    Where the sum is 512 or more, no quotient reaches half a step, and all outputs are −128. There TFLite Micro
    shifts by more bits than there are and aborts (in a release build the shift is undefined).
    """

    type: ClassVar[str] = "SOFTMAX"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1 / 256, -128)
    LARGEST_SUM: ClassVar[int] = 512
    name: str
    inputs: tuple[int, ...]
    output: int
    beta: float = 1.0

    def _beta(self) -> float:
        return self.beta

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        difference = self._difference(inputs[0])
        exps = exp_on_negative(self._exponent(tensors, difference))
        sums = self._sums(tensors, difference, exps)
        counts = (difference >= self.parameters(tensors)[2]) & (sums < self.LARGEST_SUM << 19)
        sums = sums.clamp(max=(self.LARGEST_SUM << 19) - 1)
        # sum = (1 + a) · 2^(12 − zeros), 0 ≤ a < 1.
        zeros = leading_zeros(sums)
        scale = reciprocal_of_one_plus((sums << zeros) - (1 << 31))
        rounded = rounding_shift_right(doubling_high_multiply(exps, scale), 35 - zeros)
        return torch.where(counts, rounded + INT8_MIN, INT8_MIN).clamp(INT8_MIN, INT8_MAX)


@dataclass(frozen=True)
class LogSoftmax(_Exponentials):
    """x less the logarithm of the sum of exp(x) along the last axis.

    The output's scale is 1/16, its zero point 127. The last axis has 4095 elements at most: TFLite Micro's sum
    has 12 bits before the point.
    """

    type: ClassVar[str] = "LOG_SOFTMAX"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1 / 16, 127)
    MAX_DEPTH: ClassVar[int] = 4095
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        depth = tensors[self.output].shape[-1]
        require(depth <= self.MAX_DEPTH, f"more than {self.MAX_DEPTH} elements")
        require(self._step(tensors) > 2, "the input scale is too small")

    def reverse(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return (multiplier, shift) from a logarithm, Q5, to differences of inputs; the shift is not positive."""
        multiplier, shift, _ = self.parameters(tensors)
        return quantize_multiplier((1 << (31 - shift)) / multiplier)

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        difference = self._difference(inputs[0])
        exponent = self._exponent(tensors, difference)
        logarithm = log_of_sum(self._sums(tensors, difference, exp_on_negative(exponent)))
        lowest = multiply_by_quantized_multiplier(logarithm - (1 << 31), *self.reverse(tensors))
        counts = difference > lowest.clamp(min=self.parameters(tensors)[2] - 1)
        rounded = rounding_shift_right(exponent - logarithm, 22) + INT8_MAX
        return torch.where(counts, rounded, INT8_MIN).clamp(INT8_MIN, INT8_MAX)


OPERATORS = (Softmax, LogSoftmax)
