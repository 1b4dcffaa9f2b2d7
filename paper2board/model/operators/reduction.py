"""Operators that reduce dimensions."""

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
class Mean(Op):
    """Mean over H and W of an (H, W, C) tensor, as (C,) or (1, 1, C). Input and output may differ in scale
    and zero point."""

    type: ClassVar[str] = "MEAN"
    name: str
    inputs: tuple[int, ...]
    output: int

    def multiplier(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return the (multiplier, shift) that takes ``sum − count · input zero point`` to the output's scale.

        The division by ``count``, H · W, is in the multiplier, which lies below 2^31 but not always above 2^30; the
        product is rounded like every other, the output's zero point added, the result clamped to int8.
        """
        source, target = tensors[self.inputs[0]], tensors[self.output]
        ratio = float(np.float32(source.scale)) / float(np.float32(target.scale))
        multiplier, shift = quantize_multiplier(ratio)
        count = source.shape[0] * source.shape[1]
        extra = min(count.bit_length() - 1, 31 + shift)
        return (multiplier << extra) // count, shift - extra

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        source, target = tensors[self.inputs[0]], tensors[self.output]
        require(len(source.shape) == 3, "input is not H, W, C")
        height, width, channels = source.shape
        require(target.shape in {(channels,), (1, 1, channels)}, f"output shape is not {(channels,)}")
        fits = shifted_fits(height * width * source.largest, self.multiplier(tensors)[1])
        require(fits, "its sum does not fit 32 bits")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        source, target = tensors[self.inputs[0]], tensors[self.output]
        sums = (inputs[0] - source.zero_point).sum(dim=(1, 2))
        scaled = multiply_by_quantized_multiplier(sums, *self.multiplier(tensors)) + target.zero_point
        return scaled.clamp(INT8_MIN, INT8_MAX).reshape(-1, *target.shape)


OPERATORS = (Mean,)
