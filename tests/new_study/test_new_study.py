import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from messages import naming
from PIL import Image

from paper2board import cli
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.acquire.prepare.folders import read_folders
from paper2board.core.errors import UserError
from paper2board.networks.spec import NetworkSpec
from paper2board.new_study.networks import prunable, residual_network, small_network
from paper2board.report.catalogue import read_catalogue
from paper2board.report.claims import read_ledger
from paper2board.report.tables import read_tables
from paper2board.study.schema import Study, load_study

ROOT = Path(__file__).parents[2]
MODULE = """
from torch import nn
from helper import CLASSES

class Net(nn.Module):
    def __init__(self, classes=CLASSES):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.depthwise = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.ReLU6(), nn.Conv2d(12, 12, 1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(12, classes))

    def forward(self, x):
        x = self.body(x)
        return self.head(x + self.depthwise(x))

class Ten(Net):
    def __init__(self):
        super().__init__(10)

class Dilated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=2, dilation=2)

    def forward(self, x):
        return self.conv(x)

class Needs(Net):
    def __init__(self, width):
        super().__init__()

class Leaves(Net):
    def __init__(self):
        import os
        os.chdir("/")
        os._exit(0)

class Normed(Ten):
    def __init__(self):
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.body[0])
        nn.utils.prune.l1_unstructured(self.head[3], "weight", 0.5)

NOT_A_CLASS = 3

def number():
    return 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout's configuration, as working folder."""
    for name in ("config", "reports/metrics", "reports/tables"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    Path("nets/net.py").write_text(MODULE)
    Path("nets/helper.py").write_text("CLASSES = 3\n")
    return tmp_path


def draw_images(where, count, classes=("apple", "banana", "cherry")):
    rng = np.random.default_rng(len(classes))
    for name in classes:
        (Path(where) / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path(where) / name / f"{number}.png")


def run(capsys, *arguments):
    status = cli.main(["new-study", *arguments])
    text = capsys.readouterr()
    return status, text.out if status == 0 else text.err


def written():
    return {path.relative_to(".").as_posix() for path in Path().rglob("*.yaml")}


def validated(name):
    """The study, all of whose files are sound."""
    study = load_study(f"config/studies/{name}.yaml")
    tables = read_tables(
        f"reports/tables/{study.claims}.yaml",
        read_ledger(f"config/claims/{study.claims}.yaml"),
        read_catalogue("reports/metrics"),
    )
    assert {table.id for table in tables} >= {"network", "parity", "engines", "energy"}
    return study


# --- what is written ----------------------------------------------------------------------------------


def test_without_options_it_is_a_small_network_on_cifar10(folder, capsys):
    before, config = written(), Path("config/config.yaml").read_text()
    status, text = run(capsys, "mine")
    assert status == 0
    new = {"config/studies/mine.yaml", "config/claims/mine.yaml", "reports/tables/mine.yaml"}
    assert written() - before == new
    assert all(f"wrote {path}" in text for path in new)
    assert "studies: [esp32-wroom-cifar10" in text and Path("config/config.yaml").read_text() == config
    assert text.index("budget=smoke") < text.index("snakemake --cores 2 report --config 'studies=[mine]'  ")
    study = validated("mine")
    assert study.networks["own"] == small_network((3, 32, 32), 10)
    assert {name: variant.kind for name, variant in study.variants.items()} == {
        "teacher": "trained",
        "scratch": "trained",
        "student": "distilled",
        "pruned": "pruned",
        "deployed": "fine-tuned",
    }
    assert dict(study.released())["deployed"] == "int8-qat"


def test_a_folder_of_images_and_a_module_of_one_s_own(folder, capsys):
    draw_images("fruit", 20)
    status, text = run(
        capsys, "fruit-2", "--images", "fruit", "--module", "nets/net.py:Net", "--input", "3x16x24"
    )
    assert status == 0
    assert "images: 48 to train and validate on, 12 to test on" in text
    dataset = read_dataset("config/datasets/fruit-2.yaml")
    assert dataset.classes == ("apple", "banana", "cherry") and dataset.size_px == (24, 16)
    assert dataset.test_share == 0.2
    study = validated("fruit-2")
    own = study.networks["own"]
    assert [layer.op for layer in own.layers].count("depthwise") == 1 and own.input == (3, 16, 24)
    assert own.shapes()[own.layers[-1].name] == (3,)
    # body.0 and depthwise.2 meet in the sum, the last layer has the classes: nothing is left to prune.
    assert "pruned" not in study.variants and study.variants["deployed"].parent == "student"
    smoke = study.budgets["smoke"]
    assert smoke.training_images + 3 * study.validation_per_class == 48 and smoke.test_images == 12
    assert study.calibration_images <= smoke.training_images
    assert study.recipes["scratch"].epochs["standard"] * 6 >= 900


def test_a_module_with_computed_weights_is_read_and_noted(folder, capsys):
    status, text = run(capsys, "normed", "--module", "nets/net.py:Normed")
    assert status == 0 and text.count("its weights are computed from others") == 1
    assert "note: Normed.body.0, Normed.head.3:" in text
    assert validated("normed").networks["own"].output == (10,)


def test_images_that_are_split_already_stay_split(folder, capsys):
    draw_images("fruit/train", 6)
    draw_images("fruit/test", 4)
    status, text = run(capsys, "split", "--images", "fruit", "--input", "1x32x32")
    assert status == 0 and "18 to train and validate on, 12 to test on" in text
    assert read_dataset("config/datasets/split.yaml").test_share is None
    assert validated("split").networks["teacher"].input == (1, 32, 32)


def test_counts_of_a_drawn_split_are_the_preparation_s(folder, capsys):
    draw_images("fruit", 23)
    draw_images("fruit", 7, ["date"])
    status, text = run(capsys, "drawn", "--images", "fruit")
    assert status == 0
    drawn = read_folders(read_dataset("config/datasets/drawn.yaml"))
    assert f"images: {len(drawn['train'])} to train and validate on, {len(drawn['test'])} to test on" in text


def test_uneven_classes_are_told_with_their_counts(folder, capsys):
    draw_images("fruit", 10)
    draw_images("fruit", 50, ["date"])
    assert "note" not in run(capsys, "even", "--images", "fruit")[1]
    draw_images("fruit", 52, ["elder"])
    (line,) = [line for line in run(capsys, "uneven", "--images", "fruit")[1].splitlines() if "note:" in line]
    assert "(apple 8, banana 8, cherry 8, date 40, elder 42)" in line and "add images" in line
    for label in "fghijk":
        draw_images("fruit", 11, [label])
    assert (
        "(apple 8, banana 8, cherry 8, f 9, g 9, …, elder 42)" in run(capsys, "many", "--images", "fruit")[1]
    )


@pytest.mark.parametrize("layout", ["fruit", "fruit/train"])
def test_one_image_of_a_class_is_refused_and_nothing_written(folder, capsys, layout):
    draw_images(layout, 20)
    draw_images(layout, 1, ["date"])
    if layout != "fruit":
        draw_images("fruit/test", 4, ["apple", "banana", "cherry", "date"])
    before = written()
    status, text = run(capsys, "mine", "--images", "fruit")
    assert status and re.search(naming(f"{layout}/date", "one image alone", "add some"), text)
    assert written() == before and "Traceback" not in text


def test_the_example_s_network_with_other_classes(folder, capsys):
    draw_images("fruit", 20)
    status, _ = run(capsys, "small", "--images", "fruit", "--network-from-example", "--input", "3x48x32")
    assert status == 0
    example = load_study("config/studies/esp32-wroom-cifar10.yaml").networks["pooled"]
    own = validated("small").networks["own"]
    assert [layer.op for layer in own.layers] == [layer.op for layer in example.layers]
    assert own.input == (3, 48, 32) and own.widths() == example.widths() | {"fc2": 3}


def test_a_tflite_file_needs_no_training(folder, capsys):
    from paper2board.bench.networks import build
    from paper2board.convert.tflite_flatbuffer import write_flatbuffer

    Path("my net.tflite").write_bytes(write_flatbuffer(build("deployed")))
    status, text = run(capsys, "file", "--tflite", "my net.tflite")
    assert status == 0 and "parameters" not in text
    study = validated("file")
    assert study.trained == {} and study.variants["model"].tflite == "my net.tflite"


@pytest.mark.parametrize(
    "shape", [(3, 8, 8), (1, 9, 40), (3, 32, 32), (3, 96, 96), (3, 97, 161), (1, 1024, 8)]
)
@pytest.mark.parametrize("network", [small_network, residual_network])
def test_generated_networks_suit_every_input(network, shape):
    spec = network(shape, 7)
    assert spec.input == shape and spec.shapes()["fc"] == (7,)
    assert min(min(found[1:]) for found in spec.shapes().values() if len(found) == 3) >= 1


def test_what_sums_tie_together_and_the_output_are_not_pruned():
    assert prunable(small_network((3, 32, 32), 10)) == ["conv1", "conv2", "conv3"]
    assert prunable(residual_network((3, 32, 32), 10)) == ["block1_conv1", "block2_conv1", "block3_conv1"]
    heads = NetworkSpec.model_validate(
        {
            "input": (3, 8, 8),
            "layers": [
                {"name": "a", "op": "conv", "out": 8},
                {"name": "thin", "op": "conv", "out": 2},
                {"name": "each", "op": "depthwise"},
                {"name": "b", "op": "conv", "out": 8, "source": "a"},
                {"name": "both", "op": "concat", "others": ["each"]},
            ],
        }
    )
    assert prunable(heads) == ["a"]


# --- explanations -------------------------------------------------------------------------------------


def explained(text):
    """Every top-level key of a YAML text, with the comment above it, however many keys share one."""
    found, comment, fresh = {}, "", False
    for line in text.splitlines():
        if line.startswith("#"):
            comment = comment + line if fresh else line
            fresh = True
        elif line:
            fresh = False
            if key := re.match(r"([a-z_]+):", line):
                found[key[1]] = comment
                comment = ""
    return found


def test_every_key_of_the_study_is_explained(folder, capsys):
    assert run(capsys, "mine")[0] == 0
    text = Path("config/studies/mine.yaml").read_text()
    content = yaml.safe_load(text)
    comments = explained(text)
    assert comments.keys() == content.keys()
    assert all(len(comment) > 20 for comment in comments.values()), comments
    for key, part in {
        "budgets": content["budgets"]["smoke"],
        "recipes": content["recipes"]["scratch"],
        "variants": content["variants"]["student"] | content["variants"]["pruned"],
    }.items():
        assert [name for name in part if not re.search(rf"\b{name}\b", comments[key])] == []
    lines = text[text.index("\nquantization:") : text.index("\ndevice_variant:")].splitlines()
    before = {line.strip().split(":")[0]: above.strip() for above, line in itertools.pairwise(lines)}
    for name in content["quantization"].keys() - {"schemes"} | content["quantization"]["schemes"].keys():
        assert before[name].startswith("#"), name
    # What the template leaves out is named at least, but for what other kinds of study need.
    other = {"task", "scenarios", "cross_validation", "survey", "networks"}
    missing = [key for key in Study.model_fields if key not in text and key not in other]
    assert missing == []


def test_every_key_of_the_data_set_is_explained(folder, capsys):
    draw_images("fruit", 20)
    assert run(capsys, "mine", "--images", "fruit")[0] == 0
    comments = explained(Path("config/datasets/mine.yaml").read_text())
    assert comments.keys() == {"name", "kind", "path", "test_share", "seed", "size_px", "fit"}
    assert all(len(comment) > 20 for comment in comments.values()), comments


def test_the_ledger_s_example_is_a_ledger(folder, capsys):
    assert run(capsys, "mine")[0] == 0
    path = Path("config/claims/mine.yaml")
    assert read_ledger(path).claims == {}
    text = path.read_text()
    example = re.sub(r"(?m)^# ?", "", text[text.index("# constants:") : text.index("\nslides: []")])
    path.write_text(example)
    ledger = read_ledger(path)
    assert set(ledger.claims) == {"parameters", "size", "accuracy"}
    catalogue = read_catalogue("reports/metrics")
    assert all(claim.metric is None or claim.metric in catalogue for claim in ledger.claims.values())
    assert float(ledger.derived["size"].nominal) == 4 * 12.345


# --- --add --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("studies: [one]  # mine\n", "studies: [one, new]  # mine\n"),
        ("studies: [one, two,]\n", "studies: [one, two, new]\n"),
        ("studies: [\n  one,\n  two\n]\n", "studies: [\n  one,\n  two, new]\n"),
        ("studies:\n  # first\n  - one\n  - two\n", "studies:\n  # first\n  - new\n  - one\n  - two\n"),
        ("studies: [one, new]\n", "studies: [one, new]\n"),
    ],
)
def test_add_changes_one_list_and_nothing_else(folder, capsys, before, after):
    head, tail = "# How much.\nbudget: smoke\n\n", "\n# Threads.\ntraining_threads: 2\nmirror: null # none\n"
    path = Path("config/config.yaml")
    path.write_text(head + before + tail)
    status, text = run(capsys, "new", "--add")
    assert status == 0 and "added new to studies" in text
    assert path.read_text() == head + after + tail


