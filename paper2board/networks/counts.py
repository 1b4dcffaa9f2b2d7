"""Parameters and multiply-accumulates (MACs) of networks: exact counts, nothing is run."""

import math

import torch

from paper2board.networks.spec import Conv, Depthwise, Linear, NetworkSpec
from paper2board.networks.torchvision_guard import torchvision


def parameters(spec: NetworkSpec, folded: bool = True) -> dict[str, int]:
    """Return weights and biases of each layer, batch normalisation folded (so every layer has a bias).

    Not ``folded`` counts what is trained, as papers print it: a normalised convolution has no bias, but a scale
    and a shift a channel.
    """
    sources, shapes = spec.sources(), spec.shapes()
    result = {}
    for layer in spec.layers:
        inputs = shapes[sources[layer.name][0]]
        if isinstance(layer, Conv | Depthwise):
            channels = shapes[layer.name][0]
            extra = 2 if layer.batch_norm and not folded else 1
            result[layer.name] = channels * (_fan_in(layer, inputs[0]) + extra)
        elif isinstance(layer, Linear):
            result[layer.name] = layer.out * (inputs[0] + 1)
    return result


def macs(spec: NetworkSpec) -> dict[str, int]:
    """Return multiply-accumulates of each convolution and linear layer for one inference, padding counted."""
    sources, shapes = spec.sources(), spec.shapes()
    result = {}
    for layer in spec.layers:
        inputs = shapes[sources[layer.name][0]]
        if isinstance(layer, Conv | Depthwise):
            result[layer.name] = math.prod(shapes[layer.name]) * _fan_in(layer, inputs[0])
        elif isinstance(layer, Linear):
            result[layer.name] = layer.out * inputs[0]
    return result


def _fan_in(layer: Conv | Depthwise, channels: int) -> int:
    """Return the weights of one output channel."""
    return layer.kernel**2 * (1 if isinstance(layer, Depthwise) else channels)


def resnet18_parameters() -> int:
    """Return the parameter count of torchvision's ImageNet ResNet-18, built without memory for its weights."""
    with torch.device("meta"):
        return sum(value.numel() for value in torchvision.models.resnet18(weights=None).parameters())
