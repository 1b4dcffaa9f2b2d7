"""A data set of composed scenes, out of another set's images."""

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from paper2board.acquire.cifar10 import load_files
from paper2board.acquire.datasets.base import SPLITS, Split
from paper2board.acquire.datasets.scenes import ScenesDataset
from paper2board.acquire.preparation import Inputs, Prepared
from paper2board.acquire.scenes import SceneSet, gather, make_scenes


def prepare(dataset: ScenesDataset, inputs: Inputs) -> Prepared[SceneSet]:
    """Prepare a set of kind ``scenes``; the inputs are the files of the set whose images are pasted.

    A scene depends on the set's configuration and its own number alone, and no test scene shows a training image.
    """
    names = inputs.needed[dataset.of].classes
    train, test = (
        compose_scenes(dataset, split, *load_files(inputs.files[split]), names) for split in SPLITS
    )
    about = {"dataset": dataset.name, "delivered_by": "composition", "source": dataset.of}
    return Prepared(train, test, about)


def compose_scenes(
    dataset: ScenesDataset,
    split: Split,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    names: tuple[str, ...],
) -> SceneSet:
    """Compose one split of ``dataset`` of the same split's ``images`` uint8 (n, 32, 32, 3) and ``labels`` (n,).

    ``names`` are the classes that ``labels`` number; labels of the scenes are places in ``dataset.classes``.
    """
    place = np.full(len(names), -1, dtype=np.int64)
    for index, name in enumerate(dataset.classes):
        place[names.index(name)] = index
    renumbered = place[labels]
    chosen = renumbered >= 0
    count = dataset.train if split == "train" else dataset.test
    width, height = dataset.size_px
    # The splits' random streams differ: with one, scene i of both would have the same layout.
    seed = 2 * dataset.seed + SPLITS.index(split)
    scenes = make_scenes(
        images[chosen], renumbered[chosen], seed, count, dataset.recipe, width=width, height=height
    )
    what = f"{count} scenes of {width} × {height} pixels, made of {dataset.of}'s {split} images"
    shown = tqdm(scenes, total=count, desc=f"{dataset.name} {split}", unit=" scenes", disable=None)
    return gather(shown, dataset.classes, f"composed, no photos: {what}")
