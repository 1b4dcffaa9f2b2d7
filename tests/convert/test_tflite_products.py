"""Operators with weights in forms that the ops do not have: read, and simulated as TFLite Micro runs them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import naming
from tflite_files import TfliteFile

from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.operators.moving import Reshape
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.simulate import run

LEAD = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


def assert_as_tflite_micro(data: bytes) -> list[np.ndarray]:
    """Compare three random inputs; return the outputs."""
    model = read_tflite(data)
    rng = np.random.default_rng(0)
    inputs = [
        rng.integers(-128, 128, (3, *model.tensors[port.tensor].shape)).astype(np.int8)
        for port in model.inputs
    ]
    found = run(model, inputs)
    for ours, wanted in zip(found, reference.run_all(data, inputs), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    return found


class Layer:
    """A file with one operator with weights; scales such that outputs vary."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.file = TfliteFile()
        self.scale = float(np.float32(self.rng.uniform(0.01, 0.1)))
        self.source = self.file.tensor(shape, scale=self.scale, zero_point=int(self.rng.integers(-128, 128)))

    def weights(
        self, shape: tuple[int, ...], channels: int, dimension: int = 0, bias_dimension: int = 0
    ) -> list[int]:
        """Add weights and bias; return their numbers."""
        inputs = math.prod(shape) // channels
        count = int(self.rng.choice([1, channels]))
        scales = self.rng.uniform(0.01, 0.02, count).astype(np.float32)
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        weights = self.file.tensor(shape, scale=1.0, values=values)
        bias_values = self.rng.integers(-3000, 3000, channels).astype(np.int32)
        bias = self.file.tensor((channels,), np.int32, scale=1.0, values=bias_values)
        for number, own, along in (
            (weights, scales, dimension),
            (bias, scales * np.float32(self.scale), bias_dimension),
        ):
            quantization = self.file.graph.tensors[number].quantization
            quantization.scale, quantization.zeroPoint = own, np.zeros(count, np.int64)
            quantization.quantizedDimension = along
        self.output_scale = float(self.scale * 0.015 * 70 * 74 * math.sqrt(inputs) / 45)
        return [weights, bias]

    def output(self, shape: tuple[int, ...]) -> int:
        return self.file.tensor(shape, scale=self.output_scale, zero_point=int(self.rng.integers(-40, 40)))


@settings(max_examples=30, deadline=None)
@given(lead=LEAD, inputs=st.integers(1, 9), outputs=st.integers(1, 9), keep=st.booleans(), seed=SEEDS)
def test_a_dense_layer_takes_each_row_of_its_input(lead, inputs, outputs, keep, seed):
    layer = Layer(seed, (1, *lead, inputs))
    weights = layer.weights((outputs, inputs), outputs)
    target = layer.output((1, *lead, outputs) if keep else (math.prod(lead), outputs))
    layer.file.operator(
        "FULLY_CONNECTED", [layer.source, *weights], [target], "FullyConnectedOptions", keepNumDims=keep
    )
    data = layer.file.bytes([layer.source], [target])
    assert_as_tflite_micro(data)
    assert {type(op) for op in read_tflite(data).ops} <= {FullyConnected, Reshape}


@settings(max_examples=20, deadline=None)
@given(groups=st.integers(1, 4), inputs=st.integers(1, 3), outputs=st.integers(1, 3), seed=SEEDS)
def test_a_grouped_convolution(groups, inputs, outputs, seed):
    layer = Layer(seed, (1, 5, 4, groups * inputs))
    weights = layer.weights((groups * outputs, 3, 2, inputs), groups * outputs)
    target = layer.output((1, 3, 4, groups * outputs))
    layer.file.operator("CONV_2D", [layer.source, *weights], [target], "Conv2DOptions", strideH=2, strideW=1,
                        dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=1)  # fmt: skip
    data = layer.file.bytes([layer.source], [target])
    assert_as_tflite_micro(data)
    kinds = [type(op) for op in read_tflite(data).ops]
    if groups > 1:
        assert kinds.count(DepthwiseConv2D if inputs == 1 else Conv2D) == (1 if inputs == 1 else groups)


def test_a_biass_dimension_does_not_matter():
    for seed in range(4):
        layer = Layer(seed, (1, 4, 4, 3))
        weights = layer.weights((1, 3, 3, 3), 3, 3, bias_dimension=3)
        target = layer.output((1, 4, 4, 3))
        layer.file.operator("DEPTHWISE_CONV_2D", [layer.source, *weights], [target], "DepthwiseConv2DOptions",
                            strideH=1, strideW=1, depthMultiplier=1)  # fmt: skip
        assert_as_tflite_micro(layer.file.bytes([layer.source], [target]))


def test_weights_that_do_not_fit_are_refused():
    layer = Layer(0, (1, 3, 5))
    weights = layer.weights((2, 4), 2)
    target = layer.output((1, 3, 2))
    layer.file.operator("FULLY_CONNECTED", [layer.source, *weights], [target], "FullyConnectedOptions")
    with pytest.raises(UserError, match=naming("some.tflite", "FULLY_CONNECTED")):
        read_tflite(layer.file.bytes([layer.source], [target]), "some.tflite")


