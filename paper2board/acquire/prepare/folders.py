"""A user's own images, a folder a class, as scenes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from paper2board.acquire.boxes import fit_scene
from paper2board.acquire.copies import equal_pairs, pixel_digests, tell_copies
from paper2board.acquire.datasets.base import SPLITS, Split
from paper2board.acquire.datasets.folders import UNEVEN, FoldersDataset
from paper2board.acquire.findings import Findings
from paper2board.acquire.photo import decode
from paper2board.acquire.preparation import Inputs, Prepared
from paper2board.acquire.scenes import Scene, SceneSet, gather
from paper2board.core.errors import UserError


def prepare(dataset: FoldersDataset, inputs: Inputs) -> Prepared[SceneSet]:
    """Prepare a set of kind ``folders``."""
    findings = Findings()
    scenes = read_folders(dataset, findings)
    about = {"dataset": dataset.name, "delivered_by": "folder", "source": dataset.path}
    return Prepared(scenes["train"], scenes["test"], about, findings)


def read_folders(dataset: FoldersDataset, findings: Findings | None = None) -> dict[Split, SceneSet]:
    """Read a user's folders of images as one set a split; each image is one object that fills it.

    ``findings`` gets what was left out or converted. Images that are equal are drawn together, so that none is in
    both splits. Raise :class:`UserError` if a class has too few images in a split, an image cannot be decoded, or
    folders train and test have an equal image.
    """
    findings = findings or Findings()
    if dataset.test_share is None:
        files, scenes = zip(*(_read(dataset, split, findings) for split in SPLITS), strict=True)
        parts = [list(range(len(paths))) for paths in files]
        _refuse_equal(files, scenes)
    else:
        paths, read = _read(dataset, "train", findings)
        files, scenes = (paths, paths), (read, read)
        parts = [*_drawn(paths, read, dataset, findings)]
    chosen = {
        split: ([paths[i] for i in part], [read[i] for i in part])
        for split, paths, read, part in zip(SPLITS, files, scenes, parts, strict=True)
    }
    _tell_uneven(dataset, chosen["train"][1], findings)
    train, test = ((paths, _images(read)) for paths, read in chosen.values())
    # No picture is in both: those were refused, or drawn to one side.
    tell_copies(train, test, [], findings)
    return {split: _gathered(dataset, read) for split, (_, read) in chosen.items()}


def _read(dataset: FoldersDataset, split: Split, findings: Findings) -> tuple[list[Path], list[Scene]]:
    images = dataset.images(split, findings)
    labelled = [(path, index) for index, label in enumerate(dataset.classes) for path in images[label]]
    scenes = []
    for path, label in tqdm(labelled, desc=dataset.name, unit=" images", disable=None):
        image = decode(path, findings=findings)
        whole = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        scenes.append(fit_scene(image, [whole], [label], *dataset.size_px, dataset.fit))
    return [path for path, _ in labelled], scenes


def _refuse_equal(files: Sequence[list[Path]], scenes: Sequence[list[Scene]]) -> None:
    pairs = equal_pairs(*map(_images, scenes))
    if pairs:
        train, test = pairs[0]
        raise UserError(
            f"{len(pairs)} of {len(files[1])} test images are equal to training images, the first {files[1][test]} "
            f"and {files[0][train]}; remove them from one of the two, for a score over them says nothing"
        )


def _drawn(
    paths: list[Path], scenes: list[Scene], dataset: FoldersDataset, findings: Findings
) -> tuple[list[int], list[int]]:
    """Draw the share of each class for testing, at least one; the rest, at least one, is for training.

    Equal images are on one side; those that lie in several classes are for training. Returns places in ``paths``.
    """
    assert dataset.test_share is not None
    labels = [int(scene.classes[0]) for scene in scenes]
    digests = pixel_digests(_images(scenes))
    copies = Counter(digests)
    classes_of: dict[bytes, set[int]] = {}
    for digest, label in zip(digests, labels, strict=True):
        classes_of.setdefault(digest, set()).add(label)
    rng = np.random.default_rng(dataset.seed)
    test: set[int] = set()
    for label in range(len(dataset.classes)):
        members = [index for index, other in enumerate(labels) if other == label]
        groups: dict[bytes, list[int]] = {}
        for index in members:
            groups.setdefault(digests[index], []).append(index)
        count = min(max(1, round(dataset.test_share * len(members))), len(members) - 1)
        drawn: list[int] = []
        several = list(groups.values())
        for place in rng.permutation(len(several)).tolist():
            group = several[place]
            if len(classes_of[digests[group[0]]]) == 1 and len(drawn) + len(group) <= count:
                drawn += group
        if not drawn:
            raise UserError(
                f"data set {dataset.name}: the images of class {dataset.classes[label]} are copies of too few "
                f"different ones (as {paths[members[0]]}) to test with others; add different images"
            )
        test.update(drawn)
    for path, digest in zip(paths, digests, strict=True):
        if len(classes_of[digest]) > 1:
            remedy = "used for training alone; leave them in their own class"
            findings.add("equal images in several classes", remedy, path)
        elif copies[digest] > 1:
            findings.add(
                "images that are equal to others", "kept on one side of the draw; remove the copies", path
            )
    return [i for i in range(len(paths)) if i not in test], sorted(test)


def _tell_uneven(dataset: FoldersDataset, scenes: list[Scene], findings: Findings) -> None:
    counts = Counter(dataset.classes[int(scene.classes[0])] for scene in scenes)
    most, largest = counts.most_common(1)[0]
    for label, count in counts.items():
        if largest > UNEVEN * count:
            what = f"classes with less than a fifth of the {largest} training images of {most}"
            remedy = (
                "a network may never answer with them; add images of them, or leave some of the others out"
            )
            findings.add(what, remedy, f"{label}: {count}")


def _images(scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    return np.stack([scene.image for scene in scenes])


def _gathered(dataset: FoldersDataset, scenes: list[Scene]) -> SceneSet:
    return gather(scenes, dataset.classes, f"{dataset.name}: {len(scenes)} images, {dataset.fit}")
