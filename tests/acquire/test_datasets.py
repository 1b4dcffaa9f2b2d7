import importlib
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import get_args

import pytest
import yaml

from paper2board.acquire.datasets.base import PreparedDataset
from paper2board.acquire.datasets.registry import KINDS, read_dataset, read_datasets
from paper2board.core.closure import closure, module_digest
from paper2board.core.errors import UserError

ROOT = Path(__file__).parents[2]
CIFAR10 = ROOT / "config/datasets/cifar10.yaml"


@pytest.fixture
def changed(tmp_path):
    """A function that writes CIFAR-10's configuration after a change."""

    def write(change) -> Path:
        raw = yaml.safe_load(CIFAR10.read_text())
        change(raw)
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(raw))
        return path

    return write


def test_cifar10():
    dataset = read_dataset(CIFAR10)
    assert [file.size for file in dataset.files] == [30_730_000] * 6
    assert [source.kind for source in dataset.sources] == ["mirror", "npm", "archive"]
    assert len(dataset.classes) == 10
    assert dataset.files_of("test") == ("data/cifar10/test_batch.bin",)
    assert dataset.files_of("train")[4] == "data/cifar10/data_batch_5.bin"
    assert dataset.identity()["files"][5] == "67eb016db431130d61cd03c7ad570b013799c88c"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda raw: raw.update(colour="red"), "colour"),
        (lambda raw: raw["files"][0].update(md5="0"), r"files\.0\.md5"),
        (lambda raw: raw["sources"][1].update(registry="x"), r"sources\.1\.registry"),
        (lambda raw: raw["sources"][1].update(version="--help"), r"sources\.1\.version"),
        (lambda raw: raw["sources"][2].update(url="file:///etc/passwd"), r"sources\.2\.url"),
        (lambda raw: raw["sources"][0].update(kind="ftp"), r"sources\.0"),
        (lambda raw: raw["files"][0].update(name="../x.bin"), r"files\.0\.name"),
        (lambda raw: raw["files"][0].update(sha1="abc"), r"files\.0\.sha1"),
        (lambda raw: raw["files"][0].update(images=0), r"files\.0\.images"),
        (lambda raw: raw.pop("name"), "name"),
        (lambda raw: raw.pop("kind"), "kind"),
        (lambda raw: raw.update(kind="pixels"), "kind"),
        (lambda raw: raw.update(sources=[]), "sources"),
        (lambda raw: raw["files"].append(raw["files"][0]), "two files have the same name"),
        (lambda raw: raw["classes"].append("cat"), "two classes have the same name"),
    ],
)
def test_wrong_key_is_named(changed, change, key):
    with pytest.raises(UserError, match=rf"changed\.yaml(:\d+)?: .*{key}.*; ") as raised:
        read_dataset(changed(change))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["a: [", "\x00", "- 1", ""])
def test_not_a_configuration(tmp_path, text):
    path = tmp_path / "no.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"no\.yaml") as raised:
        read_dataset(path)
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_dataset(tmp_path / "none.yaml")


def test_reading_imports_nothing_heavy():
    heavy = {"numpy", "torch", "requests", "PIL", "pandas", "safetensors"}
    program = f"import sys, paper2board.acquire.datasets.registry; print({heavy} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_shipped_sets():
    folder = CIFAR10.parent
    sets = read_datasets({path.stem for path in folder.glob("*.yaml")}, folder)
    assert set(sets) == {path.stem for path in folder.glob("*.yaml")}
    for name, dataset in sets.items():
        assert dataset.name == name
        assert len(dataset.classes) >= 2 or "classes" not in dataset.labels
        assert all(path.startswith(f"data/{name}/") for path in dataset.files_of("train"))
        assert dataset.identity() == read_dataset(folder / f"{name}.yaml").identity()
    assert sets["cifar-scenes"].classes == sets["cifar10"].classes
    assert sets["fruit"].needs == ("fruit-stand-in",)
    assert sets["fruit"].size_px == sets["fruit-stand-in"].size_px
    assert sets["fruit"].digest is not None
    assert len(sets["coco"].classes) == 80
    assert len(sets["voc2007"].classes) == 20


def test_what_a_set_builds_on_is_read_too():
    assert set(read_datasets(["fruit"], CIFAR10.parent)) == {"fruit", "fruit-stand-in", "cifar10"}


