"""What operators share: int8 activations, and TFLite's arithmetic of scales, clamps and padding."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Activation = Literal["NONE", "RELU", "RELU6"]
Padding = Literal["SAME", "VALID"]
Quantization = tuple[float, int]
"""Scale and zero point of an int8 activation."""
INT8_MIN, INT8_MAX = -128, 127
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-149, float(np.finfo(np.float32).max)
"""What float32, and so a .tflite file, can express."""


@dataclass(frozen=True)
class Tensor:
    """An int8 activation: ``shape`` is (H, W, C) or (N,); ``scale`` is a float32 value."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    @property
    def size(self) -> int:
        """Number of elements, which is also the number of bytes."""
        return math.prod(self.shape)

    @property
    def quantization(self) -> Quantization:
        """Scale and zero point."""
        return self.scale, self.zero_point

    @property
    def largest(self) -> int:
        """Largest magnitude of q − zero point."""
        return max(INT8_MAX - self.zero_point, self.zero_point - INT8_MIN)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return (multiplier, shift) with ``real ≈ multiplier · 2^(shift − 31)``, multiplier in [2^30, 2^31).

    TFLite's ``QuantizeMultiplier``: a ``real`` too small to matter gives (0, 0).
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def shifted_fits(largest: int, shift: int) -> bool:
    """Return whether a magnitude of ``largest``, shifted left where ``shift`` is positive, fits int32."""
    return shift <= 31 and largest << max(shift, 0) <= 0x7FFFFFFF


def activation_range(tensor: Tensor, activation: Activation) -> tuple[int, int]:
    """Return the clamp (lowest, highest) that a fused activation puts on int8 outputs of ``tensor``."""
    low, high = INT8_MIN, INT8_MAX
    if activation != "NONE":
        low = max(low, tensor.zero_point)
    if activation == "RELU6":
        six = np.float32(6.0) / np.float32(tensor.scale)
        high = min(high, tensor.zero_point + math.floor(float(six) + 0.5))
    return low, high


def pad_before(size: int, kernel: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Return (elements padded before, output size) along one axis, as TFLite computes them."""
    if padding == "VALID":
        return 0, (size - kernel) // stride + 1
    out = -(-size // stride)
    return max((out - 1) * stride + kernel - size, 0) // 2, out
