"""A user's own images, a folder a class, as scenes."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from paper2board.acquire.boxes import fit_scene
from paper2board.acquire.datasets.base import SPLITS, Split
from paper2board.acquire.datasets.folders import FoldersDataset
from paper2board.acquire.photo import decode
from paper2board.acquire.preparation import Inputs, Prepared
from paper2board.acquire.scenes import SceneSet, gather
from paper2board.core.errors import UserError


def prepare(dataset: FoldersDataset, inputs: Inputs) -> Prepared[SceneSet]:
    """Prepare a set of kind ``folders``."""
    scenes = read_folders(dataset)
    about = {"dataset": dataset.name, "delivered_by": "folder", "source": dataset.path}
    return Prepared(scenes["train"], scenes["test"], about)


def read_folders(dataset: FoldersDataset) -> dict[Split, SceneSet]:
    """Read a user's folders of images as one set a split; each image is one object that fills it.

    Raise :class:`UserError` if a class has no image in a split, or an image cannot be decoded.
    """
    if dataset.test_share is None:
        parts = [dataset.images(split) for split in SPLITS]
    else:
        parts = _drawn(dataset.images("train"), dataset.test_share, dataset.seed)
    return {split: _gather(dataset, part) for split, part in zip(SPLITS, parts, strict=True)}


def _drawn(images: dict[str, list[Path]], share: float, seed: int) -> list[dict[str, list[Path]]]:
    """Draw ``share`` of each class for testing, at least one; the rest, at least one, is for training."""
    rng = np.random.default_rng(seed)
    train, test = {}, {}
    for label, paths in images.items():
        if len(paths) < 2:
            raise UserError(f"{paths[0].parent} has one image alone; add some to train and to test on")
        count = min(max(1, round(share * len(paths))), len(paths) - 1)
        drawn = set(rng.permutation(len(paths))[:count].tolist())
        test[label] = [path for index, path in enumerate(paths) if index in drawn]
        train[label] = [path for index, path in enumerate(paths) if index not in drawn]
    return [train, test]


def _gather(dataset: FoldersDataset, images: dict[str, list[Path]]) -> SceneSet:
    labelled = [(path, index) for index, label in enumerate(dataset.classes) for path in images[label]]
    scenes = []
    for path, label in tqdm(labelled, desc=dataset.name, unit=" images", disable=None):
        image = decode(path)
        whole = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        scenes.append(fit_scene(image, [whole], [label], *dataset.size_px, dataset.fit))
    return gather(scenes, dataset.classes, f"{dataset.name}: {len(scenes)} images, {dataset.fit}")
