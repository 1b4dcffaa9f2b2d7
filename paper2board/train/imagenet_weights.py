"""ImageNet weights of torchvision's MobileNetV2 for the cut network (:mod:`paper2board.train.mobilenet_cut`).

Torchvision's convolutions pad one pixel on each side; ours pad as TFLite's SAME, which at stride 2 and an even size
sets every window one pixel further right and down. Through the three strides these are 1 + 2 + 4 pixels: with the
same weights, our features of an image are torchvision's of the image moved :data:`SHIFT` pixels up and left, away
from the border.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from paper2board.core.errors import UserError
from paper2board.networks.imagenet import DEVIATION, MEAN
from paper2board.networks.network import Network
from paper2board.networks.pixels import PIXEL_SCALE
from paper2board.train.mobilenet_cut import BLOCKS

SHIFT = 7
"""Pixels by which torchvision's windows lie up and left of ours."""


def load_imagenet(network: Network, weights: Mapping[str, Tensor]) -> None:
    """Copy the backbone's weights out of torchvision's MobileNetV2 state dict into ``network``, in place.

    The head keeps its weights. ImageNet's normalisation goes into the first convolution: its input is
    ``(pixel − 128) / 64``, so its weights are scaled per input channel and the constant that is left moves the
    mean of its batch normalisation. The one difference is at the border, where torchvision pads with the mean
    colour and we with grey 128. Raise :class:`UserError` if the network is no cut of width 1 or the file no
    MobileNetV2.
    """
    names = _torchvision_names()
    with torch.no_grad():
        for name, (convolution, normalisation) in names.items():
            if name not in network.layers:
                raise UserError(
                    f"pretrained mobilenet-v2: the network has no layer {name}; start from the network of"
                    " config/studies/fomo-mobilenetv2.yaml or leave pretrained out"
                )
            layer = network.layers[name]
            assert isinstance(layer.conv, nn.Conv2d)
            _copy(name, layer.conv, {"weight": convolution + ".weight"}, weights)
            parts = ("weight", "bias", "running_mean", "running_var")
            _copy(
                name, layer.get_submodule("batch_norm"), {p: f"{normalisation}.{p}" for p in parts}, weights
            )
        stem = network.layers["stem"]
        _fold_normalisation(stem.get_submodule("conv"), stem.get_submodule("batch_norm"))


def _copy(name: str, module: nn.Module, keys: dict[str, str], weights: Mapping[str, Tensor]) -> None:
    own = module.state_dict()
    for part, key in keys.items():
        if key not in weights:
            raise UserError(f"pretrained mobilenet-v2: the weights lack {key}; fetch the file again")
        if part not in own or own[part].shape != weights[key].shape:
            raise UserError(
                f"pretrained mobilenet-v2: layer {name} does not have the shape {tuple(weights[key].shape)} of"
                " ImageNet's weights; they exist for width 1 and three colours, with batch normalisation"
            )
        own[part].copy_(weights[key])


def _fold_normalisation(convolution: nn.Module, normalisation: nn.Module) -> None:
    """Let a convolution of ``(pixel / 255 − MEAN) / DEVIATION`` take ``(pixel − 128) / 64``."""
    weight, mean = convolution.weight, normalisation.running_mean
    assert isinstance(weight, Tensor) and isinstance(mean, Tensor)
    scale = torch.tensor([1 / (PIXEL_SCALE * 255 * std) for std in DEVIATION])
    offset = torch.tensor([(128 / 255 - mean) / std for mean, std in zip(MEAN, DEVIATION, strict=True)])
    mean.sub_((weight.sum((2, 3)) * offset).sum(1))
    weight.mul_(scale[:, None, None])


def _torchvision_names() -> dict[str, tuple[str, str]]:
    """Return for each of our convolutions the names of torchvision's convolution and batch normalisation."""
    names = {"stem": ("features.0.0", "features.0.1")}
    for index, (expansion, _, _) in enumerate(BLOCKS, 1):
        activated = ["expand", "depthwise"] if expansion > 1 else ["depthwise"]
        for place, part in enumerate(activated):
            block = f"features.{index}.conv.{place}"
            names[f"block{index}_{part}"] = (f"{block}.0", f"{block}.1")
        last = len(activated)
        block = f"features.{index}.conv"
        names[f"block{index}_project"] = (f"{block}.{last}", f"{block}.{last + 1}")
    return names
