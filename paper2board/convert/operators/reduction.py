"""Operators that reduce dimensions."""

from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Constant, Operator, Written
from paper2board.convert.steps import Step, whole_inputs
from paper2board.convert.tflite_file import TfliteOperator
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.reduction import Mean


def _read_mean(source: TfliteOperator) -> dict[str, Any]:
    options = source.options()
    axes, name = source.integers(0)
    rank = 1 + len(source.source.shape)
    if rank != 4 or axes.ndim != 1 or sorted(axes % rank) != [1, 2] or np.any(np.abs(axes) >= rank):
        source.refuse(f"its axes {name} are not the height and width of an image")
    if options.KeepDims() != (len(source.target.shape) == 3):
        source.refuse("does not keep the dimensions that its options say")
    return {}


def _keeps_dimensions(model: IntegerModel, op: Mean) -> bool:
    return len(model.tensors[op.output].shape) == 3


def _write_mean(model: IntegerModel, op: Mean) -> Written:
    axes = Constant("axes", np.array((1, 2), np.int32))
    return Written((axes,), {"keepDims": _keeps_dimensions(model, op)})


def _mean_twin(tf: Any, model: IntegerModel, op: Mean, sources: list, node: str) -> Any:
    return tf.reduce_mean(sources[0], axis=(1, 2), keepdims=_keeps_dimensions(model, op), name=node)


def _mean_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Mean)
    source, target = model.tensors[step.inputs[0]], model.tensors[step.output]
    multiplier, shift = op.multiplier(model.tensors)
    fields: CFields = {
        "pixels": source.shape[0] * source.shape[1],
        "channels": source.shape[2],
        "input_zero_point": source.zero_point,
        "output_zero_point": target.zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    return fields, {}


OPERATORS = (
    Operator(
        op=Mean,
        type="MEAN",
        stem="mean",
        reads=2,
        writes=2,
        options="ReducerOptions",
        constants=(1, 1),
        read=_read_mean,
        write=_write_mean,
        twin=_mean_twin,
        operands=whole_inputs,
        kernel="p2b_mean",
        structure="p2b_mean_t",
        fields=_mean_fields,
    ),
)
