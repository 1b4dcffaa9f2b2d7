import json

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from paper2board.acquire.scenes import (
    HEIGHT,
    WIDTH,
    Scene,
    SceneRecipe,
    SceneSet,
    _background,
    gather,
    make_scene,
    make_scenes,
    read_scenes,
)
from paper2board.core.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(50) % 10
NAMES = [f"class{label}" for label in range(10)]
PLAIN = SceneRecipe(decoys=(0, 0), noise_dn=(0, 0), gain=(1, 1), gamma=(1, 1), tint=0)
COUNT = 40


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    return gather(make_scenes(IMAGES, LABELS, 0, COUNT), NAMES, "composed")


def test_invariants(scenes):
    assert scenes.images.shape == (COUNT, HEIGHT, WIDTH, 3)
    counts = np.diff(scenes.offsets)
    assert counts.min() >= 1
    assert counts.max() <= 5
    assert len(set(counts)) >= 4, "the number of objects varies"
    assert set(scenes.classes) == set(range(10))
    assert (scenes.visible >= 0.5 - 1e-6).all()
    assert (scenes.visible < 0.95).any(), "objects hide each other sometimes"
    sides = scenes.boxes[:, 2:] - scenes.boxes[:, :2]
    assert sides.min() > 15
    assert sides.max() < 80


def test_a_scene_depends_on_seed_and_index_alone(scenes):
    for index in (0, 17):
        alone = make_scene(IMAGES, LABELS, 0, index)
        for name in ("image", "boxes", "classes", "visible"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(scenes[index], name))
    assert not np.array_equal(make_scene(IMAGES, LABELS, 1, 0).image, scenes[0].image)
    assert not np.array_equal(scenes[0].image, scenes[1].image)
    last = next(make_scenes(IMAGES, LABELS, 0, 1, first=17))
    np.testing.assert_array_equal(last.image, scenes[17].image)


def test_box_and_class_are_those_of_the_object():
    """One white (class 7) object on a black scene: the box bounds where the blend passes one half."""
    recipe = PLAIN.model_copy(update={"objects": (1, 1)})
    white = np.full((1, 32, 32, 3), 255, dtype=np.uint8)
    checked = 0
    for index in range(40):
        with pytest.MonkeyPatch.context() as patch:
            black = np.zeros((HEIGHT, WIDTH, 3), dtype=np.float32)
            patch.setattr("paper2board.acquire.scenes._background", lambda *_, canvas=black: canvas)
            scene = make_scene(white, np.array([7]), 3, index, recipe)
        assert scene.classes.tolist() == [7]
        assert scene.visible.tolist() == [1]
        rows, columns = np.nonzero(scene.image[:, :, 0] >= 128)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(scene.boxes[0], found, atol=1.01)
        # The frame itself must not show: its corners stay as the background is.
        x0, y0, x1, y1 = np.round(scene.boxes[0]).astype(int)
        corners = scene.image[[y0, y0, y1 - 1, y1 - 1], [x0, x1 - 1, x0, x1 - 1]]
        assert corners.max() < 128
        checked += 1
    assert checked == 40


def test_visible_is_what_later_objects_leave():
    """White below, black above: the white that is left is the visible fraction, within the soft segment_bounds."""
    pair = np.stack([np.full((32, 32, 3), 255, np.uint8), np.zeros((32, 32, 3), np.uint8)])
    recipe = PLAIN.model_copy(
        update={"objects": (2, 2), "side_px": (70, 90), "occluding_scenes": 1.0, "feather": (0.02, 0.02)}
    )
    seen = []
    for index in range(200):
        with pytest.MonkeyPatch.context() as patch:
            black = np.zeros((HEIGHT, WIDTH, 3), dtype=np.float32)
            patch.setattr("paper2board.acquire.scenes._background", lambda *_, canvas=black: canvas)
            scene = make_scene(pair, np.arange(2), 0, index, recipe)
        if scene.classes.tolist() == [0, 1] and scene.visible[0] < 0.9:
            left = (scene.image[:, :, 0] >= 128).sum()
            x0, y0, x1, y1 = scene.boxes[0]
            share = left / scene.visible[0] / ((x1 - x0) * (y1 - y0))
            assert 0.75 < share < 1.0, "a superellipse of power 2.2 … 5 fills that much of its box"
            seen.append(scene.visible[0])
    assert len(seen) >= 10


