"""Depthwise convolutions, concatenations and detector heads on their way to integers."""

import numpy as np
import pytest
import torch
from torch import nn

from paper2board.compress.aware_training import AwareNetwork
from paper2board.compress.magnitude_pruning import prune_magnitude
from paper2board.compress.quantize import INPUT, Observer, to_integer_model
from paper2board.convert.tflite import Route, export
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.operators.moving import Concatenation
from paper2board.model.operators.weighted import DepthwiseConv2D
from paper2board.model.simulate import activations, simulate
from paper2board.networks.inference import predict
from paper2board.networks.network import Network, folded
from paper2board.networks.pixels import to_int8
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_tensor


def conv(name, out, **keys):
    return {"name": name, "op": "conv", "out": out} | keys


def point(name, out, **keys):
    return conv(name, out, kernel=1, **keys)


def depthwise(name, **keys):
    return {"name": name, "op": "depthwise"} | keys


HEAD = {"batch_norm": False, "activation": "none"}
SIX = {"activation": "relu6"}
SPECS = {
    "mobile": {
        "input": [3, 24, 32],
        "layers": [
            conv("stem", 8, stride=2, **SIX),
            depthwise("block1_depthwise", **SIX),
            point("block1_project", 6, activation="none"),
            point("block2_expand", 24, **SIX),
            depthwise("block2_depthwise", kernel=5, stride=2, **SIX),
            point("block2_project", 6, activation="none"),
            point("block3_expand", 24, **SIX),
            depthwise("block3_depthwise", **SIX),
            point("block3_project", 6, activation="none"),
            {"name": "block3", "op": "add", "other": "block2_project", "activation": "none"},
            point("last", 16, **SIX),
            {"name": "pool", "op": "max_pool"},
            conv("strided", 10, source="last", stride=2, **SIX),
            {"name": "both", "op": "concat", "others": ["pool"]},
            {"name": "features", "op": "average_pool", "out": 1},
            {"name": "flatten", "op": "flatten"},
            {"name": "fc", "op": "linear", "out": 5},
        ],
    },
    "detector": {
        "input": [3, 24, 32],
        "layers": [
            depthwise("depthwise1", stride=2, **SIX),
            point("pointwise1", 8, **SIX),
            depthwise("depthwise2", stride=2, **SIX),
            point("features", 16, **SIX),
            point("bbox", 4, **HEAD),
            point("classes", 3, source="features", **HEAD),
            point("confidence", 1, source="features", **HEAD),
            {"name": "heads", "op": "concat", "source": "bbox", "others": ["classes", "confidence"]},
        ],
    },
    "fire": {
        "input": [1, 15, 15],
        "layers": [
            conv("squeeze", 4, stride=2),
            point("left", 6),
            conv("right", 6, source="squeeze", activation="none"),
            {"name": "fire", "op": "concat", "source": "left", "others": ["right"]},
            depthwise("depthwise", batch_norm=False),
            conv("heat", 2, **HEAD),
        ],
    },
}


def network_of(name, seed=3):
    """Return a folded network with random batch statistics, and pixels uint8 N×H×W×C for it."""
    torch.manual_seed(seed)
    spec = NetworkSpec.model_validate(SPECS[name]) if isinstance(name, str) else name
    network = Network(spec)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.3, 1)
            nn.init.uniform_(module.bias, -0.2, 0.8)
    channels, height, width = spec.input
    pixels = np.random.default_rng(seed).integers(0, 256, (48, height, width, channels), dtype=np.uint8)
    return folded(network), pixels


def calibrated(network, pixels):
    observer = Observer(network)
    observer.observe(to_tensor(pixels).split(16))
    return observer.parameters()


def nchw(values):
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def real(model, integers, index):
    tensor = model.tensors[index]
    return nchw((integers.astype(float) - tensor.zero_point) * tensor.scale)


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_integers_follow_the_float_network_and_equal_tflite_micro(name, per_channel):
    network, pixels = network_of(name)
    model = to_integer_model(network, calibrated(network, pixels), name, per_channel)
    integers = simulate(model, to_int8(pixels))
    assert np.array_equal(reference.run(write_flatbuffer(model), to_int8(pixels)), integers)
    wanted = predict(network, to_tensor(pixels)).numpy()
    found = real(model, integers, model.output)
    assert found.shape == wanted.shape
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98
    assert len(np.unique(integers)) > 20


