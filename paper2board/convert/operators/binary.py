"""Operators over two tensors, element by element."""

from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.elementwise import table_fields
from paper2board.convert.operators.registry import CFields, Operator, Written
from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Operand, Step, row_bytes, rows
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import (
    Add,
    Binary,
    CommonScale,
    Extremum,
    Maximum,
    Minimum,
    Mul,
    Prelu,
    SquaredDifference,
    Sub,
)
from paper2board.model.operators.elementwise import INT8_VALUES
from paper2board.model.operators.moving import Constant
from paper2board.model.operators.operator import Activated

_Parts = tuple[CFields, dict[str, np.ndarray]]


def _read_activated(source: TfliteOperator) -> dict[str, Any]:
    return {"activation": source.activation(source.options())}


def _write_activated(model: IntegerModel, op: Activated) -> Written:
    return Written(options={"fusedActivationFunction": op.activation})


def _add_twin(tf: Any, model: IntegerModel, op: Add, sources: list, node: str) -> Any:
    return tf.add(*sources, name=node)


def _single_constant(model: IntegerModel, op: Binary) -> tuple[int, int] | None:
    """Return which operand is a constant of one value, and the value; None if none is, or the other one repeats."""
    for number, tensor in enumerate(op.inputs):
        other = model.tensors[op.inputs[1 - number]]
        if model.tensors[tensor].size > 1 or other.shape != model.tensors[op.output].shape:
            continue
        for constant in model.ops:
            if isinstance(constant, Constant) and constant.output == tensor:
                return number, int(constant.values.item())
    return None


