"""The int64 simulation of an IntegerModel: exact, batched, with TFLite's rounding.

Convolutions and products run in the narrowest float that holds each of their sums exactly: float32 below 2^24,
else float64, which holds every int8 × int8 accumulation. Everything else is int64.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from paper2board.model.integer_model import (
    ADD_LEFT_SHIFT,
    INT8_MIN,
    Activated,
    Add,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    IntegerModel,
    Mean,
    Pad,
    Pool2D,
    Softmax,
    activation_range,
    add_multipliers,
    kernel_size,
    mean_multiplier,
    output_multipliers,
    pad_before,
    softmax_parameters,
)


def multiply_by_quantized_multiplier(
    x: torch.Tensor, multiplier: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """TFLite's ``MultiplyByQuantizedMultiplier`` with double rounding. All tensors int64, broadcast.

    ``x`` holds int32 values. First a saturating rounding doubling high multiply (ties towards +∞), then a
    rounding right shift (ties away from zero).
    """
    left, right = shift.clamp(min=0), (-shift).clamp(min=0)
    return rounding_shift_right(doubling_high_multiply(x << left, multiplier), right)


def doubling_high_multiply(a: torch.Tensor, b: torch.Tensor | int) -> torch.Tensor:
    """Return a · b / 2^31 rounded, ties towards +∞. Int64 tensors that hold int32 values, not both −2^31."""
    return (a * b + (1 << 30)) >> 31


def rounding_shift_right(x: torch.Tensor, amount: torch.Tensor | int) -> torch.Tensor:
    """Return x / 2^amount rounded, ties away from zero. Int64 tensors, broadcast."""
    mask = (torch.ones((), dtype=torch.int64) << amount) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> amount) + ((x & mask) > threshold)


def simulate(
    model: IntegerModel,
    inputs: np.ndarray,
    batch: int = 16,
    progress: Callable[[Iterator[int]], Iterator[int]] = iter,
) -> np.ndarray:
    """Run ``inputs`` (int8, N × the model's input shape) and return its outputs (int8, N × output shape).

    A small ``batch`` keeps the int64 activations of one layer in the processor's cache.
    """
    starts = progress(range(0, len(inputs), batch))  # type: ignore[arg-type]
    return np.concatenate([activations(model, inputs[i : i + batch])[model.output] for i in starts])


def activations(model: IntegerModel, inputs: np.ndarray) -> dict[int, np.ndarray]:
    """Return every tensor of the model (index → int8, N × shape) for a batch of inputs."""
    values = {model.input: torch.from_numpy(inputs).to(torch.int64)}
    with torch.inference_mode():
        for op in model.ops:
            values[op.output] = _run(model, op, [values[i] for i in op.inputs])
    return {index: value.to(torch.int8).numpy() for index, value in values.items()}


def _run(model: IntegerModel, op, sources: list[torch.Tensor]) -> torch.Tensor:
    target = model.tensors[op.output]
    if isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected):
        exact = _exact_float(op, model.tensors[op.inputs[0]].zero_point)
        centred = (sources[0] - model.tensors[op.inputs[0]].zero_point).to(exact)
        weights = torch.from_numpy(op.weights).to(exact)
        if isinstance(op, FullyConnected):
            sums = centred.flatten(1) @ weights.T
        else:
            image = _pad(centred.permute(0, 3, 1, 2), kernel_size(op), op.stride, op.padding, 0.0)
            if isinstance(op, Conv2D):
                filters, groups = weights.permute(0, 3, 1, 2), 1
            else:
                filters, groups = weights.permute(2, 0, 1).unsqueeze(1), image.shape[1]
            sums = F.conv2d(image, filters, stride=op.stride, groups=groups).permute(0, 2, 3, 1)
        accumulators = sums.to(torch.int64) + torch.from_numpy(op.bias).to(torch.int64)
        multiplier, shift = torch.tensor(output_multipliers(model, op), dtype=torch.int64).T
        scaled = multiply_by_quantized_multiplier(accumulators, multiplier, shift) + target.zero_point
    elif isinstance(op, Pool2D):
        scaled = _pool(op, sources[0])
    elif isinstance(op, Add):
        pairs = [torch.tensor(pair, dtype=torch.int64) for pair in add_multipliers(model, op)]
        first, second = (
            multiply_by_quantized_multiplier((source - model.tensors[i].zero_point) << ADD_LEFT_SHIFT, *pair)
            for source, i, pair in zip(sources, op.inputs, pairs[:2], strict=True)
        )
        scaled = multiply_by_quantized_multiplier(first + second, *pairs[2]) + target.zero_point
    elif isinstance(op, Mean):
        sums = (sources[0] - model.tensors[op.inputs[0]].zero_point).sum(dim=(1, 2))
        pair = torch.tensor(mean_multiplier(model, op), dtype=torch.int64)
        scaled = multiply_by_quantized_multiplier(sums, *pair) + target.zero_point
        scaled = scaled.reshape(-1, *target.shape)
    elif isinstance(op, Softmax):
        scaled = _softmax(sources[0], *softmax_parameters(model, op))
    elif isinstance(op, Pad):
        amounts = [amount for pair in reversed(op.paddings) for amount in pair]
        return F.pad(sources[0], amounts, value=target.zero_point)
    elif isinstance(op, Concatenation):
        return torch.cat(sources, dim=1 + op.axis)
    else:
        return sources[0].reshape(-1, *target.shape)
    activation = op.activation if isinstance(op, Activated) else "NONE"
    return scaled.clamp(*activation_range(target, activation))


def _exact_float(op: Conv2D | DepthwiseConv2D | FullyConnected, zero_point: int) -> torch.dtype:
    """Return the float type in which all sums of products of ``op`` are exact, in whatever order they are added."""
    axes = (0, 1) if isinstance(op, DepthwiseConv2D) else tuple(range(1, op.weights.ndim))
    largest = int(np.abs(op.weights.astype(np.int64)).sum(axis=axes).max()) * max(
        127 - zero_point, zero_point + 128
    )
    return torch.float32 if largest <= 2**24 else torch.float64


def _pad(image: torch.Tensor, kernel, stride, padding, value: float) -> torch.Tensor:
    """Pad N×C×H×W as TFLite does: the odd element goes after, not before."""
    amounts: list[int] = []
    for axis in (1, 0):
        size = image.shape[2 + axis]
        before, out = pad_before(size, kernel[axis], stride[axis], padding)
        amounts += [before, max((out - 1) * stride[axis] + kernel[axis] - size - before, 0)]
    return F.pad(image, amounts, value=value)


def _pool(op: Pool2D, source: torch.Tensor) -> torch.Tensor:
    image = source.permute(0, 3, 1, 2).to(torch.float64)
    if op.type == "MAX_POOL_2D":
        padded = _pad(image, op.kernel, op.stride, op.padding, float("-inf"))
        return F.max_pool2d(padded, op.kernel, op.stride).permute(0, 2, 3, 1).to(torch.int64)
    # Padding does not count: the divisor is the number of real elements under the window.
    area = F.avg_pool2d(
        _pad(torch.ones_like(image), op.kernel, op.stride, op.padding, 0.0),
        op.kernel,
        op.stride,
        divisor_override=1,
    )
    total = F.avg_pool2d(
        _pad(image, op.kernel, op.stride, op.padding, 0.0), op.kernel, op.stride, divisor_override=1
    )
    total, area = total.to(torch.int64), area.to(torch.int64)
    half = torch.where(total > 0, area // 2, -(area // 2))
    return torch.div(total + half, area, rounding_mode="trunc").permute(0, 2, 3, 1)


# --- softmax ----------------------------------------------------------------------------------------
#
# gemmlowp's fixed point: "Qi" is an int32 with i bits before the binary point and 31 − i after it. Every value
# fits int32, so a C port works line by line with 32-bit integers and 64-bit products.

_EXP_MINUS_EIGHTH = 1895147668  # Q0
_THIRD = 715827883  # Q0
_EXP_OF_BITS = {
    24: 1672461947,  # exp(−1/4), Q0: the bit of a Q5 value that stands for 1/4
    25: 1302514674,  # exp(−1/2)
    26: 790015084,  # exp(−1)
    27: 290630308,  # exp(−2)
    28: 39332535,  # exp(−4)
    29: 720401,  # exp(−8)
    30: 242,  # exp(−16)
}
_ONE_Q0 = (1 << 31) - 1
_ONE_Q2 = 1 << 29
_48_OVER_17 = 1515870810  # Q2
_MINUS_32_OVER_17 = -1010580540  # Q2


def exp_on_negative(a: torch.Tensor) -> torch.Tensor:
    """Return exp(a) in Q0 for ``a`` ≤ 0 in Q5."""
    fraction = (a & ((1 << 24) - 1)) - (1 << 24)  # of −1/4 to 0
    x = (fraction << 5) + (1 << 28)  # Q0, around −1/8, where the Taylor series is taken
    x2 = doubling_high_multiply(x, x)
    x3 = doubling_high_multiply(x2, x)
    x4 = doubling_high_multiply(x2, x2)
    high_terms = doubling_high_multiply(rounding_shift_right(x4, 2) + x3, _THIRD)
    series = x + rounding_shift_right(high_terms + x2, 1)
    result = _EXP_MINUS_EIGHTH + doubling_high_multiply(series, _EXP_MINUS_EIGHTH)
    rest = fraction - a
    for bit, factor in _EXP_OF_BITS.items():
        result = torch.where((rest >> bit) & 1 == 1, doubling_high_multiply(result, factor), result)
    return torch.where(a == 0, _ONE_Q0, result)


def reciprocal_of_one_plus(a: torch.Tensor) -> torch.Tensor:
    """Return 1 / (1 + a) in Q0 for ``a`` in Q0, 0 ≤ a < 1: three steps of Newton's division."""
    half_denominator = (a + (1 << 31)) >> 1  # Q0
    x = _48_OVER_17 + doubling_high_multiply(half_denominator, _MINUS_32_OVER_17)  # Q2
    for _ in range(3):
        error = _ONE_Q2 - doubling_high_multiply(half_denominator, x)
        x = x + _saturated(doubling_high_multiply(x, error) << 2)
    return _saturated(x << 1)


def _saturated(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(-(1 << 31), (1 << 31) - 1)


def _softmax(source: torch.Tensor, multiplier: int, shift: int, lowest: int) -> torch.Tensor:
    """Return int8 values, not yet clamped, of a SOFTMAX over the last axis: see :func:`softmax_parameters`."""
    difference = source - source.amax(dim=-1, keepdim=True)
    counts = difference >= lowest
    exps = exp_on_negative(doubling_high_multiply(difference.clamp(min=lowest) << shift, multiplier))
    sums = (rounding_shift_right(exps, 12) * counts).sum(dim=-1, keepdim=True)  # Q12, at least 1
    # 2^over ≤ sum < 2^(over + 1), so the sum's highest bit is bit 19 + over; frexp is exact below 2^53.
    over = torch.frexp(sums.to(torch.float64)).exponent.to(torch.int64) - 20
    scale = reciprocal_of_one_plus((sums << (12 - over)) - (1 << 31))
    rounded = rounding_shift_right(doubling_high_multiply(exps, scale), over + 23)
    return torch.where(counts, rounded + INT8_MIN, INT8_MIN)
