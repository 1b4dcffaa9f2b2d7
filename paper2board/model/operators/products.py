"""Matrix products of two tensors that are both computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.operators.operator import Op, require
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Tensor, quantize_multiplier, shifted_fits

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BatchMatMul(Op):
    """The rows of the first tensor, (B, R, N), times those of the second, (B, C, N), as (B, R, C)."""

    type: ClassVar[str] = "BATCH_MATMUL"
    INPUTS: ClassVar[tuple[int, int]] = (2, 2)
    name: str
    inputs: tuple[int, ...]
    output: int

    def multiplier(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return the (multiplier, shift) that takes a sum of products to the output's scale."""
        left, right = (np.float32(tensors[i].scale) for i in self.inputs)
        # TFLite Micro multiplies these two in float32.
        with np.errstate(over="ignore"):
            product = float(left * right)
        return quantize_multiplier(product / float(np.float32(tensors[self.output].scale)))

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        left, right = (tensors[i] for i in self.inputs)
        three = len(left.shape) == len(right.shape) == 3
        fits = three and left.shape[0] == right.shape[0] and left.shape[2] == right.shape[2]
        require(fits, "shapes are not B, R, N and B, C, N")
        shape = (*left.shape[:2], right.shape[1])
        require(tensors[self.output].shape == shape, f"output shape is not {shape}")
        try:
            shift = self.multiplier(tensors)[1]
        except OverflowError:  # a product of scales beyond float32
            shift = 32
        fits = shifted_fits(left.shape[2] * left.largest * right.largest, shift)
        require(fits, "its accumulators do not fit 32 bits")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        left, right = (
            (values - tensors[i].zero_point).to(torch.float64)
            for values, i in zip(inputs, self.inputs, strict=True)
        )
        sums = (left @ right.transpose(-1, -2)).to(torch.int64)
        scaled = multiply_by_quantized_multiplier(sums, *self.multiplier(tensors))
        return (scaled + tensors[self.output].zero_point).clamp(INT8_MIN, INT8_MAX)


OPERATORS = (BatchMatMul,)
