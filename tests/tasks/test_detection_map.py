"""Decoding, NMS and average precision, against cases worked by hand (COCO's definition, no library needed)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.core.errors import UserError
from paper2board.tasks.detection.average_precision import Detections
from paper2board.tasks.detection.boxes import Boxes, iou_matrix, true_boxes
from paper2board.tasks.detection.decode import decode, suppress
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.integer_decode import Quantization, decode_int8, int8_tables, suppress_int8

A, B, C = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (40.0, 0.0, 50.0, 10.0)
FAR = (80.0, 80.0, 90.0, 90.0)


def said(*answers: tuple[tuple[float, ...], float], label: int = 0) -> Boxes:
    boxes = np.array([box for box, _ in answers], float).reshape(-1, 4)
    return Boxes(boxes, np.full(len(answers), label), np.array([score for _, score in answers], float))


def truth(*boxes: tuple[float, ...], label: int = 0) -> Boxes:
    return true_boxes(np.array(boxes), np.full(len(boxes), label))


def precision_recall(result: Detections, score: float, iou: float = 0.5) -> np.ndarray:
    """Precision and recall with one score for all images."""
    return result.precision_recall(np.full(result.images, score), iou)


def test_perfect_answers_score_one() -> None:
    result = Detections([said((A, 0.9), (B, 0.8))], [truth(A, B)], 1)
    assert result.map50() == result.coco_map() == 1


def test_average_precision_worked_by_hand() -> None:
    # right, wrong, right of three: recalls 1/3, 1/3, 2/3 at precisions 1, 1/2, 2/3.
    # 34 recalls (0 … 0.33) read 1, 33 (0.34 … 0.66) read 2/3, 34 read 0.
    result = Detections([said((A, 0.9), (FAR, 0.8), (B, 0.7))], [truth(A, B, C)], 1)
    assert result.map50() == pytest.approx((34 + 33 * 2 / 3) / 101)
    # the envelope: wrong, right, right of two reads 2/3 at every recall
    result = Detections([said((FAR, 0.9), (A, 0.8), (B, 0.7))], [truth(A, B)], 1)
    assert result.map50() == pytest.approx(2 / 3)


def test_coco_thresholds_worked_by_hand() -> None:
    # 10×8 of 10×10: IoU 0.8, right at 0.5 … 0.8, seven of ten thresholds
    shorter = (0.0, 0.0, 10.0, 8.0)
    result = Detections([said((shorter, 0.9))], [truth(A)], 1)
    assert result.average_precision()[0].tolist() == [1.0] * 7 + [0.0] * 3
    assert result.coco_map() == pytest.approx(0.7)


def test_a_box_is_found_once_and_images_share_one_ranking() -> None:
    twice = Detections([said((A, 0.9), (A, 0.8))], [truth(A)], 1)
    assert twice.map50() == 1  # the second is wrong, but after full recall
    assert precision_recall(twice, 0.5).tolist() == [[0.5, 1.0]]
    # over two images: wrong (0.9) comes before right (0.8)
    both = Detections([said((FAR, 0.9)), said((A, 0.8))], [truth(A), truth(A)], 1)
    assert both.map50() == pytest.approx(51 * 0.5 / 101)  # recalls 0 … 0.5 read 1/2


def test_greedy_takes_the_largest_free_overlap() -> None:
    left, right = (0.0, 0.0, 10.0, 10.0), (2.0, 0.0, 12.0, 10.0)
    answers = said(((1.0, 0.0, 11.0, 10.0), 0.9), (left, 0.8))  # the first overlaps both equally
    for order, right_answers in (((left, right), 1.0), ((right, left), 0.5)):  # it takes the last of equals
        result = Detections([answers], [truth(*order)], 1, (0.75,))  # left on right is 2/3, too little
        assert precision_recall(result, 0.1, 0.75).tolist() == [[right_answers, right_answers]]


def test_classes_without_truth_do_not_count_and_classes_do_not_mix() -> None:
    result = Detections([said((A, 0.9), label=1)], [truth(A)], 3)
    precision = result.average_precision()
    assert precision[0].tolist() == [0.0] * 10 and np.isnan(precision[1:]).all()
    assert result.map50() == 0
    assert math.isnan(Detections([said()], [truth()], 2).map50())


def test_no_answers() -> None:
    result = Detections([said(), said()], [truth(A), truth()], 1)
    assert result.map50() == 0
    assert np.array_equal(precision_recall(result, 0.5), [[math.nan, 0.0]], equal_nan=True)
    assert result.confusion(np.full(2, 0.5)).tolist() == [[0, 1], [0, 0]]


def test_confusion_with_background() -> None:
    answers = Boxes(np.array([A, B, FAR, C]), np.array([0, 0, 1, 1]), np.array([0.9, 0.8, 0.7, 0.1]))
    truths = true_boxes(np.array([A, B, C]), np.array([0, 1, 1]))
    table = Detections([answers], [truths], 2).confusion(np.array([0.5]))
    assert table.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def _random(generator: np.random.Generator, images: int) -> tuple[list[Boxes], list[Boxes]]:
    found, truths = [], []
    for _ in range(images):
        corner = generator.integers(0, 40, (4, 2))
        boxes = np.concatenate([corner, corner + generator.integers(5, 20, (4, 2))], 1).astype(float)
        labels = generator.integers(0, 2, 4)
        truths.append(true_boxes(boxes, labels))
        near = boxes + generator.integers(-4, 5, boxes.shape)
        keep = (near[:, 2:] > near[:, :2]).all(1)
        found.append(Boxes(near, labels, generator.random(4)).take(np.flatnonzero(keep)))
    return found, truths


def test_a_threshold_has_the_best_f1_on_the_other_half() -> None:
    # Right at 0.9, of the two at 0.8 one, at 0.1 none: F1 2/3, 4/5, 2/3 of two true boxes.
    even = said((A, 0.9), (B, 0.8), (C, 0.8), (FAR, 0.1)), truth(A, B)
    odd = said((A, 0.6), (FAR, 0.2)), truth(A)
    result = Detections([even[0], odd[0]], [even[1], odd[1]], 1)
    assert result.fitted_scores().tolist() == [0.6, 0.8]
    # From 0.8 the odd image's right answer is missed; thresholds of its own would find it.
    assert result.counts(result.fitted_scores()).tolist() == [[2, 3, 3]]
    assert result.confusion(result.fitted_scores()).tolist() == [[2, 1], [1, 0]]
    assert result.counts(result.fitted_scores()[::-1]).tolist() == [[3, 4, 3]]
    nothing = Detections([said((FAR, 0.9)), odd[0]], [truth(A), odd[1]], 1)
    assert nothing.fitted_scores().tolist() == [0.6, 1]  # no right answer on the even half
    assert Detections([odd[0]], [odd[1]], 1).fitted_scores().tolist() == [1]  # no other half


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_an_image_has_no_say_in_its_own_threshold(seed: int, images: int) -> None:
    generator = np.random.default_rng(seed)
    found, truths = _random(generator, images)
    scores = Detections(found, truths, 2).fitted_scores()
    for half in (0, 1):
        others, their_truths = _random(generator, images)
        others[1 - half :: 2], their_truths[1 - half :: 2] = found[1 - half :: 2], truths[1 - half :: 2]
        changed = Detections(others, their_truths, 2).fitted_scores()
        assert changed[half::2].tolist() == scores[half::2].tolist()


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_counts_and_confusions_are_the_sums_of_both_halves(seed: int, images: int) -> None:
    found, truths = _random(np.random.default_rng(seed), images)
    whole = Detections(found, truths, 2)
    scores = whole.fitted_scores()
    halves = [(Detections(found[half::2], truths[half::2], 2), scores[half::2]) for half in (0, 1)]
    counts, table = whole.counts(scores), whole.confusion(scores)
    assert (counts == sum(half.counts(its) for half, its in halves)).all()
    assert (table == sum(half.confusion(its) for half, its in halves)).all()
    assert table[:, :2].sum(0).tolist() == counts[:, 1].tolist()  # answers
    assert table[:2].sum(1).tolist() == counts[:, 2].tolist()  # true boxes


def _plain_precision(found: list[Boxes], truths: list[Boxes], threshold: float) -> float:
    """Return one class's AP straight from the definition, with loops."""
    answers = sorted(
        (-score, image, index) for image, its in enumerate(found) for index, score in enumerate(its.scores)
    )
    free = [set(range(len(its))) for its in truths]
    right, points = 0, []
    for place, (_, image, index) in enumerate(answers, 1):
        overlaps = iou_matrix(found[image].boxes[[index]], truths[image].boxes)[0]
        fits = [(overlaps[j], j) for j in free[image] if overlaps[j] >= threshold]
        if fits:
            free[image].remove(max(fits)[1])
            right += 1
        points.append((right, right / place))
    total = sum(map(len, truths))
    recalls = np.linspace(0, 1, 101)  # COCO's floats: the seventieth is a last bit above 7 / 10
    return sum(max([p for hits, p in points if hits / total >= r], default=0.0) for r in recalls) / 101


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.75]))
def test_agrees_with_the_definition(seed: int, threshold: float) -> None:
    found, truths = _random(np.random.default_rng(seed), 5)
    zero = [its.take(np.flatnonzero(its.labels == 0)) for its in found]
    wanted = [its.take(np.flatnonzero(its.labels == 0)) for its in truths]
    precision = Detections(found, truths, 2, (threshold,)).average_precision()[0, 0]
    if sum(map(len, wanted)):
        assert precision == pytest.approx(_plain_precision(zero, wanted, threshold))


