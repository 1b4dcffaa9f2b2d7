"""Random torch modules for tests of their import: of what docs/new-study.md promises, and of what it does not."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations, prune

ACTIVATIONS = {
    "nn.ReLU": lambda: nn.ReLU(),
    "nn.ReLU6": lambda: nn.ReLU6(),
    "in place": lambda: nn.ReLU(inplace=True),
    "hardtanh": lambda: nn.Hardtanh(0, 6),
    "F.relu": lambda: F.relu,
    "F.relu6": lambda: F.relu6,
    "clamp": lambda: lambda x: x.clamp(0, 6),
    "method": lambda: lambda x: x.relu(),
    "discarded F.relu_": lambda: _discarded(F.relu_),
    "discarded method": lambda: _discarded(lambda x: x.relu_()),
    "discarded inplace": lambda: _discarded(lambda x: F.relu(x, inplace=True)),
    "none": lambda: lambda x: x,
}
OUTSIDE: dict[str, Any] = {
    "silu": lambda c: nn.SiLU(),
    "leaky": lambda c: nn.LeakyReLU(),
    "sigmoid gate": lambda c: lambda x: x * torch.sigmoid(x),
    "group norm": lambda c: nn.GroupNorm(1, c),
    "dilation": lambda c: nn.Conv2d(c, c, 3, padding=2, dilation=2),
    "valid": lambda c: nn.Conv2d(c, c, 3),
    "oblong": lambda c: nn.Conv2d(c, c, (3, 1), padding=(1, 0)),
    "reflect": lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="reflect"),
    "transposed": lambda c: nn.ConvTranspose2d(c, c, 2, 2),
    "upsample": lambda c: nn.Upsample(scale_factor=2),
    "max pool 3 stride 2": lambda c: nn.MaxPool2d(3, 2, 1),
    "late norm": lambda c: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(c)),
    "factor": lambda c: lambda x: x * 2,
    "factor in place": lambda c: _discarded(lambda x: x.mul_(2)),
    "offset": lambda c: lambda x: x + 1,
    "part": lambda c: lambda x: x[:, :1],
    "part in place": lambda c: _discarded(lambda x: x[:, :1].relu_()),
    "data in place": lambda c: _discarded(lambda x: x.data.relu_()),
    "assignment": lambda c: _zeroed,
    "flip": lambda c: lambda x: x.flip(3),
    "permute": lambda c: lambda x: x.permute(0, 1, 3, 2),
    "roll": lambda c: lambda x: torch.roll(x, 1, 1),
    "branch on values": lambda c: lambda x: x if x.sum() > 0 else -x,
    "branch on sizes": lambda c: lambda x: x if x.shape[0] > 1 else -x,
    "dropout always": lambda c: lambda x: F.dropout(x, 0.5),
    "noise": lambda c: lambda x: x + torch.randn(()),
    "hook": lambda c: _hooked(nn.Conv2d(c, c, 1)),
    "twice": lambda c: (lambda conv: nn.Sequential(conv, conv))(nn.Conv2d(c, c, 1)),
    "tied": lambda c: _tied(nn.Conv2d(c, c, 1), nn.Conv2d(c, c, 1)),
    "lazy": lambda c: nn.LazyConv2d(c, 1),
    "half": lambda c: nn.Conv2d(c, c, 1).half(),
    "TorchScript": lambda c: torch.jit.script(nn.ReLU()),
    "leaves": lambda c: _leave,
    "gives a tuple": lambda c: lambda x: (x, x),
    "own tensor": lambda c: lambda x: x + torch.ones(1, c, 1, 1),
    "batch 2": lambda c: lambda x: x.view(2, *x.shape[1:]),
}
"""What the study format cannot say, as a layer over C channels."""


def _discarded(function: Any) -> Any:
    """Work in place; what the call returns is not used."""

    def apply(x: torch.Tensor) -> torch.Tensor:
        function(x)
        return x

    return apply


def _zeroed(x: torch.Tensor) -> torch.Tensor:
    x[:, 0] = 0
    return x


def _leave(x: torch.Tensor) -> torch.Tensor:
    raise SystemExit(0)


def _hooked(conv: nn.Module) -> nn.Module:
    conv.register_forward_hook(lambda module, inputs, output: output * 2)
    return conv


def _tied(one: nn.Conv2d, other: nn.Conv2d) -> nn.Module:
    other.weight = nn.Parameter(one.weight.transpose(0, 1))
    return nn.Sequential(one, other)


class Chain(nn.Module):
    """Steps one after the other; each is a module or a function."""

    def __init__(self, steps: list[Any]) -> None:
        super().__init__()
        self.steps = [None if isinstance(step, nn.Module) else step for step in steps]
        self.parts = nn.ModuleDict({str(n): s for n, s in enumerate(steps) if isinstance(s, nn.Module)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, step in enumerate(self.steps):
            x = self.parts[str(number)](x) if step is None else step(x)
        return x


class Residual(nn.Module):
    def __init__(self, body: nn.Module, style: str) -> None:
        super().__init__()
        self.body, self.style = body, style

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        match self.style:
            case "+":
                return x + y
            case "+=":
                y += x
            case "add_":
                y.add_(x)
            case "torch.add":
                return torch.add(input=x, other=y)
        return y


class Branches(nn.Module):
    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([part(x) for part in self.parts], dim=1)


def random_module(seed: int, outside: bool) -> tuple[nn.Module, tuple[int, int, int]]:
    """Return a module of the features that are promised, with one that is not if ``outside``, and its input."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    def pick(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    channels = pick(1, 3)
    side = pick(8, 12, 16)
    shape = (channels, side, pick(side, side + 4))
    height, width = shape[1:]
    steps: list[Any] = []

    def activation() -> Any:
        return ACTIVATIONS[pick(*ACTIVATIONS)]()

    def conv(inputs: int, out: int, groups: int = 1, kernel: int | None = None) -> nn.Module:
        kernel = kernel or pick(1, 3, 5)
        padding = pick("same", kernel // 2)
        layer: nn.Module = nn.Conv2d(
            inputs, out, kernel, padding=padding, groups=groups, bias=pick(True, False)
        )
        match pick("plain", "plain", "plain", "plain", "weight_norm", "old weight_norm", "mask"):
            case "weight_norm":
                layer = parametrizations.weight_norm(layer)
            case "old weight_norm":
                layer = nn.utils.weight_norm(layer)
            case "mask":
                prune.random_unstructured(layer, "weight", 0.3)
        if pick(True, False):
            layer = nn.Sequential(layer, nn.BatchNorm2d(out, eps=pick(1e-5, 1e-3), affine=pick(True, False)))
        return layer

    unlike = None
    position = int(rng.integers(1, 4))
    for number in range(4):
        if outside and number == position:
            unlike = pick(*OUTSIDE)
            steps.append(OUTSIDE[unlike](channels))
            # Nothing in the format follows what is outside it, so that no other rule hides it.
            steps.append(nn.Conv2d(channels, channels, 1))
        match pick("conv", "conv", "depthwise", "residual", "branches", "pool", "halve", "drop"):
            case "conv":
                out = pick(2, 4, 6)
                steps += [conv(channels, out), activation()]
                channels = out
            case "depthwise" if channels > 1:
                steps += [conv(channels, channels, channels, 3), activation()]
            case "residual":
                steps += [conv(channels, channels)]
                steps += [
                    Residual(conv(channels, channels), pick("+", "+=", "add_", "torch.add")),
                    activation(),
                ]
            case "branches":
                steps += [
                    conv(channels, channels),
                    Branches([conv(channels, 2), conv(channels, 3)]),
                    activation(),
                ]
                channels = 5
            case "pool" if min(height, width) >= 4:
                kernel = pick(nn.MaxPool2d(2), lambda x: F.max_pool2d(x, kernel_size=2, stride=(2, 2)))
                steps += [conv(channels, channels), kernel]
                height, width = height // 2, width // 2
            case "halve" if height % 2 == 0 and width % 2 == 0:
                out = pick(2, 4)
                steps += [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, out, 3, 2), activation()]
                channels, height, width = out, height // 2, width // 2
            case "drop":
                steps += [nn.Dropout(0.3)]
    steps.append(conv(channels, channels))
    if unlike is None and pick(True, False):
        steps.append(pick(nn.AdaptiveAvgPool2d(1), lambda x: F.avg_pool2d(x, x.shape[2:])))
        steps.append(pick(nn.Flatten(), lambda x: x.view(x.size(0), -1)))
    else:
        steps.append(lambda x: x.mean([2, 3]))
    steps += [nn.Linear(channels, 5, bias=pick(True, False)), pick(nn.ReLU(), nn.Identity(), nn.Identity())]
    steps += [pick(nn.Identity(), nn.Identity(), nn.Softmax(1), nn.LogSoftmax(-1))]
    module = Chain(steps)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(1e-4, 2)
    return module.train(pick(True, False)), shape
