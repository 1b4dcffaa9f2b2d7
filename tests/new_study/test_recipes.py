"""The recipes that new-study writes train the usual forms of networks."""

from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from networks_of_all_forms import CLASSES, FORMS, IMAGE

from paper2board.networks.network import Network
from paper2board.networks.spec import NetworkSpec
from paper2board.new_study.networks import residual_network
from paper2board.new_study.recipes import written_recipes
from paper2board.study.recipe import Recipe
from paper2board.tasks.training import training_task
from paper2board.train.initial_weights import new_network
from paper2board.train.loop import Images, train

STEPS = 60
"""Steps of a training here: a twentieth of what the recipes ask for, with the same cycle of the rate."""


def pictures(count: int, shape: tuple[int, int, int], seed: int) -> Images:
    """Return noisy pictures of three patterns, as many of each."""
    channels, height, width = shape
    patterns = np.random.default_rng(99).normal(0, 30, (CLASSES, channels, -(-height // 4), -(-width // 4)))
    patterns = patterns.repeat(4, 2).repeat(4, 3)[..., :height, :width]
    labels = np.arange(count) % CLASSES
    noise = np.random.default_rng(seed).normal(128, 40, (count, *shape))
    pixels = (patterns[labels] + noise).clip(0, 255).astype(np.uint8)
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels))


def recipes(spec: NetworkSpec, images: int) -> dict[str, Recipe]:
    teacher = residual_network(IMAGE, CLASSES)
    return {written.name: written.recipe for written in written_recipes(spec, teacher, images)}


def trained(
    spec: NetworkSpec, recipe: Recipe, images: int, seed: int, checkpoint: Path
) -> tuple[Network, pd.DataFrame]:
    """Train as a rule would, with :data:`STEPS` steps."""
    torch.set_num_threads(1)
    if spec.input[1:] == (1, 1):  # the rows of a table
        recipe = recipe.model_copy(update={"crop_padding": 0, "flip": False})
    network = new_network(spec.model_dump(), seed, recipe.initialisation)
    task = training_task("classification", spec.input, spec.output)
    epochs = ceil(STEPS / ceil(images / recipe.batch_size))
    data, others = pictures(images, spec.input, 1), pictures(150, spec.input, 2)
    return network, train(
        network, task, data, others, recipe, epochs, seed, checkpoint, log=lambda text: None
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_the_written_recipe_trains_every_form_of_network(form, seed, tmp_path):
    spec, images = FORMS[form], 100
    _, history = trained(spec, recipes(spec, images)["scratch"], images, seed, tmp_path / "checkpoint")
    loss = history["train_loss"]
    assert np.isfinite(loss).all() and loss.iloc[-1] < loss.iloc[0]
    assert history["validation_score"].iloc[-1] > 0.5, history
