"""What a grid detector found and how good it is: decoding (float and integer), NMS, COCO's average precision.

The integer path is the definition of ``firmware/app/p2b_boxes.h``, box for box; :func:`int8_tables` makes its
tables and :func:`tables_header` writes them as C. Average precision follows pycocotools' ``COCOeval`` for boxes
without crowds: greedy matching by falling score, the precision's envelope read at 101 recalls (Lin et al. 2014).
Boxes are (x1, y1, x2, y2), pixels unless said otherwise; classes without a true box have precision NaN.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from paper2board.core.errors import UserError
from paper2board.tasks.detection.grid_detector import BOX, Grid, decode_boxes

ONE = 1 << 15
"""1 in Q15."""
UNITS_PER_PIXEL = 16
SIDE_LIMIT = 1 << 12
"""Units; 128 times a union of two boxes then fits 32 bits."""
COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100
DRAWS_AT_ONCE = 100
"""Of a bootstrap; bounds the memory that it takes."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image: ``boxes`` float64 M×4 (pixels), ``labels`` int64 M, ``scores`` float64 M in 0 … 1
    (1 for true boxes)."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> "Boxes":
        """Return the boxes at ``index`` (positions or a mask), in that order."""
        return Boxes(self.boxes[index], self.labels[index], self.scores[index])


def true_boxes(boxes: np.ndarray, labels: np.ndarray) -> Boxes:
    """Return an image's annotation as :class:`Boxes`; empty lists are fine."""
    labels = np.asarray(labels, np.int64)
    return Boxes(np.asarray(boxes, np.float64).reshape(-1, BOX), labels, np.ones(len(labels)))


# --- decoding -------------------------------------------------------------------------------------------


def decode(grid: Grid, output: np.ndarray, score_threshold: float = 0.05) -> list[Boxes]:
    """Decode float N×channels×rows×columns: one box a cell, the likeliest class (first of equals), score
    σ(confidence) · softmax(class), cut at the image; in the cells' order, before NMS."""
    output = np.asarray(output, np.float32)
    if output.ndim != 4 or output.shape[1:] != (grid.channels, grid.rows, grid.columns):
        expected = (grid.channels, grid.rows, grid.columns)
        raise ValueError(f"output must be N x {expected}, not {output.shape}")
    values = torch.from_numpy(output).double()
    cells = decode_boxes(grid, values[:, :BOX]).permute(0, 2, 3, 1).reshape(len(output), -1, BOX).numpy()
    cells = np.clip(cells, 0, [grid.width, grid.height] * 2)
    best, kind = values[:, BOX:-1].softmax(1).max(1)
    scores = (best * values[:, -1].sigmoid()).flatten(1).numpy()
    kinds = values[:, BOX:-1].numpy().argmax(1).reshape(kind.shape[0], -1)
    found = []
    for its_boxes, its_kinds, its_scores in zip(cells, kinds, scores, strict=True):
        keep = (its_scores >= score_threshold) & (its_boxes[:, 2:] > its_boxes[:, :2]).all(1)
        found.append(Boxes(its_boxes[keep], its_kinds[keep], its_scores[keep]))
    return found


def suppress(found: Boxes, iou_threshold: float = 0.5, limit: int = MAX_DETECTIONS) -> Boxes:
    """Greedy NMS within each class: by falling score, first of equals first; drop what overlaps a kept box
    by more than ``iou_threshold``. Return at most ``limit`` boxes, by falling score."""
    order = np.argsort(-found.scores, kind="stable")
    overlaps = iou_matrix(found.boxes, found.boxes) > iou_threshold
    return found.take(_greedy(order, overlaps & (found.labels[:, None] == found.labels), limit))


def _greedy(order: np.ndarray, rivals: np.ndarray, limit: int) -> np.ndarray:
    kept: list[int] = []
    for index in order:
        if len(kept) < limit and not rivals[index, kept].any():
            kept.append(int(index))
    return np.array(kept, np.int64)


# --- the integer path -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantization:
    """real = ``scale`` · (q − ``zero_point``)."""

    scale: float
    zero_point: int

    def reals(self) -> np.ndarray:
        """Return float64 256: the reals of q = −128 … 127."""
        return self.scale * (np.arange(-128, 128) - float(self.zero_point))


