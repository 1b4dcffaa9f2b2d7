import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import inputs_for, integer_models

from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.fixed_point import (
    exp_on_negative,
    multiply_by_quantized_multiplier,
    reciprocal_of_one_plus,
)
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add
from paper2board.model.operators.moving import Concatenation, Pad, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.reduction import Mean
from paper2board.model.operators.softmax import Softmax
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.simulate import activations, run, simulate
from paper2board.model.tensor import Tensor, pad_before

INT32 = st.integers(-(2**31), 2**31 - 1)


# --- requantization against gemmlowp's own definition, in unbounded integers --------------------------


def truncated(numerator: int, denominator: int) -> int:
    """C's division."""
    quotient = abs(numerator) // abs(denominator)
    return quotient if (numerator < 0) == (denominator < 0) else -quotient


def saturating_rounding_doubling_high_mul(a: int, b: int) -> int:
    if a == b == -(2**31):
        return 2**31 - 1
    product = a * b
    return truncated(product + (2**30 if product >= 0 else 1 - 2**30), 2**31)


def rounding_divide_by_power_of_two(x: int, exponent: int) -> int:
    """Halves away from zero."""
    divisor = 2**exponent
    return truncated(2 * x + (divisor if x >= 0 else -divisor), 2 * divisor)


@settings(max_examples=1000)
@given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-31, 8))
def test_requantization_is_gemmlowps(x, multiplier, shift):
    if abs(x) << max(shift, 0) >= 2**31:
        x >>= max(shift, 0) + 1
    high = saturating_rounding_doubling_high_mul(x << max(shift, 0), multiplier)
    wanted = rounding_divide_by_power_of_two(high, max(-shift, 0))
    found = multiply_by_quantized_multiplier(*(torch.tensor(v) for v in (x, multiplier, shift)))
    assert int(found) == wanted


@given(st.integers(-(2**15), 2**15), st.integers(1, 15))
def test_requantization_rounds_ties_away_from_zero(x, exponent):
    tie = (2 * x + 1) << (exponent - 1)
    found = multiply_by_quantized_multiplier(
        *(torch.tensor(v) for v in (2 * tie, 2**30, -exponent))
    )  # 2^30 is one half
    assert int(found) == (x + 1 if tie > 0 else x)


# --- whole models against TFLite Micro ----------------------------------------------------------------


def assert_identical(model: IntegerModel, inputs: np.ndarray) -> np.ndarray:
    outputs = simulate(model, inputs)
    assert np.count_nonzero(outputs != reference.run(write_flatbuffer(model), inputs)) == 0
    return outputs


@settings(max_examples=120, deadline=None)
@given(model=integer_models(), seed=st.integers(0, 2**32 - 1))
def test_random_models_equal_tflite_micro(model, seed):
    assert_identical(model, inputs_for(model, 4, seed))


def one_op(
    op_type: type, size: tuple[int, ...], target: Tensor, zero_point: int = 0, **fields
) -> IntegerModel:
    source = Tensor("input", size, 1 / 64, zero_point)
    op: Op = op_type(name="op1", inputs=(0,), output=1, **fields)
    return IntegerModel.single("one", (source, target), (op,), 0, 1)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 5), (1, 1)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize(("activation", "zero_point"), [("NONE", -5), ("RELU", -128), ("RELU6", 20)])
def test_convolution_same_padding(size, kernel, stride, per_channel, activation, zero_point):
    weights = RNG.integers(-127, 128, (4, *kernel, 3)).astype(np.int8)
    scales = RNG.uniform(0.002, 0.008, 4 if per_channel else 1).astype(np.float32)
    out = tuple(pad_before(size[i], kernel[i], stride[i], "SAME")[1] for i in (0, 1))
    model = one_op(
        Conv2D,
        (*size, 3),
        Tensor("op1", (*out, 4), 0.05, zero_point),
        zero_point=-3,  # so padding must be the zero point, not 0
        weights=weights,
        bias=RNG.integers(-4000, 4000, 4).astype(np.int32),
        weight_scales=scales,
        stride=stride,
        activation=activation,
    )
    outputs = assert_identical(model, inputs_for(model, 8))
    assert len(np.unique(outputs)) > 5


