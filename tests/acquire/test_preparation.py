import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from messages import naming
from PIL import Image

from paper2board.acquire.datasets.boxes import BoxesDataset
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.acquire.datasets.scenes import ScenesDataset
from paper2board.acquire.examples import load_examples
from paper2board.acquire.prepare.boxes import prepare_boxes
from paper2board.acquire.prepare.folders import read_folders
from paper2board.acquire.prepare.scenes import compose_scenes
from paper2board.acquire.scenes import Scene, gather
from paper2board.acquire.trees import tree_digest
from paper2board.core.errors import UserError

LABELS = {"train/one": "cat", "train/two": "dog", "train/three": "cow", "test/four": "dog"}
"""Object by image; nobody asks for cows."""


def png(colour=(200, 100, 50), size=(40, 40)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def voc_files():
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
    files = {"README.md": b"not part of the set"}
    for number, (stem, label) in enumerate(LABELS.items()):
        files[f"{stem}.png"] = png((200, 100, 50 * number))
        files[f"{stem}.xml"] = f"<annotation><object><name>{label}</name>{box}</object></annotation>".encode()
    return files


def write_files(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(files, prefix="set-main/"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return stream.getvalue()


def configure(*sources, **changes):
    raw = {
        "name": "tiny",
        "kind": "boxes",
        "format": "voc",
        "classes": ["dog", "cat"],
        "size_px": [40, 32],
        "train": {"images": "train", "annotations": "train"},
        "test": {"images": "test", "annotations": "test"},
        "sources": sources,
    }
    return BoxesDataset.model_validate(raw | changes)


MIRROR = {"kind": "mirror", "environment": "TINY_MIRROR", "folder": "tiny"}


@pytest.fixture
def mirror(tmp_path):
    """A configured mirror folder, with the set in its own folder."""
    write_files(tmp_path / "mirror" / "tiny", voc_files())
    return tmp_path / "mirror"


@pytest.fixture
def digest(mirror):
    return tree_digest(mirror / "tiny", configure(MIRROR))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPER2BOARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINY_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def archive(server):
    """A function that serves a zip and returns the source that describes it."""

    def serve(files, verified=True, **changes):
        content = zipped(files)
        server.pages["/set.zip"] = content
        part = {"url": f"{server.url}/set.zip", "root": "set-main"}
        if verified:
            part |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return {"kind": "archives", "parts": [part | changes]}

    return serve


@pytest.fixture
def stand_in(tmp_path):
    image = np.zeros((32, 40, 3), dtype=np.uint8)
    box = np.array([[1, 1, 9, 9]], dtype=np.float32)
    paths = {}
    for label, split in enumerate(("train", "test")):
        scene = Scene(image, box, np.array([label]), np.ones(1, dtype=np.float32))
        paths[split] = tmp_path / f"{split}.safetensors"
        gather([scene], ["ship", "truck"], f"composed {split}").write(paths[split])
    return paths


def check(prepared, source):
    assert prepared.train.names == ("dog", "cat")
    assert sorted(prepared.train.classes.tolist()) == [0, 1]
    assert prepared.test.classes.tolist() == [0]
    assert prepared.train.images.shape == (2, 32, 40, 3), "the cow's image is left out"
    assert "1 images without a wanted object left out" in prepared.train.origin
    assert prepared.train.origin.startswith("tiny: ")
    assert prepared.provenance["delivered_by"] == source


def test_from_a_mirror_by_configuration_or_environment(mirror, tmp_path, monkeypatch):
    check(prepare_boxes(configure(MIRROR), mirror=mirror), "mirror")
    monkeypatch.setenv("TINY_MIRROR", str(mirror / "tiny"))
    check(prepare_boxes(configure(MIRROR), mirror=tmp_path / "gone"), "mirror")


def test_whatever_the_source_the_same_scenes(mirror, archive, digest, tmp_path):
    sources = (MIRROR, archive(voc_files()))
    one = prepare_boxes(configure(*sources, digest=digest), mirror=mirror)
    two = prepare_boxes(configure(*sources, digest=digest))
    check(two, "archives")
    for split in ("train", "test"):
        getattr(one, split).write(tmp_path / "one")
        getattr(two, split).write(tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_archive_is_unpacked_once_for_all_checkouts(archive, server, cache):
    dataset = configure(archive(voc_files()))
    check(prepare_boxes(dataset), "archives")
    check(prepare_boxes(dataset), "archives")
    assert len(server.asked) == 1
    assert not (cache / "tiny" / "parts").exists()
    assert not list((cache / "tiny").rglob("README.md")), "what is not part of the set is not unpacked"


def test_archive_of_unknown_bytes_is_accepted_by_the_tree(archive, digest):
    check(prepare_boxes(configure(archive(voc_files(), verified=False), digest=digest)), "archives")


def test_damaged_tree_in_the_cache_is_fetched_again(archive, digest, cache):
    dataset = configure(archive(voc_files()), digest=digest)
    check(prepare_boxes(dataset), "archives")
    (changed,) = cache.rglob("one.png")
    changed.write_bytes(b"x")
    check(prepare_boxes(dataset), "archives")


EQUAL = "test pictures that are equal to training pictures"


def with_a_copy():
    """The files of the set, a training picture among the test pictures."""
    files = voc_files()
    return files | {"test/five.png": files["train/one.png"], "test/five.xml": files["test/four.xml"]}


def test_equal_pictures_in_a_folder_of_the_user_s_are_refused(mirror):
    assert prepare_boxes(configure(MIRROR), mirror=mirror).findings.count(EQUAL) == 0
    write_files(mirror / "tiny", with_a_copy())
    with pytest.raises(UserError, match=naming("tiny", "1 of 2 test images", "remove", "digest")):
        prepare_boxes(configure(MIRROR), mirror=mirror)


def test_equal_pictures_in_a_published_set_are_told(mirror, archive):
    write_files(mirror / "tiny", with_a_copy())
    published = configure(MIRROR, digest=tree_digest(mirror / "tiny", configure(MIRROR)))
    for prepared in (
        prepare_boxes(published, mirror=mirror),
        prepare_boxes(configure(archive(with_a_copy()))),
    ):
        assert prepared.findings.count(EQUAL) == 1 and len(prepared.test) == 2
        assert any("keep what shows the same on one side" in line for line in prepared.findings.lines())


def test_several_archives_are_one_tree(server):
    parts = []
    for split in ("train", "test"):
        content = zipped({name: c for name, c in voc_files().items() if name.startswith(split)})
        server.pages[f"/{split}.zip"] = content
        md5 = hashlib.md5(content).hexdigest()
        part = {"url": f"{server.url}/{split}.zip", "root": "set-main", "size": len(content), "md5": md5}
        parts.append(part)
    check(prepare_boxes(configure({"kind": "archives", "parts": parts})), "archives")


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.update({"train/one.png": png((0, 0, 0))}),
        lambda files: files.update({"test/new.png": png()}),
        lambda files: files.update({"train/five.png": files.pop("train/two.png")}),
        lambda files: files.pop("train/two.xml"),
    ],
)
def test_other_content_is_passed_over(archive, digest, change, cache):
    files = voc_files()
    change(files)
    with pytest.raises(UserError, match=f"have digest .* instead of {digest}"):
        prepare_boxes(configure(archive(files), digest=digest))
    assert [path.name for path in (cache / "tiny").iterdir() if path.name.startswith(("tree", "stag"))] == []


def test_what_is_not_part_of_the_set_does_not_count(mirror, digest):
    write_files(mirror / "tiny", {"LICENSE": b"x", "train/notes.txt": b"x", "more/a.png": b"x"})
    check(prepare_boxes(configure(MIRROR, digest=digest), mirror=mirror), "mirror")


def test_digest_is_that_of_sha256sum(mirror, digest):
    files = {name: content for name, content in voc_files().items() if name != "README.md"}
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    assert digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_stand_in(archive, stand_in, tmp_path):
    source = archive({"train/one.png": b"", "x": b""})
    dataset = configure(MIRROR, source, stand_in="other")
    prepared = prepare_boxes(dataset, stand_in)
    assert prepared.train.names == ("ship", "truck"), "it says what it shows"
    assert prepared.train.origin.startswith("stand-in: no source of tiny delivered it")
    assert "other" in prepared.train.origin
    assert prepared.train.origin.endswith("(composed train)")
    assert prepared.test.classes.tolist() == [1]
    assert prepared.provenance["delivered_by"] == "stand-in"
    first, second = prepared.provenance["reasons"]
    assert first.endswith("TINY_MIRROR is not set")
    assert "has no train" in second or "has no test" in second
    json.dumps(prepared.provenance)


def test_no_source_and_no_stand_in(server):
    part = {"url": f"{server.url}/gone.zip", "size": 1, "md5": "0" * 32}
    with pytest.raises(
        UserError, match=r"tiny: no source .*TINY_MIRROR is not set.*HTTP 404.*mirror"
    ) as raised:
        prepare_boxes(configure(MIRROR, {"kind": "archives", "parts": [part]}))
    assert "\n" not in str(raised.value)


def test_hostile_archive_falls_to_the_stand_in(archive, stand_in, tmp_path):
    source = archive(voc_files() | {"../../../escaped.png": b"x"})
    prepared = prepare_boxes(configure(source, stand_in="other"), stand_in)
    assert "leaves its folder" in prepared.provenance["reasons"][0]
    assert not list(tmp_path.rglob("escaped.png"))


def test_more_than_is_allowed(archive):
    source = archive(voc_files()) | {"unpacked_bytes": 300}
    with pytest.raises(UserError, match="more than the 300 bytes allowed"):
        prepare_boxes(configure(source))


def test_wrong_content_is_told_rather_than_passed_over(mirror, stand_in):
    (mirror / "tiny/train/one.xml").write_text("<annotation>")
    with pytest.raises(UserError, match=r"one\.xml is not a VOC annotation"):
        prepare_boxes(configure(MIRROR, stand_in="other"), stand_in, mirror=mirror)


def test_test_images_without_an_object_stay(mirror):
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
    hard = f"<annotation><object><name>dog</name><difficult>1</difficult>{box}</object></annotation>"
    write_files(mirror / "tiny", {"test/five.png": png((0, 9, 0)), "test/five.xml": hard.encode()})
    write_files(mirror / "tiny", {"train/six.png": png((9, 0, 0)), "train/six.xml": hard.encode()})
    prepared = prepare_boxes(configure(MIRROR), mirror=mirror)
    assert np.diff(prepared.test.offsets).tolist() == [0, 1], "five, four"
    assert np.diff(prepared.train.offsets).tolist() == [1, 1], "nothing to learn of a class there"
    content = prepared.provenance["content"]
    assert "left out: 1 difficult objects" in content["test"]
    assert content["train"].endswith("; 2 images without a wanted object left out")
    (mirror / "tiny/test/four.xml").unlink()
    with pytest.raises(UserError, match="no image shows a wanted object"):
        prepare_boxes(configure(MIRROR), mirror=mirror)


def test_verified_archives_are_kept_until_all_is_there(server, cache):
    parts, pages = [], {}
    for split in ("train", "test"):
        content = zipped({name: c for name, c in voc_files().items() if name.startswith(split)})
        pages[f"/{split}.zip"] = content
        parts.append(
            {
                "url": f"{server.url}/{split}.zip",
                "root": "set-main",
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    dataset = configure({"kind": "archives", "parts": parts})
    server.pages |= {"/train.zip": pages["/train.zip"]}
    with pytest.raises(UserError, match="HTTP 404"):
        prepare_boxes(dataset)
    assert [path.name for path in (cache / "tiny/parts").iterdir()] == ["train.zip"]
    server.asked.clear()
    server.pages |= pages
    check(prepare_boxes(dataset), "archives")
    assert [path for path, _ in server.asked] == ["/test.zip"], "what is complete is not fetched again"
    assert not (cache / "tiny/parts").exists(), "nothing is kept beside the tree"


def test_archive_that_cannot_be_verified_is_not_kept(archive, digest, cache):
    source = archive({"train/one.png": b"x"}, verified=False)
    with pytest.raises(UserError, match="tiny: no source"):
        prepare_boxes(configure(source, digest=digest))
    assert list((cache / "tiny/parts").iterdir()) == []


def test_class_that_nothing_shows(mirror):
    with pytest.raises(UserError, match="no training image shows 'kiwi'"):
        prepare_boxes(configure(MIRROR, classes=["dog", "kiwi"]), mirror=mirror)


def test_cache_that_cannot_be_written(archive, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="PAPER2BOARD_CACHE"):
        prepare_boxes(configure(archive(voc_files())))


def test_coco(tmp_path):
    for split in ("train", "test"):
        image = {"id": 1, "file_name": "a.png", "width": 40, "height": 40}
        objects = [{"image_id": 1, "category_id": c, "bbox": [2, 2, 9 * c, 9]} for c in (1, 2)]
        content = {
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "images": [image],
            "annotations": objects,
        }
        files = {f"{split}.json": json.dumps(content).encode(), f"{split}/a.png": png((9, 9, len(split)))}
        write_files(tmp_path / "m" / "tiny", files)
    parts = {split: {"images": split, "annotations": f"{split}.json"} for split in ("train", "test")}
    dataset = configure(MIRROR, format="coco", **parts)
    prepared = prepare_boxes(dataset, mirror=tmp_path / "m")
    assert prepared.test.classes.tolist() == [1, 0], "cat, dog: places in the configured list"
    prepared.test.write(tmp_path / "x.safetensors")
    assert load_examples([tmp_path / "x.safetensors"]).labels.tolist() == [0], "the dog is larger"


RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
NAMES = tuple(f"class{label}" for label in range(10))


def composed(**changes):
    raw = {"name": "made", "kind": "scenes", "of": "cifar10", "train": 9, "test": 4, "size_px": [96, 80]}
    return ScenesDataset.model_validate(raw | {"classes": NAMES} | changes)


def test_composed_scenes():
    labels = np.arange(40) % 10
    train = compose_scenes(composed(), "train", IMAGES, labels, NAMES)
    test = compose_scenes(composed(), "test", IMAGES, labels, NAMES)
    assert (train.images.shape, test.images.shape) == ((9, 80, 96, 3), (4, 80, 96, 3))
    assert train.names == NAMES
    assert "composed, no photos: 9 scenes of 96 × 80 pixels" in train.origin
    again = compose_scenes(composed(), "train", IMAGES, labels, NAMES)
    np.testing.assert_array_equal(train.images, again.images)
    assert not np.array_equal(train.images[0], test.images[0]), "the splits' layouts differ"
    other = compose_scenes(composed(seed=1), "train", IMAGES, labels, NAMES)
    assert not np.array_equal(test.images[0], other.images[0]), "a seed shares no stream with the next"


def test_chosen_classes_are_renumbered_and_nothing_else_is_shown():
    labels = np.arange(40) % 10
    images = np.where((labels == 3)[:, None, None, None], np.uint8(255), np.uint8(0)) * np.ones_like(IMAGES)
    dataset = composed(classes=["class3", "class7"], recipe={"noise_dn": [0, 0], "decoys": [0, 0]})
    scenes = compose_scenes(dataset, "train", images, labels, NAMES)
    assert scenes.names == ("class3", "class7")
    assert set(scenes.classes) == {0, 1}
    for scene in scenes:
        box, label = scene.boxes[-1], scene.classes[-1]
        middle = ((box[:2] + box[2:]) / 2).astype(int)
        assert (scene.image[middle[1], middle[0]].min() > 100) == (label == 0)


@pytest.fixture
def mine(tmp_path):
    """A function that configures a folder of images and reads it; its images' red tells them apart."""
    files = {}
    for number in range(10):
        label = ("cat", "dog")[number % 2]
        files[f"all/{label}/{number}.png"] = png((10 * number, 0, 0), (60, 30))
        files[f"two/{('train', 'test')[number // 6]}/{label}/{number}.png"] = png((10 * number, 0, 0))
    write_files(tmp_path, files | {"all/cat/.hidden.png": b"", "all/dog/notes.txt": b""})

    def read(**raw) -> dict:
        path = tmp_path / "mine.yaml"
        base = {"name": "mine", "kind": "folders", "size_px": [32, 32]}
        path.write_text(yaml.safe_dump(base | raw | {"path": str(tmp_path / raw["path"])}))
        return read_folders(read_dataset(path))

    return read


def reds(scenes):
    return [round(int(image[16, 16, 0]) / 10) for image in scenes.images]


def test_folders_of_two_splits(mine):
    sets = mine(path="two")
    assert reds(sets["train"]) == [0, 2, 4, 1, 3, 5]
    assert sets["train"].classes.tolist() == [0, 0, 0, 1, 1, 1]
    assert sets["test"].classes.tolist() == [0, 0, 1, 1]
    assert sets["train"].boxes.tolist() == [[0, 0, 32, 32]] * 6
    assert "6 images" in sets["train"].origin


def test_drawn_split(mine):
    sets = mine(path="all", test_share=0.4)
    train, test = reds(sets["train"]), reds(sets["test"])
    assert sorted(train + test) == list(range(10)), "no image in both"
    assert sets["test"].classes.tolist() == [0, 0, 1, 1]
    assert reds(mine(path="all", test_share=0.4)["test"]) == test
    draws = {tuple(reds(mine(path="all", test_share=0.4, seed=seed)["test"])) for seed in range(6)}
    assert len(draws) > 1
    few = mine(path="all", test_share=0.01)
    assert few["test"].classes.tolist() == [0, 1], "at least one a class"
    assert few["test"].boxes.tolist() == [[0, 8, 32, 24]] * 2, "letterboxed"


def test_class_without_images(mine, tmp_path):
    for path in (tmp_path / "two/test/dog").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"mine: .*dog has no image"):
        mine(path="two")


def test_one_image_cannot_be_split(mine, tmp_path):
    write_files(tmp_path, {"all/eel/1.png": png()})
    with pytest.raises(UserError, match="eel has one image alone"):
        mine(path="all", test_share=0.5)


def test_broken_image_is_named(mine, tmp_path):
    Path(tmp_path / "two/train/cat/0.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"0\.png cannot be used as a photo"):
        mine(path="two")
