"""Weights of a module in the network of its spec."""

from collections.abc import Sequence

import torch
from torch import nn

from paper2board.networks.module_import.draft import Draft
from paper2board.networks.network import ConvLayer, Network


def copy_weights(drafts: Sequence[Draft], network: Network) -> None:
    """Copy the weights that each layer's module has now; computed ones are those of its last call."""
    for draft in drafts:
        if draft.weights is None:
            continue
        layer = network.layers[draft.name]
        target = layer.conv if isinstance(layer, ConvLayer) else layer.get_submodule("linear")
        assert isinstance(target, nn.Conv2d | nn.Linear)
        target.weight.copy_(draft.weights.weight)
        if draft.norm is not None:
            assert isinstance(layer, ConvLayer) and isinstance(layer.batch_norm, nn.BatchNorm2d)
            _copy_norm(draft.norm, draft.weights.bias, layer.batch_norm)
        elif target.bias is not None:
            target.bias.zero_() if draft.weights.bias is None else target.bias.copy_(draft.weights.bias)


def _copy_norm(source: nn.BatchNorm2d, bias: torch.Tensor | None, target: nn.BatchNorm2d) -> None:
    """Copy a normalisation with its convolution's bias. Another epsilon goes into the factor: in the variance it
    would be lost to rounding where that is small."""
    assert source.running_mean is not None and source.running_var is not None  # Reader._norm
    assert target.running_mean is not None and target.running_var is not None
    target.running_mean.copy_(source.running_mean - (0 if bias is None else bias))
    target.running_var.copy_(source.running_var)
    factor = ((source.running_var + target.eps) / (source.running_var + source.eps)).sqrt()
    target.weight.copy_(factor if source.weight is None else source.weight * factor)
    target.bias.zero_() if source.bias is None else target.bias.copy_(source.bias)
