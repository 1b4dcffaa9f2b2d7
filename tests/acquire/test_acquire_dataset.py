import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from paper2board.acquire.dataset import read_dataset
from paper2board.errors import UserError

CIFAR10 = Path(__file__).parents[2] / "config/datasets/cifar10.yaml"


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


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda raw: raw.update(colour="red"), "colour"),
        (lambda raw: raw["files"][0].update(md5="0"), r"files\.0\.md5"),
        (lambda raw: raw["sources"][1].update(registry="x"), r"sources\.1\.npm\.registry"),
        (lambda raw: raw["sources"][1].update(version="--help"), r"sources\.1\.npm\.version"),
        (lambda raw: raw["sources"][2].update(url="file:///etc/passwd"), r"sources\.2\.archive\.url"),
        (lambda raw: raw["sources"][0].update(kind="ftp"), r"sources\.0"),
        (lambda raw: raw["files"][0].update(name="../x.bin"), r"files\.0\.name"),
        (lambda raw: raw["files"][0].update(sha1="abc"), r"files\.0\.sha1"),
        (lambda raw: raw["files"][0].update(images=0), r"files\.0\.images"),
        (lambda raw: raw.pop("name"), "name"),
        (lambda raw: raw.update(sources=[]), "sources"),
        (lambda raw: raw["files"].append(raw["files"][0]), "two files have the same name"),
        (lambda raw: raw["classes"].append("cat"), "two classes have the same name"),
    ],
)
def test_wrong_key_is_named(changed, change, key):
    with pytest.raises(UserError, match=rf"changed\.yaml: .*{key}.*; correct or remove") as raised:
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
    with pytest.raises(UserError, match=r"none\.yaml cannot be read"):
        read_dataset(tmp_path / "none.yaml")


def test_reading_imports_nothing_heavy():
    heavy = {"numpy", "torch", "requests", "PIL"}
    program = f"import sys, paper2board.acquire.dataset; print({heavy} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
