"""Operators that put values in another order: read, simulated and compiled as TFLite Micro runs them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from messages import naming
from tflite_files import TfliteFile

from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.operators.moving import Reshape
from paper2board.model.simulate import run

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(lambda sizes: (1, *sizes))
"""TFLite Micro takes most of these operators up to four dimensions."""


def assert_as_tflite_micro(data: bytes, shape: tuple[int, ...]) -> None:
    """Every value is another one as far as int8 allows, so that none can be taken for its neighbour."""
    model = read_tflite(data)
    values = np.arange(2 * int(np.prod(shape))).reshape(2, *model.tensors[model.inputs[0].tensor].shape)
    inputs = [(values % 251 - 125).astype(np.int8)]
    for found, wanted in zip(run(model, inputs), reference.run_all(data, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def one(kind, shape, target, constants=(), options=None, **fields) -> bytes:
    file = TfliteFile()
    source, result = file.tensor(shape), file.tensor(target)
    inputs = [source, *(file.constant(values) for values in constants)]
    file.operator(kind, inputs, [result], options, **fields)
    return file.bytes([source], [result])


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES | st.tuples(*[st.integers(1, 4)] * 5), data=st.data())
def test_transpose(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    target = tuple(shape[axis] for axis in order)
    file = one("TRANSPOSE", shape, target, [order], "TransposeOptions")
    assert_as_tflite_micro(file, shape)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(shape=SHAPES, data=st.data())
def test_strided_slice(shape, data):
    begins, ends, strides, shrink, sizes = [], [], [], 0, []
    for axis, n in enumerate(shape):
        begin = data.draw(st.integers(-n, n - 1))
        stride = data.draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        end = data.draw(st.integers(-n - 1, n + 1))
        if data.draw(st.booleans()) and axis > 0:
            shrink |= 1 << axis
            end, stride = begin + 1, 1
        length = 1 if shrink >> axis & 1 else len(range(n)[begin:end:stride])
        assume(length > 0)
        begins.append(begin)
        ends.append(end)
        strides.append(stride)
        sizes.append(0 if shrink >> axis & 1 else length)
    target = tuple(n for n in sizes if n) or (1,)
    file = one(
        "STRIDED_SLICE", shape, target, [begins, ends, strides], "StridedSliceOptions", shrinkAxisMask=shrink
    )
    assert_as_tflite_micro(file, shape)


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_slice(shape, data):
    begins = [data.draw(st.integers(0, n - 1)) for n in shape]
    sizes = [data.draw(st.integers(1, n - b)) for n, b in zip(shape, begins, strict=True)]
    target = tuple(sizes)
    assert_as_tflite_micro(one("SLICE", shape, target, [begins, sizes], "SliceOptions"), shape)


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, parts=st.integers(1, 3), data=st.data())
def test_split(shape, parts, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    whole = (*shape[:axis], shape[axis] * parts, *shape[axis + 1 :])
    file = TfliteFile()
    source, at = file.tensor(whole), file.constant(axis)
    results = [file.tensor(shape) for _ in range(parts)]
    file.operator("SPLIT", [at, source], results, "SplitOptions", numSplits=parts)
    assert_as_tflite_micro(file.bytes([source], results), whole)


@settings(max_examples=30, deadline=None)
@given(
    shape=SHAPES,
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    rest=st.booleans(),
    data=st.data(),
)
def test_split_v(shape, sizes, rest, data):
    axis = data.draw(st.integers(0, len(shape) - 1))

    def with_size(n):
        return (*shape[:axis], n, *shape[axis + 1 :])

    file = TfliteFile()
    source = file.tensor(with_size(sum(sizes)))
    stated = [-1, *sizes[1:]] if rest else sizes
    results = [file.tensor(with_size(n)) for n in sizes]
    inputs = [source, file.constant(stated), file.constant(axis)]
    file.operator("SPLIT_V", inputs, results, "SplitVOptions", numSplits=len(sizes))
    assert_as_tflite_micro(file.bytes([source], results), with_size(sum(sizes)))


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_unpack_and_pack(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    to = data.draw(st.integers(0, len(shape) - 1))
    part = (*shape[:axis], *shape[axis + 1 :])
    file = TfliteFile()
    source = file.tensor(shape)
    parts = [file.tensor(part) for _ in range(shape[axis])]
    result = file.tensor((*part[:to], shape[axis], *part[to:]))
    file.operator("UNPACK", [source], parts, "UnpackOptions", num=shape[axis], axis=axis)
    file.operator("PACK", parts, [result], "PackOptions", valuesCount=shape[axis], axis=to)
    assert_as_tflite_micro(file.bytes([source], [result]), shape)


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_concatenation_on_any_axis(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    target = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
    file = TfliteFile()
    source, result = file.tensor(shape), file.tensor(target)
    file.operator("CONCATENATION", [source, source], [result], "ConcatenationOptions", axis=axis - data.draw(
        st.sampled_from([0, len(shape)])
    ))  # fmt: skip
    assert_as_tflite_micro(file.bytes([source], [result]), shape)


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, reflect=st.booleans(), data=st.data())
def test_mirror_pad(shape, reflect, data):
    most = [n - 1 if reflect else n for n in shape]
    pads = [[data.draw(st.integers(0, limit)) for _ in range(2)] for limit in most]
    target = tuple(n + sum(pair) for n, pair in zip(shape, pads, strict=True))
    file = one("MIRROR_PAD", shape, target, [pads], "MirrorPadOptions", mode=0 if reflect else 1)
    assert_as_tflite_micro(file, shape)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    after=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    channels=st.integers(1, 3),
    mode=st.sampled_from([(False, False), (True, False), (False, True)]),
)
def test_resize_nearest_neighbour(size, after, channels, mode):
    shape = (1, *size, channels)
    file = one("RESIZE_NEAREST_NEIGHBOR", shape, (1, *after, channels), [after], "ResizeNearestNeighborOptions",
               alignCorners=mode[0], halfPixelCenters=mode[1])  # fmt: skip
    assert_as_tflite_micro(file, shape)


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)), block=st.integers(1, 3), channels=st.integers(1, 3)
)
def test_space_and_depth(size, block, channels):
    small = (1, *size, channels * block * block)
    large = (1, size[0] * block, size[1] * block, channels)
    assert_as_tflite_micro(
        one("SPACE_TO_DEPTH", large, small, (), "SpaceToDepthOptions", blockSize=block), large
    )
    assert_as_tflite_micro(
        one("DEPTH_TO_SPACE", small, large, (), "DepthToSpaceOptions", blockSize=block), small
    )


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_gather(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    chosen = data.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=5))
    target = (*shape[:axis], len(chosen), *shape[axis + 1 :])
    assert_as_tflite_micro(one("GATHER", shape, target, [chosen], "GatherOptions", axis=axis), shape)


@settings(max_examples=20, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_broadcast_to(shape, data):
    given_shape = tuple(data.draw(st.sampled_from([n, 1])) for n in shape)
    assert_as_tflite_micro(
        one("BROADCAST_TO", given_shape, shape, [shape], "BroadcastToOptions"), given_shape
    )


@settings(max_examples=20, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_reverse(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    assert_as_tflite_micro(one("REVERSE_V2", shape, shape, [[axis]], "ReverseV2Options"), shape)


def test_what_moves_nothing_is_a_view():
    model = read_tflite(one("TRANSPOSE", (1, 1, 5), (1, 5, 1), [[0, 2, 1]], "TransposeOptions"))
    assert [type(op) for op in model.ops] == [Reshape]


@pytest.mark.parametrize(
    ("kind", "constants", "options", "fields"),
    [
        ("TRANSPOSE", [[0, 1, 1]], "TransposeOptions", {}),
        ("STRIDED_SLICE", [[0, 0, 0], [1, 4, 4], [1, 0, 1]], "StridedSliceOptions", {}),
        ("STRIDED_SLICE", [[0, 9, 0], [1, 4, 4], [1, 1, 1]], "StridedSliceOptions", {"shrinkAxisMask": 2}),
        ("SLICE", [[0, 2, 0], [1, 9, 4]], "SliceOptions", {}),
        ("GATHER", [[7]], "GatherOptions", {"axis": 1}),
        ("MIRROR_PAD", [[[0, 0], [9, 0], [0, 0]]], "MirrorPadOptions", {}),
    ],
)
def test_parameters_beyond_the_input_are_refused(kind, constants, options, fields):
    from messages import naming

    from paper2board.core.errors import UserError

    with pytest.raises(UserError, match=naming("some.tflite", kind)):
        read_tflite(one(kind, (1, 4, 4), (1, 4, 4), constants, options, **fields), "some.tflite")


@pytest.mark.parametrize(
    ("kind", "target", "constant", "words"),
    [
        ("TILE", (1, 4), [1, 2**31 - 1], "output's shape that its numbers say"),
        ("TILE", (1, 2**31 - 4), [1, 2**29 - 1], "too large"),
        ("BROADCAST_TO", (2**20, 2**20, 4), [2**20, 2**20, 4], "too large"),
    ],
)
def test_a_file_cannot_ask_for_more_memory_than_there_is(kind, target, constant, words):
    data = one(kind, (1, 4), target, [constant], {"TILE": "TileOptions"}.get(kind, "BroadcastToOptions"))
    with pytest.raises(UserError, match=naming(kind, words)):
        read_tflite(data)
