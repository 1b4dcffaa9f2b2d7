"""Matching, F1 and its intervals, with answers worked out by hand."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from paper2board.acquire.scenes import Scene, gather
from paper2board.core.evidence import read_metrics
from paper2board.evaluate.logits import write_logits
from paper2board.evaluate.outputs import output_layout
from paper2board.model.file import write
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.weighted import Conv2D
from paper2board.model.tensor import Tensor
from paper2board.networks.network import Network, write_weights
from paper2board.networks.spec import NetworkSpec
from paper2board.tasks.centroids.decode import Centroids
from paper2board.tasks.centroids.metrics import (
    counts,
    f1,
    found_centroids,
    match,
    precision,
    recall,
    score_evidence,
    stride,
    true_centroids,
    truths,
)
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.training import training_task

SIZE = (100, 50)


def layout(width, height, rows, columns, channels, scale=None, zero_point=0):
    return OutputLayout((3, height, width), (channels, rows, columns), scale, zero_point)


def centroids(*items):
    """Centroids from (x, y, label)."""
    rows = np.array(items, float).reshape(-1, 3)
    return Centroids(rows[:, :2], rows[:, 2].astype(np.int64), np.ones(len(rows)))


# --- matching -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "right"),
    [
        ((70, 25, 1), 1),  # 0.20 of the width away: just near enough
        ((71, 25, 1), 0),
        ((50, 35, 1), 1),  # 0.20 of the height
        ((50, 36, 1), 0),
        ((65, 33, 1), 0),  # 0.15 and 0.16 together: 0.22
        ((50, 25, 0), 0),  # another class
    ],
)
def test_distance_and_class(found, right):
    assert match(centroids(found), centroids((50, 25, 1)), SIZE) == right


def test_pairs_are_one_to_one_and_as_many_as_possible():
    truth = centroids((40, 25, 0), (55, 25, 0))
    assert match(centroids((41, 25, 0), (42, 25, 0), (39, 25, 0)), truth, SIZE) == 2
    # (48, 25) is near both, (30, 25) only the first: a greedy nearest match could leave it out.
    assert match(centroids((46, 25, 0), (30, 25, 0)), truth, SIZE) == 2
    assert match(centroids((46, 25, 0), (47, 25, 0)), centroids((50, 25, 0)), SIZE) == 1
    assert match(centroids(), truth, SIZE) == 0
    assert match(truth, centroids(), SIZE) == 0


def test_true_centres_are_the_boxes_middles():
    truth = true_centroids(np.array([[0, 10, 20, 50]], np.float32), np.array([2]))
    assert truth.points.tolist() == [[10.0, 30.0]]
    assert truth.labels.tolist() == [2]
    assert len(true_centroids([], [])) == 0


# --- scores ---------------------------------------------------------------------------------------------


def test_scores_by_hand():
    found = [centroids((50, 25, 1), (10, 10, 0)), centroids(), centroids((50, 25, 0))]
    truth = [centroids((52, 25, 1)), centroids((5, 5, 0), (90, 40, 2)), centroids()]
    table = counts(found, truth, SIZE)
    assert table.tolist() == [[1, 2, 1], [0, 0, 2], [0, 1, 0]]
    assert precision(table) == pytest.approx(1 / 3)
    assert recall(table) == pytest.approx(1 / 3)
    assert f1(table) == pytest.approx(1 / 3)
    assert f1(table[:1]) == pytest.approx(2 / 3)
    nothing = np.zeros((2, 3), np.int64)
    assert f1(nothing) == precision(nothing) == recall(nothing) == 0


def test_one_seed_has_a_bootstrap_over_images():
    table = np.array([[1, 1, 1]] * 30 + [[0, 1, 1]] * 10)
    item = score_evidence("f1", [table], [0], "a test", {})
    assert item.value == pytest.approx(75)
    assert item.n == 40
    assert item.interval_method.startswith("bootstrap 95 % over images")
    low, high = item.interval
    # One answer and one object an image: F1 is a share of images, whose standard error is 6.85 points.
    error = 100 * np.sqrt(0.75 * 0.25 / 40)
    assert low == pytest.approx(75 - 1.96 * error, abs=2)
    assert high == pytest.approx(75 + 1.96 * error, abs=2)
    assert score_evidence("f1", [table], [0], "a test", {}) == item


def test_several_seeds_have_students_t():
    tables = [np.array([[right, 10, 10]]) for right in (6, 7, 8)]
    item = score_evidence("precision", tables, [0, 1, 2], "a test", {})
    assert item.value == pytest.approx(70)
    half = stats.t.ppf(0.975, 2) * 10 / np.sqrt(3)
    assert item.interval == pytest.approx((70 - half, 70 + half))
    assert item.n == 3
    assert item.seeds == (0, 1, 2)


def test_the_same_for_every_seed_is_one_measurement():
    table = np.array([[1, 1, 1]] * 30 + [[0, 1, 1]] * 10)
    alone, item = (score_evidence("f1", [table] * seeds, range(seeds), "a test", {}) for seeds in (1, 3))
    assert (item.value, item.n, item.interval) == (alone.value, alone.n, alone.interval)
    assert item.interval_method.endswith("over images (2000 draws), the same for 3 seeds")


# --- stored outputs -------------------------------------------------------------------------------------


def test_stored_outputs_are_rows_columns_channels():
    logits = np.full((1, 2, 3, 3), -5, np.float32)
    logits[..., 0] = 5
    logits[0, 1, 2] = [-5, -5, 5]
    (found,) = found_centroids(logits.reshape(1, -1), layout(24, 16, 2, 3, 3))
    assert found.points.tolist() == [[20.0, 12.0]]
    assert found.labels.tolist() == [1]
    with pytest.raises(ValueError, match=r"\(1, 18\), not N x 12"):
        found_centroids(logits.reshape(1, -1), layout(16, 16, 2, 2, 3))


def test_int8_outputs_are_dequantized():
    q = np.zeros((1, 1, 2, 2), np.int8)
    q[0, 0, 0] = [-128, 127]  # 255 steps apart: int8 arithmetic would wrap
    q[0, 0, 1] = [10, 12]  # two steps
    (coarse,) = found_centroids(q.reshape(1, -1), layout(16, 8, 1, 2, 2, 0.5, 100))
    assert coarse.points.tolist() == [[8.0, 4.0]]
    assert coarse.scores == pytest.approx([1.0])
    one = found_centroids(q[:, :, 1:].reshape(1, -1), layout(8, 8, 1, 1, 2, 0.5, -7))
    assert one[0].scores == pytest.approx([1 / (1 + np.exp(-1.0))])  # a zero point cancels in the softmax


# --- each network's own grid ----------------------------------------------------------------------------


def scene(*objects, width=64, height=48):
    """A grey scene with squares of 14 pixels at the given (x, y), of the given classes."""
    boxes = [(x - 7, y - 7, x + 7, y + 7) for x, y, _ in objects]
    return Scene(
        np.full((height, width, 3), 128, np.uint8),
        np.array(boxes, np.float32),
        np.array([kind for *_, kind in objects], np.int64),
        np.ones(len(objects), np.float32),
    )


def float_network(path, height, width, stride):
    """A network of cells of three values, background and two classes."""
    head = {"name": "head", "op": "conv", "kernel": 1, "stride": stride, "out": 3, "batch_norm": False}
    spec = NetworkSpec.model_validate({"input": [3, height, width], "layers": [head]})
    write_weights(Network(spec), path)
    return spec


def integer_network(path):
    """The same for 32 × 32 pixels, 2 × 2 cells, int8."""
    tensors = (Tensor("image", (32, 32, 3), 1 / 64, 0), Tensor("head", (2, 2, 3), 1 / 16, -3))
    weights, bias = np.zeros((3, 16, 16, 3), np.int8), np.zeros(3, np.int32)
    scale = np.array([4.0], np.float32)  # 1/64 · 4 is the output's scale
    conv = Conv2D("head", (0,), 1, weights, bias, scale, stride=(16, 16), padding="SAME")
    write(IntegerModel.single("m", tensors, (conv,), 0, 1), path)


def test_cells_are_the_networks_own(tmp_path):
    spec = float_network(tmp_path / "float", 50, 60, 16)
    found = output_layout(tmp_path / "float", "fp32")
    assert found == layout(60, 50, 4, 4, 3)
    assert stride(found) == training_task("centroids", spec.input, spec.output).stride == 15
    integer_network(tmp_path / "integer")
    assert output_layout(tmp_path / "integer", "int8-ptq") == layout(32, 32, 2, 2, 3, 1 / 16, -3)


def test_truth_is_in_pixels_of_the_input():
    """Four rows of 15 pixels reach further down than the input's 50."""
    scenes = gather([scene((60, 90, 1), width=120, height=100)], ("a", "b"), "a test")
    (found,) = truths(scenes, layout(60, 50, 4, 4, 3))
    assert found.points.tolist() == [[30, 45]]
    assert found.labels.tolist() == [1]


