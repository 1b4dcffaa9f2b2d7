"""The benchmark's networks: size as published, quantization that tests kernels, accepted by TFLite Micro."""

import numpy as np
import pytest
from messages import naming

from paper2board.bench import networks
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Concatenation, Pad
from paper2board.model.operators.reduction import Mean
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.simulate import activations, simulate

WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)


def _parameters(model: IntegerModel) -> int:
    return sum(op.weights.size + op.bias.size for op in model.ops if isinstance(op, WEIGHTED))


def _channels(model: IntegerModel, exclude: tuple[str, ...]) -> int:
    """Output channels of the convolutions that had a batch normalisation."""
    convolutions = [op for op in model.ops if isinstance(op, Conv2D | DepthwiseConv2D)]
    return sum(len(op.bias) for op in convolutions if op.name not in exclude)


@pytest.mark.parametrize(
    ("name", "million_macs"),
    [
        ("original", 6.128896),
        ("pooled", 5.637376),
        ("deployed", 3.645064),  # 691,200 + 2,937,600 + 15,504 + 760
        ("resnet8", 12.501632),
        ("mobilenet-v1-0.25", 7.157888),
        ("detector", 2.703040),
        ("fomo", 20.950368),
    ],
)
def test_macs_are_the_published_ones(name, million_macs):
    model = networks.build(name)
    assert model.macs == round(million_macs * 1e6)


def test_parameters_are_the_published_ones():
    """Folding a batch normalisation (Keras counts 4 parameters a channel, PyTorch 2) leaves a bias."""
    build = networks.build
    assert [_parameters(build(name)) for name in ("original", "pooled", "deployed")] == [545098, 53578, 28576]

    # MLPerf Tiny's reference models in Keras; every convolution has a bias besides.
    resnet8 = build("resnet8")
    without = ("block2_skip", "block3_skip")
    assert _parameters(resnet8) + 4 * _channels(resnet8, without) == 78_666
    mobilenet = build("mobilenet-v1-0.25")
    colour = 2 * 9 * 8  # its first convolution sees three channels, person detection's one
    assert _parameters(mobilenet) + colour + 4 * _channels(mobilenet, ("logits",)) == 221_794

    # The two articles' PyTorch modules; convolutions without bias before a batch normalisation.
    detector, heads = build("detector"), ("bbox_head", "class_head", "conf_head")
    assert _parameters(detector) + _channels(detector, heads) == 14_480
    fomo = build("fomo")
    assert _parameters(fomo) + _channels(fomo, ("head", "logits")) == 56_643


def test_shapes_of_the_papers():
    detector = networks.build("detector")
    assert [detector.tensors[op.output].shape for op in detector.ops if op.type == "CONV_2D"][:4] == [
        (60, 80, 16),
        (30, 40, 32),
        (15, 20, 64),
        (8, 10, 128),
    ]
    assert detector.tensors[detector.output].shape == (8, 10, 4 + 10 + 1)
    assert isinstance(detector.ops[-1], Concatenation)
    # PyTorch's padding is TFLite's SAME only where a stride of 2 meets an odd size: the last of four.
    assert sum(isinstance(op, Pad) for op in detector.ops) == 3

    fomo = networks.build("fomo")
    assert any(isinstance(op, Mean) for op in fomo.ops)
    largest = max(fomo.tensors[op.inputs[0]].size for op in fomo.ops if op.type == "DEPTHWISE_CONV_2D")
    assert largest == 50 * 50 * 96  # the padded 48 x 48


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_tflite_micro_takes_it_and_agrees_with_the_simulation(name):
    model = networks.build(name)
    inputs = networks.random_inputs(model.tensors[model.input].shape, 3, seed=1)
    outputs = reference.run(write_flatbuffer(model), inputs)
    np.testing.assert_array_equal(outputs, simulate(model, inputs))
    assert len(np.unique(outputs.reshape(3, -1), axis=0)) == 3  # inputs make a difference


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_activations_use_int8_without_saturating(name):
    model = networks.build(name)
    shape = model.tensors[model.input].shape
    values = activations(model, {model.input: networks.random_inputs(shape, 6, seed=2)})
    for op in model.ops:
        if isinstance(op, Conv2D | DepthwiseConv2D) and values[op.output][0].size >= 1000:
            found = values[op.output]
            assert len(np.unique(found)) >= 140, op.name
            assert (found == 127).mean() < 0.05, op.name


def test_the_same_network_every_time():
    networks._build.cache_clear()
    first = write_flatbuffer(networks.build("detector"))
    networks._build.cache_clear()
    assert write_flatbuffer(networks.build("detector")) == first


def test_unknown_network():
    with pytest.raises(UserError, match=naming("vgg16", "choose", "original", "pooled")):
        networks.build("vgg16")
