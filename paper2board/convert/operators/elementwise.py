"""Functions of one int8: tables."""

from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Operator, Written
from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Step, row_bytes
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.elementwise import (
    Abs,
    Elu,
    FloatFunction,
    Gelu,
    HardSwish,
    LeakyRelu,
    Logistic,
    Quantize,
    Relu,
    Relu6,
    Rsqrt,
    Tabulated,
    Tanh,
)


def _fields(model: IntegerModel, step: Step, packed: Packed | None) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Tabulated)
    return table_fields(model, step, op.table(model.tensors))


def table_fields(model: IntegerModel, step: Step, table: np.ndarray) -> tuple[CFields, dict[str, np.ndarray]]:
    """Return the fields of ``p2b_table_t`` for a step that is a function of one int8."""
    return {"n": row_bytes(model, step.output), "table": "table"}, {"table": table}


_TABULATED: dict[str, Any] = {
    "kernel": "p2b_table",
    "structure": "p2b_table_t",
    "fields": _fields,
}
"""What all functions of one int8 have in common."""


def _logistic_twin(tf: Any, model: IntegerModel, op: Logistic, sources: list, node: str) -> Any:
    return tf.sigmoid(sources[0], name=node)


def _read_leaky_relu(source: TfliteOperator) -> dict[str, Any]:
    return {"alpha": float(source.options().Alpha())}


def _write_leaky_relu(model: IntegerModel, op: LeakyRelu) -> Written:
    return Written(options={"alpha": op.alpha})


def _read_gelu(source: TfliteOperator) -> dict[str, Any]:
    return {"approximate": bool(source.options().Approximate())}


def _write_gelu(model: IntegerModel, op: Gelu) -> Written:
    return Written(options={"approximate": op.approximate})


OPERATORS = (
    Operator(
        op=Logistic,
        type="LOGISTIC",
        stem="logistic",
        reads=2,
        writes=2,
        twin=_logistic_twin,
        **_TABULATED,
    ),
    Operator(op=FloatFunction, type="FLOAT_FUNCTION", stem="function", reads=0, writes=0, **_TABULATED),
    Operator(op=Tanh, type="TANH", stem="tanh", reads=2, writes=2, **_TABULATED),
    Operator(
        op=HardSwish,
        type="HARD_SWISH",
        stem="hard_swish",
        reads=1,
        writes=1,
        options="HardSwishOptions",
        **_TABULATED,
    ),
    Operator(op=Relu, type="RELU", stem="relu", reads=2, writes=2, **_TABULATED),
    Operator(op=Relu6, type="RELU6", stem="relu6", reads=2, writes=2, **_TABULATED),
    Operator(
        op=LeakyRelu,
        type="LEAKY_RELU",
        stem="leaky_relu",
        reads=2,
        writes=2,
        options="LeakyReluOptions",
        read=_read_leaky_relu,
        write=_write_leaky_relu,
        **_TABULATED,
    ),
    Operator(op=Elu, type="ELU", stem="elu", reads=1, writes=1, **_TABULATED),
    Operator(
        op=Gelu,
        type="GELU",
        stem="gelu",
        reads=2,
        writes=2,
        options="GeluOptions",
        read=_read_gelu,
        write=_write_gelu,
        **_TABULATED,
    ),
    Operator(op=Abs, type="ABS", stem="abs", reads=2, writes=2, options="AbsOptions", **_TABULATED),
    Operator(op=Rsqrt, type="RSQRT", stem="rsqrt", reads=2, writes=2, **_TABULATED),
    Operator(
        op=Quantize,
        type="QUANTIZE",
        stem="quantize",
        reads=2,
        writes=1,
        options="QuantizeOptions",
        **_TABULATED,
    ),
)