def test_decoys_have_no_box_and_show_only_the_given_images():
    """On black, all that two decoys of grey 90 and one object of grey 90 can show is 0 … 90."""
    grey = np.full((3, 32, 32, 3), 90, dtype=np.uint8)
    shown = []
    for decoys in ((0, 0), (2, 2)):
        recipe = PLAIN.model_copy(update={"objects": (1, 1), "decoys": decoys})
        for index in range(10):
            with pytest.MonkeyPatch.context() as patch:
                black = np.zeros((HEIGHT, WIDTH, 3), dtype=np.float32)
                patch.setattr("paper2board.acquire.scenes._background", lambda *_, canvas=black: canvas)
                scene = make_scene(grey, np.zeros(3, int), 0, index, recipe)
            assert len(scene.classes) == 1
            assert scene.image.max() == 90
            x0, y0, x1, y1 = np.round(scene.boxes[0]).astype(int)
            scene.image[y0 - 4 if y0 > 4 else 0 : y1 + 4, x0 - 4 if x0 > 4 else 0 : x1 + 4] = 0
            shown.append((scene.image > 45).any() if decoys == (2, 2) else (scene.image < 45).all())
    assert all(shown[:10]), "without decoys nothing shows outside the box"
    assert sum(shown[10:]) >= 8, "decoys do, without a box"


@pytest.mark.parametrize("kind", range(4))
def test_backgrounds(kind):
    class Chosen:
        """A generator whose first draw, the kind of background, is given."""

        def __init__(self, seed):
            self.rng, self.first = np.random.default_rng(seed), True

        def integers(self, *arguments, **options):
            if self.first:
                self.first = False
                return kind
            return self.rng.integers(*arguments, **options)

        def __getattr__(self, name):
            return getattr(self.rng, name)

    drawn = [_background(IMAGES, Chosen(seed)) for seed in range(20)]
    for canvas in drawn:
        assert (canvas.shape, canvas.dtype) == ((HEIGHT, WIDTH, 3), np.float32)
        assert canvas.min() >= 0
        assert canvas.max() <= 255
        assert canvas.std(axis=(0, 1)).max() > 0.5, "not one flat colour"
    assert not np.array_equal(drawn[0], drawn[1])


@pytest.mark.parametrize(
    ("images", "labels", "seed", "reason"),
    [
        (IMAGES.astype(np.float32), LABELS, 0, "images are float32"),
        (IMAGES[:, :31], LABELS, 0, "instead of uint8"),
        (IMAGES[:0], LABELS[:0], 0, "instead of uint8"),
        (IMAGES, LABELS[:9], 0, "labels are"),
        (IMAGES, LABELS / 2, 0, "labels are float64"),
        (IMAGES, LABELS, -1, "seed is -1"),
    ],
)
def test_impossible_input(images, labels, seed, reason):
    with pytest.raises(UserError, match=reason):
        make_scene(images, labels, seed, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"objects": (0, 3)},
        {"objects": (3, 2)},
        {"side_px": (4, 30)},
        {"side_px": (30, 20)},
        {"feather": (0, 0.1)},
        {"gamma": (0, 1)},
        {"hidden": 1},
        {"colour": 1},
    ],
)
def test_impossible_recipe(change):
    with pytest.raises(ValidationError):
        SceneRecipe(**change)


