"""The ``portable`` back end: C for any 32-bit processor. Layouts: ``firmware/engine/p2b_portable.h``."""

import math

import numpy as np

from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed, byte_bias

_GROUP = 6
_UNROLLED = 8
_LIMITS = (1 << 21, 1 << 22, 1 << 21)
"""Outputs A, B, C that share two words stay below these."""


def conv2d(layer: Convolution) -> Packed:
    """Pack a convolution: int32 words, scratch for one row's columns and, with pooling, its maxima."""
    taps = layer.weights.transpose(0, 2, 1, 3).reshape(layer.out_c, -1)
    weights, offsets = _words(taps)
    scratch = layer.columns * layer.kernel_h * layer.in_c
    if layer.pool_h > 1 or layer.pool_w > 1:
        scratch += 4 * layer.pooled_w * layer.out_c
    bias = byte_bias(layer, taps.sum(1, dtype=np.int64)) - offsets
    return Packed("p2b_conv2d_portable", weights, bias, scratch)


def fully_connected(layer: FullyConnectedWeights) -> Packed:
    """Pack a fully connected layer: int32 words, scratch for its input."""
    weights, offsets = _words(layer.weights)
    bias = byte_bias(layer, layer.weights.sum(1, dtype=np.int64)) - offsets
    return Packed("p2b_fully_connected_portable", weights, bias, layer.weights.shape[1])


def depthwise_conv2d(layer: Convolution) -> Packed:
    """Pack a depthwise convolution: int16 weights, scratch for four channels' strip and sums."""
    taps = layer.weights.transpose(2, 1, 0).reshape(layer.out_c, -1)
    scratch = 4 * (4 * layer.out_c // layer.in_c * layer.out_w + layer.columns * layer.kernel_h)
    bias = byte_bias(layer, taps.sum(1, dtype=np.int64))
    return Packed("p2b_depthwise_conv2d_portable", taps.astype(np.int16), bias, scratch)


def _words(taps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return words (int32) for weights (out, taps) and what each output's sum has too much (int64, out)."""
    out, count = taps.shape
    taps = taps.astype(np.int64)
    segment = next(size for size in _segments(count) if _fits(taps, size))
    offsets = np.zeros(out, np.int64)
    parts = [np.array([segment])]
    for first in range(0, out, _GROUP):
        group = taps[first : first + _GROUP]
        for start in range(0, count, segment):
            part = group[:, start : start + segment]
            least = 255 * np.minimum(part, 0).sum(1)
            if len(group) % 3 == 1:
                least[-1] = 0  # alone in its word
            offsets[first : first + _GROUP] -= least
            parts.append(_combine(np.column_stack([-least, part])).T.ravel())
    return np.concatenate(parts).astype(np.uint32).view(np.int32), offsets


def _combine(outputs: np.ndarray) -> np.ndarray:
    """Words (words, n) of up to six outputs (outputs, n), modulo 2^32."""
    rows = []
    for first in range(0, len(outputs), 3):
        a, *rest = outputs[first : first + 3]
        c = rest[1] if len(rest) > 1 else np.zeros_like(a)
        rows += [a + (c << 11), rest[0] + (c << 22)] if rest else [a]
    return np.stack(rows) & 0xFFFFFFFF


def _segments(count: int) -> list[int]:
    """Segments' sizes to try: 1, 2, ... equal segments, all but the last a multiple of the unrolled loop."""
    return [count] + [math.ceil(count / n / _UNROLLED) * _UNROLLED for n in range(2, count // _UNROLLED + 2)]


def _fits(taps: np.ndarray, segment: int) -> bool:
    """Whether no output's sum over a segment can leave its bits, inputs being 0 .. 255."""
    out, count = taps.shape
    limits = np.resize(_LIMITS, out)
    if out % 3 == 1:
        limits[-1] = 1 << 31
    starts = range(0, count, segment)
    return all((255 * np.abs(taps[:, i : i + segment]).sum(1) < limits).all() for i in starts)
