"""Matching, F1 and its intervals, with answers worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from paper2board.report.centroids import (
    counts,
    f1,
    found_centroids,
    match,
    precision,
    recall,
    score_evidence,
    true_centroids,
)
from paper2board.train.centroids import Centroids

SIZE = (100, 50)


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


# --- stored outputs -------------------------------------------------------------------------------------


def test_stored_outputs_are_rows_columns_channels():
    logits = np.full((1, 2, 3, 3), -5, np.float32)
    logits[..., 0] = 5
    logits[0, 1, 2] = [-5, -5, 5]
    (found,) = found_centroids(logits.reshape(1, -1), (2, 3, 3), stride=8)
    assert found.points.tolist() == [[20.0, 12.0]]
    assert found.labels.tolist() == [1]
    with pytest.raises(ValueError, match=r"\(1, 18\), not N x 12"):
        found_centroids(logits.reshape(1, -1), (2, 2, 3), stride=8)


def test_int8_outputs_are_dequantized():
    q = np.zeros((1, 1, 2, 2), np.int8)
    q[0, 0, 0] = [-128, 127]  # 255 steps apart: int8 arithmetic would wrap
    q[0, 0, 1] = [10, 12]  # two steps
    (coarse,) = found_centroids(q.reshape(1, -1), (1, 2, 2), stride=8, scale=0.5, zero_point=100)
    assert coarse.points.tolist() == [[8.0, 4.0]]
    assert coarse.scores == pytest.approx([1.0])
    one = found_centroids(q[:, :, 1:].reshape(1, -1), (1, 1, 2), stride=8, scale=0.5, zero_point=-7)
    assert one[0].scores == pytest.approx([1 / (1 + np.exp(-1.0))])  # a zero point cancels in the softmax
