"""Moves that cancel vanish, with functions of single values between them; nothing else changes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_files import TfliteFile

from paper2board.convert.tflite_import import read_tflite
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.simulate import run


def round_trip(shape: tuple[int, ...], order: list[int], back: list[int], function: bool) -> bytes:
    file = TfliteFile()
    turned = tuple(shape[axis] for axis in order)
    result_shape = tuple(turned[axis] for axis in back)
    source, middle = file.tensor(shape, scale=0.05), file.tensor(turned, scale=0.05)
    file.operator("TRANSPOSE", [source, file.constant(order)], [middle], "TransposeOptions")
    scale, zero_point = 0.05, 0
    if function:
        scale, zero_point = 1 / 256, -128
        after = file.tensor(turned, scale=scale, zero_point=zero_point)
        file.operator("LOGISTIC", [middle], [after])
        middle = after
    result = file.tensor(result_shape, scale=scale, zero_point=zero_point)
    file.operator("TRANSPOSE", [middle, file.constant(back)], [result], "TransposeOptions")
    return file.bytes([source], [result])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.just(1), *[st.integers(1, 4)] * 3),
    order=st.permutations(range(4)),
    back=st.permutations(range(4)),
    function=st.booleans(),
)
def test_two_transposes_give_tflite_micros_values(shape, order, back, function):
    data = round_trip(shape, order, back, function)
    model = read_tflite(data)
    inputs = [(np.arange(2 * np.prod(shape)) % 251 - 125).astype(np.int8).reshape(2, *shape[1:])]
    np.testing.assert_array_equal(run(model, inputs)[0], reference.run_all(data, inputs)[0])
    if [order[axis] for axis in back] == [0, 1, 2, 3]:
        assert all(op.type in ("RESHAPE", "LOGISTIC") for op in model.ops)


def test_what_another_reads_stays():
    file = TfliteFile()
    source, turned, result = (file.tensor(shape) for shape in ((1, 2, 3), (1, 3, 2), (1, 2, 3)))
    order = file.constant([0, 2, 1])
    file.operator("TRANSPOSE", [source, order], [turned], "TransposeOptions")
    file.operator("TRANSPOSE", [turned, order], [result], "TransposeOptions")
    data = file.bytes([source], [result, turned])
    inputs = [np.arange(6, dtype=np.int8).reshape(1, 2, 3)]
    for found, wanted in zip(run(read_tflite(data), inputs), reference.run_all(data, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)
