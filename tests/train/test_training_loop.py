import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st

from paper2board.networks.network import Network, read_weights, same_padding, write_weights
from paper2board.networks.pixels import to_int8
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_float, to_tensor
from paper2board.study.recipe import Recipe
from paper2board.tasks.augmentation import draw_transforms, transform_pixels
from paper2board.tasks.distillation import distillation_loss
from paper2board.tasks.training import training_task
from paper2board.train.loop import Images, Teacher, one_cycle, train

SPEC = NetworkSpec.model_validate(
    {
        "input": [3, 8, 8],
        "layers": [
            {"name": "conv1", "op": "conv", "out": 4},
            {"name": "pool", "op": "average_pool", "out": 1},
            {"name": "flatten", "op": "flatten"},
            {"name": "fc", "op": "linear", "out": 3},
        ],
    }
)
EPOCHS = 4
TASK = training_task("classification", SPEC.input, SPEC.output)


def images(count=96):
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 3, count))
    pixels = torch.from_numpy(rng.integers(0, 100, (count, 3, 8, 8), dtype=np.uint8))
    for index, label in enumerate(labels):
        pixels[index, label] += 120
    return Images(pixels, labels)


def recipe(**changes):
    return Recipe(epochs={"standard": EPOCHS}, learning_rate=0.2, batch_size=16, **changes)


def fresh(seed=0):
    torch.manual_seed(seed)
    return Network(SPEC)


def run(checkpoint, log=lambda text: None, teacher=None, seed=0):
    torch.set_num_threads(1)
    network = fresh()
    history = train(network, TASK, images(), images(30), recipe(), EPOCHS, seed, checkpoint, teacher, log)
    return network, history


def same(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_learns_and_is_deterministic(tmp_path):
    network, history = run(tmp_path / "a")
    again, _ = run(tmp_path / "b")
    assert same(network, again)
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert history["train_score"].iloc[-1] > 0.9 > history["train_score"].iloc[0]


def test_another_seed_gives_another_result(tmp_path):
    assert not same(run(tmp_path / "a")[0], run(tmp_path / "b", seed=1)[0])


def _train_slowly(checkpoint):
    run(Path(checkpoint), log=lambda text: time.sleep(0.4))


def test_killed_training_goes_on_and_ends_the_same(tmp_path):
    """Kill -9 in the middle; the plain re-run resumes and gives the very same weights."""
    checkpoint = tmp_path / "checkpoint"
    process = multiprocessing.get_context("spawn").Process(target=_train_slowly, args=(str(checkpoint),))
    process.start()
    while not checkpoint.exists():
        assert process.is_alive(), "training ended without a checkpoint"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    lines: list[str] = []
    resumed, history = run(checkpoint, lines.append)
    assert lines[0].startswith("resuming after epoch")
    assert len(lines) <= EPOCHS
    undisturbed, full = run(tmp_path / "other")
    assert same(resumed, undisturbed)
    assert history.equals(full)


def test_another_trainings_checkpoint_is_not_taken(tmp_path):
    run(tmp_path / "checkpoint")
    lines: list[str] = []
    run(tmp_path / "checkpoint", lines.append, seed=5)
    assert len(lines) == EPOCHS


def test_a_teacher_changes_the_student(tmp_path):
    teacher = Teacher(fresh(7).eval(), temperature=3.0, alpha=0.7)
    assert not same(run(tmp_path / "a")[0], run(tmp_path / "b", teacher=teacher)[0])


def test_distillation_loss_is_hintons():
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    labels = torch.tensor([0, 1, 2, 0, 1])
    assert distillation_loss(student, teacher, labels, 3.0, 0.0) == F.cross_entropy(student, labels)
    assert distillation_loss(student, student, labels, 3.0, 1.0).abs() < 1e-6
    soft = (teacher / 3).softmax(1)
    expected = 0.7 * 9 * (soft * (soft.log() - (student / 3).log_softmax(1))).sum(1).mean()
    expected += 0.3 * F.cross_entropy(student, labels)
    torch.testing.assert_close(distillation_loss(student, teacher, labels, 3.0, 0.7), expected)


@given(st.integers(1, 500), st.floats(0, 0.9))
def test_the_learning_rate_rises_then_falls_to_zero(total, warm_up):
    shares = [one_cycle(step, total, warm_up) for step in range(total + 1)]
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares)
    assert abs(shares[-1]) < 1e-9
    peak = shares.index(max(shares))
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)


@given(st.integers(1, 64), st.integers(1, 7), st.integers(1, 4))
def test_same_padding_is_tflites(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    assert (size + before + after - kernel) // stride + 1 >= -(-size // stride)


@pytest.mark.parametrize("flip", [False, True])
def test_augmentation_only_shifts_and_mirrors(flip):
    pixels = torch.arange(3 * 8 * 8, dtype=torch.uint8).reshape(1, 3, 8, 8).repeat(50, 1, 1, 1)
    result = transform_pixels(pixels, draw_transforms(len(pixels), 2, flip, torch.Generator().manual_seed(0)))
    padded = F.pad(pixels[0], [2] * 4, value=128)
    views = [padded[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
    views += [view.flip(2) for view in views] if flip else []
    assert all(any(torch.equal(image, view) for view in views) for image in result)
    assert len({image.numpy().tobytes() for image in result}) > 10


def test_the_integer_input_is_the_float_inputs_quantization():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_int8(pixels).ravel(), np.arange(256) - 128)
    assert np.array_equal(to_float(to_tensor(pixels)).numpy().ravel() * 64, np.arange(256) - 128)


def test_weights_survive_the_file(tmp_path):
    network = fresh().eval()
    write_weights(network, tmp_path / "weights.safetensors")
    assert same(read_weights(tmp_path / "weights.safetensors"), network)
