"""Matrix products of two tensors. A file's are read by :mod:`paper2board.convert.reading.products`."""

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Operator, Written, all_at_once
from paper2board.convert.steps import Step, whole_inputs
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.products import BatchMatMul


def _write(model: IntegerModel, op: BatchMatMul) -> Written:
    return Written(options={"adjX": False, "adjY": True})


def _fields(model: IntegerModel, step: Step, packed: Packed | None) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, BatchMatMul)
    left, right = (model.tensors[i] for i in step.inputs)
    multiplier, shift = op.multiplier(model.tensors)
    fields: CFields = {
        "batches": left.shape[0],
        "rows": left.shape[1],
        "columns": right.shape[1],
        "depth": left.shape[2],
        "zero_point_1": left.zero_point,
        "zero_point_2": right.zero_point,
        "output_zero_point": model.tensors[step.output].zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    return fields, {}


def _work(model: IntegerModel, step: Step) -> dict[str, int]:
    return {"macs": model.tensors[step.output].size * model.tensors[step.inputs[0]].shape[2]}


OPERATORS = (
    Operator(
        op=BatchMatMul,
        type="BATCH_MATMUL",
        stem="product",
        writes=4,
        options="BatchMatMulOptions",
        write=_write,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_batch_matmul",
        structure="p2b_batch_matmul_t",
        fields=_fields,
        work=_work,
    ),
)
