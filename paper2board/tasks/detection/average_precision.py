"""COCO's average precision of found boxes against the truth.

It follows pycocotools' ``COCOeval`` for boxes without crowds: greedy matching by falling score, the precision's
envelope read at 101 recalls (Lin et al. 2014). Classes without a true box have precision NaN.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from paper2board.tasks.detection.boxes import MAX_DETECTIONS, Boxes, iou_matrix

COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0, 1, 101)
DRAWS_AT_ONCE = 100
"""Of a bootstrap; bounds the memory that it takes."""


def _match(overlaps: np.ndarray, threshold: float) -> np.ndarray:
    """Match detections (rows, by falling score) to true boxes as COCO does: each takes the free one with
    the largest IoU ≥ threshold, the last of equals. Return its column, or −1."""
    matched = np.full(len(overlaps), -1)
    free = np.ones(overlaps.shape[1], bool)
    for row, values in enumerate(overlaps):
        values = np.where(free, values, -1.0)
        if len(values) and values.max() >= min(threshold, 1 - 1e-10):
            matched[row] = len(values) - 1 - int(values[::-1].argmax())
            free[matched[row]] = False
    return matched


@dataclass(frozen=True)
class _ClassMatches:
    """One class over all images, detections by falling score: ``image`` and ``scores`` (D), ``correct`` bool
    thresholds×D, ``truths`` (images) counts true boxes."""

    image: np.ndarray
    scores: np.ndarray
    correct: np.ndarray
    truths: np.ndarray


def _curves(matches: _ClassMatches, indices: Iterable[int], weights: np.ndarray) -> Iterator[np.ndarray]:
    """Yield precision at :data:`RECALLS`, float64 draws×101, at the thresholds at ``indices``.

    ``weights`` (draws×images) say how often an image counts. Precision rises and recall changes at correct
    detections only, so the envelope is read from those.
    """
    truths = (weights @ matches.truths)[:, None].astype(float)
    weight = weights[:, matches.image]
    detections = np.maximum(weight.cumsum(1), 1e-12)  # 0 only before the first detection of a drawn image
    for index in indices:
        correct = np.flatnonzero(matches.correct[index])
        right = weight[:, correct].cumsum(1)
        precision = right / detections[:, correct]
        envelope = np.pad(np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1], ((0, 0), (0, 1)))
        recall = right / np.maximum(truths, 1)
        found = np.stack([np.searchsorted(row, RECALLS, side="left") for row in recall])
        yield np.where(truths > 0, np.take_along_axis(envelope, found, 1), np.nan)


class Detections:
    """A detector's boxes on a set of images, matched to the truth once; every score is read from that.

    ``found`` and ``truth`` have one entry an image; at most :data:`MAX_DETECTIONS` per class and image count.
    """

    def __init__(
        self,
        found: Sequence[Boxes],
        truth: Sequence[Boxes],
        classes: int,
        thresholds: Sequence[float] = COCO_IOUS,
    ) -> None:
        if len(found) != len(truth) or not len(truth):
            raise ValueError(
                f"{len(found)} lists of boxes for {len(truth)} images; there must be one an image"
            )
        self.images, self.classes, self.thresholds = len(truth), classes, tuple(thresholds)
        self._found, self._truth = list(found), list(truth)
        self._matches = [self._match_class(kind) for kind in range(classes)]

    def _match_class(self, kind: int) -> _ClassMatches:
        images, scores, correct = (
            [np.zeros(0, np.int64)],
            [np.zeros(0)],
            [np.zeros((len(self.thresholds), 0), bool)],
        )
        truths = np.zeros(self.images, np.int64)
        for image, (found, truth) in enumerate(zip(self._found, self._truth, strict=True)):
            wanted = truth.boxes[truth.labels == kind]
            truths[image] = len(wanted)
            its = np.flatnonzero(found.labels == kind)
            if not len(its):
                continue
            its = its[np.argsort(-found.scores[its], kind="stable")][:MAX_DETECTIONS]
            right = np.zeros((len(self.thresholds), len(its)), bool)
            overlaps = iou_matrix(found.boxes[its], wanted)
            near = np.flatnonzero(overlaps.max(1, initial=0) >= min(self.thresholds))
            if len(near):
                for place, threshold in enumerate(self.thresholds):
                    right[place, near] = _match(overlaps[near], threshold) >= 0
            correct.append(right)
            images.append(np.full(len(its), image))
            scores.append(found.scores[its])
        score = np.concatenate(scores)
        order = np.argsort(-score, kind="stable")
        return _ClassMatches(
            np.concatenate(images)[order], score[order], np.concatenate(correct, 1)[:, order], truths
        )

    def average_precision(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Return AP, float64 classes×thresholds, NaN where a class has no true box.

        ``weights``: how often each image counts (default once), as a bootstrap draws them.
        """
        weights = np.ones(self.images) if weights is None else weights
        return self._average_precisions(weights[None])[0]

    def resampled(self, seed: int, draws: int = 1000) -> np.ndarray:
        """Return AP, float64 draws×classes×thresholds, of images drawn with replacement, as many as there are.

        A seed draws the same images for every detector, so that differences of two are paired.
        """
        share = np.full(self.images, 1 / self.images)
        return self._average_precisions(
            np.random.default_rng(seed).multinomial(self.images, share, size=draws)
        )

    def _average_precisions(self, weights: np.ndarray) -> np.ndarray:
        """Return AP, float64 draws×classes×thresholds, for ``weights`` (draws×images)."""
        result = np.full((len(weights), self.classes, len(self.thresholds)), np.nan)
        thresholds = range(len(self.thresholds))
        for part in range(0, len(weights), DRAWS_AT_ONCE):
            some = weights[part : part + DRAWS_AT_ONCE]
            for kind, matches in enumerate(self._matches):
                for place, curve in zip(thresholds, _curves(matches, thresholds, some), strict=True):
                    result[part : part + DRAWS_AT_ONCE, kind, place] = curve.mean(1)
        return result

    def curves(self, iou: float = 0.5) -> np.ndarray:
        """Return precision at the 101 :data:`RECALLS`, float64 classes×101, whose mean is a class's AP; NaN where
        a class has no true box."""
        once = np.ones((1, self.images))
        return np.concatenate([next(_curves(its, [self._threshold(iou)], once)) for its in self._matches])

    def map50(self, weights: np.ndarray | None = None) -> float:
        """Return mAP@0.5: the mean over classes that have true boxes; NaN if none has."""
        return _mean(self.average_precision(weights)[:, self._threshold(0.5)])

    def coco_map(self, weights: np.ndarray | None = None) -> float:
        """Return the mean AP over classes and all thresholds, mAP@[.5:.95] by default."""
        return _mean(self.average_precision(weights))

    def counts(self, scores: np.ndarray, iou: float = 0.5) -> np.ndarray:
        """Return int64 classes×3: correct, found and true boxes, of found boxes with at least their image's score
        in ``scores`` (images)."""
        rows = []
        for matches in self._matches:
            counted = matches.scores >= scores[matches.image]
            rows.append(
                [matches.correct[self._threshold(iou), counted].sum(), counted.sum(), matches.truths.sum()]
            )
        return np.array(rows, np.int64)

    def precision_recall(self, scores: np.ndarray, iou: float = 0.5) -> np.ndarray:
        """Return classes×2, precision and recall of the boxes that :meth:`counts` takes; NaN for 0 / 0."""
        return np.array(
            [
                [_ratio(correct, found), _ratio(correct, true)]
                for correct, found, true in self.counts(scores, iou).tolist()
            ]
        )

    def fitted_scores(self, iou: float = 0.5) -> np.ndarray:
        """Return a score threshold an image, float64 (images), in which the image itself has no say.

        Cross-fitting in two halves: images at even positions get the threshold with the best F1 on those at odd
        positions, and the other way round.
        """
        odd = np.arange(self.images) % 2 == 1
        return np.where(odd, self._best_score(~odd, iou), self._best_score(odd, iou))

    def _best_score(self, images: np.ndarray, iou: float) -> float:
        """Return the score threshold with the best F1 over all classes' boxes on ``images`` (a mask) together:
        2 · correct / (found + true). The highest of equals; 1 without any correct box."""
        image = np.concatenate([matches.image for matches in self._matches])
        scores = np.concatenate([matches.scores for matches in self._matches])[images[image]]
        correct = np.concatenate([matches.correct[self._threshold(iou)] for matches in self._matches])[
            images[image]
        ]
        if not correct.any():
            return 1.0
        order = np.argsort(-scores, kind="stable")
        scores, right = scores[order], correct[order].cumsum()
        truths = sum(int(matches.truths[images].sum()) for matches in self._matches)
        quality = 2 * right / (np.arange(1, len(scores) + 1) + truths)
        last = np.append(scores[1:] < scores[:-1], True)  # a threshold takes all boxes of that score
        return float(scores[last][quality[last].argmax()])

    def confusion(self, scores: np.ndarray, iou: float = 0.5) -> np.ndarray:
        """Return int64 (classes+1)², rows the true class, columns the found one, the last of each background.

        Found boxes with at least their image's score in ``scores`` (images) are matched whatever their class: by
        falling score, each takes the free true box with the largest IoU ≥ ``iou``. True boxes that stay free count
        as found background, found boxes without a match as true background.
        """
        table = np.zeros((self.classes + 1, self.classes + 1), np.int64)
        for found, truth, score in zip(self._found, self._truth, scores, strict=True):
            order = np.argsort(-found.scores, kind="stable")
            counted = found.take(order[found.scores[order] >= score])
            matched = _match(iou_matrix(counted.boxes, truth.boxes), iou)
            rows = np.append(truth.labels, self.classes)[matched]  # −1 is the background's, the last
            np.add.at(table, (rows, counted.labels), 1)
            missed = np.setdiff1d(np.arange(len(truth)), matched)
            np.add.at(table, (truth.labels[missed], self.classes), 1)
        return table

    def _threshold(self, iou: float) -> int:
        close = [index for index, value in enumerate(self.thresholds) if math.isclose(value, iou)]
        if not close:
            raise ValueError(f"matched at IoU {self.thresholds}, not at {iou}")
        return close[0]


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
