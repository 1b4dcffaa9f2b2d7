import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.compress.channel_pruning import importance, prune_channels, weight_module
from paper2board.core.errors import UserError
from paper2board.networks.network import Network
from paper2board.networks.spec import NetworkSpec
from paper2board.study.schema import load_study

STUDY = load_study("config/studies/esp32-wroom-cifar10.yaml")
SMALL = {
    "plain": NetworkSpec.model_validate(
        {
            "input": [3, 8, 8],
            "layers": [
                {"name": "conv1", "op": "conv", "out": 10},
                {"name": "pool1", "op": "max_pool"},
                {"name": "conv2", "op": "conv", "out": 7, "kernel": 1},
                {"name": "flatten", "op": "flatten"},
                {"name": "fc1", "op": "linear", "out": 9, "activation": "relu"},
                {"name": "fc2", "op": "linear", "out": 4},
            ],
        }
    ),
    "residual": NetworkSpec.model_validate(
        {
            "input": [3, 8, 8],
            "layers": [
                {"name": "conv1", "op": "conv", "out": 8},
                {"name": "conv2", "op": "conv", "out": 6},
                {"name": "conv3", "op": "conv", "out": 8, "activation": "none"},
                {"name": "sum", "op": "add", "other": "conv1"},
                {"name": "pool", "op": "average_pool", "out": 1},
                {"name": "flatten", "op": "flatten"},
                {"name": "fc2", "op": "linear", "out": 4},
            ],
        }
    ),
    "mobile": NetworkSpec.model_validate(
        {
            "input": [3, 8, 8],
            "layers": [
                {"name": "depthwise0", "op": "depthwise", "activation": "relu6"},
                {"name": "conv1", "op": "conv", "out": 8, "kernel": 1, "activation": "relu6"},
                {"name": "depthwise1", "op": "depthwise", "stride": 2},
                {"name": "conv2", "op": "conv", "out": 6, "activation": "none"},
                {"name": "conv4", "op": "conv", "source": "depthwise1", "out": 5},
                {"name": "both", "op": "concat", "others": ["conv2", "depthwise1"]},
                {"name": "depthwise2", "op": "depthwise", "batch_norm": False},
                {"name": "fc2", "op": "conv", "out": 4, "batch_norm": False, "activation": "none"},
            ],
        }
    ),
}
TIED = NetworkSpec.model_validate(
    {
        "input": [3, 8, 8],
        "layers": [
            {"name": "conv1", "op": "conv", "out": 8},
            {"name": "conv2", "op": "conv", "source": "input", "out": 6},
            {"name": "both", "op": "concat", "others": ["conv1"]},
            {"name": "conv3", "op": "conv", "out": 14, "activation": "none"},
            {"name": "sum", "op": "add", "other": "both"},
            {"name": "fc2", "op": "conv", "out": 4, "batch_norm": False},
        ],
    }
)


