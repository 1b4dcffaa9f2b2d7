"""Regression: targets, loss and R² of training; RMSE and R² of stored outputs in the target's unit; the device."""

import numpy as np
import pytest
import torch
from messages import naming
from scipy import stats
from statsmodels.tools.eval_measures import mse
from statsmodels.tools.eval_measures import rmse as root_mean_squared_error

from paper2board.acquire.examples import Examples
from paper2board.acquire.tables import Column, TableSet
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.tasks.device import DeviceOutputs, device_task
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.scoring import ScoredNetwork, scoring_task
from paper2board.tasks.training import training_task

RNG = np.random.default_rng(0)
TARGETS = RNG.normal(50, 20, 80)
FLOAT = OutputLayout((1, 2, 1), (1,))
INT8 = OutputLayout((1, 2, 1), (1,), 0.05, -7)


def examples(targets=TARGETS):
    """Rows of a table whose training rows had mean 40 and deviation 10."""
    codes = np.zeros((len(targets), 2), np.uint8)
    features = Column("a", 0.0, 1.0), Column("b", 0.0, 1.0)
    table = TableSet(codes, np.array(targets), features, Column("y", 40.0, 10.0), "ppm", "air.csv")
    return Examples(table.images, np.zeros(len(codes), np.int64), None, table.origin, table)


def outputs(errors):
    """float32 outputs of a network that is wrong by ``errors``, in ppm."""
    return ((TARGETS + errors - 40) / 10).astype(np.float32)[:, None]


def network(*errors):
    scoring = scoring_task("regression")
    runs = [scoring.compare(outputs(one), FLOAT, examples(), "x.npy") for one in errors]
    return ScoredNetwork("model", runs, tuple(range(len(runs))), "a test", {})


SMALL, LARGE = RNG.normal(0, 3, 80), RNG.normal(1, 6, 80)


def test_errors_are_in_the_targets_unit():
    metrics = scoring_task("regression").metrics("model.fp32", network(LARGE))
    error, explained = metrics["rmse.model.fp32"], metrics["r2.model.fp32"]
    assert error.value == pytest.approx(root_mean_squared_error(TARGETS, TARGETS + LARGE), rel=1e-6)
    assert explained.value == pytest.approx(1 - mse(TARGETS, TARGETS + LARGE) / TARGETS.var(), rel=1e-6)
    assert (error.unit, explained.unit, error.n, error.seeds) == ("ppm", "1", 80, (0,))
    assert "air.csv" in error.method and "bootstrap" in str(error.interval_method)
    # The delta method's half width of an RMSE; the bootstrap's is of that size.
    half = 1.96 * np.square(LARGE).std() / np.sqrt(80) / (2 * error.value)
    low, high = error.interval
    assert low < error.value < high and (high - low) / 2 == pytest.approx(half, rel=0.2)


def test_int8_outputs_are_dequantized():
    integers = RNG.integers(-128, 128, (80, 1)).astype(np.int8)
    run = scoring_task("regression").compare(integers, INT8, examples(), "x.npy")
    expected = 40 + 10 * 0.05 * (integers[:, 0].astype(float) + 7)
    assert run.rows[:, 0] == pytest.approx(expected - TARGETS)


def test_several_seeds_have_students_t_and_one_file_is_measured_once():
    scoring = scoring_task("regression")
    several = scoring.score(network(SMALL, LARGE, 2 * LARGE))
    values = [np.sqrt(np.square(one).mean()) for one in (SMALL, LARGE, 2 * LARGE)]
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert several.value == pytest.approx(np.mean(values), rel=1e-6) and several.n == 240
    assert several.interval == pytest.approx((np.mean(values) - half, np.mean(values) + half), rel=1e-5)
    one, same = (scoring.score(network(*[SMALL] * count)) for count in (1, 3))
    assert (same.value, same.interval, same.n) == (one.value, one.interval, 80)


def test_a_gain_is_how_much_smaller_the_error_became():
    scoring = scoring_task("regression")
    assert scoring.lower_is_better
    gain = scoring.gain(network(LARGE), network(SMALL), "before − after")
    values = [np.sqrt(np.square(one).mean()) for one in (LARGE, SMALL)]
    assert gain.value == pytest.approx(values[0] - values[1], rel=1e-5) and gain.unit == "ppm"
    assert 0 < gain.interval[0] < gain.value < gain.interval[1]
    # Both are wrong in the same rows, so that their difference is surer than either of them.
    error = scoring.score(network(LARGE)).interval
    paired = scoring.gain(network(LARGE), network(0.9 * LARGE), "").interval
    assert paired[1] - paired[0] < 0.3 * (error[1] - error[0])


def test_targets_that_are_all_the_same_have_no_r2():
    scoring = scoring_task("regression")
    run = scoring.compare(np.zeros((5, 1), np.float32), FLOAT, examples([41.0] * 5), "x.npy")
    scored = ScoredNetwork("model", [run], (0,), "a test", {})
    assert list(scoring.metrics("model.fp32", scored)) == ["rmse.model.fp32"]
    assert scoring.score(scored).value == 1


def test_outputs_of_another_network_are_refused():
    with pytest.raises(UserError, match=naming("x.npy", "(80, 3)", "run it again")):
        scoring_task("regression").compare(np.zeros((80, 3), np.float32), FLOAT, examples(), "x.npy")


def test_the_device_is_scored_on_the_rows_that_it_got():
    integers = RNG.integers(-128, 128, (4, 1)).astype(np.int8)
    captured = DeviceOutputs(integers, np.array([3, 5, 7, 9]), [()] * 4, Kind.EMULATED, {})
    error = device_task("regression").scores(captured, INT8, examples())["rmse"]
    found = 40 + 0.5 * (integers[:, 0].astype(float) + 7)
    assert error.value == pytest.approx(root_mean_squared_error(TARGETS[[3, 5, 7, 9]], found))
    assert (error.n, error.unit, error.kind) == (4, "ppm", Kind.EMULATED)


def test_training_is_towards_standardised_targets():
    task = training_task("regression", (1, 2, 1), (1,))
    labels = task.labels(examples(), np.array([2, 0]))
    assert labels.dtype == torch.float32 and labels.shape == (2, 1)
    assert labels[:, 0].numpy() == pytest.approx((TARGETS[[2, 0]] - 40) / 10, rel=1e-6)
    output, teacher = labels + 1, labels + 3
    assert task.loss(output, labels, 0.0).item() == pytest.approx(1)
    mixed = task.distillation_loss(output, teacher, labels, 3.0, 0.25, 0.0)
    assert mixed.item() == pytest.approx(0.25 * 4 + 0.75 * 1)
    explained, total = task.count_correct(output, labels)
    assert explained / total == pytest.approx(1 - 2 / float(labels.square().sum()), rel=1e-5)
    pictures = Examples(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64), None, "some pictures")
    with pytest.raises(UserError, match=naming("some pictures", "kind table")):
        task.labels(pictures, np.array([0]))
