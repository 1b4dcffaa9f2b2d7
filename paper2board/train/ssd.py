"""Training of torchvision's SSD, which is a teacher.

On one core the first blocks take most of MobileNetV2's time. They keep their ImageNet weights, batch normalisation
included, so their features of an image never change: training computes them once, for every image and its mirror
image, and all epochs start from there.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from paper2board.acquire.scenes import SceneSet
from paper2board.core.errors import UserError
from paper2board.networks.tensors import to_float, to_tensor
from paper2board.study.recipe import Recipe
from paper2board.tasks.augmentation import transform_boxes
from paper2board.tasks.detection.assignment import assign
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.ssd import SsdDetector, SsdGrid
from paper2board.tasks.detection.training import count_correct
from paper2board.train.loop import Descent

BATCH = 250
"""Images at a time where no gradients are needed."""


@dataclass(frozen=True)
class Annotated:
    """Images with boxes: uint8 N×3×H×W pixels; for each image float32 M×4 boxes and int64 M labels."""

    pixels: Tensor
    boxes: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.pixels)


def annotated(scenes: SceneSet, indices: Sequence[int] | np.ndarray) -> Annotated:
    """Return the scenes at ``indices`` as tensors."""
    chosen = [scenes[int(index)] for index in indices]
    return Annotated(
        to_tensor(scenes.images[np.asarray(indices, np.int64)]),
        tuple(torch.tensor(scene.boxes) for scene in chosen),
        tuple(torch.tensor(scene.classes) for scene in chosen),
    )


def mirrored(boxes: Tensor, width: int) -> Tensor:
    """Return the boxes (M×4) of the mirror image of an image ``width`` pixels wide."""
    return transform_boxes(boxes, torch.zeros(2), True, width)


def train_ssd(
    detector: SsdDetector,
    training: Annotated,
    validation: Annotated,
    grid: Grid,
    recipe: Recipe,
    epochs: int,
    seed: int,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    code: str = "",
) -> pd.DataFrame:
    """Train ``detector`` in place and return its history, one row an epoch; scores as fractions.

    Checkpoint, resuming, ``code`` and errors are those of :func:`paper2board.train.loop.train`. The validation
    score is that of the detector's output on ``grid``. Raise :class:`UserError` if the images are of another size,
    or if the recipe asks for what a training on stored features cannot do.
    """
    _check(detector, recipe, training, validation)
    network = detector.as_grid(grid)
    loop = _Loop(detector, training, recipe, epochs, seed)
    identity = _identity(
        detector, training, validation, [recipe.model_dump(), epochs, seed, code, repr(grid)]
    )
    history = loop.descent.resume(checkpoint, identity)
    if history:
        log(f"resuming after epoch {len(history)} of {epochs} from {checkpoint}")
    if len(history) < epochs:
        started = time.perf_counter()
        loop.compute_features()
        held_out = _features(detector, validation.pixels, recipe)
        log(f"frozen blocks computed once for all images: {time.perf_counter() - started:.1f} s")
    for epoch in range(len(history), epochs):
        started = time.perf_counter()
        learning_rate = loop.descent.learning_rate
        loss = loop.epoch(epoch)
        outputs = _outputs(network, held_out, recipe)
        loop.descent.check_epoch(outputs)
        row = {
            "epoch": epoch + 1,
            "learning_rate": learning_rate,
            "train_loss": loss,
            "train_score": float("nan"),  # the training images' outputs are never on the grid
            "validation_score": _score(network, outputs, validation),
        }
        history.append(row)
        log(
            f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, validation {row['validation_score']:.2%},"
            f" {time.perf_counter() - started:.1f} s"
        )
        loop.descent.save(checkpoint, identity, history)
    detector.eval()
    return pd.DataFrame(history)


def _check(detector: SsdDetector, recipe: Recipe, *parts: Annotated) -> None:
    settings = detector.settings
    wanted = (3, settings.height, settings.width)
    for part in parts:
        if tuple(part.pixels.shape[1:]) != wanted or not len(part):
            raise UserError(
                f"the SSD detector is for images of {settings.width}x{settings.height} pixels, but was given "
                f"{tuple(part.pixels.shape)}; make its students' networks' input as large as those"
            )
        if any(len(labels) and int(labels.max()) >= settings.classes for labels in part.labels):
            raise UserError(
                f"the SSD detector has {settings.classes} classes, but the images have more; set classes to "
                "the data set's number"
            )
    for key in ("crop_padding", "label_smoothing"):
        if getattr(recipe, key):
            raise UserError(f"{key} is {getattr(recipe, key)}, but SSD training cannot use it; set it to 0")


def _autocast(recipe: Recipe) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16")


@torch.no_grad()
def _features(detector: SsdDetector, pixels: Tensor, recipe: Recipe) -> Tensor:
    """Return the frozen blocks' features of uint8 N×3×H×W images, float16 N×H×W×C."""
    parts = []
    for part in tqdm(pixels.split(BATCH), "frozen blocks", leave=False, unit="batch", disable=None):  # type: ignore[call-overload]
        with _autocast(recipe):
            parts.append(detector.stem(to_float(part)).permute(0, 2, 3, 1).half())
    return torch.cat(parts)