SCENES = {"name": "some", "kind": "scenes", "of": "cifar10", "train": 3, "test": 2}
PART = {"images": "p", "annotations": "a"}
MIRROR = {"kind": "mirror", "environment": "SOME_MIRROR"}
BOXES = {
    "name": "some",
    "kind": "boxes",
    "format": "voc",
    "classes": ["a", "b", "c"],
    "size_px": [160, 160],
    "train": PART,
    "test": {"images": "q", "annotations": "q"},
    "sources": [MIRROR],
}
ARCHIVE = {"kind": "archives", "parts": [{"url": "https://x.org/a.zip"}]}
RAR = {"kind": "archives", "parts": [{"url": "https://x.org/a.rar"}]}
SIZED = {"kind": "archives", "parts": [{"url": "https://x.org/a.zip", "size": 1}]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of configurations, and a function that writes one and reads it."""
    for name in ("cifar10", "fruit-stand-in"):
        (tmp_path / f"{name}.yaml").write_text((CIFAR10.parent / f"{name}.yaml").read_text())
    for label in ("cat", "dog"):
        (tmp_path / "mine" / label).mkdir(parents=True)
    monkeypatch.delenv("SOME_MIRROR", raising=False)

    def read(raw):
        (tmp_path / "some.yaml").write_text(yaml.safe_dump(raw))
        return read_dataset(tmp_path / "some.yaml")

    return read


def test_scenes(folder):
    everything = folder(SCENES)
    assert len(everything.classes) == 10
    assert everything.needs == ("cifar10",)
    some = folder(SCENES | {"classes": ["dog", "cat"]})
    assert some.classes == ("dog", "cat")
    assert some.identity() != everything.identity()
    assert some.files_of("test") == ("data/some/test.safetensors",)


def test_boxes(folder):
    dataset = folder(BOXES | {"stand_in": "fruit-stand-in"})
    assert dataset.needs == ("fruit-stand-in",)
    held = {
        "p/x.JPG": True,
        "p/x.xml": False,
        "a/x.xml": True,
        "a/x.jpg": False,
        "q/d/x.png": True,
        "x.jpg": False,
        "p/._x.jpg": False,
        "p/@eaDir/x.jpg": False,
        "p/d/.cache/x.jpg": False,
        "a/.ipynb_checkpoints/x.xml": False,
    }
    assert {path: dataset.holds(PurePosixPath(path)) for path in held} == held


def test_a_hidden_folder_counts_only_where_the_set_names_it(folder):
    for images, held in ((".", False), (".git", True), (".git/..x", False)):
        dataset = folder(BOXES | {"train": {"images": images, "annotations": "a"}})
        assert dataset.holds(PurePosixPath(".git/x.jpg")) == held


def test_sources_matter_only_without_a_digest(folder):
    other = [MIRROR, ARCHIVE]
    known = BOXES | {"digest": "0" * 64}
    assert folder(known).identity() == folder(known | {"sources": other}).identity()
    verified = [{"url": "https://x.org/a.zip", "size": 5, "sha256": "0" * 64}]
    assert folder(BOXES).identity() != folder(BOXES | {"sources": [ARCHIVE | {"parts": verified}]}).identity()


def test_folders(folder, tmp_path):
    raw = {"name": "some", "kind": "folders", "path": str(tmp_path / "mine"), "test_share": 0.5}
    assert folder(raw).classes == ("cat", "dog")
    assert folder(raw | {"classes": ["dog", "cat"]}).classes == ("dog", "cat")
    with pytest.raises(UserError, match=r"some\.yaml: path: .*train cannot be read"):
        folder({key: raw[key] for key in ("name", "kind", "path")})
    with pytest.raises(UserError, match=r"0 class folders"):
        folder(raw | {"path": str(tmp_path / "mine" / "cat")})


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (SCENES | {"name": "other"}, "name: other must be the file's name, some"),
        (SCENES | {"of": "none"}, r"of: .*none\.yaml does not exist"),
        (BOXES | {"stand_in": "none"}, r"stand_in: .*none\.yaml does not exist"),
        (SCENES | {"of": "fruit-stand-in"}, "of: fruit-stand-in is of kind scenes"),
        (SCENES | {"classes": ["dog", "cow"]}, "classes: cifar10 has no class 'cow'"),
        (SCENES | {"classes": ["dog"]}, "one class alone"),
        (SCENES | {"size_px": [60, 200]}, "side_px must be at most 60"),
        (SCENES | {"recipe": {"objects": [0, 1]}}, r"recipe: .*objects must be 1"),
        (SCENES | {"train": 0}, "train: "),
        (BOXES | {"stand_in": "cifar10"}, "stand_in: cifar10 is of kind cifar10"),
        (BOXES | {"stand_in": "fruit-stand-in", "size_px": [96, 96]}, r"has size_px \(160, 160\), this set"),
        (BOXES | {"stand_in": "fruit-stand-in", "classes": ["a", "b"]}, "has classes 3, this set 2"),
        (BOXES | {"train": PART | {"images": "../p"}}, "leaves the source's root"),
        (BOXES | {"train": PART | {"annotations": "/etc"}}, "leaves the source's root"),
        (BOXES | {"test": PART}, "train and test are the same images"),
        (BOXES | {"sources": [ARCHIVE]}, "needs size and sha256 or md5, or the set a digest"),
        (BOXES | {"sources": [RAR]}, "the url must end in"),
        (
            BOXES | {"sources": [SIZED]},
            "both or neither",
        ),
        (BOXES | {"format": "coco", "test": PART | {"listed": "l"}}, "listed is for format voc"),
        (BOXES | {"classes": []}, "classes: "),
        (BOXES | {"digest": "x"}, "digest: "),
        ({"name": "some", "kind": "folders", "path": "x", "test_share": 1}, "test_share: "),
    ],
)
def test_wrong_values_of_other_kinds(folder, raw, reason):
    with pytest.raises(UserError, match=rf"\.yaml.*{reason}") as raised:
        folder(raw)
    assert "\n" not in str(raised.value)


def test_stand_in_gives_way_to_a_mirror_and_nothing_to_its_loss(folder, tmp_path, monkeypatch):
    dataset = folder(BOXES | {"sources": [MIRROR | {"folder": "sub"}]})
    there = ("mirror", "archives", "stand-in", None)
    assert [dataset.delivery({"delivered_by": one}, None) for one in there] == ["mirror", *["archives"] * 3]
    monkeypatch.setenv("SOME_MIRROR", str(tmp_path / "gone"))
    assert dataset.delivery({"delivered_by": "stand-in"}, None) == "archives"
    monkeypatch.setenv("SOME_MIRROR", str(tmp_path))
    assert [dataset.delivery({"delivered_by": one}, None) for one in there] == [
        "mirror",
        "archives",
        "mirror",
        "mirror",
    ]
    monkeypatch.delenv("SOME_MIRROR")
    (tmp_path / "sub").mkdir()
    assert dataset.delivery({"delivered_by": "stand-in"}, str(tmp_path)) == "mirror"


# --- what a kind knows --------------------------------------------------------------------------------

PREPARED = [name for name, kind in KINDS.items() if issubclass(kind, PreparedDataset)]


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_registered_under_its_own_name(name):
    assert get_args(KINDS[name].model_fields["kind"].annotation) == (name,)


@pytest.mark.parametrize("name", PREPARED)
def test_a_kind_names_modules_that_exist(name):
    assert callable(importlib.import_module(KINDS[name].preparer).prepare)
    assert module_digest(KINDS[name].content_module or KINDS[name].preparer)


@pytest.mark.parametrize("name", PREPARED)
def test_neither_downloads_nor_other_kinds_decide_the_bytes(name):
    kind = KINDS[name]
    path = Path(importlib.import_module(kind.content_module or kind.preparer).__file__)
    package = ROOT / "paper2board/acquire"
    modules = [module for module in closure(path) if module.is_relative_to(package)]
    imported = {module.relative_to(package).as_posix() for module in modules}
    assert not imported & {"download.py", "acquisition.py", "trees.py", "datasets/registry.py"}
    assert {other for other in PREPARED if f"datasets/{other}.py" in imported} <= {name}


def test_what_a_network_can_be_trained_on_follows_from_the_kind(folder, tmp_path):
    assert {name for name, kind in KINDS.items() if "boxes" in kind.labels} == {"scenes", "boxes"}
    assert read_dataset(CIFAR10).image_px == (32, 32)
    assert folder(SCENES).image_px == (160, 120)


def test_own_images_decide_the_content(folder, tmp_path):
    dataset = folder({"name": "some", "kind": "folders", "path": str(tmp_path / "mine"), "test_share": 0.5})
    with pytest.raises(UserError, match="cat has no image"):
        dataset.own_files()
    for label in ("cat", "dog"):
        for name in ("1.png", "2.JPG", "._2.JPG"):
            (tmp_path / "mine" / label / name).write_bytes(b"")
        (tmp_path / "mine" / label / "notes.txt").write_bytes(b"")
    names = "cat/1.png", "cat/2.JPG", "dog/1.png", "dog/2.JPG"
    assert dataset.own_files() == {name: tmp_path / "mine" / name for name in names}
    assert folder(SCENES).own_files() == {}


def test_a_mirror_that_no_digest_describes_is_an_input(folder, tmp_path):
    raw = BOXES | {"sources": [MIRROR | {"folder": "sub"}]}
    place, found = f"{PART['images']}/1.jpg", tmp_path / "sub"
    for name in (place, "elsewhere/2.jpg"):
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).touch()
    assert folder(raw).own_files(str(tmp_path)) == {place: found / place}
    assert folder(raw).own_files(None) == {}
    assert folder(raw | {"digest": "0" * 64}).own_files(str(tmp_path)) == {}


def test_a_set_made_of_itself_is_refused(folder):
    with pytest.raises(UserError, match="of: some is of kind scenes"):
        folder(SCENES | {"of": "some"})
