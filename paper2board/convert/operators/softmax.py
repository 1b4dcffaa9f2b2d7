"""SOFTMAX and LOG_SOFTMAX."""

import math
from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Operator, Written
from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Step, row_bytes
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.softmax import LogSoftmax, Softmax


def _read(source: TfliteOperator) -> dict[str, Any]:
    return {"beta": source.options().Beta()}


def _write(model: IntegerModel, op: Softmax) -> Written:
    return Written(options={"beta": op.beta})


def _twin(tf: Any, model: IntegerModel, op: Softmax, sources: list, node: str) -> Any:
    x = sources[0]
    return tf.nn.softmax(x if op.beta == 1 else x * op.beta, name=node)


def _fields(model: IntegerModel, step: Step, packed: Packed | None) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Softmax | LogSoftmax)
    multiplier, shift, lowest = op.parameters(model.tensors)
    depth = model.tensors[step.output].shape[-1]
    fields: CFields = {
        "pixels": row_bytes(model, step.output) // depth,
        "depth": depth,
        "multiplier": multiplier,
        "shift": shift,
        "diff_min": lowest,
    }
    return fields, {}


def _log_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, LogSoftmax)
    multiplier, shift = op.reverse(model.tensors)
    exponentials = _fields(model, step, packed)[0]
    return {"exp": exponentials, "reverse_multiplier": multiplier, "reverse_shift": shift}, {}


def _work(model: IntegerModel, step: Step) -> dict[str, int]:
    op, target = step.op, model.tensors[step.output]
    assert isinstance(op, Softmax | LogSoftmax)
    # Which values are too small to count depends on the input; these are as many as of uniform values.
    counting = min(1.0, -op.parameters(model.tensors)[2] / 255)
    return {"dots": round(target.size * counting), "lines": math.prod(target.shape[:-1])}


OPERATORS = (
    Operator(
        op=Softmax,
        type="SOFTMAX",
        stem="softmax",
        reads=2,
        writes=2,
        options="SoftmaxOptions",
        read=_read,
        write=_write,
        twin=_twin,
        kernel="p2b_softmax",
        structure="p2b_softmax_t",
        fields=_fields,
        work=_work,
    ),
    Operator(
        op=LogSoftmax,
        type="LOG_SOFTMAX",
        stem="logsoftmax",
        reads=2,
        writes=2,
        options="LogSoftmaxOptions",
        kernel="p2b_log_softmax",
        structure="p2b_log_softmax_t",
        fields=_log_fields,
        work=_work,
    ),
)
