"""Structured L1-norm channel pruning with a ratio per layer, for any network of the study format.

Importance of an output channel is the sum of its absolute weights (the deck's s_c; Li et al. 2017). Channels
that a residual sum ties together are removed together, by their summed importance. torch-pruning's dependency
graph finds what has to shrink with a channel: batch norm, the next layer's inputs, the flattened features.
"""

import math

import torch
import torch_pruning as tp
from torch import nn

from paper2board.errors import UserError
from paper2board.train.network import ConvLayer, LinearLayer, Network


def prune_channels(network: Network, ratios: dict[str, float]) -> Network:
    """Return a smaller copy of ``network``; layer ``name`` keeps ``floor((1 − ratio) · channels)``.

    The deck's 20 % of 32 and 64 channels and 40 % of 128 neurons leave 25, 51 and 76. Raises
    :class:`UserError` when a ratio would leave no channel, names a layer that cannot be pruned, or when tied
    layers are given different ratios.
    """
    pruned = _copy(network)
    example = torch.zeros(1, *network.spec.input)
    before = network.spec.widths()
    for name, ratio in ratios.items():
        module = weight_module(pruned, name)
        keep = math.floor((1 - ratio) * before[name] + 1e-9)
        remove = weight_count(module) - keep
        if keep < 1:
            raise UserError(f"prune.{name}: a ratio of {ratio} leaves no channel of {before[name]}; lower it")
        if remove < 0:
            raise UserError(f"prune.{name}: tied to a layer with a higher ratio; give both the same ratio")
        if remove:
            _remove(pruned, module, remove, example)
    widths = {name: weight_count(weight_module(pruned, name)) for name in before}
    result = Network(network.spec.with_widths(widths))
    result.load_state_dict(pruned.state_dict())
    return result.eval()


def weight_module(network: Network, name: str) -> nn.Conv2d | nn.Linear:
    """Return the convolution or linear module of layer ``name``."""
    layer = dict(network.layers.items()).get(name)
    if isinstance(layer, ConvLayer):
        return layer.conv
    if isinstance(layer, LinearLayer):
        return layer.linear
    raise UserError(f"prune.{name}: no convolution or linear layer has this name; correct it")


def weight_count(module: nn.Conv2d | nn.Linear) -> int:
    """Return the number of output channels (neurons)."""
    return module.weight.shape[0]


def importance(weights: torch.Tensor) -> torch.Tensor:
    """Return the L1 norm of each output channel: (out, …) → (out,)."""
    return weights.detach().abs().flatten(1).sum(1)


def _remove(network: Network, module: nn.Conv2d | nn.Linear, count: int, example: torch.Tensor) -> None:
    graph = tp.DependencyGraph().build_dependency(network, example_inputs=example)
    prune_output = graph.get_pruner_of_module(module).prune_out_channels
    everything = graph.get_pruning_group(module, prune_output, list(range(weight_count(module))))
    tied = [
        dependency.target.module
        for dependency, _ in everything
        if isinstance(dependency.target.module, nn.Conv2d | nn.Linear)
        and graph.is_out_channel_pruning_fn(dependency.handler)
    ]
    scores = torch.stack([importance(member.weight) for member in tied]).sum(0)
    weakest = scores.argsort(stable=True)[:count].tolist()
    graph.get_pruning_group(module, prune_output, weakest).prune()


def _copy(network: Network) -> Network:
    result = Network(network.spec)
    result.load_state_dict(network.state_dict())
    return result.eval()
