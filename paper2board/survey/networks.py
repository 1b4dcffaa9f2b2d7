"""The architectures of the survey, as their papers define them.

AlexNet, SqueezeNet 1.1, MobileNetV2 and ShuffleNetV2 are torchvision's. The others are not in torchvision; they are
written here from their papers' tables. A test compares each with the parameter count that its authors publish.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn

from paper2board.bench.networks import NETWORKS, build
from paper2board.core.errors import UserError
from paper2board.model.integer_model import renamed
from paper2board.networks.torchvision_guard import torchvision
from paper2board.survey.graph import Graph, of_integer_model, of_module


def _divisible(value: float, divisor: int) -> int:
    """Return the multiple of ``divisor`` nearest to ``value``, at least 90 % of it (the MobileNets' rule)."""
    result = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return result + divisor if result < 0.9 * value else result


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
) -> list[nn.Module]:
    """Return a convolution, batch normalisation and, with ``act``, ReLU6."""
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return [*layers, nn.ReLU6()] if act else layers


class _Classifier(nn.Module):
    """Features, global average pooling, one linear layer."""

    def __init__(self, features: Sequence[nn.Module], channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class _Inverted(nn.Module):
    """MobileNetV2's block: expansion, depthwise convolution, projection, and a sum if the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = _conv(inputs, hidden, 1) if expansion > 1 else []
        layers += _conv(hidden, hidden, kernel, stride, groups=hidden) + _conv(hidden, outputs, 1, act=False)
        self.layers = nn.Sequential(*layers)
        self.sums = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        return x + self.layers(x) if self.sums else self.layers(x)


def mobilenet_v1(width: float, classes: int) -> nn.Module:
    """MobileNet (Howard et al. 2017, arXiv 1704.04861, table 1)."""
    channels = int(32 * width)
    layers = _conv(3, channels, 3, 2)
    rows = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
    for outputs, stride in rows:
        layers += _conv(channels, channels, 3, stride, groups=channels)
        layers += _conv(channels, int(outputs * width), 1)
        channels = int(outputs * width)
    return _Classifier(layers, channels, classes)


def efficientnet_lite0(width: float, classes: int) -> nn.Module:
    """EfficientNet-Lite0 (the tensorflow/tpu repository's ``efficientnet/lite``).

    It is EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946, table 1) without squeeze-and-excitation and with ReLU6.
    Stem and head are not scaled.
    """
    _only(width, "efficientnet-lite0")
    layers: list[nn.Module] = _conv(3, 32, 3, 2)
    channels = 32
    rows = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    for expansion, outputs, repeats, stride, kernel in rows:
        for index in range(repeats):
            layers.append(_Inverted(channels, outputs, expansion, kernel, stride if index == 0 else 1))
            channels = outputs
    return _Classifier([*layers, *_conv(channels, 1280, 1)], 1280, classes)


# Channels of the stem; then expansion, output channels, stride and kernel of each block. The blocks are those of
# the model zoo's networks with the same names (github mit-han-lab/mcunet; Lin et al. 2020, arXiv 2007.10319). A
# network is stem, blocks, pooling, classifier.
_MCUNETS: dict[str, tuple[int, tuple[tuple[int, int, int, int], ...]]] = {
    "mcunet-10fps": (
        24,
        (
            (1, 16, 1, 3),
            (4, 16, 2, 5),
            (3, 16, 1, 3),
            (4, 16, 1, 3),
            (5, 24, 2, 7),
            (4, 24, 1, 5),
            (5, 24, 1, 5),
            (5, 48, 2, 7),
            (4, 48, 1, 5),
            (5, 56, 1, 3),
            (4, 56, 1, 5),
            (5, 56, 1, 3),
            (6, 112, 2, 3),
            (4, 112, 1, 5),
            (6, 192, 1, 3),
        ),
    ),
    "mcunet-320kb": (
        16,
        (
            (1, 8, 1, 3),
            (3, 16, 2, 7),
            (5, 16, 1, 3),
            (5, 16, 1, 7),
            (4, 16, 1, 5),
            (5, 24, 2, 5),
            (5, 24, 1, 5),
            (5, 24, 1, 5),
            (5, 40, 2, 3),
            (6, 40, 1, 7),
            (4, 40, 1, 5),
            (5, 48, 1, 5),
            (5, 48, 1, 7),
            (5, 48, 1, 3),
            (6, 96, 2, 3),
            (5, 96, 1, 7),
            (4, 96, 1, 3),
            (5, 160, 1, 7),
        ),
    ),
}


def _mcunet(name: str) -> Callable[[float, int], nn.Module]:
    def network(width: float, classes: int) -> nn.Module:
        _only(width, name)
        channels, blocks = _MCUNETS[name]
        layers: list[nn.Module] = _conv(3, channels, 3, 2)
        for expansion, outputs, stride, kernel in blocks:
            layers.append(_Inverted(channels, outputs, expansion, kernel, stride))
            channels = outputs
        return _Classifier(layers, channels, classes)

    return network


class _Ghost(nn.Module):
    """GhostNet's module: a pointwise convolution gives half of the channels, a depthwise one on them the others."""

    def __init__(self, inputs: int, outputs: int, act: bool) -> None:
        super().__init__()
        half = outputs // 2
        relu = [nn.ReLU()] if act else []
        self.primary = nn.Sequential(*_conv(inputs, half, 1, act=False), *relu)
        self.cheap = nn.Sequential(*_conv(half, half, 3, groups=half, act=False), *relu)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return both halves."""
        first = self.primary(x)
        return torch.cat([first, self.cheap(first)], 1)


class _Excitation(nn.Module):
    """Squeeze-and-excitation with a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = _divisible(channels / 4, 4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, reduced, 1), nn.ReLU(), nn.Conv2d(reduced, channels, 1), nn.Hardsigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` with its channels weighted."""
        return x * self.gate(self.pool(x))


class _GhostBottleneck(nn.Module):
    """Two ghost modules with a strided depthwise convolution between them, and a shortcut."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, kernel: int, stride: int, excite: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Ghost(inputs, hidden, act=True)]
        if stride > 1:
            layers += _conv(hidden, hidden, kernel, stride, groups=hidden, act=False)
        if excite:
            layers.append(_Excitation(hidden))
        self.layers = nn.Sequential(*layers, _Ghost(hidden, outputs, act=False))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                *_conv(inputs, inputs, kernel, stride, groups=inputs, act=False),
                *_conv(inputs, outputs, 1, act=False),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        return self.layers(x) + self.shortcut(x)


def ghostnet(width: float, classes: int) -> nn.Module:
    """GhostNet (Han et al. 2020, arXiv 1911.11907, table 7)."""
    # Kernel, hidden channels, output channels, squeeze-and-excitation, stride.
    rows = (
        (3, 16, 16, False, 1),
        (3, 48, 24, False, 2),
        (3, 72, 24, False, 1),
        (5, 72, 40, True, 2),
        (5, 120, 40, True, 1),
        (3, 240, 80, False, 2),
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
        (5, 672, 160, True, 2),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
    )
    channels = _divisible(16 * width, 4)
    layers: list[nn.Module] = [*_conv(3, channels, 3, 2, act=False), nn.ReLU()]
    for kernel, hidden, outputs, excite, stride in rows:
        expanded, outputs = _divisible(hidden * width, 4), _divisible(outputs * width, 4)
        layers.append(_GhostBottleneck(channels, expanded, outputs, kernel, stride, excite))
        channels = outputs
    last = _divisible(960 * width, 4)
    layers += [*_conv(channels, last, 1, act=False), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(last, 1280, 1), nn.ReLU()]
    return _Classifier([*layers, *head], 1280, classes)


def _only(width: float, name: str) -> None:
    if width != 1:
        raise UserError(f"{name} is published in one width; set its widths to [1.0]")


def _torchvision(builder: Callable[..., nn.Module]) -> Callable[[float, int], nn.Module]:
    def network(width: float, classes: int) -> nn.Module:
        _only(width, builder.__name__)
        return builder(weights=None, num_classes=classes)

    return network


def _mobilenet_v2(width: float, classes: int) -> nn.Module:
    return torchvision.models.mobilenet_v2(weights=None, width_mult=width, num_classes=classes)


def _shufflenet_v2(width: float, classes: int) -> nn.Module:
    builders = {
        0.5: torchvision.models.shufflenet_v2_x0_5,
        1.0: torchvision.models.shufflenet_v2_x1_0,
    }
    if width not in builders:
        raise UserError(
            f"shufflenet-v2 is published with widths 0.5 and 1.0; choose one of them instead of {width:g}"
        )
    return builders[width](weights=None, num_classes=classes)


FAMILIES: dict[str, Callable[[float, int], nn.Module]] = {
    "alexnet": _torchvision(torchvision.models.alexnet),
    "squeezenet": _torchvision(torchvision.models.squeezenet1_1),
    "mobilenet-v1": mobilenet_v1,
    "mobilenet-v2": _mobilenet_v2,
    "shufflenet-v2": _shufflenet_v2,
    "ghostnet": ghostnet,
    "efficientnet-lite0": efficientnet_lite0,
    **{name: _mcunet(name) for name in _MCUNETS},
}
"""Family → function of width multiplier and number of classes; the network's input is any square RGB image."""


def module(family: str, width: float, classes: int) -> nn.Module:
    """Return an architecture on the meta device, without memory for its weights.

    Raise UserError for an unknown family.
    """
    if family not in FAMILIES:
        raise UserError(f"there is no network family {family}; choose one of {', '.join(FAMILIES)}")
    with torch.device("meta"):
        return FAMILIES[family](width, classes)


def graph(name: str, family: str, width: float, resolution: int, classes: int) -> Graph:
    """Return the graph of an architecture for square RGB images."""
    return replace(
        of_module(name, module(family, width, classes), (3, resolution, resolution)), family=family
    )


def own(network: str, name: str | None = None) -> Graph:
    """Return the graph of a network of :data:`paper2board.bench.networks.NETWORKS` under another ``name``."""
    if network not in NETWORKS:
        raise UserError(f"there is no own network {network}; choose one of {', '.join(NETWORKS)}")
    return of_integer_model(renamed(build(network), name or network))
