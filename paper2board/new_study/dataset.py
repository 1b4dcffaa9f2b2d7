"""The new study's data set: CIFAR-10, or the user's folder of images; and the numbers of its images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paper2board.acquire.datasets.base import Dataset
from paper2board.acquire.datasets.cifar10 import Cifar10Dataset
from paper2board.acquire.datasets.folders import UNEVEN, FoldersDataset
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.core.errors import UserError
from paper2board.core.files import write_text
from paper2board.new_study.rendering import render, yaml_scalar
from paper2board.new_study.request import Request, Shape

TEST_SHARE = 0.2
MIN_TEST_IMAGES = 10
"""Test images that the device needs (:attr:`paper2board.study.schema.DataBudget.device_images`)."""
SHOWN = 5
"""Classes that a note on uneven ones names beside the largest."""
SMALLEST_SIDE_PX = 16
"""Smallest side of a stored image."""


@dataclass(frozen=True)
class StudyDataset:
    """A data set, its name and its numbers of images.

    ``per_class``: images of each class to train and validate on; ``test``: images to test on.
    """

    name: str
    dataset: Dataset
    per_class: Mapping[str, int]
    test: int

    @property
    def train(self) -> int:
        """Images to train and validate on."""
        return sum(self.per_class.values())

    @property
    def smallest_class(self) -> int:
        """Those of the class with the fewest."""
        return min(self.per_class.values())

    @property
    def notes(self) -> list[str]:
        """A note with the counts if the classes are uneven."""
        ordered = sorted(self.per_class.items(), key=lambda item: item[1])
        if ordered[-1][1] <= UNEVEN * ordered[0][1]:
            return []
        counts = [f"{label} {count:,}" for label, count in ordered]
        shown = [*counts[:SHOWN], "…", counts[-1]] if len(counts) > SHOWN + 1 else counts
        return [
            f"the classes have very different numbers of training images ({', '.join(shown)}): a network may never"
            " answer with the smallest; add images of them"
        ]


def choose_dataset(request: Request, shape: Shape, target: Path | None) -> StudyDataset:
    """Return the study's data set. For the user's own images, write its configuration to ``target``.

    Raises:
        UserError: the folder of images is not laid out by class, or has too few images.
    """
    if request.images is None:
        return _cifar10()
    assert target is not None
    folders = {name for name in ("train", "test") if (request.images / name).is_dir()}
    if len(folders) == 1:
        (there,) = folders
        missing = "test" if there == "train" else "train"
        raise UserError(
            f"--images: {request.images} has a folder {there} but no {missing}; add it, or put the class folders"
            f" into {request.images} itself"
        )
    context = {
        "name": request.name,
        "path": yaml_scalar(request.images.as_posix()),
        "test_share": None if folders else TEST_SHARE,
        "width": max(shape[2], SMALLEST_SIDE_PX),
        "height": max(shape[1], SMALLEST_SIDE_PX),
    }
    write_text(target, render("dataset", context))
    try:
        dataset = read_dataset(target)
    except UserError as error:
        raise UserError(str(error).replace(f"{target}: path", "--images")) from error
    assert isinstance(dataset, FoldersDataset)  # the template's kind
    return _folders(request.name, dataset)


def _cifar10() -> StudyDataset:
    dataset = read_dataset("config/datasets/cifar10.yaml")
    assert isinstance(dataset, Cifar10Dataset)  # its kind
    images = {split: sum(f.images for f in dataset.files if f.split == split) for split in ("train", "test")}
    per_class = dict.fromkeys(dataset.classes, images["train"] // len(dataset.classes))
    return StudyDataset("cifar10", dataset, per_class, images["test"])


def _folders(name: str, dataset: FoldersDataset) -> StudyDataset:
    train = {label: len(found) for label, found in dataset.images("train").items()}
    if dataset.test_share is None:
        test = sum(map(len, dataset.images("test").values()))
    else:
        drawn = {
            label: min(max(1, round(dataset.test_share * count)), count - 1) for label, count in train.items()
        }
        train = {label: count - drawn[label] for label, count in train.items()}
        test = sum(drawn.values())
    for label, count in train.items():
        if count < 2:
            raise UserError(
                f"--images: class {label} has too few images to train, validate and test; add images until it has"
                " five"
            )
    if test < MIN_TEST_IMAGES:
        raise UserError(
            f"--images: {test} test images are too few to judge anything; add images until there are"
            f" {MIN_TEST_IMAGES}, better hundreds"
        )
    return StudyDataset(name, dataset, train, test)
