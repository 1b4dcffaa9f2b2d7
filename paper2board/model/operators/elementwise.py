"""Operators that work element by element."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.operators.operator import Activated, require
from paper2board.model.tensor import Activation, Tensor, quantize_multiplier

if TYPE_CHECKING:
    import torch

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


OPERATORS = (Add,)
