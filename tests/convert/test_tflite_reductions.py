"""Operators that reduce dimensions: read, and simulated as TFLite Micro runs them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import naming
from tflite_files import TfliteFile
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.operators.moving import Move
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.simulate import run

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def reduction(kind, shape, axes, keep, scales=(0.5, 0.5), zero_points=(0, 0)) -> bytes:
    rank = len(shape)
    chosen = {axis % rank for axis in axes}
    target = tuple(1 if axis in chosen else n for axis, n in enumerate(shape) if keep or axis not in chosen)
    file = TfliteFile()
    source = file.tensor(shape, scale=scales[0], zero_point=zero_points[0])
    result = file.tensor(target, scale=scales[1], zero_point=zero_points[1])
    file.operator(kind, [source, file.constant(axes)], [result], "ReducerOptions", keepDims=keep)
    return file.bytes([source], [result])


def assert_as_tflite_micro(data: bytes, seed: int = 0) -> None:
    model = read_tflite(data)
    shape = model.tensors[model.inputs[0].tensor].shape
    inputs = [np.random.default_rng(seed).integers(-128, 128, (3, *shape)).astype(np.int8)]
    for found, wanted in zip(run(model, inputs), reference.run_all(data, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"]),
    inner=SHAPES,
    lead=st.sampled_from([1, 1, 3]),
    keep=st.booleans(),
    data=st.data(),
)
def test_reductions_over_any_axes(kind, inner, lead, keep, data):
    shape = (lead, *inner)
    numbers = st.integers(-len(shape), len(shape) - 1)
    axes = data.draw(st.lists(numbers, min_size=1, max_size=len(shape)))
    scales, zero_points = (0.5, 0.5), (data.draw(st.integers(-128, 127)),) * 2
    if kind in ("MEAN", "SUM"):
        ratio = data.draw(st.floats(0.25, 8 if kind == "MEAN" else 60, width=32))
        scales, zero_points = (0.5, 0.5 * ratio), (zero_points[0], data.draw(st.integers(-128, 127)))
    assert_as_tflite_micro(
        reduction(kind, shape, axes, keep, scales, zero_points), data.draw(st.integers(0, 9))
    )


def test_the_largest_of_an_image_is_a_pooling_and_moves_nothing():
    model = read_tflite(reduction("REDUCE_MAX", (1, 6, 5, 4), (1, 2), keep=False))
    assert [op.kernel for op in model.ops if isinstance(op, Pool2D)] == [(6, 5)]
    assert not any(isinstance(op, Move) for op in model.ops)


def arg(kind, shape, axis, dtype=np.int32) -> bytes:
    file = TfliteFile()
    source = file.tensor(shape)
    result = file.tensor(tuple(n for i, n in enumerate(shape) if i != axis % len(shape)), dtype, None)
    options = {"ARG_MAX": "ArgMaxOptions", "ARG_MIN": "ArgMinOptions"}[kind]
    number = {np.int32: schema.TensorType.INT32, np.int64: schema.TensorType.INT64}[dtype]
    file.operator(kind, [source, file.constant(axis)], [result], options, outputType=number)
    return file.bytes([source], [result])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["ARG_MAX", "ARG_MIN"]),
    st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    st.data(),
)
def test_indices_along_any_axis(kind, inner, data):
    """Also of equal values: an axis of up to 200 elements has some."""
    place = data.draw(st.integers(0, len(inner) - 1))
    inner = (*inner[:place], data.draw(st.sampled_from([1, 3, 200])), *inner[place + 1 :])
    axis = data.draw(st.sampled_from([place + 1, place - len(inner)]))
    assert_as_tflite_micro(arg(kind, (1, *inner), axis), data.draw(st.integers(0, 9)))


@pytest.mark.parametrize(
    ("shape", "dtype", "what"),
    [((1, 4), np.int64, "output_type=tf.int32"), ((1, 300), np.int32, "more than 256 elements")],
)
def test_indices_that_no_int8_or_no_reference_has_are_refused(shape, dtype, what):
    with pytest.raises(UserError, match=what):
        read_tflite(arg("ARG_MAX", shape, 1, dtype), "some.tflite")


def test_axes_that_do_not_exist_are_refused():
    file = TfliteFile()
    source, result = file.tensor((1, 3, 4)), file.tensor((1, 3))
    file.operator("SUM", [source, file.constant([3])], [result], "ReducerOptions")
    with pytest.raises(UserError, match=naming("some.tflite", "SUM")):
        read_tflite(file.bytes([source], [result]), "some.tflite")