def test_the_decks_ratios_leave_25_51_and_76():
    network = Network(STUDY.networks["pooled"])
    pruned = prune_channels(network, STUDY.variants["pruned"].prune)
    assert pruned.spec.widths() == {"conv1": 25, "conv2": 51, "fc1": 76, "fc2": 10}
    assert pruned(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_the_channels_with_the_least_l1_norm_go():
    torch.manual_seed(1)
    network = Network(SMALL["plain"]).eval()
    pruned = prune_channels(network, {"conv1": 0.5})
    before, after = weight_module(network, "conv1").weight, weight_module(pruned, "conv1").weight
    strongest = importance(before).argsort(descending=True)[:5].sort().values
    assert torch.equal(after, before[strongest])


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(SMALL)), seed=st.integers(0, 99), data=st.data())
def test_pruning_dead_channels_changes_nothing(name, seed, data):
    """Channels of zeros have the least norm; without them the network computes the same."""
    torch.manual_seed(seed)
    network = Network(SMALL[name]).eval()
    for module in network.modules():
        # A dead channel's value after its depthwise convolution has to be zero too, as it is without biases.
        if isinstance(module, torch.nn.Conv2d) and module.groups > 1 and module.bias is not None:
            torch.nn.init.zeros_(module.bias)
    layer = data.draw(st.sampled_from([key for key in network.spec.widths() if key != "fc2"]))
    tied = ["conv1", "conv3"] if name == "residual" and layer in ("conv1", "conv3") else [layer]
    width = network.spec.widths()[layer]
    dead = data.draw(st.sets(st.integers(0, width - 1), min_size=1, max_size=width - 1))
    with torch.no_grad():
        for member in tied:
            module = weight_module(network, member)
            module.weight[list(dead)] = 0
            if module.bias is not None:
                module.bias[list(dead)] = 0
    pruned = prune_channels(network, {layer: len(dead) / width})
    x = torch.randn(3, *network.spec.input)
    assert pruned.spec.widths()[layer] == width - len(dead)
    torch.testing.assert_close(pruned(x), network(x), atol=1e-5, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(ratio=st.floats(0, 0.9))
def test_a_residual_network_of_any_ratio_still_runs(ratio):
    pruned = prune_channels(Network(STUDY.networks["resnet8"]), {"stem": ratio, "block3_conv2": ratio})
    keep = math.floor((1 - ratio) * 16 + 1e-9)
    assert pruned.spec.widths()["stem"] == pruned.spec.widths()["block1_conv2"] == keep
    assert pruned(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_depthwise_layer_follows_its_source_and_a_concatenation_splits():
    pruned = prune_channels(Network(SMALL["mobile"]), {"conv1": 0.5, "conv2": 0.5})
    shapes = pruned.spec.shapes()
    assert [shapes[name][0] for name in ("conv1", "depthwise1", "conv2", "conv4")] == [4, 4, 3, 5]
    assert shapes["both"][0] == shapes["depthwise2"][0] == 5 + 3 + 4
    assert pruned(torch.zeros(2, 3, 8, 8)).shape == (2, 4, 4, 4)


def test_depthwise_weights_do_not_choose_the_channels():
    torch.manual_seed(0)
    network = Network(SMALL["mobile"]).eval()
    with torch.no_grad():
        network.layers["depthwise1"].conv.weight[:4] *= 1000
    pruned = prune_channels(network, {"conv1": 0.5})
    before, after = weight_module(network, "conv1").weight, weight_module(pruned, "conv1").weight
    strongest = importance(before).argsort(descending=True)[:4].sort().values
    assert torch.equal(after, before[strongest])
    depthwise = [item.layers["depthwise1"].conv.weight for item in (network, pruned)]
    assert torch.equal(depthwise[1], depthwise[0][strongest])


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3"])
def test_a_sum_ties_a_layer_to_its_part_of_a_concatenation(layer):
    """conv3's channels 0 to 5 are added to conv2's, 6 to 13 to conv1's: dead in both, they change nothing."""
    torch.manual_seed(1)
    network = Network(TIED).eval()
    weights = {name: weight_module(network, name).weight for name in ("conv1", "conv2", "conv3")}
    dead = {"conv1": [1, 6], "conv2": [], "conv3": [7, 12]}
    if layer == "conv2":
        dead = {"conv1": [], "conv2": [0, 4], "conv3": [0, 4]}
    with torch.no_grad():
        for name, channels in dead.items():
            weights[name][channels] = 0
    pruned = prune_channels(network, {layer: 2 / len(weights[layer])})
    widths = {name: len(weight) - len(dead[name]) for name, weight in weights.items()}
    assert pruned.spec.widths() == widths | {"fc2": 4}
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(pruned(x), network(x), atol=1e-5, rtol=1e-5)


def test_a_depthwise_layer_has_no_width_to_prune():
    with pytest.raises(UserError, match=r"prune\.depthwise1: .* name the source"):
        prune_channels(Network(SMALL["mobile"]), {"depthwise1": 0.5})


def test_a_ratio_that_leaves_nothing_is_refused():
    with pytest.raises(UserError, match=r"prune\.conv2: .* lower it"):
        prune_channels(Network(SMALL["plain"]), {"conv2": 0.99})
