"""Poolings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from paper2board.model.operators.operator import require
from paper2board.model.operators.window import Windowed
from paper2board.model.tensor import Activation, Padding, Tensor

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Pool2D(Windowed):
    """Max or average pooling (``type`` says which); input and output share scale and zero point."""

    KEEPS_QUANTIZATION: ClassVar[bool] = True
    AVERAGE_MAX_WINDOW: ClassVar[int] = 65_535
    """Elements; the C engine divides by 16-bit numbers."""
    type: Literal["MAX_POOL_2D", "AVERAGE_POOL_2D"]  # type: ignore[misc]  # one class, two operators
    name: str
    inputs: tuple[int, ...]
    output: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = "VALID"
    activation: Activation = "NONE"

    @classmethod
    def types(cls) -> tuple[str, ...]:
        return "MAX_POOL_2D", "AVERAGE_POOL_2D"

    @property
    def window(self) -> tuple[int, int]:
        return self.kernel

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        self.check_window(tensors, tensors[self.inputs[0]].shape[-1])
        divides = self.type == "MAX_POOL_2D" or math.prod(self.kernel) <= self.AVERAGE_MAX_WINDOW
        require(divides, "its window is too large")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch
        from torch.nn import functional

        image = inputs[0].permute(0, 3, 1, 2).to(torch.float64)
        if self.type == "MAX_POOL_2D":
            padded = self.padded(tensors, image, float("-inf"))
            pooled = functional.max_pool2d(padded, self.kernel, self.stride).to(torch.int64)
        else:

            def sums(values: torch.Tensor) -> torch.Tensor:
                padded = self.padded(tensors, values, 0.0)
                return functional.avg_pool2d(padded, self.kernel, self.stride, divisor_override=1).to(
                    torch.int64
                )

            # Padding does not count: the divisor is the number of real elements under the window.
            total, area = sums(image), sums(torch.ones_like(image))
            half = torch.where(total > 0, area // 2, -(area // 2))
            pooled = torch.div(total + half, area, rounding_mode="trunc")
        return self.clamped(tensors, pooled.permute(0, 2, 3, 1))


OPERATORS = (Pool2D,)