def test_weights_are_copies_of_images() -> None:
    found, truths = _random(np.random.default_rng(3), 6)
    weights = np.array([2, 0, 1, 3, 0, 1])
    copies = [index for index, count in enumerate(weights) for _ in range(count)]
    plain = Detections([found[i] for i in copies], [truths[i] for i in copies], 2)
    np.testing.assert_allclose(
        Detections(found, truths, 2).average_precision(weights), plain.average_precision()
    )


def test_resampling_is_seeded_and_holds_the_estimate() -> None:
    result = Detections(*_random(np.random.default_rng(5), 30), 2)
    draws = result.resampled(seed=1, draws=250)
    assert draws.shape == (250, 2, 10)
    assert np.array_equal(draws, result.resampled(seed=1, draws=250))
    assert not np.array_equal(draws, result.resampled(seed=2, draws=250))
    low, high = np.quantile(draws[:, :, 0].mean(1), [0.025, 0.975])
    assert low < result.map50() < high and high - low < 0.5
    weights = np.random.default_rng(1).multinomial(30, np.full(30, 1 / 30), size=250)
    for index in (0, 120, 249):  # each draw is the average precision of its weights
        np.testing.assert_allclose(draws[index], result.average_precision(weights[index]))


def test_suppression_within_classes_and_ties() -> None:
    near = (1.0, 0.0, 11.0, 10.0)  # IoU 9/11 with A
    assert suppress(said((A, 0.5), (near, 0.9), (B, 0.1))).scores.tolist() == [0.9, 0.1]
    assert suppress(said((near, 0.5), (A, 0.5))).boxes.tolist() == [list(near)]  # the first of equals
    mixed = Boxes(np.array([A, near]), np.array([0, 1]), np.array([0.5, 0.9]))
    assert suppress(mixed).labels.tolist() == [1, 0]
    assert len(suppress(said((A, 0.5), (near, 0.9)), iou_threshold=0.82)) == 2
    assert suppress(said((A, 0.5), (B, 0.9)), limit=1).scores.tolist() == [0.9]
    assert not len(suppress(said()))