def _restored(features: Tensor) -> Tensor:
    """Return stored features as float32 N×C×H×W in the memory order that convolutions like."""
    return features.permute(0, 3, 1, 2).float()


@torch.no_grad()
def _outputs(network: SsdGrid, features: Tensor, recipe: Recipe) -> Tensor:
    """Return the detector's outputs on the grid from the frozen blocks' features."""
    network.eval()
    outputs = []
    for part in features.split(BATCH):
        with _autocast(recipe):
            raw = network.detector.after_stem(_restored(part))
        outputs.append(network.to_cells({name: value.float() for name, value in raw.items()}))
    return torch.cat(outputs)


def _score(network: SsdGrid, outputs: Tensor, truth: Annotated) -> float:
    """Return the share of correct cells (:func:`paper2board.tasks.detection.training.count_correct`)."""
    targets = assign(network.grid, list(truth.boxes), list(truth.labels))
    correct, total = count_correct(network.grid, outputs, targets)
    return correct / max(1, total)


class _Loop:
    def __init__(
        self, detector: SsdDetector, training: Annotated, recipe: Recipe, epochs: int, seed: int
    ) -> None:
        self.detector = detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.training, self.recipe, self.seed = training, recipe, seed
        self.descent = Descent(self.detector, recipe, len(training), epochs, "the SSD")

    def compute_features(self) -> None:
        """Compute the frozen blocks' features of all images and, if the recipe flips, their mirror images."""
        pixels, width = self.training.pixels, self.detector.settings.width
        self.features = [_features(self.detector, pixels, self.recipe)]
        self.boxes = [self.training.boxes]
        if self.recipe.flip:
            self.features.append(_features(self.detector, pixels.flip(3), self.recipe))
            self.boxes.append(tuple(mirrored(boxes, width) for boxes in self.training.boxes))

    def epoch(self, epoch: int) -> float:
        """Train one epoch and return the mean loss."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.training), generator=generator)
        views = torch.randint(len(self.features), (len(order),), generator=generator)
        self.detector.train()
        total = 0.0
        batches = order.split(self.descent.batch_sizes)
        for indices in tqdm(batches, f"epoch {epoch + 1}", leave=False, unit="batch", disable=None):  # type: ignore[call-overload]
            places = list(zip(views[indices].tolist(), indices.tolist(), strict=True))
            inputs = _restored(torch.stack([self.features[view][index] for view, index in places]))
            with _autocast(self.recipe):
                raw = self.detector.after_stem(inputs)
            boxes = [self.boxes[view][index] for view, index in places]
            loss = self.detector.loss(raw, boxes, [self.training.labels[index] for _, index in places])
            self.descent.step(loss)
            total += loss.item() * len(indices)
        return total / len(self.training)


def _identity(detector: SsdDetector, training: Annotated, validation: Annotated, settings: list) -> str:
    """Return a digest of all that decides the result, so that no other training's checkpoint is taken."""
    settings = [*settings, detector.settings.model_dump(), torch.get_num_threads(), torch.__version__]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for part in (training, validation):
        for value in chain([part.pixels], part.boxes, part.labels):
            digest.update(value.contiguous().numpy().tobytes())
    for value in detector.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
