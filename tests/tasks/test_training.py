"""The training part of every task: boxes move with their pixels, losses fall, scores count correct outputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.networks.network import Network
from paper2board.networks.spec import NetworkSpec
from paper2board.study.recipe import Recipe
from paper2board.tasks.augmentation import Transforms, draw_transforms, transform_boxes, transform_pixels
from paper2board.tasks.box_labels import BoxLabels
from paper2board.tasks.detection.encoding import encode_boxes
from paper2board.tasks.training import training_task
from paper2board.train import loop
from paper2board.train.loop import Images, Teacher, train

RECIPE = Recipe(epochs={"standard": 1}, learning_rate=0.1, batch_size=8, crop_padding=3)


def cells(out: int) -> NetworkSpec:
    """A network with one cell for every 8 × 8 pixels of a 24 × 32 image."""
    layers = [
        {"name": "conv1", "op": "conv", "out": 8, "stride": 2},
        {"name": "conv2", "op": "conv", "out": 16, "stride": 2},
        {"name": "conv3", "op": "conv", "out": 32, "stride": 2},
        {"name": "heads", "op": "conv", "kernel": 1, "out": out, "batch_norm": False, "activation": "none"},
    ]
    return NetworkSpec.model_validate({"input": [3, 24, 32], "layers": layers})


def squares(count: int) -> Images:
    """Black images with one 10 × 10 square each, of full red, green or blue: its class."""
    rng = np.random.default_rng(0)
    pixels = torch.zeros(count, 3, 24, 32, dtype=torch.uint8)
    boxes, labels = [], []
    for image in pixels:
        x, y, label = (int(rng.integers(n)) for n in (22, 14, 3))
        image[label, y : y + 10, x : x + 10] = 255
        boxes.append(torch.tensor([[x, y, x + 10.0, y + 10.0]]))
        labels.append(torch.tensor([label]))
    return Images(pixels, BoxLabels(tuple(boxes), tuple(labels)))


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_box_goes_where_its_pixels_go(seed, flip):
    images = squares(4)
    transforms = draw_transforms(4, 4, flip, torch.Generator().manual_seed(seed))
    moved = transform_pixels(images.pixels, transforms)
    for pixels, box, shift, mirrored in zip(
        moved, images.labels.boxes, transforms.shift.squeeze(2).T, transforms.mirrored, strict=True
    ):
        x1, y1, x2, y2 = transform_boxes(box, shift, bool(mirrored), 32)[0].long().clamp(min=0).tolist()
        painted = torch.zeros(24, 32, dtype=torch.bool)
        painted[y1 : min(y2, 24), x1 : min(x2, 32)] = True
        assert torch.equal((pixels == 255).any(0), painted)


def test_no_transforms_leave_everything_as_it_is():
    images = squares(2)
    transforms = Transforms(torch.zeros(2, 2, 1, dtype=torch.int64), torch.zeros(2, 1, dtype=torch.bool))
    assert torch.equal(transform_pixels(images.pixels, transforms), images.pixels)
    box = images.labels.boxes[0]
    assert torch.equal(transform_boxes(box, torch.zeros(2), False, 32), box)


def test_an_object_that_leaves_the_image_is_no_target():
    labels = BoxLabels(
        (torch.tensor([[0.0, 0.0, 4.0, 4.0], [10.0, 10.0, 20.0, 20.0]]),), (torch.tensor([0, 1]),)
    )
    task = training_task("detection", (3, 24, 32), (8, 3, 4))
    seen = set()
    for seed in range(40):
        transforms = draw_transforms(1, 16, False, torch.Generator().manual_seed(seed))
        targets = task.targets(task.transform_labels(labels, transforms, 24, 32))
        seen |= {frozenset(targets.labels[targets.positive].tolist())}
        boxes = targets.boxes.movedim(1, -1)[targets.positive]
        assert (boxes >= 0).all() and (boxes <= torch.tensor([32.0, 24.0, 32.0, 24.0])).all()
    assert {frozenset(), frozenset({1}), frozenset({0, 1})} <= seen


@pytest.mark.parametrize("flip", [False, True])
def test_stored_outputs_of_a_teacher_are_those_it_would_give(tmp_path, monkeypatch, flip):
    """Without crops a teacher runs once for every image and its mirror image, not in every epoch."""
    torch.set_num_threads(1)
    spec, images, results = cells(4), squares(32), []
    recipe = RECIPE.model_copy(update={"crop_padding": 0, "flip": flip})
    torch.manual_seed(1)
    teacher = Teacher(Network(spec).eval(), 3.0, 0.7)
    task = training_task("centroids", spec.input, spec.output)
    for stored in (True, False):
        if not stored:
            monkeypatch.setattr(loop._Loop, "teacher_outputs", lambda self: None)
        torch.manual_seed(0)
        network = Network(spec)
        train(network, task, images, images, recipe, 2, 0, tmp_path / f"{stored}", teacher, str)
        results.append(network)
    for first, second in zip(*(network.parameters() for network in results), strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-3)


def test_a_detecting_teacher_runs_once_whatever_the_crops(tmp_path, monkeypatch):
    run_on = []
    monkeypatch.setattr(
        loop._Loop, "_run_teacher", lambda self, x: run_on.append(len(x)) or self.teacher.network(x)
    )
    spec, images = cells(8), squares(32)
    teacher = Teacher(Network(spec).eval(), 3.0, 0.7)
    task = training_task("detection", spec.input, spec.output)
    teacher.network.requires_grad_(False)
    train(Network(spec), task, images, images, RECIPE, 3, 0, tmp_path / "c", teacher, str)
    assert sum(run_on) == len(images) and RECIPE.crop_padding


@pytest.mark.parametrize(("name", "channels"), [("detection", 8), ("centroids", 4)])
def test_a_network_learns_cells(tmp_path, name, channels):
    torch.manual_seed(0)
    spec = cells(channels)
    network, task = Network(spec), training_task(name, spec.input, spec.output)
    history = train(network, task, squares(256), squares(64), RECIPE, 12, 0, tmp_path / "c", log=str)
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[0]
    assert history["validation_score"].iloc[-1] > 0.6 > history["validation_score"].iloc[0]


@pytest.mark.parametrize(("name", "channels"), [("detection", 8), ("centroids", 4)])
def test_distillation_is_a_mixture(name, channels):
    spec = cells(channels)
    task = training_task(name, spec.input, spec.output)
    images = squares(4)
    targets = task.targets(images.labels)
    student, teacher = torch.randn(2, 4, channels, 3, 4, generator=torch.Generator().manual_seed(0))
    hard = task.loss(student, targets, 0.0)
    if name == "detection":  # centroids are distilled as classes of cells, which weigh alike
        torch.testing.assert_close(task.distillation_loss(student, teacher, targets, 3.0, 0.0, 0.0), hard)
    soft = task.distillation_loss(student, teacher, targets, 3.0, 1.0, 0.0)
    half = task.distillation_loss(student, teacher, targets, 3.0, 0.5, 0.0)
    whole = task.distillation_loss(student, teacher, targets, 3.0, 0.0, 0.0)
    torch.testing.assert_close(half, (soft + whole) / 2)


def test_scores_count_correct_outputs():
    task = training_task("classification", (3, 24, 32), (3,))
    assert task.count_correct(torch.eye(3), torch.tensor([0, 1, 1])) == (2, 3)
    detection = training_task("detection", (3, 24, 32), (8, 3, 4))
    targets = detection.targets(squares(3).labels)
    perfect = torch.zeros(3, 8, 3, 4)
    perfect[:, :4] = encode_boxes(detection.grid, targets.boxes)
    for index in range(3):
        perfect[:, 4 + index] = 5.0 * (targets.labels == index)
    count = int(targets.positive.sum())
    assert detection.count_correct(perfect, targets) == (count, count)
    perfect[:, 4:7] = perfect[:, 4:7].roll(1, 1)
    assert detection.count_correct(perfect, targets) == (0, count)
    centroids = training_task("centroids", (3, 24, 32), (4, 3, 4))
    assert centroids.stride == 8
    labels = centroids.targets(squares(3).labels)
    output = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    assert centroids.count_correct(output, labels) == (3, 3)
    background = torch.zeros_like(output)
    background[:, 0] = 1
    assert centroids.count_correct(background, labels) == (0, 3)


@pytest.mark.parametrize("name", ["detection", "centroids"])
def test_a_classifiers_output_is_no_grid(name):
    with pytest.raises(ValueError, match="rows and columns of cells"):
        training_task(name, (3, 24, 32), (10,))


def test_a_grid_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="is no grid over 32 × 24 pixels"):
        training_task("detection", (3, 24, 32), (8, 2, 4))
