"""Parameters and multiply-accumulates (MACs) of networks: exact counts, nothing is run."""

import math

import torch

from paper2board.torchvision_guard import torchvision
from paper2board.train.network_spec import Conv, Linear, NetworkSpec


def parameters(spec: NetworkSpec) -> dict[str, int]:
    """Return weights and biases of each layer, batch normalisation folded (so every layer has a bias)."""
    sources, shapes = spec.sources(), spec.shapes()
    result = {}
    for layer in spec.layers:
        inputs = shapes[sources[layer.name][0]]
        if isinstance(layer, Conv):
            result[layer.name] = layer.out * (inputs[0] * layer.kernel**2 + 1)
        elif isinstance(layer, Linear):
            result[layer.name] = layer.out * (inputs[0] + 1)
    return result


def macs(spec: NetworkSpec) -> dict[str, int]:
    """Return multiply-accumulates of each convolution and linear layer for one inference, padding counted."""
    sources, shapes = spec.sources(), spec.shapes()
    result = {}
    for layer in spec.layers:
        inputs = shapes[sources[layer.name][0]]
        if isinstance(layer, Conv):
            result[layer.name] = math.prod(shapes[layer.name]) * inputs[0] * layer.kernel**2
        elif isinstance(layer, Linear):
            result[layer.name] = layer.out * inputs[0]
    return result


def resnet18_parameters() -> int:
    """Return the parameter count of torchvision's ImageNet ResNet-18, built without memory for its weights."""
    with torch.device("meta"):
        return sum(value.numel() for value in torchvision.models.resnet18(weights=None).parameters())