@dataclass(frozen=True)
class Tables:
    """Integer tables, index q + 128 (``exponential``: difference of two q); fields as in ``p2b_boxes.h``."""

    rows: int
    columns: int
    classes: int
    iou_threshold: int
    score_threshold: int
    stride: int
    width: int
    height: int
    offset: np.ndarray
    half_width: np.ndarray
    half_height: np.ndarray
    confidence: np.ndarray
    exponential: np.ndarray


@dataclass(frozen=True)
class IntegerBoxes:
    """Boxes of one image as the device tells them: ``boxes`` int64 M×4 (units), ``scores`` int64 M (Q15)."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def pixels(self) -> Boxes:
        """Return them in pixels and with scores 0 … 1."""
        return Boxes(self.boxes / UNITS_PER_PIXEL, self.labels, self.scores / ONE)


def int8_tables(
    grid: Grid,
    box: Quantization,
    classes: Quantization | None = None,
    confidence: Quantization | None = None,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
) -> Tables:
    """Return the tables for int8 outputs; ``classes`` and ``confidence`` default to the box's quantization.

    Values are rounded half up, thresholds to the nearest 1/32768 and 1/128. Raise :class:`UserError` if the
    image is too large for the device's 32-bit products.
    """
    if max(grid.width, grid.height) * UNITS_PER_PIXEL >= SIDE_LIMIT:
        raise UserError(
            f"a detector's input of {grid.width}x{grid.height} pixels is too large for integer NMS;"
            f" choose sides below {SIDE_LIMIT // UNITS_PER_PIXEL}"
        )
    u = np.clip(box.reals() / grid.logit_range, -1, 1)

    def half(side: int) -> np.ndarray:
        return _rounded(UNITS_PER_PIXEL / 2 * grid.min_size * (side / grid.min_size) ** ((u + 1) / 2))

    logits = np.clip((confidence or box).reals(), -700, 700)
    return Tables(
        rows=grid.rows,
        columns=grid.columns,
        classes=grid.classes,
        iou_threshold=int(_rounded(128 * iou_threshold)),
        score_threshold=int(_rounded(ONE * score_threshold)),
        stride=grid.stride * UNITS_PER_PIXEL,
        width=grid.width * UNITS_PER_PIXEL,
        height=grid.height * UNITS_PER_PIXEL,
        offset=_rounded((0.5 + u) * grid.stride * UNITS_PER_PIXEL),
        half_width=half(grid.width),
        half_height=half(grid.height),
        confidence=_rounded(ONE / (1 + np.exp(-logits))),
        exponential=_rounded(ONE * np.exp(-(classes or box).scale * np.arange(256))),
    )


def _rounded(values: np.ndarray | float) -> np.ndarray:
    return np.floor(np.asarray(values) + 0.5).astype(np.int64)


def tables_header(tables: Tables, name: str = "p2b_box_tables") -> str:
    """Return the tables as a C header: one constant of the type in ``p2b_boxes.h``."""
    lines = ["/* Generated by paper2board.tasks.detection.boxes. */", '#include "p2b_boxes.h"', ""]
    lines += [f"#define P2B_BOX_CELLS {tables.rows * tables.columns}u", ""]
    lines += [f"static const p2b_box_tables_t {name} = {{"]
    for field, value in vars(tables).items():
        if isinstance(value, np.ndarray):
            rows = [", ".join(map(str, part)) for part in value.reshape(-1, 16).tolist()]
            lines += [f"    .{field} = {{", *(f"        {row}," for row in rows), "    },"]
        else:
            lines.append(f"    .{field} = {value},")
    return "\n".join([*lines, "};", ""])


def decode_int8(tables: Tables, output: np.ndarray) -> list[IntegerBoxes]:
    """Decode int8 N×rows×columns×channels (HWC, as the integer model gives it); the cells' order, before NMS."""
    shape = (tables.rows, tables.columns, BOX + tables.classes + 1)
    if output.dtype != np.int8 or output.shape[1:] != shape:
        raise ValueError(f"output must be int8, N x {shape}, not {output.dtype} {output.shape}")
    q = output.astype(np.int64)
    logits = q[..., BOX:-1]
    kinds = logits.argmax(-1)
    total = tables.exponential[logits.max(-1, keepdims=True) - logits].sum(-1)
    scores = (tables.confidence[q[..., -1] + 128] * ((1 << 30) // total) + (1 << 14)) >> 15
    x = np.arange(tables.columns) * tables.stride + tables.offset[q[..., 0] + 128]
    y = np.arange(tables.rows)[:, None] * tables.stride + tables.offset[q[..., 1] + 128]
    w, h = tables.half_width[q[..., 2] + 128], tables.half_height[q[..., 3] + 128]
    boxes = np.clip(np.stack([x - w, y - h, x + w, y + h], -1), 0, [tables.width, tables.height] * 2)
    keep = (scores >= tables.score_threshold) & (boxes[..., 2:] > boxes[..., :2]).all(-1)
    images = zip(boxes, kinds, scores, keep, strict=True)
    return [IntegerBoxes(its[mask], kind[mask], score[mask]) for its, kind, score, mask in images]


def suppress_int8(tables: Tables, found: IntegerBoxes, limit: int = MAX_DETECTIONS) -> IntegerBoxes:
    """NMS as :func:`suppress`, in integers: 128 · intersection > ``iou_threshold`` · union."""
    shared, union = _areas(found.boxes, found.boxes)
    rivals = (128 * shared > tables.iou_threshold * union) & (found.labels[:, None] == found.labels)
    kept = _greedy(np.argsort(-found.scores, kind="stable"), rivals, limit)
    return IntegerBoxes(found.boxes[kept], found.labels[kept], found.scores[kept])


# --- average precision ----------------------------------------------------------------------------------


def _areas(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return intersections and unions, len(a)×len(b)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return shared, area_a[:, None] + area_b - shared


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU of all pairs, float64 len(a)×len(b)."""
    shared, union = _areas(a, b)
    return shared / np.maximum(union, 1e-12)


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
    """One class over all images, detections by falling score: ``image`` and ``scores`` (D), ``hits`` bool
    thresholds×D, ``truths`` (images) counts true boxes."""

    image: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    truths: np.ndarray


def _curves(matches: _ClassMatches, places: Iterable[int], weights: np.ndarray) -> Iterator[np.ndarray]:
    """Yield precision at :data:`RECALLS`, float64 draws×101, at the thresholds with the indices ``places``.

    ``weights`` (draws×images) say how often an image counts. Precision rises and recall changes at right answers
    only, so the envelope is read from those.
    """
    truths = (weights @ matches.truths)[:, None].astype(float)
    weight = weights[:, matches.image]
    all_answers = np.maximum(weight.cumsum(1), 1e-12)  # 0 only while no drawn image has answered
    for place in places:
        right_ones = np.flatnonzero(matches.hits[place])
        right = weight[:, right_ones].cumsum(1)
        precision = right / all_answers[:, right_ones]
        envelope = np.pad(np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1], ((0, 0), (0, 1)))
        recall = right / np.maximum(truths, 1)
        found = np.stack([np.searchsorted(row, RECALLS, side="left") for row in recall])
        yield np.where(truths > 0, np.take_along_axis(envelope, found, 1), np.nan)


class Detections:
    """A detector's answers on a set of images, matched to the truth once; every score is read from that.

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
            raise ValueError(f"{len(found)} answers for {len(truth)} images; there must be one an image")
        self.images, self.classes, self.thresholds = len(truth), classes, tuple(thresholds)
        self._found, self._truth = list(found), list(truth)
        self._matches = [self._match_class(kind) for kind in range(classes)]

    def _match_class(self, kind: int) -> _ClassMatches:
        images, scores, hits = (
            [np.zeros(0, np.int64)],
            [np.zeros(0)],
            [np.zeros((len(self.thresholds), 0), bool)],
        )
        truths = np.zeros(self.images, np.int64)
        for image, (found, truth) in enumerate(zip(self._found, self._truth, strict=True)):
            wanted = truth.boxes[truth.labels == kind]
            truths[image] = len(wanted)
            mine = np.flatnonzero(found.labels == kind)
            if not len(mine):
                continue
            mine = mine[np.argsort(-found.scores[mine], kind="stable")][:MAX_DETECTIONS]
            right = np.zeros((len(self.thresholds), len(mine)), bool)
            overlaps = iou_matrix(found.boxes[mine], wanted)
            near = np.flatnonzero(overlaps.max(1, initial=0) >= min(self.thresholds))
            if len(near):
                for place, threshold in enumerate(self.thresholds):
                    right[place, near] = _match(overlaps[near], threshold) >= 0
            hits.append(right)
            images.append(np.full(len(mine), image))
            scores.append(found.scores[mine])
        score = np.concatenate(scores)
        order = np.argsort(-score, kind="stable")
        return _ClassMatches(
            np.concatenate(images)[order], score[order], np.concatenate(hits, 1)[:, order], truths
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
        places = range(len(self.thresholds))
        for part in range(0, len(weights), DRAWS_AT_ONCE):
            some = weights[part : part + DRAWS_AT_ONCE]
            for kind, matches in enumerate(self._matches):
                for place, curve in zip(places, _curves(matches, places, some), strict=True):
                    result[part : part + DRAWS_AT_ONCE, kind, place] = curve.mean(1)
        return result

    def curves(self, iou: float = 0.5) -> np.ndarray:
        """Return precision at the 101 :data:`RECALLS`, float64 classes×101, whose mean is a class's AP; NaN where
        a class has no true box."""
        once = np.ones((1, self.images))
        return np.concatenate([next(_curves(its, [self._place(iou)], once)) for its in self._matches])

    def map50(self, weights: np.ndarray | None = None) -> float:
        """Return mAP@0.5: the mean over classes that have true boxes; NaN if none has."""
        return _mean(self.average_precision(weights)[:, self._place(0.5)])

    def coco_map(self, weights: np.ndarray | None = None) -> float:
        """Return the mean AP over classes and all thresholds, mAP@[.5:.95] by default."""
        return _mean(self.average_precision(weights))

    def counts(self, scores: np.ndarray, iou: float = 0.5) -> np.ndarray:
        """Return int64 classes×3: right answers, answers, true boxes, for answers with at least their image's score
        in ``scores`` (images)."""
        rows = []
        for matches in self._matches:
            said = matches.scores >= scores[matches.image]
            rows.append([matches.hits[self._place(iou), said].sum(), said.sum(), matches.truths.sum()])
        return np.array(rows, np.int64)

    def precision_recall(self, scores: np.ndarray, iou: float = 0.5) -> np.ndarray:
        """Return classes×2, precision and recall of the answers that :meth:`counts` takes; NaN for 0 / 0."""
        return np.array(
            [
                [_ratio(right, said), _ratio(right, truths)]
                for right, said, truths in self.counts(scores, iou).tolist()
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
        """Return the score threshold with the best F1 over all classes' answers on ``images`` (a mask) together:
        2 · right / (answers + true boxes). The highest of equals; 1 without any right answer."""
        image = np.concatenate([matches.image for matches in self._matches])
        scores = np.concatenate([matches.scores for matches in self._matches])[images[image]]
        hits = np.concatenate([matches.hits[self._place(iou)] for matches in self._matches])[images[image]]
        if not hits.any():
            return 1.0
        order = np.argsort(-scores, kind="stable")
        scores, right = scores[order], hits[order].cumsum()
        truths = sum(int(matches.truths[images].sum()) for matches in self._matches)
        quality = 2 * right / (np.arange(1, len(scores) + 1) + truths)
        last = np.append(scores[1:] < scores[:-1], True)  # a threshold takes all answers of that score
        return float(scores[last][quality[last].argmax()])

    def confusion(self, scores: np.ndarray, iou: float = 0.5) -> np.ndarray:
        """Return int64 (classes+1)², rows the truth, columns the answer, the last of each background.

        Answers with at least their image's score in ``scores`` (images) are matched whatever their class: by
        falling score, each takes the free true box with the largest IoU ≥ ``iou``. What stays free is missed, what
        has none is invented.
        """
        table = np.zeros((self.classes + 1, self.classes + 1), np.int64)
        for found, truth, score in zip(self._found, self._truth, scores, strict=True):
            order = np.argsort(-found.scores, kind="stable")
            said = found.take(order[found.scores[order] >= score])
            matched = _match(iou_matrix(said.boxes, truth.boxes), iou)
            rows = np.append(truth.labels, self.classes)[matched]  # −1 is the background's, the last
            np.add.at(table, (rows, said.labels), 1)
            missed = np.setdiff1d(np.arange(len(truth)), matched)
            np.add.at(table, (truth.labels[missed], self.classes), 1)
        return table

    def _place(self, iou: float) -> int:
        close = [index for index, value in enumerate(self.thresholds) if math.isclose(value, iou)]
        if not close:
            raise ValueError(f"matched at IoU {self.thresholds}, not at {iou}")
        return close[0]


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
