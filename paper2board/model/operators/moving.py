"""Operators that move values and compute nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from paper2board.model.operators.operator import Op, require
from paper2board.model.tensor import Tensor

if TYPE_CHECKING:
    import torch


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
    """``paddings`` (before, after) along H, W and C, filled with the zero point; input and output share scale
    and zero point."""

    type: ClassVar[str] = "PAD"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int
    paddings: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        source = tensors[self.inputs[0]].shape
        require(len(source) == 3 and len(self.paddings) == 3, "input or paddings are not H, W, C")
        pairs = all(len(pair) == 2 and min(pair) >= 0 for pair in self.paddings)
        require(pairs, "a padding is not two numbers from 0")
        padded = tuple(n + sum(pair) for n, pair in zip(source, self.paddings, strict=True))
        require(tensors[self.output].shape == padded, f"output shape is not {padded}")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        from torch.nn import functional

        amounts = [amount for pair in reversed(self.paddings) for amount in pair]
        return functional.pad(inputs[0], amounts, value=tensors[self.output].zero_point)


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


OPERATORS = (Reshape, Pad, Concatenation)
