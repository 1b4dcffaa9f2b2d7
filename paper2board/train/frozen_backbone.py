"""Repeated cross-validation of a head on the frozen backbone of the cut MobileNetV2."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, measured
from paper2board.core.statistics import corrected_t_interval
from paper2board.networks.finite import require_finite
from paper2board.networks.network import Network
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_float
from paper2board.train.mobilenet_cut import DROPOUT, HEAD_CHANNELS


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
    return it in evaluation mode. Raise :class:`UserError` if a weight comes out that is not finite."""
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
    require_finite(
        head.state_dict(),
        f"cross-validation: the head trained at a learning rate of {how.learning_rate}",
        "start from other pretrained weights, or remove cross_validation from the study",
    )
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
                correct = head(features[~inside, 0]).argmax(1) == labels[~inside]
            result[repeat, fold] = correct.double().mean().item()
        progress(f"repeat {repeat + 1} of {repeats}: accuracy {result[repeat].mean():.2%}")
    return result


def corrected_interval(accuracies: np.ndarray) -> tuple[float, float]:
    """Return the corrected resampled t interval of the mean of repeats×folds accuracies, within 0 … 1."""
    low, high = corrected_t_interval(accuracies)
    return max(0.0, low), min(1.0, high)


def cross_validation_evidence(
    accuracies: np.ndarray, images: int, epochs: int, seed: int, origin: str, chain: dict[str, str]
) -> Evidence:
    """Return the mean of repeats×folds accuracies (0 … 1) in %. ``origin``: what the ``images`` labelled images
    are."""
    low, high = corrected_interval(accuracies)
    repeats, folds = accuracies.shape
    method = (
        f"{folds}-fold stratified cross-validation, repeated {repeats} times, of a head trained {epochs} epochs on"
        f" the frozen ImageNet features of all {images} labelled images ({origin})"
    )
    how = f"corrected resampled t 95 % over {accuracies.size} folds (Nadeau & Bengio 2003)"
    spread = (100 * low, 100 * high), how
    return measured(
        100 * float(accuracies.mean()), "%", method, n=images, spread=spread, seeds=(seed,), chain=chain
    )