def test_networks_of_different_grids_are_summarised_together(tmp_path):
    """A 3 × 4 grid over the scenes, 4 × 4 over 60 × 50 pixels and 2 × 2 over 32 × 32; all find the one object."""
    scenes = gather([scene((56, 40, 1))], ("a", "b"), "a test")
    scenes.write(tmp_path / "test.safetensors")
    float_network(tmp_path / "wide", 48, 64, 16)
    float_network(tmp_path / "odd", 50, 60, 16)
    integer_network(tmp_path / "square")
    grids = {"wide": (3, 4, np.float32), "odd": (4, 4, np.float32), "square": (2, 2, np.int8)}
    for name, (rows, columns, kind) in grids.items():
        outputs = np.zeros((1, rows, columns, 3), kind)
        outputs[..., 0] = 50
        outputs[0, 2 if name == "odd" else -1, -1] = 0, 0, 50
        write_logits(tmp_path / f"{name}.npy", outputs)
    job = SimpleNamespace(
        input=SimpleNamespace(
            data=[str(tmp_path / "test.safetensors")],
            outputs=[str(tmp_path / f"{name}.npy") for name in grids],
            weights=[str(tmp_path / name) for name in grids],
        ),
        output=SimpleNamespace(metrics=tmp_path / "metrics.json", shown=tmp_path / "shown"),
        wildcards=SimpleNamespace(task="centroids"),
        params=SimpleNamespace(
            networks={
                "wide.fp32": ("wide", "fp32"),
                "odd.fp32": ("odd", "fp32"),
                "square.int8": ("square", "int8-ptq"),
            },
            shapes={},
            comparisons={},
            shown="square.int8",
            classes=["a", "b"],
            seeds=[0],
            limit=None,
        ),
        log=[tmp_path / "script.log"],
        rule="summarise_scores",
    )
    script = Path(__file__).parents[2] / "scripts/summarise_scores.py"
    runpy.run_path(str(script), {"snakemake": job}, "__main__")
    metrics = read_metrics(tmp_path / "metrics.json")
    assert [metrics[f"f1.{name}"].value for name in job.params.networks] == [100, 100, 100]
    assert not list((tmp_path / "shown").iterdir())
