import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.acquire.splits import load_splits, make_splits, save_splits
from paper2board.core.errors import UserError


@st.composite
def requests(draw):
    counts = draw(st.lists(st.integers(2, 30), min_size=2, max_size=10))
    held_out = draw(st.integers(0, min(counts) - 1))
    left = sum(counts) - held_out * len(counts)
    limit = draw(st.none() | st.integers(1, left))
    calibration = draw(st.integers(1, limit or left))
    labels = draw(st.permutations(np.repeat(np.arange(len(counts)), counts).tolist()))
    return np.array(labels), held_out, calibration, draw(st.integers(0, 2**32)), limit


@given(requests())
def test_properties(request):
    labels, held_out, calibration, seed, limit = request
    splits = make_splits(labels, held_out, calibration, seed, limit)
    train, validation, calibrating = splits["train"], splits["validation"], splits["calibration"]
    classes = np.unique(labels)
    assert all(array.dtype == np.int32 for array in splits.values())
    assert len({*train, *validation}) == len(train) + len(validation), "shared or repeated images"
    assert len(set(calibrating)) == calibration
    assert set(calibrating) <= set(train)
    assert {*train, *validation} <= set(range(len(labels)))
    assert np.bincount(labels[validation], minlength=len(classes)).tolist() == [held_out] * len(classes)
    assert len(train) == (limit or len(labels) - held_out * len(classes))
    # As balanced as there are images: a class is short of the fullest only when it is used up.
    left = np.bincount(labels) - held_out
    for array in (train, calibrating):
        counts = np.bincount(labels[array], minlength=len(classes))
        assert all(counts[c] == left[c] or counts[c] >= counts.max() - 1 for c in classes)
    again = make_splits(labels, held_out, calibration, seed, limit)
    assert all(np.array_equal(splits[name], again[name]) for name in splits)


LABELS = np.tile(np.arange(10), 50)


def test_seed_matters():
    first, second = (make_splits(LABELS, 5, 100, seed) for seed in (0, 1))
    assert not np.array_equal(first["train"], second["train"])
    assert set(first["validation"]) != set(second["validation"])


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ((50, 1, 0), "validation_per_class is 50, but must be 0 … 49"),
        ((-1, 1, 0), "validation_per_class is -1"),
        ((5, 451, 0), "calibration is 451, but must be 1 … 450"),
        ((5, 0, 0), "calibration is 0"),
        ((5, 1, 0, 451), "limit is 451"),
        ((5, 1, 0, 0), "limit is 0"),
        ((5, 21, 0, 20), "calibration is 21, but must be 1 … 20"),
    ],
)
def test_impossible_values(arguments, key):
    with pytest.raises(UserError, match=key):
        make_splits(LABELS, *arguments)


def test_file(tmp_path):
    splits = make_splits(LABELS, 5, 100, 0)
    save_splits(tmp_path / "a.npz", splits)
    save_splits(tmp_path / "b.npz", splits)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = load_splits(tmp_path / "a.npz")
    assert all(np.array_equal(found[name], splits[name]) for name in splits)
    assert found.keys() == splits.keys()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"validation": np.arange(3, dtype=np.int32)}, "train and validation share"),
        ({"calibration": np.array([7], dtype=np.int32)}, "calibration has images that train lacks"),
        ({"train": np.arange(3.0)}, "int32"),
        ({"train": np.array([{}], dtype=object)}, "allow_pickle"),
    ],
)
def test_foreign_arrays(tmp_path, change, reason):
    arrays = {"train": np.arange(3), "validation": np.arange(3, 5), "calibration": np.arange(2)}
    np.savez(tmp_path / "x.npz", **{name: array.astype(np.int32) for name, array in arrays.items()} | change)
    with pytest.raises(UserError, match=rf"x\.npz is not a splits file .*{reason}"):
        load_splits(tmp_path / "x.npz")


@pytest.mark.parametrize("damage", [lambda whole: whole[:200], lambda _: b"", lambda _: b"text"])
def test_damaged_file(tmp_path, damage):
    path = tmp_path / "x.npz"
    save_splits(path, make_splits(LABELS, 5, 100, 0))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"x\.npz is not a splits file"):
        load_splits(path)


def test_array_instead_of_archive(tmp_path):
    np.save(tmp_path / "x.npy", LABELS)
    with pytest.raises(UserError, match=r"x\.npy is not a splits file"):
        load_splits(tmp_path / "x.npy")


def test_image_without_a_label_is_refused():
    with pytest.raises(UserError, match="training image 2 shows no object"):
        make_splits(np.array([0, 1, -1, 0, 1]), 1, 1, seed=0)