@pytest.mark.parametrize("stride", [(1, 2), (1, 3), (1, 5), (3, 1)])
@pytest.mark.parametrize(("size", "kernel"), [((4, 3), (1, 2)), ((7, 4), (3, 3)), ((14, 7), (3, 6))])
def test_convolution_of_one_channel_with_two_strides(size, kernel, stride):
    """Shapes over which torch's float32 convolution is wrong on processors with AVX-512."""
    out = tuple(pad_before(size[i], kernel[i], stride[i], "SAME")[1] for i in (0, 1))
    model = one_op(
        Conv2D,
        (*size, 1),
        Tensor("op1", (*out, 8), 0.05, 0),
        weights=RNG.integers(-127, 128, (8, *kernel, 1)).astype(np.int8),
        bias=np.zeros(8, np.int32),
        weight_scales=np.full(8, 0.004, np.float32),
        stride=stride,
    )
    assert_identical(model, inputs_for(model, 12))


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("zero_point", [-128, -40, 0, 127])
def test_pooling_of_negative_values(kind, padding, zero_point):
    out = tuple(pad_before(size, 3, 2, padding)[1] for size in (7, 6))
    target = Tensor("op1", (*out, 2), 1 / 64, zero_point)
    model = one_op(
        Pool2D, (7, 6, 2), target, zero_point, type=kind, kernel=(3, 3), stride=(2, 2), padding=padding
    )
    inputs = inputs_for(model, 30)
    inputs[:10] = -np.abs(inputs[:10])  # sums below zero, whose averages round away from zero
    inputs[10:20] //= 40  # small sums: many ties
    assert_identical(model, inputs)


@pytest.mark.parametrize("ratio", [1.0, 1.7, 0.01, 100.0])
@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6"])
@pytest.mark.parametrize("zero_points", [(0, 0, 0), (-128, 127, -128), (5, -77, 127)])
def test_addition_of_different_scales(ratio, activation, zero_points):
    scales = (1 / 64, float(np.float32(ratio / 64)))
    tensors = (
        Tensor("input", (2, 3, 4), scales[0], zero_points[0]),
        Tensor("op1", (2, 3, 4), scales[1], zero_points[1]),
        Tensor("add1", (2, 3, 4), float(np.float32(1.3 * max(scales))), zero_points[2]),
    )
    identity = np.eye(4, dtype=np.int8).reshape(4, 1, 1, 4)
    unit = np.array([scales[1]], np.float32) * 64
    ops = (
        Conv2D("op1", (0,), 1, identity, np.zeros(4, np.int32), unit),
        Add("add1", (0, 1), 2, activation),
    )
    model = IntegerModel.single("sum", tensors, ops, 0, 2)
    assert_identical(model, inputs_for(model, 30))


@pytest.mark.parametrize("per_channel", [True, False])
def test_product_of_an_image_needs_no_reshape(per_channel):
    weights = RNG.integers(-127, 128, (6, 24)).astype(np.int8)
    model = one_op(
        FullyConnected,
        (2, 3, 4),
        Tensor("op1", (6,), 0.07, 4),
        weights=weights,
        bias=np.arange(6, dtype=np.int32) * 1000,
        weight_scales=RNG.uniform(0.002, 0.02, 6 if per_channel else 1).astype(np.float32),
    )
    outputs = assert_identical(model, inputs_for(model, 50))
    assert len(np.unique(outputs)) > 50


