"""L2_NORMALIZATION."""

import math
from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Operator
from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Step, row_bytes
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.normalization import L2Normalization


def _read(source: TfliteOperator) -> dict[str, Any]:
    if source.activation(source.options()) != "NONE":
        source.refuse("has a fused activation")
    return {}


def _fields(model: IntegerModel, step: Step, packed: Packed | None) -> tuple[CFields, dict[str, np.ndarray]]:
    source = model.tensors[step.inputs[0]]
    depth = source.shape[-1]
    pixels = row_bytes(model, step.output) // depth
    return {"pixels": pixels, "depth": depth, "input_zero_point": source.zero_point}, {}


def _work(model: IntegerModel, step: Step) -> dict[str, int]:
    return {"lines": math.prod(model.tensors[step.output].shape[:-1])}


OPERATORS = (
    Operator(
        op=L2Normalization,
        type="L2_NORMALIZATION",
        stem="normalize",
        reads=2,
        writes=2,
        options="L2NormOptions",
        read=_read,
        kernel="p2b_l2_normalization",
        structure="p2b_l2_normalization_t",
        fields=_fields,
        work=_work,
    ),
)
