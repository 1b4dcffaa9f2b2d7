"""The SSD teacher: its losses, its outputs as a grid detector's, its file, its training."""

import multiprocessing
import os
import runpy
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from paper2board.acquire.scenes import Scene, SceneSet, gather
from paper2board.core.errors import UserError
from paper2board.networks.tensors import to_float
from paper2board.networks.torchvision_guard import torchvision
from paper2board.study.recipe import Recipe
from paper2board.tasks.detection.decode import decode
from paper2board.tasks.detection.encoding import decode_boxes
from paper2board.tasks.detection.grid import BOX, Grid
from paper2board.tasks.detection.ssd import (
    SsdDetector,
    SsdSettings,
    count_macs,
    count_parameters,
    is_ssd,
    read_ssd,
    write_ssd,
)
from paper2board.train.ssd import Annotated, annotated, mirrored, train_ssd

SETTINGS = SsdSettings(classes=3, width=64, height=48)
GRID = Grid(width=64, height=48, classes=3)
EPOCHS = 3
FULL_GRID = Grid(classes=10)


def detector(settings: SsdSettings = SETTINGS, seed: int = 0) -> SsdDetector:
    torch.manual_seed(seed)
    return SsdDetector(settings).eval()


def scenes(count: int) -> Annotated:
    """Grey images with one bright square each, of the colour that is its class."""
    return annotated(scene_set(count), range(count))


def scene_set(count: int) -> SceneSet:
    rng = np.random.default_rng(0)
    made = []
    for index in range(count):
        image = np.full((48, 64, 3), 90, np.uint8)
        side, kind = int(rng.integers(20, 34)), index % 3
        x, y = (int(rng.integers(limit - side)) for limit in (64, 48))
        image[y : y + side, x : x + side, kind] = 250
        box = np.array([[x, y, x + side, y + side]], np.float32)
        made.append(Scene(image, box, np.array([kind]), np.ones(1, np.float32)))
    return gather(made, ("red", "green", "blue"), "squares")


def recipe(**changes: object) -> Recipe:
    values = {"epochs": {"standard": EPOCHS}, "learning_rate": 0.02, "batch_size": 4, "crop_padding": 0}
    return Recipe.model_validate(values | changes)


def outputs(found: SsdDetector, count: int) -> dict[str, torch.Tensor]:
    """Raw outputs as different from each other as a trained detector's."""
    torch.manual_seed(5)
    boxes, classes = len(found.default_boxes), found.settings.classes
    return {
        "bbox_regression": 2 * torch.randn(count, boxes, BOX),
        "cls_logits": 3 * torch.randn(count, boxes, classes + 1),
    }


def test_feature_maps_and_default_boxes() -> None:
    found = detector(SsdSettings())
    maps = found.ssd.backbone(torch.zeros(1, 3, 120, 160))
    assert [tuple(value.shape[1:]) for value in maps.values()] == [(96, 8, 10), (320, 4, 5)]
    boxes = found.default_boxes
    assert tuple(boxes.shape) == (6 * 80 + 5 * 20, 4)
    # Side 20 about the first cell's centre, square in pixels.
    torch.testing.assert_close(boxes[0], torch.tensor([-2.0, -2, 18, 18]))
    last = boxes[6 * 80 - 6 :]
    assert torch.allclose((last[:6, :2] + last[:6, 2:]) / 2, torch.tensor([152.0, 120.0]))
    raw = found(torch.zeros(2, 3, 120, 160))
    assert (raw["bbox_regression"].shape, raw["cls_logits"].shape) == ((2, 580, 4), (2, 580, 11))


def test_every_object_size_has_a_default_box() -> None:
    boxes = detector(SsdSettings()).default_boxes
    for side in range(20, 76, 5):
        centres = torch.tensor([[x, y] for x in range(40, 120, 7) for y in range(40, 80, 7)])
        wanted = torch.cat([centres - side / 2, centres + side / 2], 1)
        best = torchvision.ops.box_iou(wanted, boxes).max(1).values
        assert best.min() > 0.3 and best.mean() > 0.5, side


