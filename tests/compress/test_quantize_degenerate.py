"""Quantization of networks with layers that say nothing, or whose numbers are out of all proportion."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import naming

from paper2board.compress import calibration
from paper2board.compress.quantize import Observer, to_integer_model
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.simulate import simulate
from paper2board.networks.inference import predict
from paper2board.networks.network import Network, write_weights
from paper2board.networks.pixels import to_int8
from paper2board.networks.spec import NetworkSpec

SPEC = NetworkSpec.model_validate(
    {
        "input": (3, 8, 8),
        "layers": [
            {"name": "first", "op": "conv", "out": 6, "stride": 2, "batch_norm": False},
            {"name": "second", "op": "conv", "out": 6, "batch_norm": False},
            {"name": "sum", "op": "add", "other": "first"},
            {"name": "each", "op": "depthwise", "batch_norm": False},
            {"name": "both", "op": "concat", "others": ["sum"]},
            {"name": "flat", "op": "flatten"},
            {"name": "hidden", "op": "linear", "out": 8, "activation": "relu"},
            {"name": "last", "op": "linear", "out": 3},
        ],
    }
)
WEIGHTED = ["first", "second", "each", "hidden", "last"]
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 3, 8, 8), dtype=np.uint8))


def network(changes: dict[str, tuple[float, float]]) -> Network:
    """Return a network; of each layer named, weights are multiplied and biases replaced."""
    torch.manual_seed(0)
    result = Network(SPEC).eval()
    state = result.state_dict()
    for layer, (factor, bias) in changes.items():
        kind = "linear" if layer in ("hidden", "last") else "conv"
        state[f"layers.{layer}.{kind}.weight"].mul_(factor)
        state[f"layers.{layer}.{kind}.bias"].fill_(bias)
    return result


def quantized(floats: Network, per_channel: bool) -> IntegerModel:
    observer = Observer(floats)
    observer.samples_per_batch = 500
    observer.observe(PIXELS.split(8))
    return to_integer_model(floats, observer.parameters(), "net", per_channel)


def difference(floats: Network, model: IntegerModel) -> float:
    """Return the greatest difference of the integer model's outputs, as a share of the largest output."""
    output = model.tensors[model.output]
    integers = simulate(model, to_int8(PIXELS.permute(0, 2, 3, 1).numpy())).astype(float)
    expected = predict(floats, PIXELS).numpy()
    return float(
        np.abs((integers - output.zero_point) * output.scale - expected).max() / np.abs(expected).max()
    )


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"second": (1, -100)},
        {"first": (1, -100), "second": (1, -100)},
        {"each": (1, -100)},
        {"hidden": (1, -100), "last": (1, 1)},
        {"second": (0, 1e-12)},
        {"second": (1e-10, 0)},
        {name: (0, 0) for name in WEIGHTED} | {"last": (0, 1)},
    ],
    ids=["a convolution", "a sum", "a depthwise convolution", "a dense layer", "bias alone", "tiny", "all"],
)
def test_layers_that_are_always_zero_quantize(changes, per_channel):
    floats = network(changes)
    assert difference(floats, quantized(floats, per_channel)) < 0.05


def test_a_network_that_gives_nothing_but_zero_quantizes():
    floats = network({name: (0, 0) for name in WEIGHTED})
    model = quantized(floats, True)
    output = model.tensors[model.output]
    integers = simulate(model, to_int8(PIXELS.permute(0, 2, 3, 1).numpy()))
    assert (integers == output.zero_point).all()


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.sampled_from(WEIGHTED),
        st.tuples(st.floats(-30, 30).map(lambda power: 10**power), st.floats(width=32)),
        min_size=1,
    ),
    st.booleans(),
)
def test_any_numbers_quantize_or_are_refused_in_a_sentence(changes, per_channel):
    try:
        quantized(network(changes), per_channel)
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    floats = network({})
    floats.state_dict()["layers.second.conv.weight"][0, 0] = value
    with pytest.raises(UserError, match=naming("layers.second.conv.weight", "lower learning rate")):
        quantized(floats, True)
    parameters = Observer(network({}))
    parameters.observe([PIXELS])
    with pytest.raises(UserError, match=naming("net", "layers.second.conv.weight", "lower learning rate")):
        to_integer_model(floats, parameters.parameters(), "net", True)


def test_calibration_names_the_file_of_a_network_whose_outputs_overflow(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "calibration_pixels", lambda *arguments: PIXELS)
    path = tmp_path / "net.safetensors"
    write_weights(network({name: (1e20, 0) for name in WEIGHTED}), path)
    with pytest.raises(UserError, match=naming(str(path), "layer", "lower learning rate")):
        calibration.calibrated(path, [], "")
