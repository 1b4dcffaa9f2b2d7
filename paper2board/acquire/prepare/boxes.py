"""A set of images with boxes as scenes, from the first source that delivers it or by its stand-in."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from paper2board.acquire.boxes import read_coco, read_voc, without_empty
from paper2board.acquire.copies import equal_pairs, tell_copies
from paper2board.acquire.datasets.base import SPLITS, STAND_IN, Split
from paper2board.acquire.datasets.boxes import BoxesDataset, Part
from paper2board.acquire.findings import Findings
from paper2board.acquire.preparation import Inputs, Prepared
from paper2board.acquire.scenes import SceneSet, read_scenes
from paper2board.acquire.trees import NoTreeError, Tree, find_tree
from paper2board.core.errors import UserError


def prepare(dataset: BoxesDataset, inputs: Inputs) -> Prepared[SceneSet]:
    """Prepare a set of kind ``boxes``; its stand-in's files are the inputs."""
    stand_in = {split: files[0] for split, files in inputs.files.items() if files}
    return prepare_boxes(dataset, stand_in or None, mirror=inputs.mirror)


def prepare_boxes(
    dataset: BoxesDataset,
    stand_in: Mapping[Split, str | Path] | None = None,
    *,
    mirror: Path | None = None,
    cache: Path | None = None,
) -> Prepared[SceneSet]:
    """Read ``dataset`` from the first source that delivers it, else take the ``stand_in``'s prepared files.

    ``mirror`` and ``cache`` as for :func:`paper2board.acquire.trees.find_tree`. Training images without a wanted
    object are left out; test images stay, for what a detector finds in them is wrong. Raise :class:`UserError` if
    no source delivers and nothing stands in, if the content is wrong, or if no training image of a VOC set shows
    a class. The provenance's ``delivered_by`` is ``mirror``, ``archives`` or ``stand-in``; its ``content`` says of
    each split how many images and objects it has, and how many were left out.
    """
    about: dict[str, Any] = {"dataset": dataset.name}
    try:
        tree = find_tree(dataset, mirror=mirror, cache=cache)
    except NoTreeError as error:
        if stand_in is None:
            raise UserError(
                f"data set {dataset.name}: no source delivered it ({error}); put it in a folder and name that "
                "as the mirror"
            ) from error
        why = (
            f"{STAND_IN} no source of {dataset.name} delivered it, so these are {dataset.stand_in}'s "
            f"{len(dataset.classes)} classes instead"
        )
        train, test = (_renamed(read_scenes(stand_in[split]), why) for split in SPLITS)
        told = {"delivered_by": "stand-in", "source": dataset.stand_in, "reasons": error.reasons}
        return Prepared(train, test, about | told)
    findings = Findings()
    parts = {split: _read_part(dataset, getattr(dataset, split), tree.root, findings) for split in SPLITS}
    train, test = without_empty(parts["train"]), parts["test"]
    empty = len(parts["train"]) - len(train)
    findings.add(
        "training pictures without a wanted object", "left out; add their classes to keep them", None, empty
    )
    shown = {dataset.classes[label] for label in train.classes}
    unseen = [name for name in dataset.classes if name not in shown]
    # COCO's file lists its classes, so a wrong name is found there; VOC's files do not.
    if dataset.format == "voc" and unseen:
        raise UserError(
            f"data set {dataset.name}: no training image shows {unseen[0]!r}; correct classes, or the images"
        )
    if not len(test.classes):
        raise UserError(f"{test.origin}: no image shows a wanted object; correct the list of classes")
    content = {"train": train.origin, "test": test.origin}
    about |= {"delivered_by": tree.delivered_by, "source": tree.source, "content": content}
    _judge_equal(dataset, tree, train, test, findings)
    return Prepared(train, test, about, findings)


def _judge_equal(
    dataset: BoxesDataset, tree: Tree, train: SceneSet, test: SceneSet, findings: Findings
) -> None:
    """Tell of equal pictures in a published set, whose split is not ours to change; refuse them in another."""
    pairs = equal_pairs(train.images, test.images)
    if pairs and dataset.digest is None and tree.delivered_by == "mirror":
        raise UserError(
            f"data set {dataset.name}: {len(pairs)} of {len(test)} test images are equal to training images (the "
            f"first is number {pairs[0][1]} of the test images and {pairs[0][0]} of the training images, from 0); "
            "remove them from one of the two, or state the set's digest: it then counts as published, as it is"
        )
    pictures = [(range(len(scenes)), scenes.images) for scenes in (train, test)]
    tell_copies(pictures[0], pictures[1], pairs, findings)


def _renamed(scenes: SceneSet, why: str) -> SceneSet:
    return replace(scenes, origin=f"{why} ({scenes.origin})")


def _read_part(dataset: BoxesDataset, part: Part, root: Path, findings: Findings) -> SceneSet:
    images, annotations = root / part.images, root / part.annotations
    width, height = dataset.size_px
    if dataset.format == "coco":
        scenes = read_coco(
            annotations, images, dataset.classes, width, height, dataset.fit, part.limit, findings
        )
    else:
        listed = None if part.listed is None else root / part.listed
        scenes = read_voc(
            annotations, images, dataset.classes, width, height, dataset.fit, part.limit, listed, findings
        )
    return replace(scenes, origin=f"{dataset.name}: {scenes.origin}")
