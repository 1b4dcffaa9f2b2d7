from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.acquire.datasets.cifar10 import RECORD_BYTES
from paper2board.acquire.examples import load_examples
from paper2board.acquire.scenes import Scene, gather
from paper2board.core.errors import UserError
from paper2board.networks.pixels import fit_images

RNG = np.random.default_rng(0)


def scene(*objects):
    """A scene of 40 × 30 pixels; an object is (class, x0, y0, x1, y1)."""
    return Scene(
        image=RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8),
        boxes=np.array([one[1:] for one in objects], dtype=np.float32).reshape(-1, 4),
        classes=np.array([one[0] for one in objects], dtype=np.int64),
        visible=np.full(len(objects), np.nan, dtype=np.float32),
    )


@pytest.fixture
def written(tmp_path):
    """A function that writes scenes and returns their file."""

    def write(*scenes):
        gather(scenes, ["a", "b", "c"], "made here").write(tmp_path / "some.safetensors")
        return tmp_path / "some.safetensors"

    return write


def test_label_is_the_class_of_the_largest_total_area(written):
    path = written(
        scene((2, 0, 0, 10, 10)),
        scene((0, 0, 0, 10, 10), (1, 0, 0, 8, 8), (1, 20, 20, 28, 28)),  # 100 against 2 · 64
        scene((2, 0, 0, 10, 10), (1, 5, 5, 25, 10)),  # equal: the first class
    )
    examples = load_examples([path])
    assert examples.labels.tolist() == [2, 1, 1]
    assert examples.labels.dtype == np.int64
    assert examples.origin == "made here"
    assert examples.scenes is not None
    np.testing.assert_array_equal(examples.images, examples.scenes.images)


def test_limit_of_scenes(written):
    path = written(*(scene((label, 0, 0, 9, 9)) for label in (2, 0, 1)))
    examples = load_examples([str(path)], 2)
    assert examples.labels.tolist() == [2, 0]
    assert len(examples) == len(examples.scenes) == 2
    assert len(load_examples([path], 9)) == 3


def test_scene_without_object_has_no_class(written):
    examples = load_examples([written(scene((2, 0, 0, 9, 9)), scene(), scene((1, 0, 0, 9, 9)))])
    assert examples.labels.tolist() == [2, -1, 1]
    assert examples.shown.tolist() == [True, False, True]


@pytest.fixture
def batches(tmp_path):
    paths = [tmp_path / f"b{number}.bin" for number in (1, 2)]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(bytes([3 * number + i]) + bytes(RECORD_BYTES - 1) for i in range(3)))
    return paths


@pytest.mark.parametrize(("limit", "labels"), [(None, [0, 1, 2, 3, 4, 5]), (4, [0, 1, 2, 3]), (3, [0, 1, 2])])
def test_cifar10_files_in_order(batches, limit, labels):
    examples = load_examples(batches, limit)
    assert examples.labels.tolist() == labels
    assert examples.images.shape == (len(labels), 32, 32, 3)
    assert examples.scenes is None


def test_limit_reads_no_further_file(batches):
    batches[1].unlink()
    assert len(load_examples(batches, 3)) == 3


@pytest.mark.parametrize("files", [[], ["a.npz"], ["a.bin", "b.safetensors"], ["a.safetensors"] * 2])
def test_other_files(files):
    with pytest.raises(UserError, match=r"give CIFAR-10's \.bin files, or one \.safetensors"):
        load_examples(files)


def test_same_shape_is_untouched():
    images = RNG.integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)
    assert fit_images(images, (3, 30, 40)) is images


def exact(image, channels, height, width):
    """The definition in fractions, pixel by pixel: mean over the area, halves up."""
    rows, columns = image.shape[:2]
    planes = [[[int(v) for v in image[r, c]] for c in range(columns)] for r in range(rows)]
    result = np.zeros((height, width, channels), dtype=np.uint8)
    for i in range(height):
        for j in range(width):
            sums = [Fraction(0)] * 3
            for r in range(rows):
                for c in range(columns):
                    tall = min(Fraction(i + 1, height), Fraction(r + 1, rows)) - max(
                        Fraction(i, height), Fraction(r, rows)
                    )
                    wide = min(Fraction(j + 1, width), Fraction(c + 1, columns)) - max(
                        Fraction(j, width), Fraction(c, columns)
                    )
                    if tall > 0 and wide > 0:
                        share = tall * wide * height * width
                        sums = [s + share * v for s, v in zip(sums, planes[r][c], strict=True)]
            if channels == 1:
                sums = [(299 * sums[0] + 587 * sums[1] + 114 * sums[2]) / 1000]
            result[i, j] = [int(s + Fraction(1, 2)) for s in sums]
    return result


@settings(max_examples=30, deadline=None)
@given(
    sides=st.tuples(*[st.integers(1, 7)] * 4),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_mean_of_the_area(sides, channels, seed):
    rows, columns, height, width = sides
    image = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    fitted = fit_images(image[None], (channels, height, width))
    np.testing.assert_array_equal(fitted[0], exact(image, channels, height, width))


@pytest.mark.parametrize(
    ("sides", "shape"), [((256, 257), (3, 2, 2)), ((257, 257), (3, 1, 1)), ((320, 240), (1, 1, 1))]
)
def test_large_sums_are_exact(sides, shape):
    # About the largest sums that float32 holds, and beyond; one step below white everywhere but in a corner.
    images = np.full((1, *sides, 3), 255, dtype=np.uint8)
    images[:, : sides[0] // 2, : sides[1] // 2] = 254
    images[0, 0, 0] = 253
    np.testing.assert_array_equal(fit_images(images, shape)[0], _by_integers(images[0], shape))


def _by_integers(image, shape):
    """The mean of each pixel's area by whole numbers: the image enlarged, then summed in blocks."""
    channels, height, width = shape
    large = image.astype(np.int64).repeat(height, axis=0).repeat(width, axis=1)
    sums = large.reshape(height, image.shape[0], width, image.shape[1], 3).sum(axis=(1, 3))
    whole = image.shape[0] * image.shape[1]
    if channels == 1:
        sums, whole = (sums @ np.array([299, 587, 114]))[..., None], 1000 * whole
    return (2 * sums + whole) // (2 * whole)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_whole_factors_keep_the_mean(factor):
    images = RNG.integers(0, 256, (130, 6 * factor, 8 * factor, 3), dtype=np.uint8)
    fitted = fit_images(images, (3, 6, 8))
    blocks = images.reshape(130, 6, factor, 8, factor, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(fitted, np.floor(blocks + 0.5))
    larger = fit_images(fitted, (3, 6 * factor, 8 * factor))
    np.testing.assert_array_equal(larger, fitted.repeat(factor, axis=1).repeat(factor, axis=2))


def test_luma():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [7, 7, 7]])
    fitted = fit_images(colours.astype(np.uint8).reshape(6, 1, 1, 3), (1, 1, 1))
    assert fitted.ravel().tolist() == [76, 150, 29, 255, 0, 7]
    assert fit_images(np.zeros((2, 5, 4, 3), np.uint8), (1, 5, 4)).shape == (2, 5, 4, 1)


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 0, 4), (4, 4, 4)])
def test_impossible_input(shape):
    with pytest.raises(UserError, match="1 or 3 channels"):
        fit_images(np.zeros((1, 4, 4, 3), np.uint8), shape)
