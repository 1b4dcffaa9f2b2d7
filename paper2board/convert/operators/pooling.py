"""MAX_POOL_2D and AVERAGE_POOL_2D."""

import math
from functools import partial
from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Operator, Written
from paper2board.convert.operators.window import (
    WINDOW,
    read_window,
    window_operands,
    window_pad,
    write_window,
)
from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Step
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.pooling import Pool2D


def _read(type: str, source: TfliteOperator) -> dict[str, Any]:
    options = source.options()
    kernel = source.pair("kernel", options.FilterHeight(), options.FilterWidth())
    return {"type": type, "kernel": kernel} | read_window(source)


def _write(model: IntegerModel, op: Pool2D) -> Written:
    height, width = op.kernel
    return Written(options=write_window(op) | {"filterHeight": height, "filterWidth": width})


def _twin(tf: Any, model: IntegerModel, op: Pool2D, sources: list, node: str) -> Any:
    pool = tf.nn.max_pool2d if op.type == "MAX_POOL_2D" else tf.nn.avg_pool2d
    return pool(sources[0], op.kernel, op.stride, op.padding, name=node)


def _fields(model: IntegerModel, step: Step, packed: Packed | None) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Pool2D)
    source, target = model.tensors[step.inputs[0]], model.tensors[step.output]
    geometry = (*source.shape, *target.shape[:2], *op.kernel, *op.stride, *window_pad(model, step))
    low, high = op.output_range(model.tensors)
    return {"window": dict(zip(WINDOW, geometry, strict=True)), "low": low, "high": high}, {}


def _work(model: IntegerModel, step: Step) -> dict[str, int]:
    assert isinstance(step.op, Pool2D)
    return {"macs": model.tensors[step.output].size * math.prod(step.op.kernel)}


def _pooling(type: str, kernel: str) -> Operator:
    return Operator(
        op=Pool2D,
        type=type,
        stem="pool",
        reads=2,
        writes=2,
        options="Pool2DOptions",
        read=partial(_read, type),
        write=_write,
        twin=_twin,
        operands=window_operands,
        kernel=kernel,
        structure="p2b_pool2d_t",
        fields=_fields,
        work=_work,
    )


OPERATORS = (_pooling("MAX_POOL_2D", "p2b_max_pool2d"), _pooling("AVERAGE_POOL_2D", "p2b_average_pool2d"))
