"""The int64 simulation of an IntegerModel: exact, batched, with TFLite's rounding.

Convolutions and products run in the narrowest float that holds each of their sums exactly, all else in int64.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from paper2board.model.integer_model import IntegerModel


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
            values[op.output] = op.simulate(model.tensors, [values[i] for i in op.inputs])
    return {index: value.to(torch.int8).numpy() for index, value in values.items()}
