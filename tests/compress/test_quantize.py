import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.compress.aware_training import AwareNetwork
from paper2board.compress.magnitude_pruning import prune_magnitude, zero_share
from paper2board.compress.quantize import (
    Observer,
    best_parameters,
    fake_quantize,
    parameters_of_range,
    round_scale,
    to_integer_model,
    weight_round_trip,
    weight_scales,
)
from paper2board.model.simulate import simulate
from paper2board.networks.inference import predict
from paper2board.networks.network import Network, folded
from paper2board.networks.pixels import to_int8
from paper2board.networks.tensors import to_tensor
from paper2board.study.schema import load_study

STUDY = load_study("config/studies/esp32-wroom-cifar10.yaml")


def quantized(name, per_channel):
    torch.manual_seed(3)
    network = Network(STUDY.networks[name])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    network = folded(network)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    observer = Observer(network)
    observer.observe(to_tensor(pixels).split(32))
    model = to_integer_model(network, observer.parameters(), name, per_channel)
    return network, observer.parameters(), model, pixels


@pytest.mark.parametrize("name", ["original", "pooled", "resnet8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_integer_model_follows_the_float_network(name, per_channel):
    network, _, model, pixels = quantized(name, per_channel)
    output = model.tensors[model.output]
    real = (simulate(model, to_int8(pixels)).astype(float) - output.zero_point) * output.scale
    logits = predict(network, to_tensor(pixels)).numpy()
    assert np.abs(real - logits).max() < 0.15 * np.abs(logits).max()
    assert np.corrcoef(real.ravel(), logits.ravel())[0, 1] > 0.98


def test_fake_quantization_agrees_with_the_integers_within_a_few_steps():
    network, parameters, model, pixels = quantized("resnet8", True)
    output = model.tensors[model.output]
    aware = predict(AwareNetwork(network, parameters), to_tensor(pixels)).numpy()
    integers = simulate(model, to_int8(pixels)).astype(float)
    assert np.abs(aware / output.scale + output.zero_point - integers).max() <= 6


def test_folding_batch_norm_keeps_the_function():
    torch.manual_seed(0)
    network = Network(STUDY.networks["resnet8"])
    network.train()(torch.randn(16, 3, 32, 32))
    x = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(folded(network)(x), network.eval()(x), atol=1e-4, rtol=1e-4)


@given(st.floats(1e-12, 1e6))
def test_a_rounded_scale_survives_the_way_through_a_range(value):
    scale = round_scale(value)
    assert value <= scale <= value * (1 + 2**-14)
    for span in (254, 255):
        assert np.float32(scale) * np.float32(span) / np.float32(span) == np.float32(scale)
        assert float(np.float32(scale) * np.float32(span)) == scale * span


@given(st.floats(-100, 0), st.floats(0.001, 100))
def test_zero_is_exact_and_the_range_is_covered(low, high):
    chosen = parameters_of_range(low, high)
    assert fake_quantize(torch.zeros(1), chosen).item() == 0
    for edge in (low, high):
        assert abs(fake_quantize(torch.tensor([edge]), chosen).item() - edge) <= chosen.scale * 1.01


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_no_other_candidate_range_has_less_error(seed):
    samples = torch.randn(500, generator=torch.Generator().manual_seed(seed)).relu()
    error = (fake_quantize(samples, best_parameters(samples)) - samples).square().mean()
    full = parameters_of_range(0.0, samples.max().item())
    assert error <= (fake_quantize(samples, full) - samples).square().mean()


def test_per_tensor_has_one_scale_and_per_channel_one_each():
    weights = torch.tensor([[1.0, -2.0], [0.5, 0.25]])
    assert weight_scales(weights, per_channel=False).tolist() == [round_scale(2 / 127)]
    assert weight_scales(weights, per_channel=True).tolist() == [round_scale(2 / 127), round_scale(0.5 / 127)]


def test_the_decks_round_trip_is_its_formula():
    network, *_ = quantized("pooled", True)
    after = weight_round_trip(network)
    for before, value in zip(network.parameters(), after.parameters(), strict=True):
        scale = before.abs().max() / 127
        assert (value / scale - (value / scale).round()).abs().max() < 1e-4
        assert (value - before).abs().max() <= scale * 0.5001


def test_magnitude_pruning_zeroes_the_share_it_is_told():
    pruned = prune_magnitude(Network(STUDY.networks["pooled"]), 0.4)
    assert abs(zero_share(pruned) - 0.4) < 0.01
