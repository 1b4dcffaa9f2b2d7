"""MobileNetV2 cut after its seventh block (the FOMO article), ImageNet weights for it, and a frozen-backbone check.

The cut is torchvision's ``mobilenet_v2().features[:7]``: stride 8, 32 channels at width 1. Its convolutions pad one
pixel on each side; ours pad as TFLite's SAME, which at stride 2 and an even size sets every window one pixel
further right and down. Through the three strides these are 1 + 2 + 4 pixels: with the same weights, our features of
an image are torchvision's of the image moved :data:`SHIFT` pixels up and left, away from the border.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from scipy import stats
from torch import Tensor, nn

from paper2board.core.errors import UserError
from paper2board.networks.network import Network
from paper2board.networks.pixels import PIXEL_SCALE
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_float

Head = Literal["classifier", "centroids"]
STRIDE = 8
SHIFT = 7
"""Pixels by which torchvision's windows lie up and left of ours; see above."""
HEAD_CHANNELS = 32
DROPOUT = 0.5
"""The printed head's, between its ReLU and its pooling; only while training."""
BLOCKS = ((1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1))
"""Expansion, channels at width 1 and stride of ``features[1]`` … ``features[6]`` (Sandler et al. 2018, table 2)."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of pixels 0 … 1: torchvision's weights expect ``(pixel / 255 − MEAN) / STD``."""


def cut_spec(
    input: tuple[int, int, int],
    classes: int,
    width: float = 1.0,
    head: Head = "classifier",
) -> NetworkSpec:
    """Return the cut network for (C, H, W) images.

    ``head`` "classifier" is the article's (1×1 convolution to 32, ReLU, global average, 1×1 convolution):
    N×classes logits. "centroids" is FOMO's, the same without pooling: N×(1 + classes)×H/8×W/8 logits, channel 0
    background. ``width`` multiplies the backbone's channels, rounded as torchvision rounds.
    """
    channels = _rounded(32 * width)
    layers = [_conv("stem", channels, kernel=3, stride=2)]
    last = "stem"
    for index, (expansion, out, stride) in enumerate(BLOCKS, 1):
        out = _rounded(out * width)
        name = f"block{index}"
        if expansion > 1:
            layers.append(_conv(f"{name}_expand", expansion * channels))
        layers.append(
            {"name": f"{name}_depthwise", "op": "depthwise", "stride": stride, "activation": "relu6"}
        )
        layers.append(_conv(f"{name}_project", out, activation="none"))
        if stride == 1 and out == channels:
            layers.append({"name": name, "op": "add", "other": last, "activation": "none"})
        last, channels = layers[-1]["name"], out
    return NetworkSpec.model_validate({"input": input, "layers": layers + _head(classes, head)})


def _conv(name: str, out: int, **keys: object) -> dict:
    return {"name": name, "op": "conv", "kernel": 1, "out": out, "activation": "relu6"} | keys


def _head(classes: int, kind: Head) -> list[dict]:
    plain = {"batch_norm": False}
    first = _conv("head", HEAD_CHANNELS, activation="relu", **plain)
    if kind == "centroids":
        return [first, _conv("logits", 1 + classes, activation="none", **plain)]
    pool = {"name": "pool", "op": "average_pool", "out": 1}
    logits = _conv("logits", classes, activation="none", **plain)
    dropout = {"name": "dropout", "op": "dropout", "rate": DROPOUT}
    return [first, dropout, pool, logits, {"name": "flatten", "op": "flatten"}]


