"""The kernels that all back ends share, each alone, against the layer's definition in numpy; SOFTMAX, whose
definition is gemmlowp's fixed point, against TensorFlow Lite Micro."""

from collections.abc import Iterator
from typing import Any

import definitions
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_calls import Call, Make

from paper2board.convert.operators.window import WINDOW
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.evaluate import tflite_micro as reference
from paper2board.firmware.runner import Target
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.softmax import Softmax
from paper2board.model.tensor import Tensor

TARGETS = pytest.mark.parametrize("target", [Target.HOST_SANITIZED, Target.LX106])
SEEDS = st.lists(st.integers(0, 2**32 - 1), min_size=40, max_size=40, unique=True)
FEW = settings(max_examples=2, suppress_health_check=list(HealthCheck))
"""Of many layers each, which are one program."""

Test = tuple[list[Call], np.ndarray]
"""Calls that compute an output, and the output that they must give."""


def check(tests: list[Test], target: Target, make_calls: Make) -> None:
    rows = iter(make_calls([call for calls, _ in tests for call in calls], target))
    for calls, expected in tests:
        found = np.concatenate([next(rows) for _ in calls])
        np.testing.assert_array_equal(found, expected.reshape(found.shape), err_msg=str(calls[0].fields))


def int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-128, 128, shape).astype(np.int8)


def clamp(rng: np.random.Generator) -> tuple[int, int]:
    """A range of outputs: all, from some value on, or a few."""
    low = int(rng.integers(-128, 100))
    return [(-128, 127), (low, 127), (low, low + 20)][rng.integers(3)]


def multiplier(rng: np.random.Generator) -> int:
    """Any, or one whose products end halfway between two results."""
    return int(rng.choice([1 << 30, 3 << 29, (1 << 31) - 1, int(rng.integers(1 << 30, 1 << 31))]))


# --- pooling --------------------------------------------------------------------------------------------

