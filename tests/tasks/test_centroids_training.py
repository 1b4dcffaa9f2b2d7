"""Targets, loss and decoding of FOMO's cells, with answers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from paper2board.tasks.centroids.decode import decode_centroids
from paper2board.tasks.centroids.training import OBJECT_WEIGHT, assign_centroids, centroid_loss


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


# --- targets --------------------------------------------------------------------------------------------


def test_a_centre_marks_its_cell():
    found = assign_centroids(
        [boxes((0, 0, 10, 10), (16, 8, 20, 16)), boxes()],
        [torch.tensor([2, 0]), torch.tensor([], dtype=torch.int64)],
        rows=2,
        columns=3,
        stride=8,
    )
    assert found.dtype == torch.int64
    # Centres (5, 5) and (18, 12): cells (0, 0) and (1, 2).
    assert found.tolist() == [[[3, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]


def test_the_far_border_belongs_to_the_last_cell():
    found = assign_centroids([boxes((15, 15, 17, 17))], [torch.tensor([0])], rows=2, columns=2, stride=8)
    assert found.tolist() == [[[0, 0], [0, 1]]]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_centres_in_a_cell_the_larger_box_wins(order):
    both = boxes((0, 0, 8, 8), (3, 3, 5, 5))[list(order)]
    labels = torch.tensor([1, 0])[list(order)]
    assert assign_centroids([both], [labels], 1, 1, 8).item() == 2


def test_of_equal_boxes_the_first_wins():
    both = boxes((0, 0, 6, 6), (1, 1, 7, 7))
    assert assign_centroids([both], [torch.tensor([1, 0])], 1, 1, 8).item() == 2


def test_a_centre_outside_is_refused():
    with pytest.raises(ValueError, match="lies outside 2 x 2 cells"):
        assign_centroids([boxes((20, 0, 30, 4))], [torch.tensor([0])], 2, 2, 8)


# --- loss -----------------------------------------------------------------------------------------------


def test_the_loss_by_hand():
    output = torch.zeros(1, 3, 1, 2)
    output[0, :, 0, 1] = torch.tensor([0.0, math.log(2), 0.0])  # softmax 1/4, 1/2, 1/4
    targets = torch.tensor([[[0, 1]]])
    wanted = (math.log(3) + OBJECT_WEIGHT * math.log(2)) / (1 + OBJECT_WEIGHT)
    assert centroid_loss(output, targets).item() == pytest.approx(wanted, rel=1e-6)
    unweighted = centroid_loss(output, targets, object_weight=1.0).item()
    assert unweighted == pytest.approx((math.log(3) + math.log(2)) / 2, rel=1e-6)


def test_the_loss_pulls_every_cell_to_its_target():
    targets = torch.tensor([[[0, 1, 0], [0, 0, 2]]])
    output = torch.zeros(1, 3, 2, 3, requires_grad=True)
    optimizer = torch.optim.SGD([output], lr=50.0)
    for _ in range(200):
        optimizer.zero_grad()
        centroid_loss(output, targets).backward()
        optimizer.step()
    assert torch.equal(output.argmax(1), targets)
    assert centroid_loss(output, targets).item() < 0.05


# --- decoding -------------------------------------------------------------------------------------------


def logits_of(kinds, classes, height=10.0):
    """Logits that are sure of each cell's kind."""
    kinds = np.array(kinds)
    return height * np.eye(1 + classes, dtype=np.float32)[kinds][None]


def test_cells_of_one_class_that_touch_are_one_object():
    found = decode_centroids(
        logits_of([[1, 1, 0, 2], [0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]], classes=2), stride=8
    )
    assert len(found) == 1
    (one,) = found
    # Class 0: cells (0, 0) and (0, 1); (1, 3) and (2, 2) touch at a corner. Class 1: (0, 3).
    assert one.points.tolist() == [[8.0, 4.0], [24.0, 16.0], [28.0, 4.0]]
    assert one.labels.tolist() == [0, 0, 1]
    sure = math.exp(10) / (math.exp(10) + 2)
    assert one.scores == pytest.approx([sure] * 3)


def test_a_cell_needs_more_than_half():
    logits = np.zeros((1, 1, 2, 3), np.float32)
    logits[0, 0, 0] = [0, math.log(2.1), -1e3]  # 0.68
    logits[0, 0, 1] = [0, math.log(1.9), 0]  # 0.487, though the likeliest
    (found,) = decode_centroids(logits, stride=4)
    assert found.points.tolist() == [[2.0, 2.0]]
    (bolder,) = decode_centroids(logits, stride=4, threshold=0.45)
    assert bolder.points.tolist() == [[4.0, 2.0]]  # both cells now, and they touch


def test_nothing_found_has_shapes_too():
    (found,) = decode_centroids(logits_of([[0, 0]], classes=3), stride=8)
    assert len(found) == 0
    assert found.points.shape == (0, 2)


def test_what_targets_say_is_decoded_back():
    true = [boxes((2, 10, 22, 22), (60, 60, 70, 90)), boxes((30, 2, 50, 12))]
    labels = [torch.tensor([2, 0]), torch.tensor([1])]
    targets = assign_centroids(true, labels, rows=12, columns=12, stride=8)
    found = decode_centroids(10.0 * np.eye(4, dtype=np.float32)[targets.numpy()], stride=8)
    for one, its_boxes, its_labels in zip(found, true, labels, strict=True):
        order = torch.argsort(its_labels)
        centres = ((its_boxes[:, :2] + its_boxes[:, 2:]) / 2)[order].numpy()
        assert one.labels.tolist() == its_labels[order].tolist()
        assert np.abs(one.points - centres).max() <= 4  # half a cell