def test_file(tmp_path, scenes):
    scenes.write(tmp_path / "a.safetensors")
    scenes.write(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    found = read_scenes(tmp_path / "a.safetensors")
    assert (found.names, found.origin, len(found)) == (tuple(NAMES), "composed", COUNT)
    for name in ("images", "boxes", "classes", "visible", "offsets"):
        np.testing.assert_array_equal(getattr(found, name), getattr(scenes, name))
    assert [len(scene.classes) for scene in found] == np.diff(scenes.offsets).tolist()


def test_scene_without_objects_and_unknown_visibility(tmp_path):
    image = np.zeros((4, 6, 3), np.uint8)
    empty = Scene(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    box = np.array([[0, 0, 6, 4]], np.float32)
    unknown = Scene(image, box, np.array([1]), np.array([np.nan], np.float32))
    gather([empty, unknown], "ab", "o").write(tmp_path / "x")
    first, second = read_scenes(tmp_path / "x")
    assert len(first.boxes) == 0
    assert np.isnan(second.visible).all()


def _arrays(**changes):
    arrays = {
        "images": np.zeros((2, 4, 6, 3), np.uint8),
        "boxes": np.array([[0, 0, 6, 4]], np.float32),
        "classes": np.array([1]),
        "visible": np.array([1], np.float32),
        "offsets": np.array([0, 0, 1]),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"boxes": np.array([[0, 0, 7, 4]], np.float32)}, "leaves its image"),
        ({"boxes": np.array([[-1, 0, 6, 4]], np.float32)}, "leaves its image"),
        ({"boxes": np.array([[3, 0, 3, 4]], np.float32)}, "a box is empty"),
        ({"boxes": np.array([[0, 0, np.nan, 4]], np.float32)}, "a box is empty"),
        ({"boxes": np.array([[0, 0, 6, 4]])}, "boxes is int64"),
        ({"boxes": np.zeros((1, 3), np.float32)}, "boxes has shape"),
        ({"classes": np.array([2])}, "beyond the 2 names"),
        ({"classes": np.array([-1])}, "beyond the 2 names"),
        ({"visible": np.array([1.5], np.float32)}, "visible fraction"),
        ({"offsets": np.array([0, 2, 1])}, "offsets do not rise"),
        ({"offsets": np.array([0, 0, 2])}, "offsets do not rise"),
        ({"offsets": np.array([0, 1])}, "offsets has shape"),
        ({"images": np.zeros((2, 4, 6), np.uint8)}, "images has shape"),
        ({"visible": None}, "its arrays are not"),
        ({"extra": np.zeros(1)}, "its arrays are not"),
    ],
)
def test_foreign_arrays(tmp_path, changes, reason):
    about = {"format": "paper2board scenes 1", "names": ["a", "b"], "origin": "o"}
    save_file(_arrays(**changes), tmp_path / "x", metadata={"about": json.dumps(about)})
    with pytest.raises(UserError, match=rf"x is not a file of scenes .*{reason}"):
        read_scenes(tmp_path / "x")


@pytest.mark.parametrize(
    "about",
    [
        None,
        "{",
        "[]",
        '{"format": "paper2board scenes 2"}',
        '{"format": "paper2board scenes 1", "names": ["a", "b"]}',
        '{"format": "paper2board scenes 1", "names": ["a", "a"], "origin": ""}',
        '{"format": "paper2board scenes 1", "names": [["a"], "b"], "origin": ""}',
    ],
)
def test_foreign_metadata(tmp_path, about):
    save_file(_arrays(), tmp_path / "x", metadata=about and {"about": about})
    with pytest.raises(UserError, match="x is not a file of scenes"):
        read_scenes(tmp_path / "x")


@pytest.mark.parametrize("damage", [lambda whole: whole[:-5], lambda _: b"", lambda _: b"text", None])
def test_damaged_or_missing_file(tmp_path, scenes, damage):
    path = tmp_path / "x"
    if damage:
        scenes.write(path)
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="x is not a file of scenes"):
        read_scenes(path)


def test_any_size():
    scenes = gather(make_scenes(IMAGES, LABELS, 0, 12, width=64, height=200), NAMES, "tall")
    assert scenes.images.shape == (12, 200, 64, 3)
    assert scenes.boxes[:, 3].max() > 130, "objects all over the image"
    # Side 72 at most, stretched by 1.18: wider than the image, so cut to it.
    assert (scenes.boxes[:, 2] <= 64).all()


def test_take(scenes):
    chosen = scenes.take([7, 3, 7])
    assert (chosen.names, chosen.origin) == (scenes.names, scenes.origin)
    for place, index in enumerate([7, 3, 7]):
        for name in ("image", "boxes", "classes", "visible"):
            np.testing.assert_array_equal(getattr(chosen[place], name), getattr(scenes[index], name))


def test_no_scene_is_no_set():
    with pytest.raises(UserError, match="there is no scene"):
        gather([], NAMES, "nothing")