def test_images_are_normalised_as_torchvision_does() -> None:
    found = detector()
    pixels = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    normalise = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    expected = found.ssd.backbone.stem(normalise(pixels.float() / 255))
    torch.testing.assert_close(found.stem(to_float(pixels)), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_grid_encodes_ssds_own_outputs() -> None:
    found = detector(SsdSettings())
    raw = outputs(found, 3)
    raw["bbox_regression"][..., 0] += 8  # to the right, so that cells on the left stay empty
    output = found.as_grid(FULL_GRID).to_cells(raw)
    assert tuple(output.shape) == (3, 15, 8, 10)
    encoded = decode_boxes(FULL_GRID, output[:, :BOX])
    filled_cells = 0
    for image in range(3):
        boxes = found.ssd.box_coder.decode_single(raw["bbox_regression"][image], found.default_boxes)
        probabilities = raw["cls_logits"][image].double().softmax(-1)  # 1 − p without ties at 1
        for row in range(8):
            for column in range(10):
                x, y = ((boxes[:, i] + boxes[:, i + 2]) / 2 for i in (0, 1))
                here = (x // 16 == column) & (y // 16 == row)
                cell = output[image, :, row, column]
                if not here.any():
                    assert cell[-1] == -FULL_GRID.logit_range
                    continue
                filled_cells += 1
                best = torch.where(here, 1 - probabilities[:, 0], -1.0).argmax()
                width, height = (boxes[best, i + 2] - boxes[best, i] for i in (0, 1))
                if min(width, height) >= 4 and width <= 160 and height <= 120:
                    torch.testing.assert_close(
                        encoded[image, :, row, column], boxes[best], rtol=1e-3, atol=1e-2
                    )
                sure = torch.logit(1 - probabilities[best, 0]).clamp(-8, 8)
                torch.testing.assert_close(cell[-1].double(), sure, rtol=1e-3, atol=1e-3)
                kinds = (probabilities[best, 1:] / probabilities[best, 1:].sum()).log()
                shown = cell[BOX:-1].log_softmax(0)
                close = kinds > -8
                torch.testing.assert_close(shown[close].double(), kinds[close], rtol=1e-2, atol=1e-2)
    assert 10 < filled_cells < 3 * 80


@torch.no_grad()
def test_scores_decoded_from_the_grid_are_ssds() -> None:
    found = detector()
    raw = outputs(found, 1)
    scores = raw["cls_logits"][0].softmax(-1)[:, 1:].max(1).values
    decoded = decode(GRID, found.as_grid(GRID).to_cells(raw).numpy())[0]
    assert len(decoded) > 3
    for score in decoded.scores:
        assert (scores - score).abs().min() < 1e-3
    x = torch.randn(1, 3, 48, 64)
    assert torch.equal(found.as_grid(GRID)(x), found.as_grid(GRID).to_cells(found(x)))


def test_a_grid_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="the grid is"):
        detector().as_grid(FULL_GRID)


def test_losses_fall_on_two_images() -> None:
    found, data = detector(), scenes(2)
    found.train()
    optimizer = torch.optim.SGD([p for p in found.parameters() if p.requires_grad], lr=0.02, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = found.losses(data.pixels, data.boxes, data.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.6 * losses[0]


def test_images_without_boxes_have_a_finite_loss() -> None:
    found, data = detector(), scenes(2)
    none = [torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2
    assert found.losses(data.pixels, *none) == 0  # SSD takes negatives in proportion to positives
    mixed = [data.boxes[0], none[0][0]], [data.labels[0], none[1][0]]
    assert torch.isfinite(found.losses(data.pixels, *mixed))


def test_frozen_blocks_stay_as_they_are() -> None:
    found, data = detector(), scenes(2)
    found.train()
    before = {name: value.clone() for name, value in found.ssd.backbone.stem.state_dict().items()}
    found.losses(data.pixels, data.boxes, data.labels).backward()
    after = found.ssd.backbone.stem.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(value.grad is None for value in found.ssd.backbone.stem.parameters())


@torch.no_grad()
def test_pretrained_weights_are_taken_by_their_names() -> None:
    torch.manual_seed(3)
    source = torchvision.models.mobilenet_v2(weights=None).eval()
    found = SsdDetector(SETTINGS, source.state_dict()).eval()
    x = torch.randn(1, 3, 48, 64)
    for value, last in zip(found.ssd.backbone(x).values(), (14, 18), strict=True):
        torch.testing.assert_close(value, source.features[:last](x))
    narrow = torchvision.models.mobilenet_v2(weights=None, width_mult=0.5).state_dict()
    for wrong in (narrow, {"features.0.0.weight": torch.zeros(1)}):
        with pytest.raises(UserError, match="not MobileNetV2's of width 1"):
            SsdDetector(SETTINGS, wrong)


@torch.no_grad()
def test_the_file_keeps_all(tmp_path) -> None:
    found = detector(SsdSettings(classes=3, width=64, height=48, frozen=5))
    write_ssd(found, tmp_path / "ssd.safetensors")
    again = read_ssd(tmp_path / "ssd.safetensors")
    assert is_ssd(tmp_path / "ssd.safetensors")
    assert again.settings == found.settings
    x = torch.randn(1, 3, 48, 64)
    assert torch.equal(again.as_grid(GRID)(x), found.as_grid(GRID)(x))
    first = (tmp_path / "ssd.safetensors").read_bytes()
    write_ssd(again, tmp_path / "ssd.safetensors")
    assert (tmp_path / "ssd.safetensors").read_bytes() == first


def test_bad_files(tmp_path) -> None:
    path = tmp_path / "ssd.safetensors"
    with pytest.raises(UserError, match="holds no SSD"):
        read_ssd(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no SSD"):
        read_ssd(path)
    assert not is_ssd(path)
    for metadata in (None, {"ssd": "{}"}, {"ssd": '{"frozen": 99}'}):
        save_file({"a": torch.zeros(1)}, path, metadata=metadata)
        with pytest.raises(UserError, match="holds no SSD") as raised:
            read_ssd(path)
        assert "\n" not in str(raised.value)
        assert is_ssd(path) == (metadata is not None)


def test_counts() -> None:
    found = detector(SsdSettings())
    backbone = torchvision.models.mobilenet_v2(weights=None).features[:18]
    x, macs = torch.zeros(1, 3, 120, 160), []

    def count(module: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        kernel = module.kernel_size[0] * module.kernel_size[1] * module.in_channels // module.groups
        macs.append(output.shape[1] * output.shape[2] * output.shape[3] * kernel)

    for module in backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    backbone(x)
    heads = sum(
        size * channels * (9 + boxes * columns)
        for size, channels, boxes in ((80, 96, 6), (20, 320, 5))
        for columns in (4, 11)
    )
    assert count_macs(found) == sum(macs) + heads
    plain = sum(value.numel() for value in backbone.parameters())
    extra = sum(
        channels * 9 + 2 * channels + (channels + 1) * boxes * columns
        for channels, boxes in ((96, 6), (320, 5))
        for columns in (4, 11)
    )
    assert count_parameters(found, folded=False) == plain + extra
    normalised = sum(m.num_features for m in found.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert count_parameters(found) == plain + extra - normalised


def test_mirror_image_has_mirrored_boxes() -> None:
    data = scenes(1)
    x1, y1, x2, y2 = (int(value) for value in mirrored(data.boxes[0], 64)[0])
    inside = data.pixels.flip(3)[0, 0] == 250
    assert inside[y1:y2, x1:x2].all() and inside.sum() == (x2 - x1) * (y2 - y1)
    assert torch.equal(mirrored(mirrored(data.boxes[0], 64), 64), data.boxes[0])


def run(checkpoint: Path, log=lambda text: None, seed: int = 0, **changes: object):
    torch.set_num_threads(1)
    found = detector()
    history = train_ssd(found, scenes(12), scenes(6), GRID, recipe(**changes), EPOCHS, seed, checkpoint, log)
    return found, history


def same(a: SsdDetector, b: SsdDetector) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def _train_slowly(checkpoint: str) -> None:
    run(Path(checkpoint), log=lambda text: time.sleep(0.4))


def test_killed_training_goes_on_and_ends_the_same(tmp_path) -> None:
    checkpoint = tmp_path / "checkpoint"
    process = multiprocessing.get_context("spawn").Process(target=_train_slowly, args=(str(checkpoint),))
    process.start()
    while not checkpoint.exists():
        assert process.is_alive(), "training ended without a checkpoint"
        time.sleep(0.01)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    lines: list[str] = []
    resumed, history = run(checkpoint, lines.append)
    assert lines[0].startswith("resuming after epoch")
    undisturbed, full = run(tmp_path / "other")
    assert same(resumed, undisturbed)
    assert history.equals(full)
    assert list(full.columns) == ["epoch", "learning_rate", "train_loss", "train_score", "validation_score"]
    assert full["train_loss"].iloc[-1] < full["train_loss"].iloc[0]
    lines.clear()
    again, _ = run(checkpoint, lines.append)  # all epochs done: nothing is trained
    assert same(again, undisturbed) and not again.training
    assert len(lines) == 1
    other, _ = run(checkpoint, seed=1)
    assert not same(other, undisturbed)  # another training's checkpoint is not taken


def test_mirror_images_and_bfloat16_are_used(tmp_path) -> None:
    plain, _ = run(tmp_path / "a", flip=False)
    flipped, _ = run(tmp_path / "b")
    assert not same(plain, flipped)
    low, history = run(tmp_path / "c", flip=False, precision="bfloat16")
    assert not same(plain, low) and np.isfinite(history["train_loss"]).all()


def test_what_cannot_be_trained_is_refused(tmp_path) -> None:
    for changes in ({"crop_padding": 4}, {"label_smoothing": 0.1}):
        with pytest.raises(UserError, match="set it to 0"):
            run(tmp_path / "a", **changes)
    data = scenes(3)
    for settings, message in (
        (SsdSettings(classes=3), "160x120 pixels"),
        (SsdSettings(classes=2, width=64, height=48), "2 classes"),
    ):
        with pytest.raises(UserError, match=message):
            train_ssd(detector(settings), data, data, GRID, recipe(), 1, 0, tmp_path / "a")


def test_a_wrong_grid_is_refused_before_training(tmp_path) -> None:
    lines: list[str] = []
    with pytest.raises(ValueError, match="the grid is"):
        train_ssd(detector(), scenes(3), scenes(3), FULL_GRID, recipe(), 1, 0, tmp_path / "a", lines.append)
    assert not lines


# --- the script -----------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path, monkeypatch) -> SimpleNamespace:
    """Snakemake's object for scripts/train_ssd.py; the backbone's weights are not read."""
    monkeypatch.setattr("paper2board.train.pretrained_weights.read_pretrained", lambda path: None)
    monkeypatch.setattr("paper2board.networks.inference.configure", lambda threads: None)
    scene_set(6).write(tmp_path / "train.safetensors")
    parts = {"train": [0, 1, 2, 3], "validation": [4, 5], "calibration": [0]}
    np.savez(tmp_path / "splits.npz", **{name: np.int32(part) for name, part in parts.items()})
    return SimpleNamespace(
        input=SimpleNamespace(
            data=[tmp_path / "train.safetensors"], splits=tmp_path / "splits.npz", pretrained="none"
        ),
        output=SimpleNamespace(weights=tmp_path / "ssd.safetensors", history=tmp_path / "history.csv"),
        params=SimpleNamespace(
            shapes=((3, 48, 64), (8, 6, 8)),
            recipe=recipe().model_dump(),
            epochs=1,
            threads=1,
            code="",
        ),
        wildcards=SimpleNamespace(seed="0"),
        log=[tmp_path / "script.log"],
        rule="train_ssd",
    )


def train_script(job: SimpleNamespace) -> None:
    script = Path(__file__).parents[2] / "scripts/train_ssd.py"
    runpy.run_path(str(script), {"snakemake": job}, "__main__")


def test_validation_is_on_the_students_grid(job, monkeypatch) -> None:
    used = []

    def instead(detector: SsdDetector, training: Annotated, validation: Annotated, grid: Grid, *rest: object):
        used.append((detector.settings, grid, len(training), len(validation)))
        return pd.DataFrame({"epoch": [1], "train_score": [0.5], "validation_score": [0.5]})

    monkeypatch.setattr("paper2board.train.ssd.train_ssd", instead)
    train_script(job)
    assert used == [(SETTINGS, Grid(width=64, height=48, stride=8, classes=3), 4, 2)]


def test_students_of_another_size_are_refused_early(job, capsys) -> None:
    job.params.shapes = (3, 120, 160), (FULL_GRID.channels, FULL_GRID.rows, FULL_GRID.columns)
    with pytest.raises(SystemExit):
        train_script(job)
    text = capsys.readouterr().err
    assert "images of 160x120 pixels" in text and "students' networks" in text and "Traceback" not in text
