"""Names are data, from folders to generated C and figures; a second set in CIFAR-10's format."""

import hashlib
import html
import json
import re
import subprocess

import numpy as np
import yaml
from checkout import copy_sources
from odd_names import ODD_NAMES
from PIL import Image

from paper2board.acquire.datasets.cifar10 import RECORD_BYTES
from paper2board.acquire.examples import load_examples
from paper2board.bench.networks import build
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.configuration import load_yaml
from paper2board.new_study import Request, new_study
from paper2board.report.detection_figures import precision_recall
from paper2board.report.figures import confusion_matrix
from paper2board.study.schema import Config

NAMES = (
    "Pepper,_bell___healthy",
    *ODD_NAMES,
    "??'",
    "\\n $HOME %s $x$",
)
"""Of classes, and of their folders: all that a file system takes."""
NO_FOLDERS = ("??/", "*/ x", "_x")
"""What no folder can be called."""
OWN = {
    "title": "My network",
    "dataset": "shapes-2",
    "board": "esp32-wroom",
    "validation_per_class": 1,
    "calibration_images": 5,
    "budgets": {"smoke": {"test_images": 10, "parity_images": 10, "seeds": [0], "device_images": 10}},
    "variants": {"model": {"tflite": "{mine}, 'my' net.tflite"}},
    "device_variant": "model",
    "period_s": 60,
}


def compiled_names(header, folder):
    """The names of classes that a C compiler finds in a model.h, trigraphs and all."""
    (definition,) = re.findall(r"^#define P2B_CLASSES .*$", header.read_text(), re.MULTILINE)
    program = f"#include <stdio.h>\n{definition}\nstatic const char *const names[] = {{P2B_CLASSES}};\n"
    loop = "for (unsigned i = 0; i < sizeof names / sizeof *names; i++) puts(names[i]);"
    program += f"int main(void) {{ {loop} return 0; }}\n"
    (folder / "names.c").write_text(program)
    command = ["gcc", "-std=c99", "-Wall", "-Werror", "-o", folder / "names", folder / "names.c"]
    subprocess.run(command, check=True)
    return tuple(subprocess.check_output([folder / "names"]).decode().splitlines())


def test_a_second_set_in_cifar10s_format_with_any_names_of_classes(tmp_path, monkeypatch):
    names = (*NAMES[:6], NAMES[9], *NO_FOLDERS)
    checkout = copy_sources(tmp_path / "checkout")
    folder, files = tmp_path / "my mirror, {a}", []
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, split, images in (("a.bin", "train", 30), ("b.bin", "train", 10), ("c.bin", "test", 10)):
        records = rng.integers(0, 256, (images, RECORD_BYTES), dtype=np.uint8)
        records[:, 0] = np.arange(images) % 10
        (folder / name).write_bytes(records.tobytes())
        sha1 = hashlib.sha1(records.tobytes()).hexdigest()
        files.append({"name": name, "split": split, "images": images, "sha1": sha1})
    dataset = {"name": "shapes-2", "kind": "cifar10", "classes": list(names), "files": files}
    dataset["sources"] = [{"kind": "mirror", "environment": "MY_SHAPES"}]
    text = yaml.safe_dump(dataset, allow_unicode=True)
    (checkout.folder / "config/datasets/shapes-2.yaml").write_text(text)
    (checkout.folder / "config/studies/mine.yaml").write_text(yaml.safe_dump(OWN))
    (checkout.folder / OWN["variants"]["model"]["tflite"]).write_bytes(write_flatbuffer(build("deployed")))
    monkeypatch.setenv("MY_SHAPES", str(folder))
    monkeypatch.setenv("PAPER2BOARD_CACHE", str(tmp_path / "cache"))
    # Beside the set of the other studies: each has its own rule.
    checkout.edit("config/config.yaml", "[esp32-wroom-cifar10]", "[esp32-wroom-cifar10, mine]")
    header = "build/mine/smoke/s0/model.int8-imported/mac16/model.h"
    checkout.snakemake(header, "data/mine/smoke/splits.npz")
    delivered = checkout.folder / "data/shapes-2"
    assert (delivered / "c.bin").read_bytes() == (folder / "c.bin").read_bytes()
    assert not (checkout.folder / "data/cifar10").exists()
    with np.load(checkout.folder / "data/mine/smoke/splits.npz") as splits:
        assert len(splits["validation"]) == 10 and len(splits["train"]) == 30
    assert compiled_names(checkout.folder / header, tmp_path) == names
    output = checkout.snakemake("-n", "report")
    assert "download_shapes-2" not in output and "download_cifar10" in output


def test_from_folders_with_any_names_to_prepared_images_and_the_plan(tmp_path, monkeypatch):
    checkout = copy_sources(tmp_path / "checkout")
    monkeypatch.chdir(checkout.folder)
    images = tmp_path / 'it\'s {my}, "own"  <images> [1] 名前 %s $HOME'
    rng = np.random.default_rng(0)
    for label in NAMES:
        folder = images / ("n\u0303andu\u0301" if label == "ñandú" else label)
        folder.mkdir(parents=True)
        for name in ("{x}", "a, b", "it's", '"q"', "*", "yes", "\\n", "%s", "[0]", "é"):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.png")
    new_study(Request("mine", images=images, input=(3, 16, 16), add=True))
    assert load_yaml("config/config.yaml", Config).studies[-1] == "mine"
    only = ("--config", "studies=[mine]")
    checkout.snakemake("data/mine/test.safetensors", "data/mine/smoke/splits.npz", *only)
    examples = load_examples(["data/mine/train.safetensors"])
    assert sorted(examples.names(())) == sorted(NAMES)
    assert len(examples) == 80
    output = checkout.snakemake("-n", "report", *only)
    assert "prepare_dataset" not in output and "train_network" in output
    (images / NAMES[0] / "{x}.png").write_bytes((images / NAMES[1] / "[0].png").read_bytes())
    assert "prepare_dataset" in checkout.snakemake("-n", "report", *only), "a changed picture is noticed"


def texts(svg):
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", svg)]


def test_figures_show_names_as_they_are(tmp_path):
    names = (*NAMES, *NO_FOLDERS, "$\\foo$", "a\\$", "_legends leave this out")
    path = tmp_path / "x.json"
    matrix = np.eye(len(names), dtype=int).tolist()
    path.write_text(json.dumps({"variant": "v", "classes": names, "matrix": matrix, "counted": "images"}))
    shown = texts(confusion_matrix(path).svg)
    assert [shown.count(name) for name in names] == [2] * len(names)
    curves = {name: [1.0] * 101 for name in names}
    path.write_text(json.dumps({"device": "v.int8", "networks": {"v.int8": [1.0] * 101}, "classes": curves}))
    shown = texts(precision_recall(path).svg)
    assert [shown.count(name) for name in names] == [1] * len(names)
