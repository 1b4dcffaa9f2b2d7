"""The golden reference: an int8 ``.tflite`` in the TFLite Micro interpreter (PyPI ``tflite-micro``)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro.runtime import Interpreter

from paper2board.convert.tflite_import import DAMAGE, read_tflite
from paper2board.core.errors import UserError
from paper2board.core.stderr import captured_stderr
from paper2board.model.integer_model import IntegerModel

_TOTAL = re.compile(rb"Arena allocation (total|head|tail) (\d+) bytes")
_SECTION = re.compile(rb"'(.+?)' used (\d+) bytes")


@dataclass(frozen=True)
class Arena:
    """What TFLite Micro allocates for a model, in bytes, **on this 64-bit host**: an upper bound for a
    32-bit board, whose pointers and structures are smaller."""

    total: int
    head: int
    """Activations and scratch buffers, reused from layer to layer."""
    tail: int
    """What stays: node and tensor structures, quantization parameters, kernel data."""
    sections: dict[str, int]
    """The tail's parts by TFLite Micro's own names."""


def run(
    source: str | Path | bytes,
    inputs: np.ndarray,
    progress: Callable[[Iterator[int]], Iterator[int]] = iter,
) -> np.ndarray:
    """Run ``inputs`` (int8, N × the model's input shape) one by one; return int8, N × output shape.

    ``source`` is the path or bytes of a ``.tflite`` file with one int8 input and output; ``progress`` wraps the
    iteration over the N inputs (``tqdm.tqdm`` fits). Raises UserError for a file that :func:`read_tflite`
    refuses: the interpreter itself does not survive a damaged one.
    """
    model, interpreter = _load(source)
    shape = model.tensors[model.input].shape
    if inputs.dtype != np.int8 or inputs.shape[1:] != shape:
        raise ValueError(f"inputs are {inputs.dtype} {inputs.shape}, not int8 (N, *{shape})")
    return _run(model, interpreter, [inputs], progress)[0]


def run_all(source: str | Path | bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run N inferences, one after the other: for each input N × its shape of its type, and the same for each
    output.

    Raises as :func:`run` does.
    """
    model, interpreter = _load(source)
    return _run(model, interpreter, inputs, iter)


def _run(
    model: IntegerModel,
    interpreter: Interpreter,
    inputs: Sequence[np.ndarray],
    progress: Callable[[Iterator[int]], Iterator[int]],
) -> list[np.ndarray]:
    count = len(inputs[0])
    outputs = [np.empty((count, *model.tensors[p.tensor].shape), p.dtype) for p in model.outputs]
    for i in progress(range(count)):  # type: ignore[arg-type]
        for number, values in enumerate(inputs):
            shape = interpreter.get_input_details(number)["shape"]
            interpreter.set_input(np.ascontiguousarray(values[i]).reshape(shape), number)
        interpreter.invoke()
        for number, results in enumerate(outputs):
            results[i] = np.reshape(interpreter.get_output(number), results.shape[1:])
    return outputs


def arena(source: str | Path | bytes) -> Arena:
    """Return the arena figures that TFLite Micro prints after one inference on zeros."""
    model, interpreter = _load(source)
    zeros = [np.zeros((1, *model.tensors[port.tensor].shape), port.dtype) for port in model.inputs]
    _run(model, interpreter, zeros, iter)
    with captured_stderr() as stream:
        interpreter.print_allocations()
        stream.seek(0)
        text = stream.read()
    totals = {key.decode(): int(value) for key, value in _TOTAL.findall(text)}
    sections = {key.decode(): int(value) for key, value in _SECTION.findall(text)}
    return Arena(totals["total"], totals["head"], totals["tail"], sections)


def _load(source: str | Path | bytes):
    model = read_tflite(source)
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    # The interpreter needs every activation at once at most, and structures for each op and channel.
    arena_bytes = (1 << 20) + 10 * len(data) + 4 * sum(tensor.size for tensor in model.tensors)
    with captured_stderr() as stream:
        try:
            return model, Interpreter.from_bytes(data, arena_size=arena_bytes)
        # The wrapper walks the whole file in Python first, also through what read_tflite had no use for.
        except (RuntimeError, *DAMAGE) as error:
            stream.seek(0)
            said = " ".join(stream.read().decode(errors="replace").split())[:300]
            raise UserError(
                f"{source if not isinstance(source, bytes) else 'the .tflite file'}: TFLite Micro refuses it"
                f" ({said or error}); convert the network again"
            ) from error
