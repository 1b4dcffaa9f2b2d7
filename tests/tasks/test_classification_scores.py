"""Accuracy, loss and gains: one seed, several, and several that are one measurement."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from paper2board.tasks.classification.metrics import accuracy_evidence, gain_evidence, loss_evidence

RIGHT, LESS = (np.arange(40) < count for count in (30, 20))
LOSSES = np.linspace(0.1, 0.9, 40)


def near(item):
    return pytest.approx(item.interval)


def test_an_imported_network_is_measured_once_whatever_the_seeds():
    accuracy = accuracy_evidence([RIGHT] * 3, (0, 1, 2), "a test", {})
    low, high = proportion_confint(30, 40, method="wilson")
    assert (accuracy.value, accuracy.n, accuracy.seeds) == (75, 40, (0, 1, 2))
    assert accuracy.interval == pytest.approx((100 * low, 100 * high))
    assert accuracy.interval_method == "Wilson 95 % over images, the same for 3 seeds"
    for evidence, words in (
        (
            lambda seeds: loss_evidence([LOSSES] * seeds, range(seeds), "a test", {}),
            "normal 95 % over images",
        ),
        (
            lambda seeds: gain_evidence([LESS] * seeds, [RIGHT] * seeds, range(seeds), "a test"),
            "95 % of the paired difference over images",
        ),
    ):
        one, three = evidence(1), evidence(3)
        assert (three.value, three.n, three.interval) == (one.value, one.n, near(one))
        assert three.interval[0] < three.interval[1]
        assert one.interval_method == f"{words}, one seed"
        assert three.interval_method == f"{words}, the same for 3 seeds"


def test_several_seeds_have_students_t():
    accuracy = accuracy_evidence([RIGHT, LESS, RIGHT], (0, 1, 2), "a test", {})
    half = stats.t.ppf(0.975, 2) * stats.sem([75, 50, 75])
    assert accuracy.interval == pytest.approx((200 / 3 - half, 200 / 3 + half))
    assert (accuracy.n, accuracy.interval_method) == (120, "Student's t 95 % over 3 seeds")
    loss = loss_evidence([LOSSES, 2 * LOSSES], (0, 1), "a test", {})
    assert (loss.value, loss.n) == (pytest.approx(0.75), 80)
    assert loss.interval_method == "Student's t 95 % over 2 seeds"
    # An imported network before, a trained one after.
    gain = gain_evidence([LESS] * 3, [RIGHT, LESS, RIGHT], (0, 1, 2), "a test")
    assert gain.value == pytest.approx(50 / 3)
    assert (gain.n, gain.interval_method) == (120, "Student's t 95 % over 3 seeds")
