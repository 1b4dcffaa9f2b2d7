"""Layers for the Xtensa MAC16 option (ESP32's LX6): the layouts of ``firmware/engine/p2b_mac16.h``.

The kernels widen inputs to q + 128; the biases take that back.
"""

from dataclasses import replace

import numpy as np

from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed, byte_bias

_SLACK = 12
"""Bytes behind the last value in scratch that the dot products load and do not use: what makes a vector a multiple
of four values, and two words behind it."""
_AHEAD = 8
"""Bytes behind the last value of a depthwise convolution that are loaded and not used."""
_JUMP = 4


def conv2d(layer: Convolution) -> Packed:
    """Prepare any CONV_2D: weights int16 (out, kernel_w × pitch, a multiple of 4), flat; pooling in the kernel."""
    bias = byte_bias(layer, layer.weights.sum((1, 2, 3), dtype=np.int64))
    return _convolution(layer, "p2b_conv2d_mac16", _interleaved(layer.weights), bias)


def depthwise_conv2d_3x3(layer: Convolution) -> Packed | None:
    """Prepare a DEPTHWISE_CONV_2D of 3 × 3 without pooling, as :func:`depthwise_conv2d`; None for others."""
    packed = depthwise_conv2d(layer) if layer.kernel_h == layer.kernel_w == 3 else None
    return replace(packed, function="p2b_depthwise_conv2d_3x3_mac16") if packed else None


def depthwise_conv2d(layer: Convolution) -> Packed | None:
    """Prepare a DEPTHWISE_CONV_2D without pooling: weights int16 (out, kernel_w × kernel_h, even), flat; None with
    pooling."""
    if layer.pool_h * layer.pool_w > 1:
        return None
    weights = _padded(layer.weights.transpose(2, 1, 0).reshape(layer.out_c, -1), 2)
    return Packed(
        "p2b_depthwise_conv2d_mac16",
        _flat(weights),
        byte_bias(layer, layer.weights.sum((0, 1), dtype=np.int64)),
        scratch_bytes=4 * layer.kernel_h * layer.columns + _AHEAD,
    )


def depthwise_conv2d_rows(layer: Convolution) -> Packed:
    """Prepare any DEPTHWISE_CONV_2D as a CONV_2D of one input channel."""
    bias = byte_bias(layer, layer.weights.sum((0, 1), dtype=np.int64))
    weights = layer.weights.transpose(2, 0, 1)[..., None]
    return _convolution(layer, "p2b_depthwise_conv2d_rows_mac16", weights, bias)


def fully_connected(layer: FullyConnectedWeights) -> Packed:
    """Prepare any FULLY_CONNECTED: weights int16 (out, in, a multiple of 4), flat."""
    weights = _padded(_interleaved(layer.weights), 4)
    return Packed(
        "p2b_fully_connected_mac16",
        _flat(weights),
        byte_bias(layer, layer.weights.sum(1, dtype=np.int64)),
        scratch_bytes=2 * weights.shape[-1] + _SLACK,
    )


def _convolution(layer: Convolution, function: str, weights: np.ndarray, bias: np.ndarray) -> Packed:
    """A layer whose outputs are dot products with ``weights``, (out, kernel_h, kernel_w, inputs)."""
    by_column = weights.transpose(0, 2, 1, 3).reshape(layer.out_c, layer.kernel_w, -1)
    by_column = _padded(by_column, _column_multiple(layer))
    return Packed(
        function,
        _flat(_padded(by_column.reshape(layer.out_c, -1), 4)),
        bias,
        scratch_bytes=_JUMP * layer.pool_h * layer.pool_w
        + 4 * -(-layer.pool_h * layer.columns * by_column.shape[-1] // 2)
        + _SLACK,
    )


def products(function: str, layer: Convolution | FullyConnectedWeights) -> int:
    """Return the multiply-accumulates of one output, those of the zeros that weights are padded with included."""
    if isinstance(layer, FullyConnectedWeights):
        return -(-layer.weights.shape[1] // 4) * 4
    taps = layer.kernel_h * layer.kernel_w
    if function in ("p2b_depthwise_conv2d_3x3_mac16", "p2b_depthwise_conv2d_mac16"):
        return -(-taps // 2) * 2
    inputs = 1 if layer.weights.ndim == 3 else layer.in_c
    multiple = _column_multiple(layer)
    pitch = -(-layer.kernel_h * inputs // multiple) * multiple
    return -(-layer.kernel_w * pitch // 4) * 4


def _column_multiple(layer: Convolution) -> int:
    """Return what a column's number of values is padded to a multiple of, so that every patch starts at a word."""
    return 2 if layer.stride_w % 2 or layer.pool_h > 1 else 1


def _interleaved(weights: np.ndarray) -> np.ndarray:
    """Each four of the last axis in the order 0, 2, 1, 3, where it is a multiple of 4."""
    depth = weights.shape[-1]
    if depth % 4:
        return weights
    return weights.reshape(-1, 4)[:, [0, 2, 1, 3]].reshape(weights.shape)


def _padded(weights: np.ndarray, multiple: int) -> np.ndarray:
    """As int16, zeros behind the last axis up to a multiple."""
    padding = [(0, 0)] * (weights.ndim - 1) + [(0, -weights.shape[-1] % multiple)]
    return np.pad(weights.astype(np.int16), padding)


def _flat(weights: np.ndarray) -> np.ndarray:
    """In one dimension, with the two values behind the end that the dot products load."""
    return np.append(weights.reshape(-1), np.zeros(2, np.int16))
