"""Operators whose window moves over the height and width of an image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paper2board.model.operators.operator import Activated, require
from paper2board.model.tensor import Padding, Tensor, pad_before

if TYPE_CHECKING:
    import torch


class Windowed(Activated):
    """An operator with a window of ``kernel`` (height, width) that moves by ``stride``."""

    stride: tuple[int, int]
    padding: Padding

    @property
    def window(self) -> tuple[int, int]:
        """Return the (height, width) of the window."""
        raise NotImplementedError(type(self).__name__)

    def pad_before(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return the padding (rows above, columns left)."""
        (above, _), (left, _) = self._axes(tensors)
        return above, left

    def output_size(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return the output's (height, width)."""
        (_, height), (_, width) = self._axes(tensors)
        return height, width

    def _axes(self, tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
        shape = tensors[self.inputs[0]].shape
        sizes = zip(shape[:2], self.window, self.stride, strict=True)
        return [pad_before(size, kernel, stride, self.padding) for size, kernel, stride in sizes]

    def check_window(self, tensors: Sequence[Tensor], channels: int) -> None:
        """Raise :class:`InconsistentError` if the window does not fit, or the output's shape is another one."""
        source = tensors[self.inputs[0]].shape
        require(len(source) == 3 and min(self.stride) >= 1, "input is not H, W, C or stride below 1")
        size = self.output_size(tensors)
        require(min(size) >= 1, "kernel is larger than its input")
        shape = (*size, channels)
        require(tensors[self.output].shape == shape, f"output shape is not {shape}")

    def padded(self, tensors: Sequence[Tensor], image: "torch.Tensor", value: float) -> "torch.Tensor":
        """Return N × C × H × W with TFLite's padding around it: the odd element goes after, not before."""
        from torch.nn import functional

        amounts: list[int] = []
        axes = zip(self._axes(tensors), image.shape[2:], self.window, self.stride, strict=True)
        for (before, out), size, kernel, stride in reversed(list(axes)):
            amounts += [before, max((out - 1) * stride + kernel - size - before, 0)]
        return functional.pad(image, amounts, value=value)
