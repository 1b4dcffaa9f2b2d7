"""One variant of a study, from data and recipe to weights and history on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from paper2board.acquire.cifar10 import load_split
from paper2board.acquire.splits import load_splits
from paper2board.files import atomic_path
from paper2board.train.data import to_tensor
from paper2board.train.loop import Images, Teacher, checkpoint_path, train
from paper2board.train.network import Network, read_weights
from paper2board.train.network_spec import NetworkSpec
from paper2board.train.recipe import Distillation, Recipe


def load_images(data_folder: str | Path, splits_path: str | Path) -> tuple[Images, Images]:
    """Return the (training, validation) images of a study."""
    images, labels = load_split(data_folder, "train")
    splits = load_splits(splits_path)
    parts = (splits["train"], splits["validation"])
    training, validation = (Images(to_tensor(images[part]), torch.from_numpy(labels[part])) for part in parts)
    return training, validation


def calibration_pixels(data_folder: str | Path, splits_path: str | Path) -> torch.Tensor:
    """Return the calibration images of a study, uint8 N×C×H×W."""
    images, _ = load_split(data_folder, "train")
    return to_tensor(images[load_splits(splits_path)["calibration"]])


def new_network(spec: dict, seed: int) -> Network:
    """Return a freshly initialised network of a spec given as plain data."""
    torch.manual_seed(seed)
    return Network(NetworkSpec.model_validate(spec))


def train_job(
    job: Any, network: nn.Module, output: str | Path, log: Callable[[str], None]
) -> tuple[pd.DataFrame, Path]:
    """Train ``network`` in place as a rule's ``job`` (Snakemake's object) says; return history and checkpoint.

    Every training rule has inputs ``data`` and ``splits``, perhaps ``teacher`` with parameter ``distillation``,
    and parameters ``recipe``, ``epochs`` and ``code``. The checkpoint, named after ``output``, is for the caller
    to delete once the result is stored.
    """
    checkpoint = checkpoint_path(output)
    distillation = job.params.get("distillation")
    history = train(
        network,
        *load_images(Path(job.input.data[0]).parent, job.input.splits),
        Recipe.model_validate(job.params.recipe),
        job.params.epochs,
        int(job.wildcards.seed),
        checkpoint,
        load_teacher(job.input.teacher, distillation) if distillation else None,
        log=log,
        code=job.params.code,
    )
    return history, checkpoint


def load_teacher(path: str | Path, distillation: dict) -> Teacher:
    """Return the teacher whose weights are at ``path``, with temperature and alpha of ``distillation``."""
    settings = Distillation.model_validate(distillation)
    network = read_weights(path).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(network, settings.temperature, settings.alpha)


def write_history(history: pd.DataFrame, path: str | Path, log: Callable[[str], None]) -> None:
    """Write a training history as CSV, accuracies in %, and log its last line."""
    table = history.copy()
    for column in ("train_accuracy", "validation_accuracy"):
        table[column] = (100 * table[column]).round(4)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
    log(f"{path}: validation accuracy {table['validation_accuracy'].iloc[-1]:.2f} %")
