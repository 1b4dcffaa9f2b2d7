"""Operators that move values and compute nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.operators.operator import Op, require
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Tensor

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Constant(Op):
    """``values``, int8 of the output's shape, which lie in the file and in flash."""

    type: ClassVar[str] = "CONSTANT"
    INPUTS: ClassVar[tuple[int, int]] = (0, 0)
    name: str
    inputs: tuple[int, ...]
    output: int
    values: np.ndarray

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        good = self.values.dtype == np.int8 and self.values.shape == tensors[self.output].shape
        require(good, "its values are not int8 of its tensor's shape")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        return torch.from_numpy(self.values).to(torch.int64)[None]


@dataclass(frozen=True)
class AssignVariable(Op):
    """The input's values again, as what a state will hold in the next inference."""

    type: ClassVar[str] = "ASSIGN_VARIABLE"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(tensors[self.inputs[0]].shape == tensors[self.output].shape, "shapes differ")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        return inputs[0]


@dataclass(frozen=True)
class Reshape(Op):
    """The same elements under another shape (flatten: HWC order)."""

    type: ClassVar[str] = "RESHAPE"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(tensors[self.inputs[0]].size == tensors[self.output].size, "element counts differ")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        return inputs[0].reshape(-1, *tensors[self.output].shape)


@dataclass(frozen=True)
class Pad(Op):
    """``paddings`` (before, after) along H, W and C, filled with ``value``, or the zero point if that is None;
    input and output share scale and zero point."""

    type: ClassVar[str] = "PAD"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int
    paddings: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    value: int | None = None

    def filling(self, tensors: Sequence[Tensor]) -> int:
        """Return the int8 value of the padding."""
        return tensors[self.output].zero_point if self.value is None else self.value

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        source = tensors[self.inputs[0]].shape
        require(len(source) == 3 and len(self.paddings) == 3, "input or paddings are not H, W, C")
        pairs = all(len(pair) == 2 and min(pair) >= 0 for pair in self.paddings)
        require(pairs, "a padding is not two numbers from 0")
        padded = tuple(n + sum(pair) for n, pair in zip(source, self.paddings, strict=True))
        require(tensors[self.output].shape == padded, f"output shape is not {padded}")
        require(INT8_MIN <= self.filling(tensors) <= INT8_MAX, "its value is not int8")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        from torch.nn import functional

        amounts = [amount for pair in reversed(self.paddings) for amount in pair]
        return functional.pad(inputs[0], amounts, value=self.filling(tensors))


@dataclass(frozen=True)
class Concatenation(Op):
    """Two or more tensors one after the other along ``axis`` (of H, W, C or of N); all have the output's scale
    and zero point."""

    type: ClassVar[str] = "CONCATENATION"
    INPUTS: ClassVar[tuple[int, int]] = (2, 10)  # TFLite Micro has room for ten
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int
    axis: int

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        target, axis = tensors[self.output].shape, self.axis
        require(0 <= axis < len(target), f"axis {axis} does not exist")
        shapes = [tensors[i].shape for i in self.inputs]
        total = sum(shape[axis] for shape in shapes if len(shape) == len(target))
        joined = all((*shape[:axis], total, *shape[axis + 1 :]) == target for shape in shapes)
        require(joined, "shapes do not add up to the output's")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        return torch.cat(inputs, dim=1 + self.axis)


@dataclass(frozen=True)
class Move(Op):
    """Values of the input in another order, some left out or repeated: what TRANSPOSE, STRIDED_SLICE, GATHER,
    RESIZE_NEAREST_NEIGHBOR and others do.

    The output has an axis for each of ``lengths``, whatever its shape says. Its value at (a, b, …) is the input's
    at the sum of ``offsets``' entries a of the first axis, b of the second, and so on; ``offsets``, int32, holds
    those of the first axis, then those of the second …
    """

    type: ClassVar[str] = "GATHER"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int
    lengths: tuple[int, ...]
    offsets: np.ndarray

    @property
    def tables(self) -> list[np.ndarray]:
        """The offsets of each axis."""
        return np.split(self.offsets, np.cumsum(self.lengths)[:-1])

    def indices(self) -> np.ndarray:
        """Return for each output value which input value it is: int64, (output size,)."""
        total = np.zeros((), np.int64)
        for table in self.tables:
            total = np.add.outer(total, table.astype(np.int64))
        return total.ravel()

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        good = min(self.lengths, default=0) > 0 and self.offsets.shape == (sum(self.lengths),)
        require(good and self.offsets.dtype == np.int32, "its offsets are not as many as its lengths say")
        require(math.prod(self.lengths) == tensors[self.output].size, "its lengths are not the output's")
        ends = [sum(int(end(table)) for table in self.tables) for end in (np.min, np.max)]
        require(ends[0] >= 0 and ends[1] < tensors[self.inputs[0]].size, "it reads beyond its input")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        values = inputs[0].reshape(len(inputs[0]), -1)
        return values[:, torch.from_numpy(self.indices())].reshape(-1, *tensors[self.output].shape)


OPERATORS = (Constant, AssignVariable, Move, Reshape, Pad, Concatenation)
