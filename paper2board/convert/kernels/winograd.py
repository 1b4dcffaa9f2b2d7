"""Back end ``winograd``: F(4×4, 3×3), exact in integers (``firmware/engine/p2b_winograd.h`` says how and why).

Needs a quarter of the direct convolution's multiplications and eight times the bytes of its weights.
"""

from dataclasses import replace

import numpy as np

from paper2board.convert.kernels.layer import Convolution, Packed, accumulator_range, byte_bias, offsets
from paper2board.convert.kernels.requantization import LIMIT

G = np.array([[6, 0, 0], [4, 4, 4], [4, -4, 4], [-1, -2, -4], [1, -2, 4], [0, 0, 12]])
"""The weights' transform, (6, 3)."""
SCALE = 576
"""What the transforms together multiply an accumulator by."""


def conv2d_portable(layer: Convolution) -> Packed | None:
    """Prepare ``layer`` for ``p2b_conv2d_winograd_portable``; None if it is not Winograd's."""
    return _pack(layer, "p2b_conv2d_winograd_portable", 2)


def conv2d_mac16(layer: Convolution) -> Packed | None:
    """Prepare ``layer`` for ``p2b_conv2d_winograd_mac16``; None if it is not Winograd's."""
    packed = _pack(layer, "p2b_conv2d_winograd_mac16", 1)
    if packed is None:
        return None
    # The last dot product loads ahead.
    return replace(packed, weights=np.concatenate([packed.weights, np.zeros(4, np.int16)]))


def _pack(layer: Convolution, function: str, block: int) -> Packed | None:
    weights = layer.weights.astype(np.int64)
    pool = (layer.pool_h, layer.pool_w, layer.pool_stride_h, layer.pool_stride_w)
    lowest, highest = accumulator_range(layer.weights, layer.bias, layer.input_zero_point)
    if (
        (layer.kernel_h, layer.kernel_w, layer.stride_h, layer.stride_w) != (3, 3, 1, 1)
        or pool not in ((1, 1, 1, 1), (2, 2, 2, 2))
        or layer.in_c < 2
        or (lowest + offsets(layer)).min() <= -LIMIT
        or (highest + offsets(layer)).max() >= LIMIT
    ):
        return None
    u = np.einsum("iy,jx,oyxc->oijc", G, G, weights)
    if layer.in_c % 2:
        u = np.insert(u, layer.in_c - 1, 0, axis=3)
    u = np.pad(u, ((0, -layer.out_c % block), (0, 0), (0, 0), (0, 0)))
    u = u.reshape(-1, block, 36, u.shape[3] // 2, 2).transpose(0, 2, 3, 1, 4)
    return Packed(
        function=function,
        weights=u.astype(np.int16).ravel(),
        bias=SCALE * byte_bias(layer, weights.sum((1, 2, 3))),
        scratch_bytes=4 * (36 * block * u.shape[2] + -(-layer.in_c // 4)),
        rows=4 // layer.pool_h,
    )