def test_add_leaves_a_file_alone_that_it_does_not_understand(folder, capsys):
    before = written()
    text = "budget: smoke\nstudies: &them [one]  # a comment with [brackets]\ntraining_threads: 1\n"
    Path("config/config.yaml").write_text(text)
    status, message = run(capsys, "new", "--add")
    assert status == 1 and re.search(naming("config/config.yaml", "studies", "by hand"), message), message
    assert Path("config/config.yaml").read_text() == text and written() == before


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["esp32-wroom-cifar10"],
            ["config/studies/esp32-wroom-cifar10.yaml", "exists", "choose another name"],
        ),
        (["My_Study"], ["'My_Study'", "use lower-case letters"]),
        (["x", "--board", "esp33"], ["config/boards/esp33.yaml", "--board", "choose", "esp32-wroom"]),
        (["x", "--images", "nowhere"], ["--images", "nowhere", "put a folder"]),
        (["x", "--images", "one"], ["--images", "1 class folders", "add some"]),
        (["x", "--images", "half"], ["--images", "half", "train", "test", "add it"]),
        (["x", "--images", "few"], ["--images", "test images", "add"]),
        (["x", "--images", "single"], ["single/b", "one image alone", "add"]),
        (["x", "--images", "empty"], ["empty/b", "add"]),
        (["x", "--module", "nets/net.py"], ["--module", "nets/net.py", "write", "net.py:Net"]),
        (["x", "--module", "nowhere.py:Net"], ["--module", "nowhere.py", "correct the path"]),
        (["x", "--module", "nets/net.py:Nat"], ["nets/net.py", "Nat", "correct the name"]),
        (["x", "--module", "nets/net.py:NOT_A_CLASS"], ["nets/net.py", "NOT_A_CLASS", "correct the name"]),
        (["x", "--module", "nets/net.py:number"], ["nets/net.py:number", "torch.nn.Module"]),
        (["x", "--module", "nets/net.py:Needs"], ["Needs()", "'width'", "without arguments", "defaults"]),
        (["x", "--module", "nets/net.py:Leaves"], ["Leaves()", "SystemExit: 0", "without arguments"]),
        (["x", "--module", "nets/leaves.py:Net"], ["nets/leaves.py", "SystemExit: 3", "correct it"]),
        (
            ["x", "--module", "nets/interrupts.py:Net"],
            ["nets/interrupts.py", "KeyboardInterrupt", "correct it"],
        ),
        (["x", "--module", "nets/broken.py:Net"], ["nets/broken.py", "invalid syntax", "correct it"]),
        (["x", "--module", "nets/net.py:Net"], ["nets/net.py:Net", "3", "10 classes", "Linear"]),
        (["x", "--module", "nets/net.py:Dilated"], ["Dilated.conv", "dilation 2 × 2", "write dilation=1"]),
        (["x", "--module", "nets/net.py:Ten", "--input", "1x32x32"], ["body.0", "input"]),
        (
            ["x", "--network-from-example", "--input", "3x30x30"],
            ["--network-from-example", "--input 3x30x30", "aap", "multiple", "choose sides"],
        ),
        (["x", "--tflite", "nowhere.tflite"], ["nowhere.tflite", "cannot be read"]),
    ],
)
def test_refusals_say_what_to_do_and_leave_nothing_behind(folder, capsys, arguments, parts):
    draw_images("one", 20, ["a"])
    draw_images("half/train", 20)
    draw_images("few", 5, ["a", "b"])
    draw_images("single", 60, ["a"])
    draw_images("single", 1, ["b"])
    draw_images("empty", 60, ["a"])
    Path("empty/b").mkdir()
    Path("nets/broken.py").write_text("class Net(:\n")
    Path("nets/leaves.py").write_text("import sys\nsys.path.clear()\nsys.exit(3)\n")
    Path("nets/interrupts.py").write_text("raise KeyboardInterrupt\n")
    before = written()
    status, text = run(capsys, *arguments)
    assert status == 1 and re.search(naming(*parts), text), text
    assert len(text.splitlines()) == 1 and "; " in text
    assert written() == before