def test_multipliers_above_one_equal_tflite_micro():
    model = one_op(
        FullyConnected,
        (3,),
        Tensor("op1", (2,), 1 / 1024, 0),
        weights=np.array([[1, 0, -1], [2, 1, 0]], np.int8),
        bias=np.array([1, -1], np.int32),
        weight_scales=np.array([0.37, 1.9], np.float32),
    )
    assert len(np.unique(assert_identical(model, inputs_for(model, 300) // 32))) > 10


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding"), [((1, 1), "SAME"), ((2, 2), "VALID"), ((2, 1), "SAME")])
@pytest.mark.parametrize(("activation", "zero_point"), [("NONE", -5), ("RELU", -128), ("RELU6", 20)])
def test_depthwise_convolution(multiplier, stride, padding, per_channel, activation, zero_point):
    channels = 5 * multiplier
    out = tuple(pad_before(size, 3, step, padding)[1] for size, step in zip((7, 6), stride, strict=True))
    model = one_op(
        DepthwiseConv2D,
        (7, 6, 5),
        Tensor("op1", (*out, channels), 0.05, zero_point),
        zero_point=-3,
        weights=RNG.integers(-128, 128, (3, 3, channels)).astype(np.int8),
        bias=RNG.integers(-4000, 4000, channels).astype(np.int32),
        weight_scales=RNG.uniform(0.002, 0.008, channels if per_channel else 1).astype(np.float32),
        stride=stride,
        padding=padding,
        activation=activation,
    )
    assert len(np.unique(assert_identical(model, inputs_for(model, 8)))) > 5


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 4), (7, 7), (5, 13)])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ratio", [1.0, 0.3, 12.7, 1e-4, 2.0**-31, 1e-12])
@pytest.mark.parametrize("zero_points", [(0, 0), (-128, 127), (77, -5)])
def test_mean_of_different_quantization(size, kept, ratio, zero_points):
    target = Tensor("op1", (1, 1, 3) if kept else (3,), float(np.float32(1 / 64 / ratio)), zero_points[1])
    model = one_op(Mean, (*size, 3), target, zero_points[0])
    inputs = inputs_for(model, 30)
    inputs[10:20] //= 40  # small sums: many ties
    assert_identical(model, inputs)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(-12, 10),
    st.integers(-128, 127),
    st.integers(-128, 127),
)
def test_mean_of_any_size_and_scale(height, width, exponent, zero_point, output_zero_point):
    target = Tensor("op1", (2,), float(np.float32(2.0**-exponent / 64)), output_zero_point)
    model = one_op(Mean, (height, width, 2), target, zero_point)
    assert_identical(model, inputs_for(model, 6))


@pytest.mark.parametrize("paddings", [((1, 1), (1, 1), (0, 0)), ((0, 2), (3, 0), (1, 2)), ((0, 0),) * 3])
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_padding_is_the_zero_point(paddings, zero_point):
    shape = tuple(n + sum(pair) for n, pair in zip((3, 4, 2), paddings, strict=True))
    target = Tensor("op1", shape, 1 / 64, zero_point)
    model = one_op(Pad, (3, 4, 2), target, zero_point, paddings=paddings)
    inputs = inputs_for(model, 5)
    wanted = np.pad(inputs, ((0, 0), *paddings), constant_values=zero_point)
    assert np.array_equal(assert_identical(model, inputs), wanted)


@pytest.mark.parametrize(("shape", "axis"), [((3, 4, 2), 0), ((3, 4, 2), 1), ((3, 4, 2), 2), ((5,), 0)])
def test_concatenation_along_every_axis(shape, axis):
    quantization = (1 / 64, 5)
    longer = tuple(n * (1 + (i == axis)) for i, n in enumerate(shape))
    longest = tuple(n * (1 + 2 * (i == axis)) for i, n in enumerate(shape))
    tensors = (
        Tensor("input", shape, *quantization),
        Tensor("one", longer, *quantization),
        Tensor("two", longest, *quantization),
    )
    ops = (Concatenation("one", (0, 0), 1, axis), Concatenation("two", (1, 0), 2, axis))
    model = IntegerModel.single("rows", tensors, ops, 0, 2)
    inputs = inputs_for(model, 5)
    assert np.array_equal(assert_identical(model, inputs), np.concatenate([inputs] * 3, axis=1 + axis))


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.integers(1, 12), st.sampled_from([255, 256, 257, 511])),
    st.floats(-24, 12),
    st.floats(2.0**-1, 8, width=32),
    st.integers(0, 2**32 - 1),
)
def test_softmax_of_any_size_scale_and_beta(depth, exponent, beta, seed):
    source = Tensor("input", (depth,), float(np.float32(2.0**exponent)), 0)
    target = Tensor("op1", (depth,), 1 / 256, -128)
    model = IntegerModel.single("one", (source, target), (Softmax("op1", (0,), 1, beta),), 0, 1)
    inputs = inputs_for(model, 8, seed)
    inputs[1:4] //= 32  # close together: many count
    assert_identical(model, inputs)