def test_decode_by_hand() -> None:
    output = np.full((1, 15, 8, 10), -8.0, np.float32)
    output[0, :, 2, 3] = [0, 4, -8, 8, *[0] * 10, 8]  # half a cell down, 4 wide, the image's height
    output[0, 4 + 6, 2, 3] = 20
    (found,) = decode(Grid(), output)
    assert found.labels.tolist() == [6]
    assert found.scores[0] == pytest.approx(1 / (1 + math.exp(-8)), abs=1e-6)
    np.testing.assert_allclose(found.boxes, [[54, 0, 58, 108]], atol=1e-4)  # centre (56, 48), cut above
    with pytest.raises(ValueError, match="output must be"):
        decode(Grid(), output[:, :14])


def test_integer_path_agrees_with_the_float_path() -> None:
    grid, step = Grid(), Quantization(1 / 16, 0)
    codes = np.random.default_rng(0).integers(-128, 128, (20, 8, 10, 15)).astype(np.int8)
    tables = int8_tables(grid, step, score_threshold=0)
    floats = decode(grid, codes.transpose(0, 3, 1, 2).astype(np.float32) / 16, 0)
    for plain, integer in zip(floats, decode_int8(tables, codes), strict=True):
        told = integer.pixels()
        assert len(told) == len(plain)
        assert told.labels.tolist() == plain.labels.tolist()
        assert np.abs(told.boxes - plain.boxes).max() <= 1.001 / 16  # two roundings of half a unit
        assert np.abs(told.scores - plain.scores).max() < 3 / 2**15


def test_integer_suppression_is_the_float_one_on_whole_units() -> None:
    tables = int8_tables(Grid(), Quantization(1 / 16, -5), score_threshold=0.2, iou_threshold=0.5)
    codes = np.random.default_rng(1).integers(-128, 128, (20, 8, 10, 15)).astype(np.int8)
    dropped = 0
    for found in decode_int8(tables, codes):
        kept = suppress_int8(tables, found)
        assert kept.boxes.tolist() == (suppress(found.pixels()).boxes * 16).tolist()
        dropped += len(found.scores) - len(kept.scores)
    assert dropped > 0


def test_integer_path_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(UserError, match="too large"):
        int8_tables(Grid(width=256), Quantization(1 / 16, 0))
    with pytest.raises(ValueError, match="int8"):
        decode_int8(int8_tables(Grid(), Quantization(1 / 16, 0)), np.zeros((1, 8, 10, 15)))
