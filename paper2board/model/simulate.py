"""The int64 simulation of an IntegerModel: exact, batched, with TFLite's rounding.

Convolutions and products run in the narrowest float that holds each of their sums exactly, all else in int64.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Stateful


def simulate(
    model: IntegerModel,
    inputs: np.ndarray,
    batch: int = 16,
    progress: Callable[[Iterator[int]], Iterator[int]] = iter,
) -> np.ndarray:
    """Run ``inputs`` (int8, N × the model's input shape) and return its outputs (int8, N × output shape).

    For a model with one int8 input and output. A small ``batch`` keeps the int64 activations of one layer in the
    processor's cache. A model with state gets the inputs one after the other.
    """
    source, target, memory = model.input, model.output, initial_states(model)
    batch = 1 if model.states else batch
    starts = progress(range(0, len(inputs), batch))  # type: ignore[arg-type]
    return np.concatenate(
        [activations(model, {source: inputs[i : i + batch]}, memory)[target] for i in starts]
    )


def run(model: IntegerModel, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run N inferences, one after the other, from the initial state: for each input of the model N × its shape of
    its type, and the same for each output."""
    source = {
        port.tensor: port.quantized(model.tensors[port.tensor], values)
        for port, values in zip(model.inputs, inputs, strict=True)
    }
    memory, results = initial_states(model), []
    for i in range(len(inputs[0])):
        results.append(activations(model, {tensor: v[i : i + 1] for tensor, v in source.items()}, memory))
    return [
        port.dequantized(model.tensors[port.tensor], np.concatenate([r[port.tensor] for r in results]))
        for port in model.outputs
    ]


def initial_states(model: IntegerModel) -> dict[int, np.ndarray]:
    """Return the first content of the model's states (tensor read → int8, 1 × shape)."""
    return {state.read: state.initial[np.newaxis] for state in model.states}


def activations(
    model: IntegerModel, inputs: dict[int, np.ndarray], memory: dict[int, np.ndarray] | None = None
) -> dict[int, np.ndarray]:
    """Return every tensor of the model (index → int8, N × shape) for a batch of inputs (tensor → int8).

    ``memory`` is the content of the states, 1 × shape, for N = 1; it is replaced by that for the next inference.
    """
    given = inputs | (memory or {})
    values = {tensor: torch.from_numpy(value).to(torch.int64) for tensor, value in given.items()}
    count = max(map(len, given.values()))
    with torch.inference_mode():
        for op in model.ops:
            sources = [values[i] for i in op.inputs]
            if isinstance(op, Stateful):
                each = [op.advance(model.tensors, [s[i : i + 1] for s in sources]) for i in range(count)]
                values[op.output] = torch.cat([output for output, _ in each])
                changed = zip(*(states for _, states in each), strict=True)
                values |= zip(op.states, map(torch.cat, changed), strict=True)
            else:
                output = op.simulate(model.tensors, sources)
                # Constants are there once.
                values[op.output] = output.expand(count, *output.shape[1:])
    result = {index: value.to(torch.int8).numpy() for index, value in values.items()}
    if memory is not None:
        memory |= {state.read: result[state.written] for state in model.states}
    return result