def _rounded(channels: float) -> int:
    """Return the multiple of 8 nearest to ``channels``, at least 8 and not below nine tenths of it."""
    result = max(8, int(channels + 4) // 8 * 8)
    return result + 8 if result < 0.9 * channels else result


# --- ImageNet weights -----------------------------------------------------------------------------------


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
    """Let a convolution of ``(pixel / 255 − MEAN) / STD`` take ``(pixel − 128) / 64``."""
    weight, mean = convolution.weight, normalisation.running_mean
    assert isinstance(weight, Tensor) and isinstance(mean, Tensor)
    scale = torch.tensor([1 / (PIXEL_SCALE * 255 * std) for std in STD])
    offset = torch.tensor([(128 / 255 - mean) / std for mean, std in zip(MEAN, STD, strict=True)])
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


# --- cross-validation with a frozen backbone ------------------------------------------------------------


def backbone(network: Network) -> Network:
    """Return the part of a cut network before its head, with its weights, in evaluation mode."""
    names = [layer.name for layer in network.spec.layers]
    layers = network.spec.layers[: names.index("head")]
    result = Network(NetworkSpec(input=network.spec.input, layers=layers))
    result.load_state_dict({name: network.state_dict()[name] for name in result.state_dict()})
    return result.eval()


@torch.inference_mode()
def frozen_features(network: Network, pixels: Tensor, batch: int = 50) -> Tensor:
    """Return the backbone's float32 N×2×32×rows×columns features of uint8 N×C×H×W pixels: of each image, and of
    its mirror image."""
    body = backbone(network)
    parts = [torch.stack([body(to_float(p)), body(to_float(p.flip(3)))], 1) for p in pixels.split(batch)]
    return torch.cat(parts).contiguous()


@dataclass(frozen=True)
class HeadTraining:
    """How a head is trained on frozen features: Adam, one learning rate, mirror images at random."""

    classes: int
    epochs: int = 25
    batch_size: int = 32
    learning_rate: float = 0.02


def train_head(features: Tensor, labels: Tensor, how: HeadTraining, generator: torch.Generator) -> nn.Module:
    """Train the printed head (with its dropout) on frozen features of :func:`frozen_features` and int64 labels;
    return it in evaluation mode."""
    _, _, channels, rows, columns = features.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        head = nn.Sequential(
            nn.Conv2d(channels, HEAD_CHANNELS, 1),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.AvgPool2d((rows, columns)),
            nn.Conv2d(HEAD_CHANNELS, how.classes, 1),
            nn.Flatten(),
        )
        optimizer = torch.optim.Adam(head.parameters(), how.learning_rate)
        for _ in range(how.epochs):
            for chosen in torch.randperm(len(labels), generator=generator).split(how.batch_size):
                sides = torch.randint(2, (len(chosen),), generator=generator)
                loss = F.cross_entropy(head(features[chosen, sides]), labels[chosen])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
    return head.eval()


def stratified_folds(labels: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    """Return each image's fold, int64 (N,): the images of a class, in random order, dealt out evenly.

    Dealing goes on from class to class, so that the folds' sizes differ by at most one. Raise
    :class:`UserError` if a class has fewer images than there are folds.
    """
    counts = np.bincount(labels)
    if (counts[counts > 0] < folds).any():
        raise UserError(f"a class has fewer than {folds} images; use fewer folds of cross-validation")
    order = np.concatenate(
        [generator.permutation(np.flatnonzero(labels == kind)) for kind in np.unique(labels)]
    )
    result = np.empty(len(labels), np.int64)
    result[order] = np.arange(len(labels)) % folds
    return result


def cross_validate(
    features: Tensor,
    labels: Tensor,
    how: HeadTraining,
    folds: int,
    repeats: int,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> np.ndarray:
    """Return test accuracies, float64 repeats×folds (0 … 1): each fold judges a head trained on the others."""
    generator = torch.Generator().manual_seed(seed)
    dealer = np.random.default_rng(seed)
    result = np.empty((repeats, folds))
    for repeat in range(repeats):
        fold_of = torch.from_numpy(stratified_folds(labels.numpy(), folds, dealer))
        for fold in range(folds):
            inside = fold_of != fold
            head = train_head(features[inside], labels[inside], how, generator)
            with torch.inference_mode():
                hits = head(features[~inside, 0]).argmax(1) == labels[~inside]
            result[repeat, fold] = hits.double().mean().item()
        progress(f"repeat {repeat + 1} of {repeats}: accuracy {result[repeat].mean():.2%}")
    return result


def corrected_interval(accuracies: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the corrected resampled t interval of the mean of repeats×folds accuracies, within 0 … 1.

    The folds share training images, so their variance over J = repeats · folds is raised from s²/J to
    (1/J + n_test/n_train) · s², J − 1 degrees of freedom (Nadeau & Bengio 2003; for repeated
    cross-validation Bouckaert & Frank 2004).
    """
    count, folds = accuracies.size, accuracies.shape[1]
    deviation = np.sqrt((1 / count + 1 / (folds - 1)) * accuracies.var(ddof=1))
    half = stats.t.ppf(0.5 + confidence / 2, count - 1) * deviation
    mean = accuracies.mean()
    return float(max(0.0, mean - half)), float(min(1.0, mean + half))
