"""What a kernel gets of a layer, and what it returns.

A back end (:mod:`~paper2board.convert.kernels.paper`, ``portable``, ``mac16``, ``winograd``) has a function for
each kind of layer with weights. It takes a :class:`Convolution` or :class:`FullyConnectedWeights` and returns
:class:`Packed`, or None for a layer that it does not do. The same numbers go to C as ``p2b_conv2d_t`` and
``p2b_fully_connected_t`` (``firmware/engine/p2b_kernels.h``, where they are explained).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from paper2board.convert.kernels.requantization import Requantization


@dataclass(frozen=True)
class Convolution:
    """A CONV_2D or DEPTHWISE_CONV_2D with the padding before it and the pooling after it.

    Sizes of the input are those of its tensor. ``weights`` int8: (out, kernel_h, kernel_w, in), depthwise
    (kernel_h, kernel_w, out); ``bias`` int32 (out,). ``requantization``: of the kernels that need not do TFLite's.
    """

    STRUCTURE: ClassVar[str] = "p2b_conv2d_t"
    """The C type of its constants."""
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    pool_h: int
    pool_w: int
    pool_stride_h: int
    pool_stride_w: int
    pooled_h: int
    pooled_w: int
    input_zero_point: int
    weights: np.ndarray
    bias: np.ndarray
    requantization: Requantization | None = None

    @property
    def columns(self) -> int:
        """Input columns, padding included, that a row of the convolution reads."""
        return (self.out_w - 1) * self.stride_w + self.kernel_w


@dataclass(frozen=True)
class FullyConnectedWeights:
    """A FULLY_CONNECTED layer: ``weights`` int8 (out, in), ``bias`` int32 (out,), ``requantization`` as above."""

    STRUCTURE: ClassVar[str] = "p2b_fully_connected_t"
    input_zero_point: int
    weights: np.ndarray
    bias: np.ndarray
    requantization: Requantization | None = None


@dataclass(frozen=True)
class Packed:
    """A layer prepared for a kernel.

    ``function``: the C kernel. ``weights``: int8, int16 or int32, as C reads them. ``bias``: int64 (out,), taken
    modulo 2^32, with all that the kernel's zero-point handling adds. ``scratch_bytes``: working memory of one call.
    ``rows``: output rows of one call. ``requires_tflite_rounding``: the kernel requantizes as TFLite does (mode
    ``P2B_REQUANT_EXACT``) whatever the multipliers allow; the bias is then that of the file.
    """

    function: str
    weights: np.ndarray
    bias: np.ndarray
    scratch_bytes: int = 0
    rows: int = 1
    requires_tflite_rounding: bool = False


def byte_bias(layer: Convolution | FullyConnectedWeights, sums: np.ndarray) -> np.ndarray:
    """Return the bias, int64 (out,), of a kernel that reads inputs as bytes q + 128 instead of q − zero point.

    It moves the accumulators as the layer's requantization wants them. ``sums``: of each output's weights, int64
    (out,).
    """
    return layer.bias.astype(np.int64) + offsets(layer) - (layer.input_zero_point + 128) * sums


def offsets(layer: Convolution | FullyConnectedWeights) -> np.ndarray | int:
    """Return what the layer's requantization wants added to its accumulators, int64 (out,) or 0."""
    return layer.requantization.offsets if layer.requantization else 0


def accumulator_range(
    weights: np.ndarray, bias: np.ndarray, zero_point: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest accumulator of each output channel for any input, int64 (out,).

    ``weights``, ``bias`` as a layer has them, without offsets; ``zero_point``: of the input.
    """
    window = (0, 1) if weights.ndim == 3 else tuple(range(1, weights.ndim))
    positive = weights.clip(0).sum(window, dtype=np.int64)
    negative = weights.sum(window, dtype=np.int64) - positive
    least, most = -128 - zero_point, 127 - zero_point
    start = bias.astype(np.int64)
    return start + positive * least + negative * most, start + positive * most + negative * least
