"""The recipes that new-study writes train the usual forms of networks."""

import shutil
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from networks_of_all_forms import CLASSES, FORMS, IMAGE
from PIL import Image

from paper2board import cli
from paper2board.compress.aware_training import AwareNetwork
from paper2board.compress.channel_pruning import prune_channels
from paper2board.compress.quantize import Observer, to_integer_model
from paper2board.model.simulate import simulate
from paper2board.networks.network import Network, folded
from paper2board.networks.pixels import to_int8
from paper2board.networks.spec import NetworkSpec
from paper2board.new_study.networks import residual_network
from paper2board.new_study.recipes import written_recipes
from paper2board.study.recipe import Recipe
from paper2board.study.schema import load_study
from paper2board.tasks.training import training_task
from paper2board.train.initial_weights import new_network
from paper2board.train.loop import Images, Teacher, train

STEPS = 120
"""Steps of a training here: a tenth of what the recipes ask for, with the same cycle of the rate."""


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


@pytest.mark.parametrize("form", FORMS)
def test_the_written_recipe_trains_every_form_of_network(form, tmp_path):
    spec, images = FORMS[form], 100
    _, history = trained(spec, recipes(spec, images)["scratch"], images, 0, tmp_path / "checkpoint")
    loss = history["train_loss"]
    assert np.isfinite(loss).all() and loss.iloc[-1] < loss.iloc[0]
    assert history["validation_score"].iloc[-1] > 0.5, history


@pytest.mark.parametrize("images", [3, 9, 21, 30, 200, 5000, 50_000])
def test_batches_and_epochs_suit_the_number_of_images(images):
    for recipe in recipes(FORMS["lenet"], images).values():
        assert min(images, 8) <= recipe.batch_size <= min(images, 128)
    scratch = recipes(FORMS["lenet"], images)["scratch"]
    assert scratch.epochs["standard"] * ceil(images / scratch.batch_size) >= 1000


def test_the_rate_follows_the_batch_normalisation():
    for form, normalised in (("vgg", False), ("mobilenet", True), ("lenet", False), ("perceptron", False)):
        scratch = recipes(FORMS[form], 100)["scratch"]
        expected = (0.1, 5, "torch") if normalised else (0.03, 1, "he")
        assert (scratch.learning_rate, scratch.gradient_clip, scratch.initialisation) == expected, form


@pytest.mark.parametrize("form", ["vgg", "mobilenet"])
def test_fine_tuning_takes_half_of_the_rate_and_quantization_aware_training_a_tenth(form):
    made = recipes(FORMS[form], 300)
    rate = made["scratch"].learning_rate
    assert made["fine-tune"].learning_rate == pytest.approx(rate / 2)
    (qat,) = [recipe for name, recipe in made.items() if "qat" in name]
    assert (qat.learning_rate, qat.gradient_clip) == (pytest.approx(rate / 10), 1)


MODULE = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 6 * 6, 64), nn.ReLU(), nn.Linear(64, 3),
        )
"""


def test_a_plain_network_goes_from_new_study_to_int8(tmp_path, monkeypatch):
    """Three folders of pictures, a convolution without batch normalisation, every recipe of the study."""
    root = Path(__file__).parents[2]
    for name in ("config", "reports/metrics", "reports/tables"):
        shutil.copytree(root / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("net.py").write_text(MODULE)
    shape = (3, 24, 24)
    data = pictures(60, shape, 1)
    for number, (pixels, label) in enumerate(zip(data.pixels, data.labels, strict=True)):
        folder = Path("fruit", f"class{label}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    arguments = ["--images", "fruit", "--module", "net.py:Net", "--input", "3x24x24"]
    assert cli.main(["new-study", "mine", *arguments]) == 0
    study = load_study("config/studies/mine.yaml")
    task = training_task("classification", shape, (CLASSES,))

    def learn(network: torch.nn.Module, name: str, teacher: Teacher | None = None) -> None:
        recipe = study.recipes[name]
        epochs = ceil(40 / ceil(60 / recipe.batch_size))
        history = train(
            network, task, data, data, recipe, epochs, 0, tmp_path / name, teacher, log=lambda text: None
        )
        assert history["validation_score"].iloc[-1] > 0.6, (name, history)

    def fresh(network: str, recipe: str) -> Network:
        return new_network(study.networks[network].model_dump(), 0, study.recipes[recipe].initialisation)

    taught = fresh("teacher", "teacher")
    learn(taught, "teacher")
    teacher = Teacher(taught.eval(), 3.0, 0.7)
    student = fresh("own", "scratch")
    learn(student, "scratch", teacher)
    pruned = prune_channels(student, study.variants["pruned"].prune or {})
    learn(pruned, "fine-tune", teacher)
    observer = Observer(folded(pruned))
    observer.observe(data.pixels.split(20))
    aware = AwareNetwork(observer.network, observer.parameters())
    learn(aware, "qat", teacher)
    model = to_integer_model(aware.network, aware.parameters_of, "mine", per_channel=True)
    found = simulate(model, to_int8(data.pixels.permute(0, 2, 3, 1).numpy())).argmax(1)
    assert (found == data.labels.numpy()).mean() > 0.6
