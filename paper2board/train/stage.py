"""One variant of a study, from data and recipe to weights and history on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paper2board.acquire.examples import Examples, load_examples
from paper2board.acquire.splits import load_splits
from paper2board.core.errors import UserError
from paper2board.networks.network import Network, write_weights
from paper2board.networks.pixels import fit_images
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_tensor
from paper2board.study.recipe import Recipe
from paper2board.tasks.training import TrainingTask, training_task
from paper2board.train.history import write_history
from paper2board.train.loop import Images, Teacher, TrainingError, checkpoint_path, train


def images_of(examples: Examples, indices: np.ndarray, spec: NetworkSpec, task: TrainingTask) -> Images:
    """Return the examples at ``indices`` as a network of ``spec`` takes them, with the labels of ``task``."""
    pixels = to_tensor(fit_images(examples.images[indices], spec.input))
    return Images(pixels, task.labels(examples, indices))


def train_variant(
    job: Any, log: Callable[[str], None], network: Network, teacher: Teacher | None = None
) -> None:
    """Train ``network`` as a training rule's ``job`` (Snakemake's object) says; write its weights and history."""
    with trained(job, log, network, network.spec, job.output.weights, teacher):
        write_weights(network, job.output.weights)


@contextmanager
def placed(job: Any) -> Iterator[None]:
    """Name in a :class:`TrainingError` of the block what a training rule's ``job`` trains, and its recipe."""
    try:
        yield
    except TrainingError as error:
        names = job.wildcards
        raise UserError(
            f"config/studies/{names.study}.yaml: recipes.{job.params.recipe_name}: training {names.variant} (seed"
            f" {names.seed}): {error}"
        ) from error


@contextmanager
def trained(
    job: Any,
    log: Callable[[str], None],
    module: torch.nn.Module,
    spec: NetworkSpec,
    output: str | Path,
    teacher: Teacher | None,
) -> Iterator[None]:
    """Train ``module`` in place as a rule's ``job`` says; the block stores the result in ``output``.

    Every training rule has inputs ``data`` and ``splits``, parameters ``task``, ``recipe``, ``recipe_name``,
    ``epochs`` and ``code`` and an output ``history``; ``spec`` is what ``module`` computes. The checkpoint, named
    after ``output``, is deleted after the block.
    """
    checkpoint = checkpoint_path(output)
    task = training_task(job.params.task, spec.input, spec.output)
    examples, splits = load_examples(job.input.data), load_splits(job.input.splits)
    training, validation = (images_of(examples, splits[part], spec, task) for part in ("train", "validation"))
    with placed(job):
        history = train(
            module,
            task,
            training,
            validation,
            Recipe.model_validate(job.params.recipe),
            job.params.epochs,
            int(job.wildcards.seed),
            checkpoint,
            teacher,
            log=log,
            code=job.params.code,
        )
    yield
    write_history(history, job.output.history, log)
    checkpoint.unlink(missing_ok=True)