@settings(max_examples=30, deadline=None)
@given(
    depthwise=st.booleans(),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.sampled_from([1, 1, 2]),
    padding=st.integers(0, 1),
    count=st.sampled_from([1, 1, 3]),
    seed=SEEDS,
)
def test_dilated_convolutions_of_one_or_more_images(
    depthwise, size, kernel, dilation, stride, padding, count, seed
):
    window = [(taps - 1) * apart + 1 for taps, apart in zip(kernel, dilation, strict=True)]
    if count > 1:
        stride, padding = 1, 1
    if padding == 1:
        size = tuple(max(n, w) for n, w in zip(size, window, strict=True))
        after = [(n - w) // stride + 1 for n, w in zip(size, window, strict=True)]
    else:
        after = [-(-n // stride) for n in size]
    layer = Layer(seed, (count, *size, 2))
    shape = (1, *kernel, 4) if depthwise else (4, *kernel, 2)
    weights = layer.weights(shape, 4, 3 if depthwise else 0)
    target = layer.output((count, *after, 4))
    kind, options = (
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
    )
    fields = {"depthMultiplier": 2} if depthwise else {}
    layer.file.operator(kind, [layer.source, *weights], [target], options, strideH=stride, strideW=stride,
                        padding=padding, dilationHFactor=dilation[0],
                        dilationWFactor=dilation[1], **fields)  # fmt: skip
    assert_as_tflite_micro(layer.file.bytes([layer.source], [target]))


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    same=st.booleans(),
    more=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    biased=st.booleans(),
    seed=SEEDS,
)
def test_transposed_convolutions(size, kernel, stride, same, more, channels, biased, seed):
    """``more``: of the output sizes that have the same input's size, another one."""
    if same:
        after = [n * s - min(m, s - 1) for n, s, m in zip(size, stride, more, strict=True)]
    else:
        after = [(n - 1) * s + k + m for n, s, k, m in zip(size, stride, kernel, more, strict=True)]
    layer = Layer(seed, (1, *size, channels[0]))
    weights, bias = layer.weights((channels[1], *kernel, channels[0]), channels[1])
    target = layer.output((1, *after, channels[1]))
    inputs = [
        layer.file.constant([1, *after, channels[1]]),
        weights,
        layer.source,
        *([bias] if biased else []),
    ]
    layer.file.operator("TRANSPOSE_CONV", inputs, [target], "TransposeConvOptions", 3,
                        strideH=stride[0], strideW=stride[1], padding=0 if same else 1)  # fmt: skip
    assert_as_tflite_micro(layer.file.bytes([layer.source], [target]))


def test_a_transposed_convolution_computes_blocks_of_pixels_as_channels():
    layer = Layer(0, (1, 4, 4, 3))
    weights, bias = layer.weights((2, 3, 3, 3), 2)
    target = layer.output((1, 8, 8, 2))
    inputs = [layer.file.constant([1, 8, 8, 2]), weights, layer.source, bias]
    layer.file.operator("TRANSPOSE_CONV", inputs, [target], "TransposeConvOptions", 3, strideH=2, strideW=2)
    (op,) = [
        op for op in read_tflite(layer.file.bytes([layer.source], [target])).ops if isinstance(op, Conv2D)
    ]
    assert op.weights.shape == (2 * 2 * 2, 2, 2, 3)


@settings(max_examples=60, deadline=None)
@given(
    lead=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([(1, 1), (1, 0), (0, 1)])), max_size=2),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    adjoint=st.tuples(st.booleans(), st.booleans()),
    constant=st.booleans(),
    seed=SEEDS,
)
def test_products_of_two_tensors(lead, sizes, adjoint, constant, seed):
    """With broadcasting, with rows or columns summed, of a constant."""
    rng, file = np.random.default_rng(seed), TfliteFile()
    rows, depth, columns = sizes
    shapes = [
        (1, *(n if has[i] else 1 for n, has in lead), *(pair[::-1] if adjoint[i] else pair))
        for i, pair in enumerate(((rows, depth), (depth, columns)))
    ]
    zero_points = rng.integers(-128, 128, 3).tolist()
    values = rng.integers(-128, 128, shapes[1]).astype(np.int8) if constant else None
    left = file.tensor(shapes[0], scale=0.02, zero_point=zero_points[0])
    right = file.tensor(shapes[1], scale=0.03, zero_point=zero_points[1], values=values)
    target = file.tensor(
        (1, *(n for n, _ in lead), rows, columns),
        scale=0.02 * 0.03 * 100 * 100 * math.sqrt(depth) / 45,
        zero_point=zero_points[2] // 4,
    )
    file.operator(
        "BATCH_MATMUL", [left, right], [target], "BatchMatMulOptions", adjX=adjoint[0], adjY=adjoint[1]
    )
    assert_as_tflite_micro(file.bytes([left] if constant else [left, right], [target]))
