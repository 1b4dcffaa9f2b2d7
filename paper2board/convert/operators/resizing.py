"""Operators that interpolate between pixels. A file's are read by :mod:`paper2board.convert.reading.spaces`."""

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Constant, Operator, Written, all_at_once
from paper2board.convert.steps import Step, whole_inputs
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.resizing import ResizeBilinear


def _write(model: IntegerModel, op: ResizeBilinear) -> Written:
    size = Constant("size", np.array(model.tensors[op.output].shape[:2], np.int32))
    return Written((size,), {"alignCorners": op.corners, "halfPixelCenters": op.centres})


def _fields(model: IntegerModel, step: Step, packed: Packed | None) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, ResizeBilinear)
    _, width, channels = model.tensors[step.inputs[0]].shape
    rows, columns = (np.stack(op.axis(model.tensors, axis), 1) for axis in (0, 1))
    rows[:, :2] *= width * channels
    columns[:, :2] *= channels
    fields: CFields = {
        "out_h": len(rows),
        "out_w": len(columns),
        "channels": channels,
        "rows": "rows",
        "columns": "columns",
    }
    return fields, {"rows": rows.ravel().astype(np.int32), "columns": columns.ravel().astype(np.int32)}


OPERATORS = (
    Operator(
        op=ResizeBilinear,
        type="RESIZE_BILINEAR",
        stem="resize",
        writes=3,
        options="ResizeBilinearOptions",
        write=_write,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_resize_bilinear",
        structure="p2b_resize_bilinear_t",
        fields=_fields,
    ),
)
