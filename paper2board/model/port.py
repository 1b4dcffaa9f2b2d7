"""How a caller sees the inputs and outputs of a network: int8 as the tensor has it, or converted at the border."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paper2board.core.errors import UserError
from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.tensor import (
    INT8_MAX,
    INT8_MIN,
    LARGEST_SCALE,
    SMALLEST_SCALE,
    Tensor,
    quantize_multiplier,
    shifted_fits,
)

PortType = Literal["int8", "uint8", "int16", "int32", "float32"]


@dataclass(frozen=True)
class Port:
    """An input or output: its name, its int8 tensor, and what a caller gives or gets.

    ``dtype`` int8 is the tensor itself. float32 are real values. Of the other types ``scale`` and ``zero_point``
    say what a value means, as a tensor's do; float32 and int8 have none of their own (1.0 and 0). int32 are
    indices, of an output alone.
    """

    name: str
    tensor: int
    dtype: PortType = "int8"
    scale: float = 1.0
    zero_point: int = 0

    def check(self, model: str, tensor: Tensor, *, arrives: bool) -> None:
        """Raise :class:`UserError` if values of its type cannot become int8 of ``tensor``, or the other way
        round."""
        if self.dtype in ("int8", "float32"):
            return
        limits = np.iinfo(self.dtype)
        if self.dtype == "int32":
            if arrives or tensor.quantization != (1.0, INT8_MIN) or (self.scale, self.zero_point) != (1.0, 0):
                raise UserError(
                    f"model {model}: {self.name} is int32 and no output of ARG_MAX; convert it again"
                )
            return
        good = SMALLEST_SCALE <= self.scale <= LARGEST_SCALE and limits.min <= self.zero_point <= limits.max
        if good:
            shift = self.requantization(tensor, arrives=arrives)[1]
            good = shifted_fits(int(limits.max) - int(limits.min) if arrives else tensor.largest, shift)
        if not good:
            raise UserError(
                f"model {model}: {self.name} is {self.dtype} of scale {self.scale} and zero point"
                f" {self.zero_point}, its tensor of scale {tensor.scale}; convert it again"
            )

    def quantized(self, tensor: Tensor, values: np.ndarray) -> np.ndarray:
        """Return a caller's ``values`` (:attr:`dtype`, any shape) as int8 of ``tensor``.

        This is TFLite Micro's QUANTIZE. Beyond it: what no int8 can express is clamped, and NaN becomes the lowest.
        """
        if self.dtype == "int8":
            return values
        if self.dtype == "float32":
            with np.errstate(over="ignore", invalid="ignore"):
                scaled = (values.astype(np.float32) / np.float32(tensor.scale)).astype(np.float64)
            lowest, highest = INT8_MIN - tensor.zero_point, INT8_MAX - tensor.zero_point
            scaled = np.where(scaled > lowest, np.minimum(scaled, highest), lowest)
            # Halves go away from zero.
            rounded = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)
            return (rounded + tensor.zero_point).clip(INT8_MIN, INT8_MAX).astype(np.int8)
        pair = self.requantization(tensor, arrives=True)
        return _requantized(values, pair, self.zero_point, tensor.zero_point, np.dtype(np.int8))

    def dequantized(self, tensor: Tensor, values: np.ndarray) -> np.ndarray:
        """Return int8 ``values`` of ``tensor`` as a caller gets them: TFLite Micro's DEQUANTIZE or QUANTIZE."""
        if self.dtype == "int8":
            return values
        if self.dtype == "float32":
            real = float(np.float32(tensor.scale)) * (values.astype(np.int64) - tensor.zero_point)
            return real.astype(np.float32)
        pair = self.requantization(tensor, arrives=False)
        return _requantized(values, pair, tensor.zero_point, self.zero_point, np.dtype(self.dtype))

    def requantization(self, tensor: Tensor, *, arrives: bool) -> tuple[int, int]:
        """Return multiplier and shift from its integers to those of ``tensor``, or the other way round."""
        ours, theirs = float(np.float32(self.scale)), float(np.float32(tensor.scale))
        return quantize_multiplier(ours / theirs if arrives else theirs / ours)


def _requantized(
    values: np.ndarray, pair: tuple[int, int], source: int, target: int, dtype: np.dtype
) -> np.ndarray:
    multiplier, shift = pair
    limits = np.iinfo(dtype)
    scaled = multiply_by_quantized_multiplier(values.astype(np.int64) - source, multiplier, shift)
    return np.clip(scaled + target, limits.min, limits.max).astype(dtype)
