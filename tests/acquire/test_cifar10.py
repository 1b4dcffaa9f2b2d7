import numpy as np
import pytest

from paper2board.acquire import cifar10
from paper2board.acquire.datasets.cifar10 import RECORD_BYTES
from paper2board.core.errors import UserError

IMAGES = 3


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six files of three records; pixel bytes of record k of file f are f, k, plane, row and column mixed."""
    monkeypatch.setattr(cifar10, "IMAGES_PER_FILE", IMAGES)
    names = [*cifar10.FILES["train"], *cifar10.FILES["test"]]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"".join(record(number, image) for image in range(IMAGES)))
    return tmp_path


def pixel(file, image, plane, row, column):
    return (31 * file + 17 * image + 101 * plane + 7 * row + column) % 256


def record(file, image):
    pixels = [pixel(file, image, p, r, c) for p in range(3) for r in range(32) for c in range(32)]
    return bytes([(3 * file + image) % 10, *pixels])


def test_arrays(folder):
    data = cifar10.load(folder)
    assert data.train_images.shape == (15, 32, 32, 3)
    assert data.test_images.shape == (3, 32, 32, 3)
    assert data.train_images.dtype == np.uint8
    assert data.train_labels.dtype == np.int64
    assert data.train_labels.tolist() == [(3 * file + image) % 10 for file in range(5) for image in range(3)]
    assert data.test_labels.tolist() == [5, 6, 7]
    for file, image, row, column, plane in [(0, 0, 0, 0, 0), (1, 2, 31, 0, 2), (4, 1, 5, 30, 1)]:
        found = data.train_images[IMAGES * file + image, row, column, plane]
        assert found == pixel(file, image, plane, row, column)
    assert data.test_images[2, 9, 8, 2] == pixel(5, 2, 2, 9, 8)


def test_full_size_is_ten_thousand_a_file(folder, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"data_batch_1\.bin has 9219 bytes instead of 30730000"):
        cifar10.load(folder)


def test_label_beyond_the_classes(folder):
    path = folder / "test_batch.bin"
    content = bytearray(path.read_bytes())
    content[RECORD_BYTES] = 10
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"test_batch\.bin has label 10"):
        cifar10.load(folder)
    cifar10.load_split(folder, "train")


def test_missing_file(folder):
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"data_batch_3\.bin cannot be read .*; remove"):
        cifar10.load(folder)
