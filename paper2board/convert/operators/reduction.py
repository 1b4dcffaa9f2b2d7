"""Operators that reduce dimensions. A file's are read by :mod:`paper2board.convert.reading.reductions`."""

from typing import Any

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Constant, Operator, Written, all_at_once
from paper2board.convert.steps import Step, whole_inputs
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.reduction import ArgMax, ArgMin, Mean, ReduceMin, Reduction, Sum


def _keeps_dimensions(model: IntegerModel, op: Reduction) -> bool:
    return len(model.tensors[op.output].shape) == len(model.tensors[op.inputs[0]].shape)


def _axes(op: Reduction) -> tuple[int, ...]:
    """Return the axes with the batch before them."""
    return tuple(1 + axis for axis in op.axes)


def _write(model: IntegerModel, op: Reduction) -> Written:
    axes = Constant("axes", np.array(_axes(op), np.int32))
    return Written((axes,), {"keepDims": _keeps_dimensions(model, op)})


def _mean_twin(tf: Any, model: IntegerModel, op: Mean, sources: list, node: str) -> Any:
    return tf.reduce_mean(sources[0], axis=_axes(op), keepdims=_keeps_dimensions(model, op), name=node)


def _sizes(model: IntegerModel, op: Reduction) -> CFields:
    return dict(zip(("groups", "pixels", "channels"), op.sizes(model.tensors), strict=True))


def _sum_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Sum)
    source, target = model.tensors[step.inputs[0]], model.tensors[step.output]
    multiplier, shift = op.multiplier(model.tensors)
    fields: CFields = {
        "input_zero_point": source.zero_point,
        "output_zero_point": target.zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    return _sizes(model, op) | fields, {}


def _min_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    assert isinstance(step.op, ReduceMin)
    return _sizes(model, step.op), {}


def _write_arg(model: IntegerModel, op: ArgMax) -> Written:
    (axis,) = _axes(op)
    shape = (1, *model.tensors[op.inputs[0]].shape)
    return Written(
        (Constant("axis", np.array(axis, np.int32)),),
        {"outputType": schema.TensorType.INT32},
        indices=shape[:axis] + shape[axis + 1 :],
    )


def _arg_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    assert isinstance(step.op, ArgMax)
    return _sizes(model, step.op) | {"least": int(isinstance(step.op, ArgMin))}, {}


def _arg_row(kind: type[ArgMax], options: str) -> Operator:
    return Operator(
        op=kind,
        type=kind.type,
        stem=kind.type.lower().replace("_", ""),
        writes=1,
        options=options,
        write=_write_arg,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_arg_extremum",
        structure="p2b_arg_extremum_t",
        fields=_arg_fields,
    )


OPERATORS = (
    Operator(
        op=Sum,
        type="SUM",
        stem="sum",
        writes=2,
        options="ReducerOptions",
        write=_write,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_mean",
        structure="p2b_mean_t",
        fields=_sum_fields,
    ),
    Operator(
        op=Mean,
        type="MEAN",
        stem="mean",
        writes=2,
        options="ReducerOptions",
        write=_write,
        twin=_mean_twin,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_mean",
        structure="p2b_mean_t",
        fields=_sum_fields,
    ),
    Operator(
        op=ReduceMin,
        type="REDUCE_MIN",
        stem="min",
        writes=2,
        options="ReducerOptions",
        write=_write,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_reduce_min",
        structure="p2b_reduce_t",
        fields=_min_fields,
    ),
    _arg_row(ArgMax, "ArgMaxOptions"),
    _arg_row(ArgMin, "ArgMinOptions"),
)