@pytest.mark.parametrize("depth", [512, 600, 3000])
def test_softmax_of_a_long_row(depth):
    """As TFLite Micro where the sum is below 512; above, where it aborts, no quotient reaches half of 1/256."""
    source, target = Tensor("input", (depth,), 0.05, 0), Tensor("op1", (depth,), 1 / 256, -128)
    model = IntegerModel.single("long", (source, target), (Softmax("op1", (0,), 1),), 0, 1)
    few = np.full((3, depth), -128, np.int8)
    few[:, ::7] = np.random.default_rng(depth).integers(-40, 128, few[:, ::7].shape)
    sums = np.exp(0.05 * (few.astype(float) - few.max(axis=1, keepdims=True))).sum(axis=1)
    assert sums.min() > 5 and sums.max() < 512
    assert_identical(model, few)
    (outputs,) = run(model, [np.full((1, depth), 3, np.int8)])
    assert np.all(outputs == -128)


def test_softmax_of_every_pixel():
    model = one_op(Softmax, (3, 2, 6), Tensor("op1", (3, 2, 6), 1 / 256, -128))
    outputs = assert_identical(model, inputs_for(model, 20))
    assert np.all(np.abs((outputs.astype(int) + 128).sum(axis=-1) - 256) <= 6)


@pytest.mark.parametrize("scale", [2.0**-20, 1 / 256, 0.1, 1.0, 7.3, 31.0, 2.0**6])
def test_softmax_of_every_difference(scale):
    """Two inputs, one of them the largest: the other runs through all that int8 can say."""
    source, target = Tensor("input", (2,), scale, 0), Tensor("op1", (2,), 1 / 256, -128)
    model = IntegerModel.single("pair", (source, target), (Softmax("op1", (0,), 1),), 0, 1)
    inputs = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1).astype(np.int8)
    outputs = assert_identical(model, inputs)
    assert np.all(np.diff(outputs[:, 1].astype(int)) >= 0) and outputs[-1, 1] == 0
    _, shift, lowest = model.ops[0].parameters(model.tensors)
    assert 0 < shift <= 31 and lowest <= 0


def test_softmax_arithmetic_is_close_to_the_real_functions():
    a = torch.arange(-(2**31) + 1, 1, 99991)
    wanted = np.exp(a.numpy() / 2**26)
    assert np.abs(exp_on_negative(a).numpy() / 2**31 - wanted).max() < 3e-7
    x = torch.arange(0, 2**31, 99991)
    wanted = 1 / (1 + x.numpy() / 2**31)
    assert np.abs(reciprocal_of_one_plus(x).numpy() / 2**31 - wanted).max() < 1e-8


# --- running ------------------------------------------------------------------------------------------


def test_batches_progress_and_every_activation():
    scale = Tensor("op1", (4,), 1 / 64, 0)
    model = one_op(Reshape, (2, 2, 1), scale)
    inputs = inputs_for(model, 7)
    seen = []

    def progress(starts):
        for start in starts:
            seen.append(start)
            yield start

    outputs = simulate(model, inputs, batch=3, progress=progress)
    assert seen == [0, 3, 6]
    assert np.array_equal(outputs, inputs.reshape(7, 4))
    values = activations(model, {model.input: inputs})
    assert values.keys() == {0, 1} and values[1].dtype == np.int8
    assert np.array_equal(values[0], inputs)
