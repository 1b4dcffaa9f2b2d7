"""Operators that move values and compute nothing."""

from itertools import pairwise
from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Constant, Operator, Written
from paper2board.convert.steps import Operand, Step, row_by_row, row_bytes, rows
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import AssignVariable, Concatenation, Move, Pad, Reshape
from paper2board.model.operators.moving import Constant as ConstantOp

# --- constants and states ---------------------------------------------------------------------------


def _copy_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    return {"n": row_bytes(model, step.output)}, {}


# --- MOVE -------------------------------------------------------------------------------------------

_AXES = 4
"""P2B_MOVE_AXES."""


def _move_operands(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    source, window = step.inputs[0], _row_window(model, step)
    return (Operand(source, height=0),) if window is None else (Operand(source, 1, *window),)


def _row_window(model: IntegerModel, step: Step) -> tuple[int, int] | None:
    """Return (stride, pad) of a move whose output row y is made of input row y · stride − pad alone; else None."""
    op = step.op
    assert isinstance(op, Move)
    (first, *others), row = op.tables, row_bytes(model, step.inputs[0])
    if len(first) != rows(model, step.output) or len(first) == 1 or first[0] % row or not others:
        return None
    lowest, highest = (sum(int(end(table)) for table in others) for end in (np.min, np.max))
    steps = np.unique(np.diff(first))
    if lowest < 0 or highest >= row or len(steps) > 1 or steps[0] <= 0 or steps[0] % row:
        return None
    return int(steps[0]) // row, -int(first[0]) // row


def _moves_at_once(model: IntegerModel, step: Step) -> bool:
    return _row_window(model, step) is None


def _move_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Move)
    run, tables = _with_runs(model, step)
    while len(tables) > _AXES:
        sizes = [len(a) * len(b) for a, b in pairwise(tables)]
        least = sizes.index(min(sizes))
        tables[least : least + 2] = [np.add.outer(tables[least], tables[least + 1]).ravel()]
    tables = [np.zeros(1, np.int32)] * (_AXES - len(tables)) + tables
    lengths = tuple(len(table) for table in tables)
    offsets = np.concatenate(tables).astype(np.int32)
    return {"lengths": lengths, "run": run, "offsets": "offsets"}, {"offsets": offsets}


def _move_work(model: IntegerModel, step: Step) -> dict[str, int]:
    return {"runs": model.tensors[step.output].size // _with_runs(model, step)[0]}


def _with_runs(model: IntegerModel, step: Step) -> tuple[int, list[np.ndarray]]:
    """Return how many consecutive values the last axes of a call are together, and the offsets of the others."""
    assert isinstance(step.op, Move)
    run, others = 1, list(step.op.tables if _row_window(model, step) is None else step.op.tables[1:])
    while others and np.array_equal(others[-1], run * np.arange(len(others[-1]))):
        run *= len(others.pop())
    return run, others


def _write_move(model: IntegerModel, op: Move) -> Written:
    return Written((Constant("indices", op.indices().astype(np.int32)),), {"axis": 0}, flat=True)


# --- RESHAPE ----------------------------------------------------------------------------------------


def _write_reshape(model: IntegerModel, op: Reshape) -> Written:
    shape = (1, *model.tensors[op.output].shape)
    return Written((Constant("shape", np.array(shape, np.int32)),), {"newShape": [*shape]})


def _reshape_twin(tf: Any, model: IntegerModel, op: Reshape, sources: list, node: str) -> Any:
    return tf.reshape(sources[0], (1, *model.tensors[op.output].shape), name=node)


# --- PAD --------------------------------------------------------------------------------------------


def _write_pad(model: IntegerModel, op: Pad) -> Written:
    paddings = Constant("paddings", np.array(((0, 0), *op.paddings), np.int32))
    if op.value is None:
        return Written((paddings,))
    tensor = model.tensors[op.output]
    scales = np.array([tensor.scale], np.float32)
    value = Constant("value", np.array([op.value], np.int8), scales, zero_point=tensor.zero_point)
    return Written((paddings, value))


def _pad_twin(tf: Any, model: IntegerModel, op: Pad, sources: list, node: str) -> Any:
    return tf.pad(sources[0], ((0, 0), *op.paddings), name=node)


def _pad_operands(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    assert isinstance(step.op, Pad)
    return (Operand(step.inputs[0], pad=step.op.paddings[0][0]),)


def _pad_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Pad)
    source = model.tensors[step.inputs[0]]
    _, (left, right), (before, after) = op.paddings
    fields: CFields = {
        "left": left,
        "width": source.shape[1],
        "right": right,
        "before": before,
        "depth": source.shape[2],
        "after": after,
        "value": op.filling(model.tensors),
    }
    return fields, {}


# --- CONCATENATION ----------------------------------------------------------------------------------


def _write_concatenation(model: IntegerModel, op: Concatenation) -> Written:
    return Written(options={"axis": 1 + op.axis})


def _concatenation_twin(tf: Any, model: IntegerModel, op: Concatenation, sources: list, node: str) -> Any:
    return tf.concat(sources, 1 + op.axis, name=node)


def _concatenation_operands(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    op = step.op
    assert isinstance(op, Concatenation)
    if op.axis > 0 or len(model.tensors[step.output].shape) < 3:
        return row_by_row(model, step)
    above, operands = 0, []
    for index in op.inputs:
        operands.append(Operand(index, pad=above))
        above += rows(model, index)
    return tuple(operands)


def _concatenation_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Concatenation)
    shape = model.tensors[step.output].shape
    runs = shape[1] if len(shape) == 3 and op.axis == 2 else 1
    lengths = np.array([row_bytes(model, i) // runs for i in op.inputs], np.int32)
    return {"runs": runs, "inputs": len(lengths), "lengths": "lengths"}, {"lengths": lengths}


def _concatenation_work(model: IntegerModel, step: Step) -> dict[str, int]:
    fields, _ = _concatenation_fields(model, step, None)
    return {"runs": rows(model, step.output) * fields["runs"] * fields["inputs"]}


OPERATORS = (
    Operator(op=ConstantOp, type="CONSTANT", stem="constant", writes=0),
    Operator(
        op=Move,
        type="GATHER",
        stem="move",
        writes=2,
        options="GatherOptions",
        write=_write_move,
        operands=_move_operands,
        at_once=_moves_at_once,
        kernel="p2b_move",
        structure="p2b_move_t",
        fields=_move_fields,
        work=_move_work,
    ),
    Operator(
        op=AssignVariable,
        type="ASSIGN_VARIABLE",
        stem="state",
        writes=1,
        kernel="p2b_copy",
        structure="p2b_copy_t",
        fields=_copy_fields,
    ),
    Operator(
        op=Reshape,
        type="RESHAPE",
        stem="flatten",
        writes=1,
        options="ReshapeOptions",
        write=_write_reshape,
        twin=_reshape_twin,
        view=True,
    ),
    Operator(
        op=Pad,
        type="PAD",
        stem="pad",
        writes=2,
        options="PadOptions",
        write=_write_pad,
        twin=_pad_twin,
        operands=_pad_operands,
        kernel="p2b_pad",
        structure="p2b_pad_t",
        fields=_pad_fields,
    ),
    Operator(
        op=Concatenation,
        type="CONCATENATION",
        stem="concat",
        writes=2,
        options="ConcatenationOptions",
        write=_write_concatenation,
        twin=_concatenation_twin,
        operands=_concatenation_operands,
        kernel="p2b_concatenation",
        structure="p2b_concatenation_t",
        fields=_concatenation_fields,
        work=_concatenation_work,
    ),
)
