"""The golden reference: an int8 ``.tflite`` in the TFLite Micro interpreter (PyPI ``tflite-micro``)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro.runtime import Interpreter

from paper2board.convert.tflite_import import DAMAGE, read_tflite
from paper2board.core.errors import UserError
from paper2board.core.stderr import captured_stderr

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

    ``source`` is the ``.tflite`` file's path or bytes; ``progress`` wraps the iteration over the N inputs
    (``tqdm.tqdm`` fits). Raises UserError for a file that :func:`read_tflite` refuses: the interpreter itself
    does not survive a damaged one.
    """
    model, interpreter = _load(source)
    shape = model.tensors[model.input].shape
    if inputs.dtype != np.int8 or inputs.shape[1:] != shape:
        raise ValueError(f"inputs are {inputs.dtype} {inputs.shape}, not int8 (N, *{shape})")
    outputs = np.empty((len(inputs), *model.tensors[model.output].shape), np.int8)
    for i in progress(range(len(inputs))):  # type: ignore[arg-type]
        interpreter.set_input(inputs[i : i + 1], 0)
        interpreter.invoke()
        outputs[i] = interpreter.get_output(0)[0]
    return outputs


def arena(source: str | Path | bytes) -> Arena:
    """Return the arena figures that TFLite Micro prints after one inference on zeros."""
    model, interpreter = _load(source)
    interpreter.set_input(np.zeros((1, *model.tensors[model.input].shape), np.int8), 0)
    interpreter.invoke()
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
