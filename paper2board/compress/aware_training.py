"""Quantization-aware training: the folded network with the integer model's rounding in its forward pass."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import nn

from paper2board.compress.quantize import (
    WEIGHT_MAX,
    QuantizationParameters,
    fake_quantize,
    weight_scales,
)
from paper2board.networks.network import ACTIVATIONS, ConvLayer, LinearLayer, Network
from paper2board.networks.spec import AveragePool


class AwareNetwork(nn.Module):
    """A folded :class:`Network` that sees its weights and activations rounded to int8.

    Weight scales follow the weights (per channel for convolutions, per tensor for linear layers); activation
    parameters stay as calibrated, so the integer model of the trained weights uses the very same ones.
    """

    def __init__(self, network: Network, parameters: dict[str, QuantizationParameters]) -> None:
        super().__init__()
        self.network = network
        self.parameters_of = parameters
        self.averages = {layer.name for layer in network.spec.layers if isinstance(layer, AveragePool)}

    def extra_repr(self) -> str:
        """Return the activation parameters, which do not follow from the weights."""
        return str(self.parameters_of)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values, origin = {"input": x}, {"input": "input"}
        for name, sources in self.network.sources.items():
            inputs = [values[source] for source in sources]
            origin[name] = name if name in self.parameters_of else origin[sources[0]]
            value = self._layer(self.network.layers[name], inputs)
            if name in self.parameters_of or name in self.averages:
                value = fake_quantize(value.float(), self.parameters_of[origin[name]])
            values[name] = value
        return values[name]

    def _layer(self, layer: nn.Module, inputs: list[torch.Tensor]) -> torch.Tensor:
        if isinstance(layer, ConvLayer):
            x = F.pad(inputs[0], layer.padding) if layer.padding else inputs[0]
            weights = _rounded(layer.conv.weight, per_channel=True)
            sums = F.conv2d(
                x, weights, layer.conv.bias, layer.conv.stride, layer.conv.padding, groups=layer.conv.groups
            )
            return ACTIVATIONS[layer.activation](sums)
        if isinstance(layer, LinearLayer):
            weights = _rounded(layer.linear.weight, per_channel=False)
            return ACTIVATIONS[layer.activation](F.linear(inputs[0], weights, layer.linear.bias))
        return layer(*inputs)


def _rounded(weights: torch.Tensor, per_channel: bool) -> torch.Tensor:
    scales = weight_scales(weights, per_channel)
    zero_points = torch.zeros_like(scales, dtype=torch.int32)
    if per_channel:
        return torch.fake_quantize_per_channel_affine(
            weights, scales, zero_points, 0, -WEIGHT_MAX, WEIGHT_MAX
        )
    return torch.fake_quantize_per_tensor_affine(weights, scales[0].item(), 0, -WEIGHT_MAX, WEIGHT_MAX)
