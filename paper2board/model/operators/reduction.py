"""Operators that reduce dimensions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.operators.operator import Op, require
from paper2board.model.tensor import (
    INT8_MAX,
    INT8_MIN,
    Quantization,
    Tensor,
    quantize_multiplier,
    shifted_fits,
)

if TYPE_CHECKING:
    import torch


class Reduction(Op):
    """An operator over ``axes``, one after the other, which the output lacks or has with length 1."""

    axes: tuple[int, ...]

    def sizes(self, tensors: Sequence[Tensor]) -> tuple[int, int, int]:
        """Return how many groups of values are reduced one after the other, the values of each, and how many such
        groups are interleaved: the input's sizes before, along and after the axes."""
        shape, first, last = tensors[self.inputs[0]].shape, self.axes[0], self.axes[-1] + 1
        return math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:])

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        shape = tensors[self.inputs[0]].shape
        first, last = min(self.axes, default=-1), max(self.axes, default=-1)
        consecutive = first >= 0 and last < len(shape) and self.axes == tuple(range(first, last + 1))
        require(consecutive, "its axes do not exist, or are not one after the other")
        dropped = tuple(n for axis, n in enumerate(shape) if axis not in self.axes) or (1,)
        kept = tuple(1 if axis in self.axes else n for axis, n in enumerate(shape))
        require(tensors[self.output].shape in {dropped, kept}, f"output shape is not {dropped}")

    def grouped(self, tensors: Sequence[Tensor], values: "torch.Tensor") -> "torch.Tensor":
        """Return the input's ``values`` as N × :meth:`sizes`."""
        return values.reshape(-1, *self.sizes(tensors))


@dataclass(frozen=True)
class Sum(Reduction):
    """Sum over ``axes``. Input and output may differ in scale and zero point."""

    type: ClassVar[str] = "SUM"
    name: str
    inputs: tuple[int, ...]
    output: int
    axes: tuple[int, ...] = (0, 1)

    def multiplier(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return the (multiplier, shift) that takes ``sum − count · input zero point`` to the output's scale.

        The product is rounded like every other, the output's zero point added, the result clamped to int8.
        """
        source, target = tensors[self.inputs[0]], tensors[self.output]
        return quantize_multiplier(float(np.float32(source.scale)) / float(np.float32(target.scale)))

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        count = self.sizes(tensors)[1]
        fits = shifted_fits(count * tensors[self.inputs[0]].largest, self.multiplier(tensors)[1])
        require(fits, "its sum does not fit 32 bits")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        source, target = tensors[self.inputs[0]], tensors[self.output]
        sums = (self.grouped(tensors, inputs[0]) - source.zero_point).sum(dim=2)
        scaled = multiply_by_quantized_multiplier(sums, *self.multiplier(tensors)) + target.zero_point
        return scaled.clamp(INT8_MIN, INT8_MAX).reshape(-1, *target.shape)


@dataclass(frozen=True)
class Mean(Sum):
    """Mean over ``axes``, by default H and W. Input and output may differ in scale and zero point."""

    type: ClassVar[str] = "MEAN"

    def multiplier(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return :meth:`Sum.multiplier` with the division by the count in it; it lies below 2^31 but not always
        above 2^30."""
        multiplier, shift = super().multiplier(tensors)
        count = self.sizes(tensors)[1]
        extra = min(count.bit_length() - 1, 31 + shift)
        return (multiplier << extra) // count, shift - extra


@dataclass(frozen=True)
class ReduceMin(Reduction):
    """The least value along ``axes``; input and output share scale and zero point."""

    type: ClassVar[str] = "REDUCE_MIN"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int
    axes: tuple[int, ...]

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        return self.grouped(tensors, inputs[0]).amin(dim=2).reshape(-1, *tensors[self.output].shape)


@dataclass(frozen=True)
class ArgMax(Reduction):
    """The index of the greatest value along one axis, the first of equal ones.

    An int8 tensor of scale 1 and zero point −128 holds indices up to 255; a caller gets them as int32.
    """

    type: ClassVar[str] = "ARG_MAX"
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = (1.0, INT8_MIN)
    MAX_COUNT: ClassVar[int] = 256
    name: str
    inputs: tuple[int, ...]
    output: int
    axes: tuple[int, ...]

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(len(self.axes) == 1, "has more than one axis")
        require(
            self.sizes(tensors)[1] <= self.MAX_COUNT, f"more than {self.MAX_COUNT} elements along the axis"
        )

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        values = self.grouped(tensors, inputs[0])
        indices = torch.arange(values.shape[2]).reshape(-1, 1)
        found = torch.where(values == self._best(values), indices, self.MAX_COUNT).amin(dim=2)
        return (found + INT8_MIN).reshape(-1, *tensors[self.output].shape)

    def _best(self, values: "torch.Tensor") -> "torch.Tensor":
        return values.amax(dim=2, keepdim=True)


@dataclass(frozen=True)
class ArgMin(ArgMax):
    """The index of the least value along one axis, the first of equal ones."""

    type: ClassVar[str] = "ARG_MIN"

    def _best(self, values: "torch.Tensor") -> "torch.Tensor":
        return values.amin(dim=2, keepdim=True)


OPERATORS = (Sum, Mean, ReduceMin, ArgMax, ArgMin)
