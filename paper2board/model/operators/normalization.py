"""L2_NORMALIZATION."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from paper2board.model.fixed_point import inverse_square_root, multiply_by_quantized_multiplier
from paper2board.model.operators.operator import Op, require
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Quantization, Tensor

if TYPE_CHECKING:
    import torch

OUTPUT_BITS = 7
"""The output's scale is 1/2^7."""


@dataclass(frozen=True)
class L2Normalization(Op):
    """Values along the last axis, divided by the root of the sum of their squares. The output's scale is 1/128, its
    zero point 0."""

    type: ClassVar[str] = "L2_NORMALIZATION"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1 / 128, 0)
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        source = tensors[self.inputs[0]]
        require(source.shape == tensors[self.output].shape, "shapes differ")
        require(source.shape[-1] * source.largest**2 < 1 << 31, "its sum of squares does not fit 32 bits")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        centred = inputs[0] - tensors[self.inputs[0]].zero_point
        multiplier, shift = inverse_square_root((centred**2).sum(dim=-1, keepdim=True))
        scaled = multiply_by_quantized_multiplier(centred, multiplier, OUTPUT_BITS - shift)
        return scaled.clamp(INT8_MIN, INT8_MAX)


OPERATORS = (L2Normalization,)