POOL_KERNELS = {"p2b_max_pool2d": definitions.max_pool, "p2b_average_pool2d": definitions.average_pool}
POOLS: dict[str, tuple[Any, ...]] = {
    # size and channels, kernel, stride, padding before, size of the output
    "2 x 2": ((6, 8, 3), (2, 2), (2, 2), (0, 0), (3, 4)),
    "one pixel": ((1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    "rows of whole words": ((4, 6, 4), (2, 2), (2, 2), (0, 0), (2, 3)),
    "overlapping, padded": ((5, 6, 3), (3, 3), (1, 1), (1, 1), (5, 6)),
    "padding after": ((5, 5, 2), (2, 2), (2, 2), (0, 0), (3, 3)),
    "window larger than the image": ((2, 3, 5), (4, 5), (1, 1), (1, 2), (2, 3)),
    "rows and columns left out": ((9, 9, 1), (2, 2), (4, 3), (0, 0), (2, 3)),
    "the whole image": ((7, 7, 6), (7, 7), (1, 1), (0, 0), (1, 1)),
    "the largest window": ((255, 257, 1), (255, 257), (1, 1), (0, 0), (1, 1)),
}


def pool(
    function: str, shape: tuple[Any, ...], rng: np.random.Generator, x: np.ndarray | None = None
) -> Test:
    (height, width, depth), kernel, stride, pad, size = shape
    x = int8(rng, height, width, depth) if x is None else x
    low, high = clamp(rng)
    window = dict(zip(WINDOW, (height, width, depth, *size, *kernel, *stride, *pad), strict=True))
    fields = {"window": window, "low": low, "high": high}
    calls = []
    for y in range(size[0]):
        seen = range(y * stride[0] - pad[0], y * stride[0] - pad[0] + kernel[0])
        inputs = [x[row] if 0 <= row < height else None for row in seen]
        calls.append(Call(function, "p2b_pool2d_t", fields, inputs, size[1] * depth))
    define = POOL_KERNELS[function]
    return calls, define(x, kernel, stride, pad, size).clip(low, high)


def drawn_pool(rng: np.random.Generator) -> tuple[Any, ...]:
    """A pooling whose windows all see a pixel."""
    size, kernel, stride = rng.integers(1, 10, 2), rng.integers(1, 5, 2), rng.integers(1, 4, 2)
    pad = rng.integers(0, kernel)
    out = 1 + rng.integers(0, (size + pad - 1) // stride + 1)
    shape = ((*size, rng.integers(1, 9)), kernel, stride, pad, out)
    return tuple(tuple(map(int, values)) for values in shape)


@TARGETS
@pytest.mark.parametrize("function", POOL_KERNELS)
def test_pooling_is_its_definition(function: str, target: Target, make_calls: Make) -> None:
    rng = np.random.default_rng(1)
    tests = [pool(function, shape, rng) for shape in POOLS.values() for _ in range(3)]
    largest = POOLS["the largest window"]
    tests += [pool(function, largest, rng, np.full(largest[0], value, np.int8)) for value in (-128, 127)]
    check(tests, target, make_calls)


@TARGETS
@given(seeds=SEEDS)
@FEW
def test_drawn_poolings_are_their_definitions(target: Target, make_calls: Make, seeds: list[int]) -> None:
    rngs = map(np.random.default_rng, seeds)
    check([pool(str(rng.choice([*POOL_KERNELS])), drawn_pool(rng), rng) for rng in rngs], target, make_calls)


# --- ADD ------------------------------------------------------------------------------------------------


def add(rng: np.random.Generator, n: int, *, relu: bool = False, shift: int | None = None) -> Test:
    """Two rows of n values; with n = 65,536 every pair of values. ``shift``: of the sum, to the right."""
    x, y = int8(rng, n), int8(rng, n)
    if n == 1 << 16:
        values = np.arange(-128, 128, dtype=np.int8)
        x, y = values.repeat(256), np.tile(values, 256)
    zero_points = tuple(int(value) for value in rng.choice([-128, 0, 127, *rng.integers(-128, 128, 2)], 3))
    # TensorFlow Lite takes the operand of the larger scale times 1/2, the other one times less.
    pairs = [(1 << 30, 0), (multiplier(rng), -int(rng.integers(1, 6)))]
    right = int(rng.integers(18, 22)) if shift is None else shift
    pairs = [*(pairs if rng.integers(2) else reversed(pairs)), (multiplier(rng), -right)]
    low, high = (zero_points[2], 127) if relu else clamp(rng)
    order = np.array([*range(128), *range(-128, 0)], np.int64)
    tables = (
        definitions.requantize((order - zero_point) << 20, *pair)
        for zero_point, pair in zip(zero_points[:2], pairs[:2], strict=True)
    )
    names = ("axes", "table_1", "table_2", "multiplier", "shift", "zero_point", "low", "high")
    axes = {"outer": 1, "inner": n, "outer_1": 0, "inner_1": 1, "outer_2": 0, "inner_2": 1}
    values = (
        axes,
        *(table.astype(np.int32) for table in tables),
        pairs[2][0],
        right,
        zero_points[2],
        low,
        high,
    )
    call = Call("p2b_add", "p2b_add_t", dict(zip(names, values, strict=True)), [x, y], n)
    return [call], definitions.add(x, y, zero_points, pairs, low, high)


@TARGETS
def test_addition_is_its_definition(target: Target, make_calls: Make) -> None:
    rng = np.random.default_rng(2)
    tests = [add(rng, n, relu=relu) for n in (1, 3, 4, 64) for relu in (False, True)]
    tests += [add(rng, 1 << 16, relu=relu) for relu in (False, True)]
    tests += [add(rng, 256, relu=relu, shift=shift) for shift in (0, 1, 28, 29, 31) for relu in (False, True)]
    check(tests, target, make_calls)


@TARGETS
@given(seeds=SEEDS)
@FEW
def test_drawn_additions_are_their_definitions(target: Target, make_calls: Make, seeds: list[int]) -> None:
    rngs = map(np.random.default_rng, seeds)
    check([add(rng, int(rng.integers(1, 300)), relu=rng.integers(2) > 0) for rng in rngs], target, make_calls)


# --- MEAN -----------------------------------------------------------------------------------------------


def mean(rng: np.random.Generator, pixels: int, channels: int, gain: float = 1.0) -> Test:
    x = int8(rng, pixels, channels)
    zero_points = (int(rng.integers(-128, 128)), int(rng.integers(-128, 128)))
    fraction, exponent = np.frexp(gain * rng.uniform(0.5, 2) / pixels)
    # The multiplier may lie below 2^30.
    halvings = int(rng.integers(0, 4))
    pair = (int(fraction * (1 << 31)) >> halvings, int(exponent) + halvings)
    fields = {"pixels": pixels, "channels": channels, "multiplier": pair[0], "shift": pair[1]}
    fields |= {"input_zero_point": zero_points[0], "output_zero_point": zero_points[1]}
    fields["groups"] = groups = int(rng.integers(1, 4))
    images = [x, *(int8(rng, pixels, channels) for _ in range(groups - 1))]
    expected = np.concatenate([definitions.mean(image, zero_points, pair) for image in images])
    return [Call("p2b_mean", "p2b_mean_t", fields, [np.stack(images)], expected.size)], expected


@TARGETS
@given(seeds=SEEDS)
@FEW
def test_means_are_their_definitions(target: Target, make_calls: Make, seeds: list[int]) -> None:
    edges = [(1, 1, 1.0), (1, 4, 1.0), (49, 8, 1.0), (2000, 3, 1.0), (7, 5, 40.0), (7, 5, 0.01)]
    rng = np.random.default_rng(3)
    tests = [mean(rng, *edge) for edge in edges]
    for seed in seeds:
        drawn = np.random.default_rng(seed)
        tests.append(mean(drawn, int(drawn.integers(1, 100)), int(drawn.integers(1, 20))))
    check(tests, target, make_calls)


# --- PAD, CONCATENATION: bytes move -----------------------------------------------------------------------


def pad(rng: np.random.Generator, *, padding: bool) -> Test:
    """``padding``: the row is one of padding."""
    left, right, before, after = map(int, rng.integers(0, 4, 4))
    width, depth = map(int, rng.integers(1, 6, 2))
    value = int(rng.integers(-128, 128))
    x = int8(rng, width, depth)
    fields = {"left": left, "width": width, "right": right, "before": before, "depth": depth, "after": after}
    expected = np.pad(x, ((left, right), (before, after)), constant_values=value)
    if padding:
        expected = np.full_like(expected, value)
    inputs = [None if padding else x]
    return [Call("p2b_pad", "p2b_pad_t", fields | {"value": value}, inputs, expected.size)], expected


def concatenation(rng: np.random.Generator) -> Test:
    """Along channels; some inputs have no part in the row."""
    runs, count = int(rng.integers(1, 6)), int(rng.integers(1, 11))
    lengths = rng.integers(1, 7, count).astype(np.int32)
    inputs: list[np.ndarray | None] = [int8(rng, runs, int(length)) for length in lengths]
    for absent in rng.choice(count, int(rng.integers(0, count)), replace=False):
        inputs[absent] = None
    expected = np.concatenate([x for x in inputs if x is not None], axis=1)
    fields = {"runs": runs, "inputs": count, "lengths": lengths}
    return [Call("p2b_concatenation", "p2b_concatenation_t", fields, inputs, expected.size)], expected


@TARGETS
@given(seeds=SEEDS)
@FEW
def test_padding_and_concatenation_move_bytes(target: Target, make_calls: Make, seeds: list[int]) -> None:
    def tests() -> Iterator[Test]:
        for seed in seeds:
            rng = np.random.default_rng(seed)
            yield pad(rng, padding=False)
            yield pad(rng, padding=True)
            yield concatenation(rng)

    check(list(tests()), target, make_calls)


# --- SOFTMAX ----------------------------------------------------------------------------------------------


def softmax(rng: np.random.Generator, pixels: int, depth: int, scale: float, beta: float = 1.0) -> Test:
    x = int8(rng, 1, pixels, depth)
    x[:, : pixels // 2] = rng.choice(np.array([-128, 127], np.int8), x[:, : pixels // 2].shape)
    tensors = (Tensor("x", x.shape, scale, 0), Tensor("y", x.shape, 1 / 256, -128))
    op = Softmax("softmax", (0,), 1, beta)
    model = IntegerModel.single("softmax", tensors, (op,), 0, 1)
    factor, shift, lowest = op.parameters(model.tensors)
    fields = {"pixels": pixels, "depth": depth, "multiplier": factor, "shift": shift, "diff_min": lowest}
    expected = reference.run(write_flatbuffer(model), x[None])
    return [Call("p2b_softmax", "p2b_softmax_t", fields, [x[0]], x.size)], expected


@TARGETS
def test_softmax_is_tflite_micro_s(target: Target, make_calls: Make) -> None:
    rng = np.random.default_rng(4)
    shapes = [(1, 1), (1, 2), (2, 10), (3, 4), (4, 100), (2, 511)]
    scales = [1e-4, 0.01, 0.1, 1.0, 30.0]
    tests = [softmax(rng, *shape, scale) for shape in shapes for scale in scales]
    check([*tests, softmax(rng, 2, 10, 0.1, beta=0.5)], target, make_calls)
