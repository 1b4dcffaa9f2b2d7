"""Structured L1-norm channel pruning with a ratio per layer, for any network of the study format.

Importance of an output channel is the sum of its absolute weights (the deck's s_c; Li et al. 2017). Channels
that a residual sum ties together are removed together, by their summed importance. A depthwise convolution has
no width of its own: it follows its source, and its weights do not count. Of a concatenation each part is pruned
by itself. torch-pruning's dependency graph finds what has to shrink with a channel: batch norm, depthwise
convolutions, the next layer's inputs wherever they lie in a concatenation, the flattened features.
"""

import math

import torch
import torch_pruning as tp
from torch import nn

from paper2board.core.errors import UserError
from paper2board.networks.network import ConvLayer, LinearLayer, Network


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
    """Return the convolution or linear module of layer ``name``, which has a width of its own."""
    layer = network.layers[name] if name in network.spec.widths() else None
    if isinstance(layer, ConvLayer):
        return layer.conv
    if isinstance(layer, LinearLayer):
        return layer.linear
    if name in network.layers:
        raise UserError(f"prune.{name}: this layer's width is its source's; name the source")
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
    scores = torch.zeros(weight_count(module))
    for item in everything:
        member = item.dep.target.module
        depthwise = isinstance(member, nn.Conv2d) and member.groups > 1
        if (
            isinstance(member, nn.Conv2d | nn.Linear)
            and graph.is_out_channel_pruning_fn(item.dep.handler)
            and not depthwise
        ):
            # A tied layer may be a part of a concatenation, or hold one: only some channels correspond.
            scores.index_add_(0, torch.tensor(item.root_idxs), importance(member.weight)[item.idxs])
    weakest = scores.argsort(stable=True)[:count].tolist()
    graph.get_pruning_group(module, prune_output, weakest).prune()


def _copy(network: Network) -> Network:
    result = Network(network.spec)
    result.load_state_dict(network.state_dict())
    return result.eval()
