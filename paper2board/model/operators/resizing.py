"""Operators that interpolate between pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.operators.operator import Op, require
from paper2board.model.tensor import Tensor

if TYPE_CHECKING:
    import torch

ONE = 1 << 10
"""The distance of neighbouring pixels."""


@dataclass(frozen=True)
class ResizeBilinear(Op):
    """An (H, W, C) tensor enlarged or reduced to the output's height and width, in 1024ths of a pixel.

    ``corners``: the outermost pixels stay where they are. ``centres``: pixels are squares, whose centres are
    compared, not their upper left corners.
    """

    type: ClassVar[str] = "RESIZE_BILINEAR"
    KEEPS_QUANTIZATION: ClassVar[bool] = True
    name: str
    inputs: tuple[int, ...]
    output: int
    corners: bool = False
    centres: bool = False

    def axis(self, tensors: Sequence[Tensor], axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for each output pixel along an axis the two input pixels around it, and its distance from the
        first: int64 (size,) each."""
        before, after = tensors[self.inputs[0]].shape[axis], tensors[self.output].shape[axis]
        if self.corners and after > 1:
            step = (ONE * (before - 1) + (after - 1) // 2) // (after - 1)
        else:
            step = (ONE * before + after // 2) // after
        place = np.arange(after, dtype=np.int64) * step
        if self.centres:
            place += step // 2 - ONE // 2
        # C divides towards zero.
        first = np.maximum(place // ONE, 0)
        second = np.minimum(np.maximum(place + ONE - 1, 0) // ONE, before - 1)
        return first, second, np.where(first == second, 0, place - ONE * first)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        source, target = tensors[self.inputs[0]].shape, tensors[self.output].shape
        require(len(source) == len(target) == 3 and source[2] == target[2], "shapes are not H, W, C")
        require(not (self.corners and self.centres), "it cannot keep both corners and centres")
        # Rounded steps add up: TFLite Micro would read beyond the input.
        inside = all(int(self.axis(tensors, axis)[0].max()) < source[axis] for axis in (0, 1))
        require(inside, "its output is too large for its input")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch

        (top, bottom, down), (left, right, across) = (
            tuple(map(torch.from_numpy, self.axis(tensors, axis))) for axis in (0, 1)
        )
        down = down[:, None, None]
        rows = inputs[0][:, top] * (ONE - down) + inputs[0][:, bottom] * down
        across = across[:, None]
        sums = rows[:, :, left] * (ONE - across) + rows[:, :, right] * across
        half = torch.where(sums > 0, ONE * ONE // 2, -(ONE * ONE // 2))
        return torch.div(sums + half, ONE * ONE, rounding_mode="trunc")


OPERATORS = (ResizeBilinear,)
