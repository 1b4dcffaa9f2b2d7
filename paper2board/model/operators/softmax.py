"""SOFTMAX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import (
    doubling_high_multiply,
    exp_on_negative,
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


@dataclass(frozen=True)
class Softmax(Op):
    """exp(beta · x) over its sum along the last axis. The output's scale is 1/256, its zero point −128."""

    type: ClassVar[str] = "SOFTMAX"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1 / 256, -128)
    MAX_DEPTH: ClassVar[int] = 511
    """Equal inputs make 1/sum as small as 1/depth; from 512 on TFLite Micro's shift leaves its range and aborts."""
    name: str
    inputs: tuple[int, ...]
    output: int
    beta: float = 1.0

    def parameters(self, tensors: Sequence[Tensor]) -> tuple[int, int, int]:
        """Return (multiplier, shift, lowest difference).

        ``multiplier · 2^shift / 2^31`` takes an input's difference from its row's largest to beta · x with 26
        fractional bits; a difference below the lowest gives −128 and counts for nothing in the sum.
        """
        multiplier, shift = quantize_multiplier(min(self._step(tensors), float((1 << 31) - 1)))
        return multiplier, shift, -((31 << 26) >> shift)

    def _step(self, tensors: Sequence[Tensor]) -> float:
        """Return beta times one step of the input, with 26 fractional bits."""
        scale = float(np.float32(tensors[self.inputs[0]].scale))
        return float(np.float32(self.beta)) * scale * (1 << 26)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        source = tensors[self.inputs[0]].shape
        require(source == tensors[self.output].shape, "shapes differ")
        require(source[-1] <= self.MAX_DEPTH, f"more than {self.MAX_DEPTH} elements")
        require(0 < self.beta <= LARGEST_SCALE, f"beta {self.beta} is not a positive number")
        # TFLite Micro aborts where one step of the input is lost below the 26 fractional bits.
        require(self._step(tensors) > 1, "beta times input scale is too small")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        multiplier, shift, lowest = self.parameters(tensors)
        difference = inputs[0] - inputs[0].amax(dim=-1, keepdim=True)
        counts = difference >= lowest
        exps = exp_on_negative(doubling_high_multiply(difference.clamp(min=lowest) << shift, multiplier))
        sums = (rounding_shift_right(exps, 12) * counts).sum(dim=-1, keepdim=True)  # Q12, at least 1
        # 2^over ≤ sum < 2^(over + 1), so the sum's highest bit is bit 19 + over; frexp is exact below 2^53.
        over = torch.frexp(sums.to(torch.float64)).exponent.to(torch.int64) - 20
        scale = reciprocal_of_one_plus((sums << (12 - over)) - (1 << 31))
        rounded = rounding_shift_right(doubling_high_multiply(exps, scale), over + 23)
        return torch.where(counts, rounded + INT8_MIN, INT8_MIN).clamp(INT8_MIN, INT8_MAX)


OPERATORS = (Softmax,)