def _operands(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    """Return an operand's same row, or all of what repeats from row to row."""
    op = step.op
    assert isinstance(op, Binary)
    constant, count = _single_constant(model, op), rows(model, op.output)
    return tuple(
        Operand(tensor, height=1 if rows(model, tensor) == count else 0)
        for number, tensor in enumerate(op.inputs)
        if constant is None or constant[0] != number
    )


def _table(model: IntegerModel, step: Step, packed: Packed | None) -> _Parts | None:
    """Return the parts of a table if one operand is a constant of one value."""
    op = step.op
    assert isinstance(op, Binary)
    if (constant := _single_constant(model, op)) is None:
        return None
    number, value = constant
    operands = [INT8_VALUES, INT8_VALUES]
    operands[number] = np.full_like(INT8_VALUES, value)
    return table_fields(model, step, op.combined(model.tensors, *operands).astype(np.int8))


def _axes(model: IntegerModel, op: Binary) -> CFields:
    """Return the two axes of an output's row, along which operands advance or repeat."""
    target = model.tensors[op.output].shape
    sources = [model.tensors[i].shape for i in op.inputs]
    if sources[0] == sources[1]:
        # One axis is enough.
        advance = {"outer_1": 0, "inner_1": 1, "outer_2": 0, "inner_2": 1}
        return {"outer": 1, "inner": row_bytes(model, op.output), **advance}
    lengths = (1, 1, *target)[-2:]
    fields: CFields = dict(zip(("outer", "inner"), lengths, strict=True))
    for number, shape in enumerate(sources, 1):
        outer, inner = (1, 1, *shape)[-2:]
        fields |= {f"outer_{number}": inner if outer > 1 else 0, f"inner_{number}": int(inner > 1)}
    return fields


def _limits(model: IntegerModel, op: Binary) -> CFields:
    low, high = op.output_range(model.tensors) if isinstance(op, Activated) else (-128, 127)
    return {"zero_point": model.tensors[op.output].zero_point, "low": low, "high": high}


def _common_scale_fields(model: IntegerModel, step: Step, packed: Packed | None) -> _Parts:
    op = step.op
    assert isinstance(op, CommonScale)
    multiplier, shift = op.multipliers(model.tensors)[2]
    first, second = (table.astype(np.int32) for table in op.tables(model.tensors))
    same = np.array_equal(first, second)
    fields: CFields = {
        "axes": _axes(model, op),
        "table_1": "table_1",
        "table_2": "table_1" if same else "table_2",
        "multiplier": multiplier,
        "shift": -shift,
        **_limits(model, op),
    }
    return fields, {"table_1": first} if same else {"table_1": first, "table_2": second}


def _mul_fields(model: IntegerModel, step: Step, packed: Packed | None) -> _Parts:
    op = step.op
    assert isinstance(op, Mul)
    multiplier, shift = op.multiplier(model.tensors)
    return {
        "axes": _axes(model, op),
        **_zero_points(model, op),
        "multiplier": multiplier,
        "shift": shift,
        **_limits(model, op),
    }, {}


def _prelu_fields(model: IntegerModel, step: Step, packed: Packed | None) -> _Parts:
    op = step.op
    assert isinstance(op, Prelu)
    above, below = op.multipliers(model.tensors)
    return {
        "axes": _axes(model, op),
        **_zero_points(model, op),
        "multiplier_above": above[0],
        "shift_above": above[1],
        "multiplier_below": below[0],
        "shift_below": below[1],
        "zero_point": model.tensors[op.output].zero_point,
    }, {}


def _zero_points(model: IntegerModel, op: Binary) -> CFields:
    return {f"zero_point_{i}": model.tensors[tensor].zero_point for i, tensor in enumerate(op.inputs, 1)}


def _extremum_fields(model: IntegerModel, step: Step, packed: Packed | None) -> _Parts:
    op = step.op
    assert isinstance(op, Extremum)
    return {"axes": _axes(model, op), "sign": op.SIGN}, {}


def _work(model: IntegerModel, step: Step) -> dict[str, int]:
    assert isinstance(step.op, Binary)
    axes, size = _axes(model, step.op), model.tensors[step.output].size
    repeats = not axes["inner_1"] * axes["inner_2"]
    return {"lines": size // axes["inner"], "dots": size * repeats}


_BINARY: dict[str, Any] = {"operands": _operands, "table": _table, "work": _work}
"""What all have in common."""
_ACTIVATED: dict[str, Any] = _BINARY | {"read": _read_activated, "write": _write_activated}

OPERATORS = (
    Operator(
        op=Add,
        type="ADD",
        stem="add",
        reads=2,
        writes=2,
        options="AddOptions",
        twin=_add_twin,
        kernel="p2b_add",
        structure="p2b_add_t",
        fields=_common_scale_fields,
        **_ACTIVATED,
    ),
    Operator(
        op=Sub,
        type="SUB",
        stem="sub",
        reads=3,
        writes=2,
        options="SubOptions",
        kernel="p2b_add",
        structure="p2b_add_t",
        fields=_common_scale_fields,
        **_ACTIVATED,
    ),
    Operator(
        op=Mul,
        type="MUL",
        stem="mul",
        reads=3,
        writes=2,
        options="MulOptions",
        kernel="p2b_mul",
        structure="p2b_mul_t",
        fields=_mul_fields,
        **_ACTIVATED,
    ),
    Operator(
        op=Prelu,
        type="PRELU",
        stem="prelu",
        reads=1,
        writes=1,
        kernel="p2b_prelu",
        structure="p2b_prelu_t",
        fields=_prelu_fields,
        **_BINARY,
    ),
    Operator(
        op=SquaredDifference,
        type="SQUARED_DIFFERENCE",
        stem="squared_difference",
        reads=2,
        writes=2,
        options="SquaredDifferenceOptions",
        kernel="p2b_squared_difference",
        structure="p2b_add_t",
        fields=_common_scale_fields,
        **_BINARY,
    ),
    *(
        Operator(
            op=kind,
            type=kind.type,
            stem=kind.type.lower(),
            reads=2,
            writes=2,
            options="MaximumMinimumOptions",
            kernel="p2b_extremum",
            structure="p2b_extremum_t",
            fields=_extremum_fields,
            **_BINARY,
        )
        for kind in (Maximum, Minimum)
    ),
)
