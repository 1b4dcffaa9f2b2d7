"""int8 layers as TensorFlow Lite defines them, in plain numpy: what a kernel is compared with.

Written from the reference kernels of TensorFlow Lite, without anything of paper2board.
"""

import numpy as np

Pair = tuple[int, int]
"""(top, left), (height, width) and the like."""


def requantize(x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """MultiplyByQuantizedMultiplier: x · multiplier · 2^(shift − 31), rounded twice as gemmlowp does. int64."""
    x, multiplier, shift = (np.asarray(value, np.int64) for value in (x, multiplier, shift))
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    # SaturatingRoundingDoublingHighMul; C's division truncates.
    product = (x << left) * multiplier
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.sign(nudged) * (np.abs(nudged) >> 31)
    # RoundingDivideByPOT: ties away from zero.
    mask = (1 << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


def output(sums: np.ndarray, pairs: list[Pair], zero_point: int, low: int, high: int) -> np.ndarray:
    """Return int8 outputs for accumulators (…, channels); ``pairs``: (multiplier, shift) of each channel."""
    multipliers, shifts = (np.array(values) for values in zip(*pairs, strict=True))
    return (requantize(sums, multipliers, shifts) + zero_point).clip(low, high).astype(np.int8)


def _windows(x: np.ndarray, kernel: Pair, stride: Pair, pad: Pair, size: Pair) -> np.ndarray:
    """Return a view (kernel_h, kernel_w, out_h, out_w, channels) of int64 (H, W, channels) with zeros around."""
    ends = [(n - 1) * s + k for n, s, k in zip(size, stride, kernel, strict=True)]
    around = [(p, max(end - p - n, 0)) for p, end, n in zip(pad, ends, x.shape[:2], strict=True)]
    padded = np.pad(x, [*around, (0, 0)])
    return np.stack(
        [
            [
                padded[ky : ky + ends[0] - kernel[0] + 1 : stride[0], kx : kx + ends[1] - kernel[1] + 1 : stride[1]]
                for kx in range(kernel[1])
            ]
            for ky in range(kernel[0])
        ]
    )  # fmt: skip


def conv2d(
    x: np.ndarray,
    zero_point: int,
    weights: np.ndarray,
    bias: np.ndarray,
    stride: Pair,
    pad: Pair,
    size: Pair,
) -> np.ndarray:
    """Return CONV_2D's accumulators, int64 (out_h, out_w, out).

    ``x``: int8 (H, W, in). ``weights``: int8 (out, kernel_h, kernel_w, in). ``pad``: above and left. ``size``: of
    the output.
    """
    windows = _windows(x.astype(np.int64) - zero_point, weights.shape[1:3], stride, pad, size)
    return np.einsum("yxhwi,oyxi->hwo", windows, weights.astype(np.int64)) + bias


def depthwise_conv2d(
    x: np.ndarray,
    zero_point: int,
    weights: np.ndarray,
    bias: np.ndarray,
    stride: Pair,
    pad: Pair,
    size: Pair,
) -> np.ndarray:
    """Return DEPTHWISE_CONV_2D's accumulators, int64 (out_h, out_w, out). ``weights``: int8 (kernel_h, kernel_w,
    out); output channel c reads input channel c // (out / in)."""
    windows = _windows(x.astype(np.int64) - zero_point, weights.shape[:2], stride, pad, size)
    repeated = windows.repeat(weights.shape[2] // x.shape[2], axis=-1)
    return np.einsum("yxhwo,yxo->hwo", repeated, weights.astype(np.int64)) + bias


def max_pool(x: np.ndarray, kernel: Pair, stride: Pair, pad: Pair, size: Pair) -> np.ndarray:
    """Return MAX_POOL_2D of (H, W, channels); padding is never the largest."""
    lowest = np.iinfo(np.int64).min // 2
    return _windows(x.astype(np.int64) - lowest, kernel, stride, pad, size).max((0, 1)) + lowest


def average_pool(x: np.ndarray, kernel: Pair, stride: Pair, pad: Pair, size: Pair) -> np.ndarray:
    """Return AVERAGE_POOL_2D of int8 (H, W, channels): padding does not count, ties go away from zero."""
    x = x.astype(np.int64)
    sums = _windows(x, kernel, stride, pad, size).sum((0, 1))
    counts = _windows(np.ones_like(x), kernel, stride, pad, size).sum((0, 1))
    return np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)


def add(
    x: np.ndarray,
    y: np.ndarray,
    zero_points: tuple[int, int, int],
    pairs: tuple[Pair, Pair, Pair],
    low: int,
    high: int,
) -> np.ndarray:
    """Return ADD's int8 output. ``zero_points``, ``pairs`` (multiplier, shift): of x, of y, of the output."""
    operands = (
        requantize((values.astype(np.int64) - zero_point) << 20, *pair)
        for values, zero_point, pair in zip((x, y), zero_points, pairs, strict=False)
    )
    return (requantize(sum(operands), *pairs[2]) + zero_points[2]).clip(low, high).astype(np.int8)


def mean(x: np.ndarray, zero_points: Pair, pair: Pair) -> np.ndarray:
    """Return MEAN's int8 output for (pixels, channels); the multiplier divides by their number."""
    sums = (x.astype(np.int64) - zero_points[0]).sum(0)
    return (requantize(sums, *pair) + zero_points[1]).clip(-128, 127).astype(np.int8)
