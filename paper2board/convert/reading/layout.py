"""Moves of values that a file has and a network does not need.

Converters from PyTorch's order of axes to TFLite's leave pairs of TRANSPOSE that take each other back, with
functions of single values between them.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from paper2board.model.operators.elementwise import Tabulated
from paper2board.model.operators.moving import Move, Reshape
from paper2board.model.operators.operator import Op, Stateful
from paper2board.model.tensor import Tensor


def tidied(ops: list[Op], tensors: list[Tensor], kept: set[int]) -> list[Op]:
    """Return the ops without moves that cancel, and without what nothing reads.

    ``kept`` are the tensors that somebody outside reads. A tensor may be added to ``tensors``.
    """
    ops = _without_dead(_functions_first(ops, tensors, kept), kept)
    return _without_dead(_cancelled(ops, tensors), kept)


def _functions_first(ops: list[Op], tensors: list[Tensor], kept: set[int]) -> list[Op]:
    """Exchange each function of single values with a move before it, so that moves come together."""
    result: list[Op] = []
    readers = Counter(tensor for op in ops for tensor in op.inputs)
    made: dict[int, Op] = {}
    for op in ops:
        before = made.get(op.inputs[0]) if isinstance(op, Tabulated) else None
        if isinstance(before, Move) and readers[before.output] == 1 and before.output not in kept:
            source = tensors[before.inputs[0]]
            if tensors[op.output].size >= source.size:
                tensors.append(replace(tensors[op.output], shape=source.shape))
                inner = len(tensors) - 1
                result.append(replace(op, inputs=before.inputs, output=inner))  # type: ignore[type-var]
                op = replace(before, inputs=(inner,), output=op.output)
                readers[inner] = 1
        made[op.output] = op
        result.append(op)
    return result


def _cancelled(ops: list[Op], tensors: list[Tensor]) -> list[Op]:
    """Make a view of each move that takes back the one before it."""
    result: list[Op] = []
    made: dict[int, Op] = {}
    for op in ops:
        if isinstance(op, Move):
            before = _maker(made, op.inputs[0])
            if isinstance(before, Move) and tensors[before.inputs[0]].size == tensors[op.output].size:
                places = before.indices()[op.indices()]
                if np.array_equal(places, np.arange(len(places))):
                    op = Reshape(op.name, before.inputs, op.output)
        made[op.output] = op
        result.append(op)
    return result


def _maker(made: dict[int, Op], tensor: int) -> Op | None:
    """Return the op that computes a tensor, seen through views."""
    while isinstance(op := made.get(tensor), Reshape):
        tensor = op.inputs[0]
    return op


def _without_dead(ops: list[Op], kept: set[int]) -> list[Op]:
    needed, result = set(kept), []
    for op in reversed(ops):
        if op.output in needed or (isinstance(op, Stateful) and needed.intersection(op.states)):
            needed.update(op.inputs)
            result.append(op)
    return result[::-1]
