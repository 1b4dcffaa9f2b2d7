"""The int64 simulation of an IntegerModel: exact, batched, with TFLite's rounding.

Convolutions and products run in float64, whose 53-bit mantissa holds every int8 × int8 accumulation
exactly; everything else is int64.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from paper2board.integer_model import (
    ADD_LEFT_SHIFT,
    Add,
    Conv2D,
    FullyConnected,
    IntegerModel,
    Pool2D,
    activation_range,
    add_multipliers,
    output_multipliers,
    pad_before,
)


def multiply_by_quantized_multiplier(
    x: torch.Tensor, multiplier: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """TFLite's ``MultiplyByQuantizedMultiplier`` with double rounding. All tensors int64, broadcast.

    ``x`` holds int32 values. First a saturating rounding doubling high multiply (ties towards +∞), then a
    rounding right shift (ties away from zero).
    """
    left, right = shift.clamp(min=0), (-shift).clamp(min=0)
    high = ((x << left) * multiplier + (1 << 30)) >> 31
    mask = (torch.ones_like(right) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


def simulate(
    model: IntegerModel,
    inputs: np.ndarray,
    batch: int = 250,
    progress: Callable[[Iterator[int]], Iterator[int]] = iter,
) -> np.ndarray:
    """Run ``inputs`` (int8, N × the model's input shape) and return its outputs (int8, N × output shape)."""
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
    if isinstance(op, Conv2D | FullyConnected):
        centred = (sources[0] - model.tensors[op.inputs[0]].zero_point).to(torch.float64)
        weights = torch.from_numpy(op.weights).to(torch.float64)
        if isinstance(op, Conv2D):
            image = _pad(centred.permute(0, 3, 1, 2), op.weights.shape[1:3], op.stride, op.padding, 0.0)
            sums = F.conv2d(image, weights.permute(0, 3, 1, 2), stride=op.stride).permute(0, 2, 3, 1)
        else:
            sums = centred.flatten(1) @ weights.T
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
    else:
        return sources[0].reshape(-1, *target.shape)
    return scaled.clamp(*activation_range(target, op.activation))


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