@pytest.mark.parametrize("name", sorted(SPECS))
def test_fake_quantization_agrees_with_the_integers_within_rounding(name):
    network, pixels = network_of(name)
    parameters = calibrated(network, pixels)
    model = to_integer_model(network, parameters, name, per_channel=True)
    aware = predict(AwareNetwork(network, parameters), to_tensor(pixels)).numpy()
    steps = np.abs(aware - real(model, simulate(model, to_int8(pixels)), model.output))
    steps /= model.tensors[model.output].scale
    assert steps.max() <= 6
    assert (steps < 0.5).mean() > 0.7


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("stride", [1, 2])
def test_each_layer_alone_is_within_one_step_of_the_float_network(activation, stride):
    """Each op reads exactly what the integers before it say, so nothing but its own rounding is left."""
    keys = {"stride": stride, "activation": activation}
    spec = NetworkSpec.model_validate(
        {
            "input": [3, 9, 12],
            "layers": [
                depthwise("depthwise1", **keys),
                conv("conv1", 5, **keys, source="input"),
                depthwise("depthwise2", activation=activation),
                {"name": "sum", "op": "add", "other": "conv1", "activation": activation},
                {"name": "both", "op": "concat", "others": ["depthwise1"]},
                {"name": "flatten", "op": "flatten"},
                {"name": "fc", "op": "linear", "out": 7, "activation": activation},
            ],
        }
    )
    network, pixels = network_of(spec)
    with torch.no_grad():  # so that RELU6 has something to cut
        for name in ("depthwise1", "conv1", "depthwise2"):
            network.layers[name].conv.weight *= 8
    parameters = calibrated(network, pixels)
    model = to_integer_model(network, parameters, "alone", per_channel=True)
    assert np.array_equal(
        reference.run(write_flatbuffer(model), to_int8(pixels)), simulate(model, to_int8(pixels))
    )
    values = activations(model, {model.input: to_int8(pixels)})
    aware = AwareNetwork(network, parameters)
    for op in model.ops:
        if op.name in ("flatten", "fc"):
            continue  # other order of elements
        inputs = [torch.from_numpy(real(model, values[i], i)).float() for i in op.inputs]
        with torch.inference_mode():
            wanted = aware._layer(network.layers[op.name], inputs).numpy()
        target = model.tensors[op.output]
        low, high = (target.scale * (edge - target.zero_point) for edge in (-128, 127))
        off = np.abs(wanted.clip(low, high) - real(model, values[op.output], op.output)) / target.scale
        assert off.max() < 1.1, op.name
        if activation == "relu6" and op.name != "both":
            assert real(model, values[op.output], op.output).max() <= 6 + target.scale


def test_what_is_concatenated_shares_scale_and_zero_point():
    network, pixels = network_of("detector")
    parameters = calibrated(network, pixels)
    assert parameters["bbox"] == parameters["classes"] == parameters["confidence"]
    assert parameters["features"] != parameters["bbox"] and parameters["input"] == INPUT
    model = to_integer_model(network, parameters, "detector", per_channel=True)
    assert model.tensors[model.output].shape == (6, 8, 8)
    heads = model.ops[-1]
    assert isinstance(heads, Concatenation) and heads.axis == 2 and len(heads.inputs) == 3
    output = model.tensors[model.output]
    low, high = (output.scale * (q - output.zero_point) for q in (-128, 127))
    wanted = predict(network, to_tensor(pixels)).numpy()
    assert np.quantile(wanted, 0.01) >= low and np.quantile(wanted, 0.99) <= high


def test_depthwise_kernels_are_in_tflites_order():
    network, pixels = network_of("detector")
    model = to_integer_model(network, calibrated(network, pixels), "detector", per_channel=True)
    first = model.ops[0]
    assert isinstance(first, DepthwiseConv2D) and first.stride == (2, 2) and first.activation == "RELU6"
    weights = network.layers["depthwise1"].conv.weight.detach().numpy()
    for channel in range(3):
        real_kernel = first.weights[..., channel] * first.weight_scales[channel]
        assert np.abs(real_kernel - weights[channel, 0]).max() <= first.weight_scales[channel] * 0.501


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("rest", [0.0, 1e-20, 1e-9])
def test_channels_whose_weights_vanish_keep_their_bias(per_channel, rest):
    """Magnitude pruning can zero a whole depthwise kernel; its bias must not leave 32 bits."""
    network, pixels = network_of("detector")
    with torch.no_grad():
        convolution = network.layers["depthwise2"].conv
        convolution.weight[2 if per_channel else slice(None)] = rest
        convolution.bias[2] = 2.0
    model = to_integer_model(network, calibrated(network, pixels), "dead", per_channel)
    integers = simulate(model, to_int8(pixels))
    assert np.array_equal(reference.run(write_flatbuffer(model), to_int8(pixels)), integers)
    values = activations(model, {model.input: to_int8(pixels)})
    index = next(op.output for op in model.ops if op.name == "depthwise2")
    assert np.abs(real(model, values[index], index)[:, 2] - 2).max() <= model.tensors[index].scale


def test_the_papers_magnitude_pruning_of_a_detector_can_be_quantized():
    network, pixels = network_of("detector")
    pruned = prune_magnitude(network, 0.95)
    assert any((kernel == 0).all() for kernel in pruned.layers["depthwise2"].conv.weight)
    model = to_integer_model(pruned, calibrated(pruned, pixels), "pruned", per_channel=True)
    integers = simulate(model, to_int8(pixels))
    assert np.array_equal(reference.run(write_flatbuffer(model), to_int8(pixels)), integers)


def test_quantization_aware_training_reaches_depthwise_weights():
    network, pixels = network_of("mobile")
    aware = AwareNetwork(network, calibrated(network, pixels))
    aware(to_tensor(pixels[:4]).float() / 64 - 2).square().mean().backward()
    for name in ("stem", "block1_depthwise", "block3_depthwise"):
        assert network.layers[name].conv.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["mobile", "detector"])
def test_tensorflows_converter_says_the_same_integers(name, tmp_path):
    network, pixels = network_of(name)
    model = to_integer_model(network, calibrated(network, pixels), name, per_channel=True)
    made = export(model, tmp_path / "model.tflite")
    assert made.route is Route.CONVERTER, made.reason
    found = reference.run(tmp_path / "model.tflite", to_int8(pixels))
    assert np.array_equal(found, simulate(model, to_int8(pixels)))
