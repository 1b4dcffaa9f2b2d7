import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.compress.channel_pruning import importance, prune_channels, weight_module
from paper2board.errors import UserError
from paper2board.study import load_study
from paper2board.train.network import Network
from paper2board.train.network_spec import NetworkSpec

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
}


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


def test_a_ratio_that_leaves_nothing_is_refused():
    with pytest.raises(UserError, match=r"prune\.conv2: .* lower it"):
        prune_channels(Network(SMALL["plain"]), {"conv2": 0.99})
