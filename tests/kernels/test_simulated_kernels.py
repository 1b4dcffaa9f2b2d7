"""Kernels of operators whose definition is the simulation, which is TFLite Micro's: each alone, in one call."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_calls import Call, Make

from paper2board.convert.c_layers import c_layer
from paper2board.convert.lowering import lower
from paper2board.firmware.runner import Target
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import (
    Add,
    Binary,
    Extremum,
    Maximum,
    Minimum,
    Mul,
    Prelu,
    SquaredDifference,
    Sub,
)
from paper2board.model.operators.moving import AssignVariable, Move
from paper2board.model.operators.normalization import L2Normalization
from paper2board.model.operators.operator import Op
from paper2board.model.operators.products import BatchMatMul
from paper2board.model.operators.recurrent import Lstm, Svdf
from paper2board.model.operators.reduction import ArgMax, ArgMin, ReduceMin, Reduction, Sum
from paper2board.model.operators.resizing import ResizeBilinear
from paper2board.model.operators.softmax import LogSoftmax
from paper2board.model.port import Port
from paper2board.model.simulate import run
from paper2board.model.tensor import Tensor

Test = tuple[Call, np.ndarray]
BINARY = (Add, Sub, Mul, Prelu, SquaredDifference, Maximum, Minimum)
KERNELS = (
    "p2b_add",
    "p2b_arg_extremum",
    "p2b_batch_matmul",
    "p2b_copy",
    "p2b_extremum",
    "p2b_l2_normalization",
    "p2b_log_softmax",
    "p2b_lstm",
    "p2b_mean",
    "p2b_move",
    "p2b_mul",
    "p2b_prelu",
    "p2b_reduce_min",
    "p2b_resize_bilinear",
    "p2b_squared_difference",
    "p2b_svdf",
)
"""What is called here."""


def alone(rng: np.random.Generator, op: Op, sources: Sequence[Tensor], target: Tensor) -> Test:
    """Return the call of an op on random inputs, and the output that it must give."""
    tensors = (*sources, target)
    ports = tuple(Port(f"input{i}", i) for i in range(len(sources)))
    model = IntegerModel("alone", tensors, (op,), ports, (Port("output", len(sources)),), {}, ())
    inputs = [rng.integers(-128, 128, (1, *tensor.shape)).astype(np.int8) for tensor in sources]
    (expected,) = run(model, inputs)
    layer = c_layer(model, lower(model, fuse=False)[-1], None)
    # An operand's table is named by another's field where both have the same one.
    fields = {
        name: layer.arrays.get(value, value) if isinstance(value, str) else value
        for name, value in layer.fields.items()
    }
    return Call(layer.kernel, layer.struct, fields, [x[0] for x in inputs], expected.size), expected


def reduction(kind: type[Reduction], rng: np.random.Generator) -> Test:
    shape = tuple(map(int, rng.integers(1, 7, 3)))
    axis = int(rng.integers(3))
    source = Tensor("x", shape, 0.5, int(rng.integers(-128, 128)))
    if issubclass(kind, ArgMax):
        source = replace(source, shape=(shape[0], 4 * shape[1], shape[2]))
    shape = source.shape
    kept = tuple(1 if i == axis else n for i, n in enumerate(shape))
    quantization = (0.9, int(rng.integers(-128, 128))) if kind is Sum else source.quantization
    quantization = kind.OUTPUT_QUANTIZATION or quantization
    return alone(rng, kind("op", (0,), 1, (axis,)), [source], Tensor("y", kept, *quantization))


def logarithm(rng: np.random.Generator) -> Test:
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 200)))
    source = Tensor("x", shape, float(np.float32(2.0 ** rng.uniform(-12, 4))), 0)
    return alone(rng, LogSoftmax("op", (0,), 1), [source], Tensor("y", shape, 1 / 16, 127))


def resize(rng: np.random.Generator) -> Test:
    *size, channels = map(int, rng.integers(1, 6, 3))
    mode = [(False, False), (True, False), (False, True)][rng.integers(3)]
    after = tuple(map(int, rng.integers(1, 12, 2)))
    tensors = (Tensor(name, (*shape, channels), 0.5, 3) for name, shape in (("x", size), ("y", after)))
    source, target = tensors
    return alone(rng, ResizeBilinear("op", (0,), 1, *mode), [source], target)


def products(rng: np.random.Generator) -> Test:
    batches, rows, columns, depth = map(int, rng.integers(1, 7, 4))
    zero_points = map(int, rng.integers(-128, 128, 3))
    shapes = ((batches, rows, depth), (batches, columns, depth), (batches, rows, columns))
    left, right, target = (
        Tensor(name, shape, scale, zero_point)
        for name, shape, scale, zero_point in zip("xyz", shapes, (0.5, 0.5, 400.0), zero_points, strict=True)
    )
    return alone(rng, BatchMatMul("op", (0, 1), 2), [left, right], target)


def normalization(rng: np.random.Generator) -> Test:
    shape = (int(rng.integers(1, 5)), int(rng.choice([1, 2, 7, 64, 4000])))
    source = Tensor("x", shape, 0.5, int(rng.integers(-128, 128)))
    return alone(rng, L2Normalization("op", (0,), 1), [source], Tensor("y", shape, 1 / 128, 0))


def move(rng: np.random.Generator) -> Test:
    """Values of an image anywhere, some of them again."""
    shape = tuple(map(int, rng.integers(1, 6, 3)))
    lengths = tuple(map(int, rng.integers(1, 5, 2)))
    rows = rng.integers(0, shape[0], lengths[0]) * shape[1] * shape[2]
    offsets = np.concatenate([rows, rng.integers(0, shape[1] * shape[2], lengths[1])]).astype(np.int32)
    source, target = (Tensor(name, own, 0.5, 3) for name, own in (("x", shape), ("y", lengths)))
    return alone(rng, Move("op", (0,), 1, lengths, offsets), [source], target)


def copy(rng: np.random.Generator) -> Test:
    shape = (int(rng.integers(1, 40)),)
    source, target = (Tensor(name, shape, 0.5, 3) for name in "xy")
    return alone(rng, AssignVariable("op", (0,), 1), [source], target)


def combination(kind: type[Binary], rng: np.random.Generator) -> Test:
    """An operator over two tensors, alike or broadcast."""
    shape = tuple(map(int, rng.integers(1, 6, 2)))
    shapes = [tuple(n if keep else 1 for n, keep in zip(shape, rng.integers(0, 2, 2), strict=True)), shape]
    if rng.integers(2):
        shapes = [shape, shape]
    rng.shuffle(shapes)
    scales = [0.5, 0.5, {Mul: 90.0, Prelu: 30.0, SquaredDifference: 700.0}.get(kind, 0.9)]
    zero_points = [int(value) for value in rng.integers(-128, 128, 3)]
    if issubclass(kind, Extremum):
        scales, zero_points = [0.5] * 3, [3] * 3
    tensors = (
        Tensor(name, own, scale, zero_point)
        for name, own, scale, zero_point in zip("xyz", (*shapes, shape), scales, zero_points, strict=True)
    )
    *sources, target = tensors
    return alone(rng, kind("op", (0, 1), 2), sources, target)


def recurrent(rng: np.random.Generator) -> Test:
    """An LSTM that begins with any states."""
    steps, inputs = (int(n) for n in rng.integers(1, 6, 2))
    units = 2 * int(rng.integers(1, 4))
    source = Tensor("x", (steps, inputs), 0.05, int(rng.integers(-128, 128)))
    hidden = Tensor("h", (units,), 1 / 128, int(rng.integers(-40, 40)))
    cell, target = Tensor("c", (2 * units,), 2.0**-11, 0), Tensor("y", (steps, units), *hidden.quantization)
    op = Lstm(
        "op",
        (0, 1, 2),
        3,
        rng.integers(-127, 128, (4, units, inputs)).astype(np.int8),
        rng.integers(-127, 128, (4, units, units)).astype(np.int8),
        rng.integers(-3000, 3000, (4, units)).astype(np.int32),
        np.full(4, 0.004, np.float32),
        np.full(4, 0.02, np.float32),
        -11,
        float(rng.choice([0.0, 2.0])),
    )
    return alone(rng, op, [source, hidden, cell], target)


def remembered(rng: np.random.Generator) -> Test:
    """SVDF that begins with any state."""
    inputs, units, rank, half = (int(n) for n in rng.integers(1, 5, 4))
    wide, memory, filters = bool(rng.integers(2)), 2 * half, units * rank
    source = Tensor("x", (inputs,), 0.05, int(rng.integers(-128, 128)))
    state = Tensor("s", (filters * memory * (1 + wide),), 0.01 if wide else 0.5, 0 if wide else 7)
    limit, dtype = (2000, np.int16) if wide else (128, np.int8)
    op = Svdf(
        "op",
        (0, 1),
        2,
        rng.integers(-127, 128, (filters, inputs)).astype(np.int8),
        rng.integers(-limit, limit, (filters, memory)).astype(dtype),
        rng.integers(-300, 300, units).astype(np.int32),
        0.02,
        0.0004 if wide else 0.01,
        rank,
    )
    return alone(rng, op, [source, state], Tensor("y", (units,), 0.5, -3))


@pytest.mark.parametrize("target", [Target.HOST_SANITIZED, Target.LX106])
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=20, max_size=20, unique=True))
def test_kernels_are_their_simulations(target: Target, make_calls: Make, seeds: list[int]) -> None:
    draws = (logarithm, resize, products, normalization, move, copy, recurrent, remembered)
    draws += tuple(partial(combination, kind) for kind in BINARY)
    draws += tuple(partial(reduction, kind) for kind in (Sum, ReduceMin, ArgMax, ArgMin))
    tests = [draw(np.random.default_rng(seed)) for seed in seeds for draw in draws]
    assert {call.kernel for call, _ in tests} == set(KERNELS)
    for (call, expected), found in zip(tests, make_calls([call for call, _ in tests], target), strict=True):
        np.testing.assert_array_equal(found.ravel(), expected.ravel(), err_msg=str(call.fields))
