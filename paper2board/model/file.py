"""IntegerModel as one safetensors file: arrays, and the graph as JSON in its header."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes
from paper2board.model.integer_model import IntegerModel, State
from paper2board.model.operators import OPERATORS
from paper2board.model.operators.operator import Op
from paper2board.model.port import Port
from paper2board.model.tensor import Tensor


def write(model: IntegerModel, path: str | Path) -> None:
    """Write ``model`` to ``path``. Same model, same bytes."""
    arrays: dict[str, np.ndarray] = {}
    ops = []
    for index, op in enumerate(model.ops):
        plain = dict(vars(op))
        for key in _arrays(type(op)):
            arrays[f"{index}.{key}"] = np.ascontiguousarray(plain.pop(key))
        ops.append(plain | {"type": op.type})
    graph = {
        "name": model.name,
        "tensors": [asdict(tensor) for tensor in model.tensors],
        "ops": ops,
        "inputs": [asdict(port) for port in model.inputs],
        "outputs": [asdict(port) for port in model.outputs],
        "states": [(state.read, state.written) for state in model.states],
        "metadata": model.metadata,
    }
    for index, state in enumerate(model.states):
        arrays[f"state.{index}"] = np.ascontiguousarray(state.initial)
    write_bytes(path, save(arrays, metadata={"integer_model": json.dumps(graph)}))


def read(path: str | Path) -> IntegerModel:
    """Read a model written by :func:`write`; raise :class:`UserError` if the file is not one."""
    try:
        with safe_open(path, framework="numpy") as stream:
            graph = json.loads((stream.metadata() or {})["integer_model"])
            ops = []
            for index, plain in enumerate(graph["ops"]):
                values: dict[str, Any] = {key: _tuples(value) for key, value in plain.items()}
                kind = OPERATORS[values["type"]]
                if "type" not in {item.name for item in fields(kind)}:  # type: ignore[arg-type]
                    del values["type"]
                values |= {key: stream.get_tensor(f"{index}.{key}") for key in _arrays(kind)}
                ops.append(kind(**values))
            states = tuple(
                State(read, written, stream.get_tensor(f"state.{index}"))
                for index, (read, written) in enumerate(graph["states"])
            )
        inputs, outputs = (tuple(Port(**item) for item in graph[key]) for key in ("inputs", "outputs"))
        tensors = tuple(Tensor(**(item | {"shape": tuple(item["shape"])})) for item in graph["tensors"])
        return IntegerModel(graph["name"], tensors, tuple(ops), inputs, outputs, graph["metadata"], states)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not an IntegerModel ({error!r}); delete it and run the workflow again"
        ) from error


def _arrays(kind: type[Op]) -> list[str]:
    """Return the names of an operator's fields that are arrays."""
    return [item.name for item in fields(kind) if item.type is np.ndarray]  # type: ignore[arg-type]


def _tuples(value):
    """Return JSON's lists, which stand for tuples, as such."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
