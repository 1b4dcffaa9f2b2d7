"""Padding, exchange of size and batch, interpolation: read, and simulated as TFLite Micro runs them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import naming
from tflite_files import TfliteFile

from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.operators.moving import Pad
from paper2board.model.simulate import run

SHAPES = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def assert_as_tflite_micro(data: bytes) -> None:
    model = read_tflite(data)
    shape = model.tensors[model.inputs[0].tensor].shape
    inputs = [np.random.default_rng(0).integers(-128, 128, (3, *shape)).astype(np.int8)]
    for found, wanted in zip(run(model, inputs), reference.run_all(data, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def one(kind, shape, target, constants, options, zero_point=0, value=None, **fields) -> bytes:
    file = TfliteFile()
    source, result = (file.tensor(size, zero_point=zero_point) for size in (shape, target))
    inputs = [source, *(file.constant(values) for values in constants)]
    if value is not None:
        inputs.append(file.tensor((1,), zero_point=zero_point, values=np.array([value], np.int8)))
    file.operator(kind, inputs, [result], options, **fields)
    return file.bytes([source], [result])


@settings(max_examples=60, deadline=None)
@given(
    lead=st.sampled_from([1, 1, 2]),
    inner=SHAPES,
    zero_point=st.integers(-128, 127),
    value=st.none() | st.integers(-128, 127),
    data=st.data(),
)
def test_padding_of_any_rank_with_any_value(lead, inner, zero_point, value, data):
    shape = (lead, *inner)
    amounts = st.tuples(st.integers(0, 2), st.integers(0, 2))
    paddings = [data.draw(amounts) for _ in shape]
    target = tuple(n + sum(pair) for n, pair in zip(shape, paddings, strict=True))
    kind = "PAD" if value is None else "PADV2"
    options = "PadOptions" if value is None else "PadV2Options"
    assert_as_tflite_micro(one(kind, shape, target, [paddings], options, zero_point, value))


def test_padding_of_a_sequence_is_one_op():
    model = read_tflite(one("PAD", (1, 6, 3), (1, 10, 3), [[[0, 0], [4, 0], [0, 0]]], "PadOptions"))
    assert [op.paddings for op in model.ops if isinstance(op, Pad)] == [((0, 0), (4, 0), (0, 0))]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 2),
    size=SIZES,
    depth=st.integers(1, 3),
    blocks=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    flat=st.booleans(),
    data=st.data(),
)
def test_size_and_batch_are_exchanged(count, size, depth, blocks, flat, data):
    """Of images and of sequences."""
    axes = 1 if flat else 2
    size, blocks = size[:axes], blocks[:axes]
    crops = [(data.draw(st.integers(0, min(1, n - 1))), 0) for n in size]
    whole = (count, *(n * block for n, block in zip(size, blocks, strict=True)), depth)
    batched = (count * int(np.prod(blocks)), *size, depth)
    cropped = (count, *(n - sum(pair) for n, pair in zip(whole[1:-1], crops, strict=True)), depth)
    nothing = [(0, 0)] * axes
    assert_as_tflite_micro(
        one("SPACE_TO_BATCH_ND", whole, batched, [blocks, nothing], "SpaceToBatchNDOptions", 5)
    )
    assert_as_tflite_micro(
        one("BATCH_TO_SPACE_ND", batched, cropped, [blocks, crops], "BatchToSpaceNDOptions")
    )


def test_an_exchange_that_pads_is_refused():
    """TFLite Micro does not set what it fills with."""
    constants = [[2, 2], [[1, 1], [1, 1]]]
    file = one("SPACE_TO_BATCH_ND", (1, 2, 2, 1), (4, 2, 2, 1), constants, "SpaceToBatchNDOptions")
    with pytest.raises(UserError, match=naming("some.tflite", "SPACE_TO_BATCH_ND", "ZeroPadding2D")):
        read_tflite(file, "some.tflite")


def test_a_file_with_an_open_batch_is_refused_with_its_remedy():
    file = one(
        "SPACE_TO_BATCH_ND", (1, 4, 4, 2), (1, 2, 2, 2), [[2, 2], [[0, 0], [0, 0]]], "SpaceToBatchNDOptions"
    )
    with pytest.raises(UserError, match=naming("some.tflite", "SPACE_TO_BATCH_ND", "Input(batch_size=1)")):
        read_tflite(file, "some.tflite")


@settings(max_examples=80, deadline=None)
@given(
    size=SIZES,
    after=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    depth=st.integers(1, 3),
    mode=st.sampled_from([(False, False), (True, False), (False, True)]),
)
def test_bilinear_interpolation(size, after, depth, mode):
    shape = (1, *size, depth)
    file = one("RESIZE_BILINEAR", shape, (1, *after, depth), [after], "ResizeBilinearOptions", 3,
               alignCorners=mode[0], halfPixelCenters=mode[1])  # fmt: skip
    assert_as_tflite_micro(file)


def test_an_enlargement_beyond_the_input_is_refused():
    """Where rounded steps add up to more than the input, TFLite Micro reads other memory."""
    file = one("RESIZE_BILINEAR", (1, 1, 1, 1), (1, 1999, 1, 1), [[1999, 1]], "ResizeBilinearOptions")
    with pytest.raises(UserError, match=naming("some.tflite", "RESIZE_BILINEAR")):
        read_tflite(file, "some.tflite")
