"""The network that a training starts from."""

import torch
from torch import nn

from paper2board.networks.network import ConvLayer, LinearLayer, Network
from paper2board.networks.spec import NetworkSpec
from paper2board.study.recipe import Initialisation


def new_network(spec: dict, seed: int, initialisation: Initialisation = "torch") -> Network:
    """Return a freshly initialised network of a spec given as plain data, initialised as a recipe says."""
    torch.manual_seed(seed)
    network = Network(NetworkSpec.model_validate(spec))
    if initialisation == "he":
        for layer in network.layers.values():
            match layer:
                case ConvLayer():
                    _he(layer.conv, layer.activation)
                case LinearLayer():
                    _he(layer.linear, layer.activation)
    return network


def _he(module: nn.Conv2d | nn.Linear, activation: str) -> None:
    """Draw weights that keep the variance of what goes through the layer and its ReLU (He et al. 2015)."""
    nn.init.kaiming_uniform_(module.weight, nonlinearity="linear" if activation == "none" else "relu")
    if module.bias is not None:
        nn.init.zeros_(module.bias)
