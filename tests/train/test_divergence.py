"""Training that diverges ends in one sentence and leaves nothing that is not finite."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from messages import naming
from safetensors.torch import save, save_file
from torch import nn

from paper2board.compress.aware_training import AwareNetwork
from paper2board.compress.quantize import Observer
from paper2board.core.errors import UserError
from paper2board.networks.module_import import spec_of, transfer
from paper2board.networks.network import Network, folded, read_weights, write_weights
from paper2board.networks.spec import NetworkSpec
from paper2board.study.recipe import Recipe
from paper2board.tasks.box_labels import BoxLabels
from paper2board.tasks.detection.ssd import SsdDetector, SsdSettings, read_ssd, write_ssd
from paper2board.tasks.training import training_task
from paper2board.train import stage
from paper2board.train.frozen_backbone import HeadTraining, train_head
from paper2board.train.initial_weights import new_network
from paper2board.train.loop import Descent, Images, Teacher, TrainingError, batch_sizes, train
from paper2board.train.pretrained_weights import read_pretrained

EPOCHS = 3
BATCH = 8


def spec(*layers: dict, last: int = 3) -> NetworkSpec:
    named = [{"name": f"layer{number}"} | layer for number, layer in enumerate(layers)]
    return NetworkSpec.model_validate(
        {"input": (3, 8, 8), "layers": [*named, {"name": "fc", "op": "linear", "out": last}]}
    )


PLAIN = spec({"op": "conv", "out": 4, "batch_norm": False}, {"op": "flatten"})
NORMALISED = spec({"op": "conv", "out": 4}, {"op": "flatten"})
ONE_PIXEL = spec(*[{"op": "conv", "out": 4, "stride": 2}] * 3, {"op": "flatten"})
CELLS = NetworkSpec.model_validate(
    {
        "input": (3, 8, 8),
        "layers": [
            {"name": "conv", "op": "conv", "out": 4, "stride": 2, "batch_norm": False, "activation": "none"}
        ],
    }
)


def images(count: int = 24) -> Images:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8))
    return Images(pixels, torch.arange(count) % 3)


def recipe(learning_rate: float = 1e12, **changes: object) -> Recipe:
    values = {
        "epochs": {"standard": EPOCHS},
        "learning_rate": learning_rate,
        "batch_size": BATCH,
        "crop_padding": 0,
    }
    return Recipe.model_validate(values | changes)


def run(
    network: nn.Module,
    checkpoint: Path,
    how: Recipe,
    data: Images | None = None,
    task: str = "classification",
    of: NetworkSpec = PLAIN,
    **more: object,
) -> None:
    torch.set_num_threads(1)
    data = data or images()
    trained = training_task(task, of.input, of.output)
    train(network, trained, data, data, how, EPOCHS, 0, checkpoint, **{"log": lambda text: None} | more)  # type: ignore[arg-type]


def poisoned(network: nn.Module, name: str):
    """Return a log that makes a value of the network infinite after the first epoch."""

    def log(text: str) -> None:
        if text.startswith("epoch 1/"):
            network.state_dict()[name].flatten()[0] = torch.inf

    return log


BOXES = BoxLabels((torch.tensor([[0.0, 0.0, 4.0, 4.0]]),) * 24, (torch.tensor([1]),) * 24)
TASKS = {
    "classification": (PLAIN, images()),
    "regression": (
        spec({"op": "conv", "out": 4, "batch_norm": False}, {"op": "flatten"}, last=1),
        Images(images().pixels, torch.randn(24, 1)),
    ),
    "centroids": (CELLS, Images(images().pixels, BOXES)),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_rate_that_is_too_high_is_told_with_its_place_and_remedy(task, tmp_path):
    of, data = TASKS[task]
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(TrainingError) as told:
        run(new_network(of.model_dump(), 0), checkpoint, recipe(), data, task, of)
    message = str(told.value)
    assert re.match("the (loss is|gradient's norm is|weights' norm is) (nan|-?inf) ", message), message
    parts = (
        "epoch 1 of 3",
        "step",
        "learning rate of",
        "lower learning_rate from 1e+12 to 3e+11",
        "gradient_clip: 1",
    )
    assert re.search(naming(*parts), message), message
    assert "\n" not in message and not checkpoint.exists()


@pytest.mark.parametrize("student", ["distilled", "quantization-aware"])
def test_other_ways_of_training_tell_it_too(student, tmp_path):
    network: nn.Module = new_network(PLAIN.model_dump(), 0)
    more = {}
    if student == "distilled":
        more["teacher"] = Teacher(new_network(PLAIN.model_dump(), 1).eval(), 3.0, 0.7)
    else:
        observer = Observer(folded(network))
        observer.observe(images().pixels.split(8))
        network = AwareNetwork(observer.network, observer.parameters())
    with pytest.raises(TrainingError, match=naming("epoch 1", "lower learning_rate")):
        run(network, tmp_path / "checkpoint", recipe(1e30), **more)


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (PLAIN, "layers.fc.linear.weight"),
        (NORMALISED, "layers.layer0.batch_norm.running_mean"),
        (NORMALISED, "layers.layer0.batch_norm.running_var"),
    ],
)
def test_every_value_is_watched_and_the_checkpoint_stays_finite(of, name, tmp_path):
    """What becomes infinite after the first epoch is told in the second; resuming tells nothing that is not so."""
    checkpoint, network = tmp_path / "checkpoint", new_network(of.model_dump(), 0)
    statistic = "running" in name
    with pytest.raises(
        TrainingError, match=naming("epoch 2 of 3", *[name] * statistic, "lower learning_rate")
    ):
        run(network, checkpoint, recipe(0.01), log=poisoned(network, name), of=of)
    stored = torch.load(checkpoint, weights_only=True)
    # The checkpoint of the first epoch was written after the log; of the second there is none.
    assert len(stored["history"]) == 1


def test_a_lower_rate_starts_anew_and_the_same_rate_tells_the_same(tmp_path):
    checkpoint, lines, messages = tmp_path / "checkpoint", [], []
    for _ in range(2):
        with pytest.raises(TrainingError) as told:
            run(new_network(PLAIN.model_dump(), 0), checkpoint, recipe())
        messages.append(str(told.value))
    assert messages[0] == messages[1]
    run(new_network(PLAIN.model_dump(), 0), checkpoint, recipe(0.01), log=lines.append)
    assert len(lines) == EPOCHS and not any("resuming" in line for line in lines)


def test_a_start_that_is_not_finite_is_not_blamed_on_the_rate(tmp_path):
    teacher = new_network(PLAIN.model_dump(), 1).eval()
    teacher.state_dict()["layers.fc.linear.weight"].fill_(torch.inf)
    with pytest.raises(TrainingError, match=naming("before the first step", "teacher", "train")) as told:
        run(
            new_network(PLAIN.model_dump(), 0),
            tmp_path / "c",
            recipe(0.01),
            teacher=Teacher(teacher, 3.0, 0.7),
        )
    assert "from 0.01" not in str(told.value)


def test_a_job_names_study_recipe_variant_and_stores_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "load_examples", lambda files: None)
    monkeypatch.setattr(stage, "load_splits", lambda path: {"train": None, "validation": None})
    monkeypatch.setattr(stage, "images_of", lambda *arguments: images())
    job = SimpleNamespace(
        input=SimpleNamespace(data=None, splits=None),
        output=SimpleNamespace(weights="models/a.safetensors", history="models/a.csv"),
        params=SimpleNamespace(
            task="classification", recipe=recipe().model_dump(), recipe_name="slow", epochs=EPOCHS, code=""
        ),
        wildcards=SimpleNamespace(study="mine", variant="student", seed="2"),
    )
    parts = (
        "config/studies/mine.yaml",
        "recipes.slow",
        "student",
        "seed 2",
        "epoch 1",
        "lower learning_rate",
    )
    with pytest.raises(UserError, match=naming(*parts)):
        stage.train_variant(job, print, new_network(PLAIN.model_dump(), 2))
    assert list(tmp_path.rglob("*.*")) == []


def test_a_head_on_frozen_features_that_are_not_finite_is_told():
    features = torch.full((6, 2, 8, 2, 2), torch.nan)
    how = HeadTraining(classes=3, epochs=1)
    with pytest.raises(UserError, match=naming("cross-validation", "0.02", "remove cross_validation")):
        train_head(features, torch.arange(6) % 3, how, torch.Generator().manual_seed(0))


# --- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["layers.layer0.conv.weight", "layers.layer0.batch_norm.running_var"])
def test_weights_that_are_not_finite_are_neither_written_nor_read(value, name, tmp_path):
    network, path = Network(NORMALISED), tmp_path / "net.safetensors"
    network.state_dict()[name].flatten()[0] = value
    with pytest.raises(UserError, match=naming(str(path), name, "lower learning rate")):
        write_weights(network, path)
    assert list(tmp_path.iterdir()) == []
    state = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    path.write_bytes(save(state, metadata={"network": NORMALISED.model_dump_json()}))
    with pytest.raises(UserError, match=naming(str(path), name, "delete it")):
        read_weights(path)


def test_an_ssd_s_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path):
    settings = SsdSettings(classes=3, width=64, height=48)
    detector, path = SsdDetector(settings), tmp_path / "ssd.safetensors"
    name = next(iter(detector.state_dict()))
    detector.state_dict()[name].flatten()[0] = torch.nan
    with pytest.raises(UserError, match=naming(str(path), name, "lower learning rate")):
        write_ssd(detector, path)
    state = {key: tensor.contiguous() for key, tensor in detector.state_dict().items()}
    path.write_bytes(save(state, metadata={"ssd": settings.model_dump_json()}))
    with pytest.raises(UserError, match=naming(str(path), name, "delete it")):
        read_ssd(path)


def test_published_weights_and_modules_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "published.safetensors"
    save_file({"features.0.weight": torch.tensor([1.0, torch.nan])}, path)
    with pytest.raises(UserError, match=naming(str(path), "features.0.weight", "delete it")):
        read_pretrained(path)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 3))
    module[2].bias.data[1] = torch.inf
    with pytest.raises(UserError, match=naming("Sequential", "2.bias", "train")):
        transfer(module, Network(spec_of(module, (3, 8, 8))))


# --- batches, gradients, first weights ----------------------------------------------------------------


def test_a_rest_of_one_example_joins_the_batch_before_where_it_has_no_variance(tmp_path):
    assert batch_sizes(17, 8) == [8, 8, 1] and batch_sizes(17, 8, 2) == [8, 9]
    assert (
        batch_sizes(18, 8, 2) == [8, 8, 2] and batch_sizes(16, 8, 2) == [8, 8] and batch_sizes(1, 8, 2) == [1]
    )
    run(new_network(ONE_PIXEL.model_dump(), 0), tmp_path / "c", recipe(0.05), images(17), of=ONE_PIXEL)


def test_batch_normalisation_of_one_value_is_refused_by_name(tmp_path):
    for data, how in ((images(), recipe(0.05, batch_size=1)), (images(1), recipe(0.05))):
        with pytest.raises(TrainingError, match=naming("layer2", "batch_size above 1", "batch_norm: false")):
            run(new_network(ONE_PIXEL.model_dump(), 0), tmp_path / "c", how, data, of=ONE_PIXEL)
        run(new_network(NORMALISED.model_dump(), 0), tmp_path / "c", how, data, of=NORMALISED)


def test_a_clipped_step_is_as_long_as_the_key_says_and_a_wide_limit_changes_no_bit():
    def moved(clip: float | None) -> torch.Tensor:
        network = new_network(PLAIN.model_dump(), 0)
        before = nn.utils.parameters_to_vector(network.parameters()).detach()
        how = recipe(1.0, momentum=0, weight_decay=0, gradient_clip=clip)
        Descent(network, how, 8, 1, None).step(
            network(torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))).square().sum()
        )
        return nn.utils.parameters_to_vector(network.parameters()).detach() - before

    free = moved(None)
    assert free.norm() > 1 and torch.equal(free, moved(1e9))
    torch.testing.assert_close(
        moved(0.5).norm().item(), 0.1 * 0.5, rtol=1e-3, atol=0
    )  # the cycle starts at a tenth
    torch.testing.assert_close(moved(0.5) / moved(0.5).norm(), free / free.norm())


def test_first_weights_are_torch_s_or_he_s():
    wide = spec({"op": "conv", "out": 64, "batch_norm": False}, {"op": "flatten"}).model_dump()
    torch.manual_seed(3)
    plain = Network(NetworkSpec.model_validate(wide)).state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in new_network(wide, 3).state_dict().items())
    he = new_network(wide, 3, "he").state_dict()
    assert he["layers.layer0.conv.weight"].var().item() == pytest.approx(2 / 27, rel=0.1)
    assert he["layers.fc.linear.weight"].var().item() == pytest.approx(1 / 4096, rel=0.1)
    assert not he["layers.layer0.conv.bias"].any() and not he["layers.fc.linear.bias"].any()
