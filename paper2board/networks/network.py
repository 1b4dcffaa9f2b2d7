"""A NetworkSpec as a torch module, batch-norm folding, and weights files."""

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes
from paper2board.networks.finite import require_finite
from paper2board.networks.spec import (
    Activation,
    Add,
    AveragePool,
    Concat,
    Conv,
    Depthwise,
    Dropout,
    Flatten,
    Linear,
    MaxPool,
    NetworkSpec,
)

ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "relu6": F.relu6}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return (before, after) padding of TFLite's SAME: the odd element goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvLayer(nn.Module):
    """SAME-padded convolution, depthwise or over all channels, optional batch normalisation, activation.
    N×C×H×W float32; weights out×in×k×k, depthwise C×1×k×k."""

    def __init__(self, spec: Conv | Depthwise, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = input_shape
        out, groups = (channels, channels) if isinstance(spec, Depthwise) else (spec.out, 1)
        self.conv = nn.Conv2d(
            channels, out, spec.kernel, spec.stride, groups=groups, bias=not spec.batch_norm
        )
        self.batch_norm = nn.BatchNorm2d(out) if spec.batch_norm else nn.Identity()
        self.activation: Activation = spec.activation
        self.padding = [
            *same_padding(width, spec.kernel, spec.stride),
            *same_padding(height, spec.kernel, spec.stride),
        ]
        if self.padding[0] == self.padding[1] and self.padding[2] == self.padding[3]:
            # Let the convolution pad: a separate pad operation costs a copy.
            self.conv.padding = (self.padding[2], self.padding[0])
            self.padding = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.padding:
            x = F.pad(x, self.padding)
        return ACTIVATIONS[self.activation](self.batch_norm(self.conv(x)))


class LinearLayer(nn.Module):
    """Fully connected layer with activation. N×in → N×out float32."""

    def __init__(self, spec: Linear, inputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, spec.out)
        self.activation: Activation = spec.activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ACTIVATIONS[self.activation](self.linear(x))


class AddLayer(nn.Module):
    """Residual sum with activation."""

    def __init__(self, spec: Add) -> None:
        super().__init__()
        self.activation: Activation = spec.activation

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ACTIVATIONS[self.activation](x + y)


class ConcatLayer(nn.Module):
    """Concatenation along channels."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, 1)


class Network(nn.Module):
    """The torch module of a spec: N×C×H×W float32 in; out the last layer's values, N×classes logits of a
    classifier, N×C×H×W of a detector. Flatten is in C, H, W order."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.sources = spec.sources()
        shapes = spec.shapes()
        self.layers = nn.ModuleDict()
        for layer in spec.layers:
            if hasattr(self.layers, layer.name):
                raise UserError(f"network layer {layer.name}: torch's modules use this name; choose another")
            shape = shapes[self.sources[layer.name][0]]
            self.layers[layer.name] = _module(layer, shape)

    def extra_repr(self) -> str:
        """Return the spec as JSON, so that the module's text has all that its weights have not."""
        return self.spec.model_dump_json()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {"input": x}
        for name, sources in self.sources.items():
            values[name] = self.layers[name](*(values[source] for source in sources))
        return values[name]


def _module(layer: object, shape: tuple[int, ...]) -> nn.Module:
    match layer:
        case Conv() | Depthwise():
            return ConvLayer(layer, shape)
        case Linear():
            return LinearLayer(layer, shape[0])
        case Add():
            return AddLayer(layer)
        case Concat():
            return ConcatLayer()
        case MaxPool():
            return nn.MaxPool2d(layer.kernel)
        case AveragePool():
            # Equal to adaptive pooling, since the sizes are multiples.
            return nn.AvgPool2d((shape[1] // layer.out, shape[2] // layer.out))
        case Flatten():
            return nn.Flatten()
        case Dropout():
            return nn.Dropout(layer.rate)
        case _:
            raise TypeError(layer)


def folded(network: Network) -> Network:
    """Return a copy as it is deployed: batch normalisations folded into weights and biases of their convolutions,
    no dropout."""
    result = Network(network.spec.deployed())
    with torch.no_grad():
        for name, target in result.layers.items():
            source = network.layers[name]
            if isinstance(source, ConvLayer) and isinstance(source.batch_norm, nn.BatchNorm2d):
                fused = nn.utils.fuse_conv_bn_eval(source.conv.eval(), source.batch_norm.eval())
                target.get_submodule("conv").load_state_dict(fused.state_dict())
            else:
                target.load_state_dict(source.state_dict())
    return result.eval()


def write_weights(network: Network, path: str | Path) -> None:
    """Write weights and spec as one safetensors file, atomically; raise :class:`UserError` if a weight is not
    finite."""
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    require_finite(state, path, "it is not written; train the network again at a lower learning rate")
    write_bytes(path, save(state, metadata={"network": network.spec.model_dump_json()}))


def read_weights(path: str | Path) -> Network:
    """Read a network written by :func:`write_weights`, in evaluation mode; raise :class:`UserError` if the file is
    none, or if a weight is not finite."""
    try:
        with safe_open(path, framework="pt") as stream:
            spec = NetworkSpec.model_validate_json((stream.metadata() or {})["network"])
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
        network = Network(spec)
        network.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValidationError) as error:
        raise UserError(f"{path} holds no network of ours ({error}); delete it and run again") from error
    require_finite(state, path, "delete it, and run again at a lower learning rate")
    return network.eval()
