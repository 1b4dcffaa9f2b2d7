"""Files in CIFAR-10's format: any number of files, of images in each and of classes."""

import hashlib

import numpy as np
import pytest
from messages import naming

from paper2board.acquire.acquisition import acquire
from paper2board.acquire.cifar10 import load_files
from paper2board.acquire.datasets.cifar10 import RECORD_BYTES, Cifar10Dataset
from paper2board.acquire.examples import load_examples
from paper2board.core.errors import UserError

IMAGES = (3, 1, 4)
"""Of each file."""


@pytest.fixture
def paths(tmp_path):
    """Three files; pixel bytes of record k of file f are f, k, plane, row and column mixed."""
    paths = [tmp_path / f"part_{number}.bin" for number in range(len(IMAGES))]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(record(number, image) for image in range(IMAGES[number])))
    return paths


def pixel(file, image, plane, row, column):
    return (31 * file + 17 * image + 101 * plane + 7 * row + column) % 256


def record(file, image):
    pixels = [pixel(file, image, p, r, c) for p in range(3) for r in range(32) for c in range(32)]
    return bytes([3 * file + image, *pixels])


def test_arrays(paths):
    images, labels = load_files(paths)
    assert images.shape == (8, 32, 32, 3) and images.dtype == np.uint8
    assert labels.tolist() == [0, 1, 2, 3, 6, 7, 8, 9] and labels.dtype == np.int64
    for place, file, image in [(0, 0, 0), (2, 0, 2), (3, 1, 0), (7, 2, 3)]:
        for row, column, plane in [(0, 0, 0), (31, 0, 2), (5, 30, 1)]:
            assert images[place, row, column, plane] == pixel(file, image, plane, row, column)


@pytest.mark.parametrize("limit", range(1, 9))
def test_a_limit_reads_no_file_beyond_it(paths, limit):
    needed = next(n for n in range(1, 4) if sum(IMAGES[:n]) >= limit)
    for path in paths[needed:]:
        path.unlink()
    assert load_files(paths, limit)[1].tolist() == [0, 1, 2, 3, 6, 7, 8, 9][:limit]


@pytest.mark.parametrize("size", [0, 1, RECORD_BYTES - 1, RECORD_BYTES + 1])
def test_a_file_of_no_whole_images_is_refused(paths, size):
    paths[1].write_bytes(bytes(size))
    with pytest.raises(UserError, match=naming("part_1.bin", f"{size} bytes", "3073", "remove")):
        load_files(paths)


def test_missing_file(paths):
    paths[2].unlink()
    with pytest.raises(UserError, match=r"part_2\.bin cannot be read .*; remove"):
        load_files(paths)


def dataset(paths, **changes):
    """A set of three files and twelve classes of other names than CIFAR-10's."""
    files = [
        {
            "name": path.name,
            "split": split,
            "images": images,
            "sha1": hashlib.sha1(path.read_bytes()).hexdigest(),
        }
        for path, split, images in zip(paths, ("train", "train", "test"), IMAGES, strict=True)
    ]
    raw = {"name": "shapes", "kind": "cifar10", "classes": [f"shape {n}" for n in range(12)], "files": files}
    sources = [{"kind": "mirror", "environment": "SHAPES"}]
    return Cifar10Dataset.model_validate(raw | {"sources": sources} | changes)


def test_another_set_in_the_format_is_delivered_and_read(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("SHAPES", str(tmp_path))
    acquire(dataset(paths), tmp_path / "data/shapes", cache=tmp_path / "cache")
    examples = load_examples([tmp_path / "data/shapes/part_0.bin", tmp_path / "data/shapes/part_1.bin"])
    assert examples.labels.tolist() == [0, 1, 2, 3]
    assert examples.origin == "shapes"
    assert dataset(paths).files_of("test") == ("data/shapes/part_2.bin",)


def test_a_label_without_a_class_is_refused_before_it_is_used(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("SHAPES", str(tmp_path))
    few = dataset(paths, classes=[f"shape {n}" for n in range(9)])
    with pytest.raises(
        UserError, match=naming("shapes", "part_2.bin", "label 9", "classes names 9", "name them")
    ):
        acquire(few, tmp_path / "data/shapes", cache=tmp_path / "cache")
    assert few.identity() != dataset(paths).identity(), "a changed list is looked at again"


def test_a_set_without_test_files_is_refused(paths):
    files = [file.model_dump() | {"split": "train"} for file in dataset(paths).files]
    with pytest.raises(ValueError, match="files: none has split: test; add one"):
        dataset(paths, files=files)
