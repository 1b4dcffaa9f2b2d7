"""Average precision equals that of COCO's own tool, over random truths and answers.

Ours exists because a bootstrap needs it two thousand times for each network.
"""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from paper2board.tasks.detection.average_precision import Detections
from paper2board.tasks.detection.boxes import Boxes, true_boxes

CLASSES = 3


def coco_scores(found: list[Boxes], truth: list[Boxes]) -> tuple[float, float]:
    """Return COCO's mAP and mAP@0.5."""
    annotations, answers = [], []
    for image, (said, wanted) in enumerate(zip(found, truth, strict=True), 1):
        for box, label in zip(wanted.boxes.tolist(), wanted.labels.tolist(), strict=True):
            x1, y1, x2, y2 = box
            sides = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": label,
                    "bbox": sides,
                    "area": sides[2] * sides[3],
                    "iscrowd": 0,
                }
            )
        for box, label, score in zip(said.boxes.tolist(), said.labels.tolist(), said.scores, strict=True):
            x1, y1, x2, y2 = box
            answers.append(
                {
                    "image_id": image,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO()
        gold.dataset = {
            "images": [{"id": image} for image in range(1, len(truth) + 1)],
            "categories": [{"id": kind, "name": str(kind)} for kind in range(CLASSES)],
            "annotations": annotations,
        }
        gold.createIndex()
        evaluation = COCOeval(gold, gold.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_ours_is_cocos(seed, images):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = int(rng.integers(1, 6))
        corner = rng.uniform(0, 100, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], 1)
        labels = rng.integers(0, CLASSES, count)
        truth.append(true_boxes(boxes, labels))
        # Answers near the truth, sometimes twice, sometimes of another class, and some from nowhere.
        near = rng.integers(0, count, int(rng.integers(0, 8)))
        said = boxes[near] + rng.normal(0, 4, (len(near), 4))
        said[:, 2:] = np.maximum(said[:, 2:], said[:, :2] + 1)
        wrong = rng.random(len(near)) < 0.2
        kinds = np.where(wrong, rng.integers(0, CLASSES, len(near)), labels[near])
        found.append(Boxes(said, kinds, rng.permutation(len(near)) / 10 + rng.uniform(0, 0.01, len(near))))
    if not any(len(boxes.labels) for boxes in found):
        return  # the tool refuses a file without answers
    ours = Detections(found, truth, CLASSES)
    theirs = coco_scores(found, truth)
    assert ours.coco_map() == pytest.approx(theirs[0], abs=1e-9)
    assert ours.map50() == pytest.approx(theirs[1], abs=1e-9)
