"""Layers for the Xtensa MAC16 option (ESP32's LX6): the layouts of ``firmware/engine/p2b_mac16.h``.

The kernels widen inputs to q + 128; the biases take that back.
"""

import numpy as np

from paper2board.convert.kernels.layer import Convolution, Packed, Product

_OFFSET = 128
_SLACK = 8
"""Bytes behind the last value in scratch that the dot products load and do not use."""
_POINTER = 4


def conv2d(layer: Convolution) -> Packed:
    """Prepare any CONV_2D: weights int16 (out, kernel_w, pitch), flat; pooling in the kernel."""
    columns = (layer.out_w - 1) * layer.stride_w + layer.kernel_w
    patches = layer.pool_h * layer.pool_w
    weights = _interleaved(layer.weights).transpose(0, 2, 1, 3)
    weights = _even(weights.reshape(layer.out_c, layer.kernel_w, layer.kernel_h * layer.in_c))
    return Packed(
        "p2b_conv2d_mac16",
        _flat(weights),
        _bias(layer, layer.weights.sum((1, 2, 3), dtype=np.int64)),
        scratch_bytes=_POINTER * patches + 2 * layer.pool_h * columns * weights.shape[-1] + _SLACK,
    )


def depthwise_conv2d(layer: Convolution) -> Packed | None:
    """Prepare a 3 × 3 DEPTHWISE_CONV_2D of a multiple of 4 channels without pooling: int16 (channels, 10)."""
    unpooled = layer.pool_h == layer.pool_w == layer.pool_stride_h == layer.pool_stride_w == 1
    square = layer.kernel_h == layer.kernel_w == 3
    if not (square and unpooled and layer.in_c == layer.out_c and layer.in_c % 4 == 0):
        return None
    columns = (layer.out_w - 1) * layer.stride_w + 3
    return Packed(
        "p2b_depthwise_conv2d_mac16",
        _even(layer.weights.transpose(2, 1, 0).reshape(layer.out_c, 9)).reshape(-1),
        _bias(layer, layer.weights.sum((0, 1), dtype=np.int64)),
        scratch_bytes=12 * columns,
    )


def fully_connected(layer: Product) -> Packed:
    """Prepare any FULLY_CONNECTED: weights int16 (out, in), flat."""
    weights = _even(_interleaved(layer.weights))
    return Packed(
        "p2b_fully_connected_mac16",
        _flat(weights),
        _bias(layer, layer.weights.sum(1, dtype=np.int64)),
        scratch_bytes=_POINTER + 2 * weights.shape[-1] + _SLACK,
    )


def _bias(layer: Convolution | Product, sums: np.ndarray) -> np.ndarray:
    """The biases for inputs of q + 128: int64 (out,)."""
    return layer.bias.astype(np.int64) - (layer.input_zero_point + _OFFSET) * sums


def _interleaved(weights: np.ndarray) -> np.ndarray:
    """Each four of the last axis in the order 0, 2, 1, 3, where it is a multiple of 4."""
    depth = weights.shape[-1]
    if depth % 4:
        return weights
    return weights.reshape(-1, 4)[:, [0, 2, 1, 3]].reshape(weights.shape)


def _even(weights: np.ndarray) -> np.ndarray:
    """As int16, the last axis padded by a zero to an even length."""
    padding = [(0, 0)] * (weights.ndim - 1) + [(0, weights.shape[-1] % 2)]
    return np.pad(weights.astype(np.int16), padding)


def _flat(weights: np.ndarray) -> np.ndarray:
    """In one dimension, with the two values behind the end that the dot products load."""
    return np.append(weights.reshape(-1), np.zeros(2, np.int16))