def test_it_is_called_in_a_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, text = run(capsys, "mine")
    assert status == 1 and re.search(naming("config/config.yaml", "call this in the checkout"), text), text


@pytest.mark.parametrize("value", ["32x32", "2x32x32", "3x4x32", "3x32x32x1", "axbxc"])
def test_an_input_is_channels_height_width(value, capsys):
    with pytest.raises(SystemExit):
        cli.main(["new-study", "mine", "--input", value])
    assert re.search(naming("--input", value, "channels", "height", "width"), capsys.readouterr().err)


def test_help_says_that_the_file_is_executed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["new-study", "--help"])
    assert "FILE.py is executed" in " ".join(capsys.readouterr().out.split())


# --- docs/new-study.md --------------------------------------------------------------------------------


def blocks(kind):
    return re.findall(rf"(?ms)^```{kind}\n(.*?)^```", (ROOT / "docs/new-study.md").read_text())


def test_the_document_s_example_is_what_the_command_does(folder, capsys):
    (script,) = [text for text in blocks("sh") if "Image.fromarray" in text]
    subprocess.run(["bash", "-e", "-c", script], check=True)
    Path("net.py").write_text(blocks("python")[0])
    (printed,) = [text for text in blocks("console") if "my-fruit --images" in text]
    command, _, wanted = printed.partition("\n")
    status, text = run(capsys, *command.removeprefix("$ paper2board new-study ").split())
    assert status == 0
    wanted_lines = [line for line in wanted.splitlines() if "to run it with the others" not in line]
    assert [line for line in text.splitlines() if "to run it with the others" not in line] == wanted_lines
    assert blocks("yaml")[0] in Path("config/studies/my-fruit.yaml").read_text()


