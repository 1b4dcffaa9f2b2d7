"""Operators that work element by element."""

from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Operator, Written
from paper2board.convert.steps import Step, row_bytes
from paper2board.convert.tflite_file import TfliteOperator
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.elementwise import Add, Logistic, Tabulated


def _read_add(source: TfliteOperator) -> dict[str, Any]:
    return {"activation": source.activation(source.options())}


def _write_add(model: IntegerModel, op: Add) -> Written:
    return Written(options={"fusedActivationFunction": op.activation})


def _add_twin(tf: Any, model: IntegerModel, op: Add, sources: list, node: str) -> Any:
    return tf.add(*sources, name=node)


def _add_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Add)
    low, high = op.output_range(model.tensors)
    multiplier, shift = op.multipliers(model.tensors)[2]
    first, second = (table.astype(np.int32) for table in op.tables(model.tensors))
    same = np.array_equal(first, second)
    fields: CFields = {
        "n": row_bytes(model, step.output),
        "table_1": "table_1",
        "table_2": "table_1" if same else "table_2",
        "multiplier": multiplier,
        "shift": -shift,
        "zero_point": model.tensors[step.output].zero_point,
        "low": low,
        "high": high,
    }
    return fields, {"table_1": first} if same else {"table_1": first, "table_2": second}


def _tabulated_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Tabulated)
    return {"n": row_bytes(model, step.output), "table": "table"}, {"table": op.table(model.tensors)}


_TABULATED: dict[str, Any] = {
    "kernel": "p2b_table",
    "structure": "p2b_table_t",
    "fields": _tabulated_fields,
}
"""What all functions of one int8 have in common."""


def _logistic_twin(tf: Any, model: IntegerModel, op: Logistic, sources: list, node: str) -> Any:
    return tf.sigmoid(sources[0], name=node)


OPERATORS = (
    Operator(
        op=Add,
        type="ADD",
        stem="add",
        reads=2,
        writes=2,
        options="AddOptions",
        read=_read_add,
        write=_write_add,
        twin=_add_twin,
        kernel="p2b_add",
        structure="p2b_add_t",
        fields=_add_fields,
    ),
    Operator(
        op=Logistic,
        type="LOGISTIC",
        stem="logistic",
        reads=2,
        writes=2,
        twin=_logistic_twin,
        **_TABULATED,
    ),
)
