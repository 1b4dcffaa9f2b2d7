"""One variant of a study, from data and recipe to weights and history on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from paper2board.acquire.examples import Examples, load_examples
from paper2board.acquire.splits import load_splits
from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path
from paper2board.networks.network import Network
from paper2board.networks.pixels import fit_images
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_tensor
from paper2board.study.recipe import Recipe
from paper2board.tasks.task import Boxes, make_task
from paper2board.train.loop import Images, Teacher, checkpoint_path, train


def images_of(examples: Examples, indices: np.ndarray, spec: NetworkSpec, task: str) -> Images:
    """Return some of the examples as a network of ``spec`` sees them, with the answers that ``task`` wants.

    Boxes are scaled with their images.
    """
    pixels = to_tensor(fit_images(examples.images[indices], spec.input))
    if task == "classification":
        return Images(pixels, torch.from_numpy(examples.labels[indices]))
    if examples.scenes is None:
        raise UserError(f"{examples.origin} has no boxes; a study of task {task} needs a data set with boxes")
    scenes = [examples.scenes[int(i)] for i in indices]
    (_, height, width), (_, old_height, old_width, _) = spec.input, examples.images.shape
    scale = torch.tensor([width / old_width, height / old_height] * 2)
    return Images(
        pixels,
        Boxes(
            tuple((torch.from_numpy(scene.boxes.copy()) * scale).float() for scene in scenes),
            tuple(torch.from_numpy(scene.classes.copy()) for scene in scenes),
        ),
    )


def new_network(spec: dict, seed: int) -> Network:
    """Return a freshly initialised network of a spec given as plain data."""
    torch.manual_seed(seed)
    return Network(NetworkSpec.model_validate(spec))


def train_job(
    job: Any,
    network: torch.nn.Module,
    spec: NetworkSpec,
    output: str | Path,
    log: Callable[[str], None],
    teacher: Teacher | None = None,
) -> tuple[pd.DataFrame, Path]:
    """Train ``network`` in place as a rule's ``job`` (Snakemake's object) says; return history and checkpoint.

    Every training rule has inputs ``data`` and ``splits`` and parameters ``task``, ``recipe``, ``epochs`` and
    ``code``; ``spec`` is what ``network`` computes. The checkpoint, named after ``output``, is for the caller to
    delete once the result is stored.
    """
    checkpoint = checkpoint_path(output)
    examples, splits = load_examples(job.input.data), load_splits(job.input.splits)
    training, validation = (
        images_of(examples, splits[part], spec, job.params.task) for part in ("train", "validation")
    )
    history = train(
        network,
        training,
        validation,
        Recipe.model_validate(job.params.recipe),
        job.params.epochs,
        int(job.wildcards.seed),
        checkpoint,
        teacher,
        log=log,
        code=job.params.code,
        task=make_task(job.params.task, spec.input, spec.output),
    )
    return history, checkpoint


def write_history(history: pd.DataFrame, path: str | Path, log: Callable[[str], None]) -> None:
    """Write a training history as CSV, scores in %, and log its last line."""
    table = history.copy()
    for column in ("train_score", "validation_score"):
        table[column] = (100 * table[column]).round(4)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
    log(f"{path}: validation score {table['validation_score'].iloc[-1]:.2f} %")
