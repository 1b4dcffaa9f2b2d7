"""Content decides what runs, never a date; and a run changes nothing in DVC's cache.

In a study of somebody's pictures, `.tflite` file and recorded current, everything counts as done: the outputs are
empty and `snakemake --touch` has written the records. So a test costs a dry run.
"""

import base64
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkout import Checkout, copy_sources
from PIL import Image

STUDY = {
    "title": "My things",
    "dataset": "own",
    "board": "esp32-wroom",
    "validation_per_class": 2,
    "calibration_images": 10,
    "budgets": {"smoke": {"test_images": 100, "parity_images": 20, "seeds": [0], "device_images": 100}},
    "variants": {"model": {"tflite": "brought/mine.tflite"}},
    "device_variant": "model",
    "trace": {"file": "brought/current.csv", "log": "brought/serial.log"},
    "period_s": 60,
}
DATASET = {
    "name": "own",
    "kind": "folders",
    "path": "brought/pictures",
    "size_px": [32, 32],
    "test_share": 0.2,
}
OLD = (1.6e9, 1.6e9)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Checkout:
    checkout = copy_sources(tmp_path_factory.mktemp("done"))
    root = checkout.folder
    (root / "config/studies/own.yaml").write_text(yaml.safe_dump(STUDY))
    (root / "config/datasets/own.yaml").write_text(yaml.safe_dump(DATASET))
    checkout.edit("config/config.yaml", "studies: [esp32-wroom-cifar10]", "studies: [own]")
    for shade, label in enumerate(("cat", "dog", "eel")):
        for number in range(4):
            picture = root / f"brought/pictures/{label}/{number}.bmp"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 50 * shade + number, np.uint8)).save(picture)
    for name in ("mine.tflite", "current.csv", "serial.log"):
        (root / "brought" / name).write_text("as it was")
    checkout.snakemake("--touch", "report")
    # A record's name is that of its output.
    for record in (root / ".snakemake/metadata").iterdir():
        name = base64.urlsafe_b64decode(record.name).decode()
        path = root / name if Path(name).suffix else root / name / "content"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    checkout.snakemake("--touch", "--forceall", "report")
    return checkout


@pytest.fixture
def copy(done, tmp_path) -> Checkout:
    """A copy with dates of its own: scripts and inputs are newer than the outputs, as in a fresh clone."""
    folder = tmp_path / "copy"
    shutil.copytree(done.folder, folder, symlinks=True, copy_function=shutil.copyfile)
    return Checkout(folder)


def exchange(path: Path) -> None:
    """Give a file other content of the same size by way of another file, with its date, as mv does."""
    there, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(there.st_atime_ns, there.st_mtime_ns))
    other.replace(path)


def test_dates_and_places_decide_nothing(copy):
    brought = copy.folder / "brought"
    brought.rename(copy.folder / "moved")
    copy.edit("config/datasets/own.yaml", "brought/pictures", "moved/pictures")
    text = (copy.folder / "config/studies/own.yaml").read_text()
    (copy.folder / "config/studies/own.yaml").write_text(text.replace("brought/", "moved/"))
    assert copy.planned() == set()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("brought/pictures/dog/2.bmp", "prepare_dataset"),
        ("brought/mine.tflite", "import_tflite"),
        ("brought/current.csv", "model_energy"),
        ("brought/serial.log", "model_energy"),
        ("firmware/app/p2b_fit.c", "build_host_library"),
        ("reports/report.css", "render_report"),
    ],
)
def test_other_content_of_the_same_size_and_an_older_date_is_noticed(copy, name, rule):
    path = copy.folder / name
    os.utime(path, OLD)
    exchange(path)
    assert rule in copy.planned()


def test_a_picture_more_or_less_is_noticed(copy):
    folder = copy.folder / "brought/pictures/eel"
    shutil.copy2(folder / "0.bmp", folder / "9.bmp")
    assert "prepare_dataset" in copy.planned()
    (folder / "9.bmp").unlink()
    assert copy.planned() == set()
    (folder / "0.bmp").unlink()
    assert "prepare_dataset" in copy.planned()


def test_a_file_that_is_gone_is_named(copy):
    (copy.folder / "brought/mine.tflite").unlink()
    assert "brought/mine.tflite cannot be read" in copy.snakemake("-n", "report", check=False)


def test_another_branch_and_back_leaves_nothing_to_do(copy):
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    script = copy.folder / "scripts/model_energy.py"
    copy.run("git", "init", "-q", "-b", "one")
    for command in (("add", "-A"), ("commit", "-q", "-m", "one"), ("switch", "-q", "-c", "two")):
        copy.run(*git, *command)
    script.write_text(script.read_text() + "# an edit\n")
    copy.run(*git, "commit", "-q", "-a", "-m", "two")
    assert "model_energy" in copy.planned()
    copy.run("git", "switch", "-q", "one")
    assert copy.planned() == set()


def cache_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and permissions of every file in a DVC cache."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def place():
    """A folder for files that another account owns: pytest's own may be entered by nobody else."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def as_nobody(*command: str) -> list[str]:
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *command]


@pytest.mark.parametrize(
    ("kind", "account"),
    [("copy", "own"), ("hardlink", "own"), ("symlink", "own"), ("hardlink", "nobody"), ("symlink", "nobody")],
)
def test_a_run_changes_nothing_in_dvcs_cache(done, place, kind, account):
    """Nobody owns the checkout and its links; the files of the cache may only be read, as DVC leaves them."""
    if account == "nobody":
        if os.getuid():
            pytest.skip("only root can run as another account")
        trial = f"{shlex.quote(sys.executable)} -c 'import snakemake'"  # by a shell, as jobs are started
        if subprocess.run(as_nobody("bash", "-c", trial), check=False).returncode:
            pytest.skip("another account cannot run this environment's Python")
    checkout, cache = Checkout(place / "checkout"), place / "cache"
    shutil.copytree(done.folder, checkout.folder, symlinks=True, copy_function=shutil.copyfile)
    for command in (
        ("git", "init", "-q"),
        ("dvc", "cache", "dir", str(cache)),
        ("dvc", "config", "cache.type", kind),
        ("dvc", "commit", "-q", "-f"),
    ):
        checkout.run(*command)
    for linked in ((checkout.folder / "data/own/train.safetensors"), record_in(checkout)):
        assert (linked.is_symlink(), linked.stat().st_nlink > 1) == (kind == "symlink", kind == "hardlink")
    before = cache_of(cache)
    checkout.edit("config/datasets/own.yaml", "test_share: 0.2", "test_share: 0.5")
    command = ["snakemake", "--cores", "1", "data/own/train.safetensors"]
    if account == "nobody":
        command = as_nobody(*command)
        for path in (place, *place.rglob("*")):
            if kind != "symlink" or not path.is_relative_to(cache):
                os.chown(path, 65534, 65534, follow_symlinks=False)
    place.chmod(0o755)
    environment = checkout.environment() | {"HOME": str(place), "TMPDIR": str(checkout.folder)}
    result = subprocess.run(
        command, cwd=checkout.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "prepare_dataset" in result.stderr
    assert cache_of(cache) == before


def record_in(checkout: Checkout) -> Path:
    """Snakemake's record of an output that the run replaces."""
    name = base64.urlsafe_b64encode(b"data/own/train.safetensors").decode()
    return checkout.folder / ".snakemake/metadata" / name