def test_the_document_s_ledger_and_table_can_be_read(folder, capsys):
    _, claims, table = blocks("yaml")
    Path("claims.yaml").write_text(claims)
    Path("tables.yaml").write_text("tables:\n" + table)
    ledger = read_ledger("claims.yaml")
    assert float(ledger.derived["size"].nominal) == pytest.approx(15.116)
    (found,) = read_tables("tables.yaml", ledger, read_catalogue("reports/metrics"))
    assert found.id == "table-2"


LENET = """
from torch import nn

class LeNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 7 * 7, 10),
        )

class Swish(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
        )
"""


def test_the_document_s_refused_modules_are_refused_in_its_words(folder, capsys):
    Path("lenet.py").write_text(LENET)
    (printed,) = [text for text in blocks("console") if "lenet.py" in text]
    for command, wanted in zip(*[iter(printed.splitlines())] * 2, strict=True):
        status, text = run(capsys, *command.removeprefix("$ paper2board new-study ").split())
        assert status == 1 and text.strip() == wanted


def test_the_document_s_mistake_in_a_layer_s_name_is_reported_in_its_words(folder, capsys):
    Path("net.py").write_text(blocks("python")[0])
    draw_images("fruit", 30)
    options = ("--images", "fruit", "--module", "net.py:Net", "--input", "3x48x64")
    assert run(capsys, "my-fruit", *options)[0] == 0
    path = Path("config/studies/my-fruit.yaml")
    path.write_text(re.sub(r"prune: \{.*?\}", "prune: {stem_1: 0.2}", path.read_text(), count=1))
    with pytest.raises(UserError) as error:
        load_study(path)
    assert str(error.value) in (ROOT / "docs/new-study.md").read_text().splitlines()
