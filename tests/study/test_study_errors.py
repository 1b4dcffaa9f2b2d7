"""What is wrong in a study is said in one sentence: file, key, remedy."""

import copy
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from messages import naming

from paper2board.acquire.datasets.registry import read_dataset
from paper2board.acquire.datasets.scenes import ScenesDataset
from paper2board.acquire.datasets.table import TableDataset
from paper2board.core import configuration
from paper2board.core.errors import UserError
from paper2board.networks.spec import NetworkSpec
from paper2board.study.checks import check_budget, check_images, check_inputs, check_labels, check_outputs
from paper2board.study.schema import Config, load_study
from paper2board.tasks.registry import TASKS
from paper2board.tasks.training import training_task

ROOT = Path(__file__).parents[2]
LAYERS = [
    {"name": "conv1", "op": "conv", "out": 8},
    {"name": "pool", "op": "average_pool"},
    {"name": "flatten", "op": "flatten"},
    {"name": "classifier", "op": "linear", "out": 3},
]
HEADS = [
    {"name": "stem", "op": "conv", "out": 8, "stride": 2},
    {"name": "bbox", "op": "conv", "out": 4, "kernel": 1},
    {"name": "rest", "op": "conv", "out": 4, "kernel": 1, "source": "stem"},
    {"name": "heads", "op": "concat", "others": ["bbox"]},
]
POOLED = [
    layer
    for index in range(1, 5)
    for layer in (
        {"name": f"conv{index}", "op": "conv", "out": 8},
        {"name": f"pool{index}", "op": "max_pool"},
    )
]
STUDY = {
    "title": "A study",
    "dataset": "fruit-3",
    "board": "esp32-wroom",
    "validation_per_class": 5,
    "calibration_images": 10,
    "budgets": {"standard": {}, "full": {}},
    "networks": {
        "own": {"input": [3, 48, 64], "layers": LAYERS},
        "grid": {"input": [3, 48, 64], "layers": HEADS},
    },
    "recipes": {"scratch": {"epochs": {"standard": 10, "full": 60}, "learning_rate": 0.1}},
    "variants": {
        "teacher": {"network": "own", "recipe": "scratch"},
        "student": {"network": "own", "recipe": "scratch", "distillation": {"teacher": "teacher"}},
        "pruned": {"parent": "student", "prune": {"conv1": 0.25}},
        "detector": {"network": "grid", "recipe": "scratch", "task": "detection"},
    },
    "quantization": {"schemes": {"int8-ptq": ["student"]}},
    "device_variant": "student",
    "period_s": 60,
}
REMOVED = "removed"
SSD = {"ssd": "mobilenet-v2", "pretrained": "mobilenet-v2", "recipe": "scratch"}
SSD_STUDENT = {
    "network": "grid",
    "recipe": "scratch",
    "task": "detection",
    "distillation": {"teacher": "ssd"},
}
OTHER = {"input": [3, 24, 32], "layers": HEADS}
"""As grid, but for smaller images."""


def write(folder, edits):
    """Write the study with values at dotted keys exchanged or removed; return its path."""
    study = copy.deepcopy(STUDY)
    for key, value in edits.items():
        *way, last = [int(part) if part.isdigit() else part for part in key.split(".")]
        place = study
        for part in way:
            place = place[part]
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def three_classes(count=3):
    return SimpleNamespace(name="fruit-3", classes=tuple("abcdefgh"[:count]))


def refused(path, parts, call, *arguments):
    """Check that a call is refused in one sentence that begins with the file and names the parts."""
    with pytest.raises(UserError, match=naming(*parts)) as raised:
        call(*arguments)
    text = str(raised.value)
    assert re.match(rf"{re.escape(str(path))}(:\d+)?: ", text), text
    assert text.count("; ") == 1 or "; there are " in text, "no remedy, or two"


LAYER = "networks.own.layers"


@pytest.mark.parametrize(
    ("edits", "parts"),
    [
        # unknown and missing keys
        ({"calibration_image": 9}, ("unknown key calibration_image", "remove it or correct its spelling")),
        (
            {"calibration_images": REMOVED, "calibration_image": 9},
            ("unknown key calibration_image", "did you mean calibration_images?"),
        ),
        (
            {"recipes.scratch.xyz": 1},
            ("unknown key recipes.scratch.xyz", "remove it or correct its spelling"),
        ),
        (
            {"recipes.scratch.batchsize": 1},
            ("unknown key recipes.scratch.batchsize", "did you mean batch_size?"),
        ),
        (
            {f"{LAYER}.0": {"name": "a", "op": "depthwise", "kernal": 3}},
            ("unknown key networks.own.layers.0.kernal", "did you mean kernel?"),
        ),
        (
            {"variants.student.distillation.teachr": "x", "variants.student.distillation.teacher": REMOVED},
            ("unknown key variants.student.distillation.teachr", "did you mean teacher?"),
        ),
        (
            {f"{LAYER}.0": {"name": "a", "op": "flatten", "out": 3}},
            ("unknown key networks.own.layers.0.out", "remove it or correct its spelling"),
        ),
        ({"title": REMOVED}, ("title is missing", "add it")),
        (
            {"recipes.scratch.learning_rate": REMOVED},
            ("recipes.scratch", "learning_rate is missing", "add it"),
        ),
        ({f"{LAYER}.0.out": REMOVED}, ("networks.own.layers.0 (conv1)", "out is missing", "add it")),
        ({f"{LAYER}.0": {"op": "conv", "out": 3}}, ("networks.own.layers.0", "name is missing", "add it")),
        ({f"{LAYER}.0.op": REMOVED}, ("networks.own.layers.0", "op is missing", "add it")),
        (
            {f"{LAYER}.3.op": "conv2d"},
            (
                "networks.own.layers.3",
                "there are conv, depthwise, max_pool, average_pool, flatten, dropout, linear, add, concat",
            ),
        ),
        # names
        (
            {"variants.my_net": {"network": "own", "recipe": "scratch"}},
            ("variants", "use lower-case letters, digits and hyphens"),
        ),
        (
            {"variants.teacher.recipe": "From_Scratch"},
            ("variants.teacher.recipe", "use lower-case letters, digits and hyphens"),
        ),
        (
            {f"{LAYER}.0.name": "Conv-1"},
            ("networks.own.layers.0.name", "use lower-case letters, digits and underscores, a letter first"),
        ),
        (
            {"variants.student.distillation.teacher": "techer"},
            ("variants.student.distillation.teacher", "there are teacher, student, pruned, detector"),
        ),
        (
            {"variants.teacher.network": "won"},
            ("variants.teacher.network", "there are own, grid"),
        ),
        # A parent further down that has a fault of its own.
        (
            {
                "variants.student": {"parent": "detector", "recipe": "scratch"},
                "variants.detector.network": "x",
            },
            ("variants.detector.network", "there are own, grid"),
        ),
        # values
        (
            {"variants.pruned.prune": 20},
            ("variants.pruned.prune", "correct this value"),
        ),
        (
            {"variants.pruned.prune.conv1": 20},
            ("variants.pruned.prune.conv1", "correct this value"),
        ),
        (
            {"recipes.scratch.epochs": 10},
            ("recipes.scratch.epochs", "correct this value"),
        ),
        (
            {"recipes.scratch.epochs.smok": 10},
            ("recipes.scratch.epochs", "choose among smoke, standard, full"),
        ),
        (
            {"task": "clasification"},
            ("task", "'clasification'", f"choose among {', '.join(TASKS)}"),
        ),
        ({"period_s": -1}, ("period_s", "correct this value")),
        (
            {"quantization": "int8-ptq"},
            ("quantization", "correct this value"),
        ),
        (
            {"networks.own.input": "3x48x64"},
            ("networks.own.input", "correct this value"),
        ),
        (
            {"networks.own.input": [48, 64, 3]},
            ("networks.own", "write [3, 48, 64]"),
        ),
        (
            {"networks.own.input": [4, 48, 64]},
            ("networks.own", "write [3, 48, 64]"),
        ),
        # what belongs together
        (
            {"variants.teacher.parent": "student"},
            ("variants.teacher", "keep one"),
        ),
        (
            {"variants.teacher.recipe": REMOVED},
            ("variants.teacher", "add one"),
        ),
        (
            {"variants.teacher.network": REMOVED},
            ("variants.teacher", "add one"),
        ),
        (
            {"variants.pruned.recipe": "scratch"},
            ("variants.pruned", "keep one and put the other into a variant of its own"),
        ),
        (
            {
                "variants.teacher": {"parent": "student", "recipe": "scratch"},
                "variants.student": {"parent": "teacher", "recipe": "scratch"},
            },
            ("variants.teacher", "give one of them a network"),
        ),
        (
            {"budgets.smoke": {"device_images": 10}},
            ("recipes.scratch.epochs lacks smoke, which budgets has", "add it"),
        ),
        (
            {"recipes.scratch.epochs": {}},
            ("recipes.scratch.epochs lacks standard, full, which budgets has", "add them"),
        ),
        (
            {"variants.pruned.prune": {"classifier": 0.2}},
            ("variants.pruned.prune", "prune other layers"),
        ),
        (
            {"variants.pruned": {"parent": "detector", "prune": {"stem": 0.2, "bbox": 0.2}}},
            ("variants.pruned.prune", "prune other layers"),
        ),
        (
            {"variants.pruned.prune": {"flatten": 0.2}},
            ("variants.pruned.prune", "there are conv1, classifier"),
        ),
    ],
    ids=lambda value: re.sub(r"[^a-z0-9_. -]", "", str(value))[:50],
)
def test_it_is_refused_with_a_remedy(tmp_path, edits, parts):
    path = write(tmp_path, edits)
    refused(path, parts, load_study, path)


def test_an_empty_file_is_no_study(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("")
    refused(path, ("is empty", "write keys with values"), load_study, path)


def test_a_budget_that_the_study_lacks(tmp_path):
    path = write(tmp_path, {})
    study = load_study(path)
    check_budget(study, path, "standard")
    parts = ("budgets has no smoke", "standard, full", "choose another budget")
    refused(path, parts, check_budget, study, path, "smoke")


@pytest.mark.parametrize(
    ("edits", "classes", "parts"),
    [
        (
            {},
            5,
            ("networks.own", "correct out of classifier"),
        ),
        (
            {f"{LAYER}.3": {"name": "last", "op": "conv", "source": "pool", "out": 3}},
            3,
            ("networks.own", "end in a flatten and a linear layer with out: 3"),
        ),
        (
            {"networks.grid.layers.2.out": 5},
            3,
            ("networks.grid", "correct out of rest or bbox"),
        ),
        (
            {"variants.detector.task": "centroids"},
            3,
            ("networks.grid", "correct out of rest or bbox"),
        ),
        (
            {"variants.detector.network": "own"},
            3,
            ("networks.own", "end in a conv with kernel: 1 and out: 8, without flatten"),
        ),
        (
            {"variants.detector": {"network": "own", "recipe": "scratch", "task": "centroids"}},
            3,
            ("networks.own", "end in a conv with kernel: 1 and out: 4, without flatten"),
        ),
        # Four poolings of 56 rows leave 3 of 3.5 cells.
        *(
            (
                {
                    "networks.grid": {"input": [3, 56, 64], "layers": [*POOLED, {**HEADS[1], "out": out}]},
                    "variants.detector.task": task,
                },
                3,
                ("networks.grid", "make both sides of the input multiples of its stride"),
            )
            for task, out in (("detection", 8), ("centroids", 4))
        ),
    ],
)
def test_networks_with_another_output_than_their_task_needs(tmp_path, edits, classes, parts):
    path = write(tmp_path, edits)
    refused(path, parts, check_outputs, load_study(path), path, three_classes(classes))


def test_networks_with_the_output_that_their_task_needs(tmp_path):
    path = write(tmp_path, {})
    check_outputs(load_study(path), path, three_classes())


@pytest.mark.parametrize("task", ["detection", "centroids"])
@pytest.mark.parametrize("layers", ["strided", "pooled"])
@pytest.mark.parametrize(
    ("shape", "taken"),
    [
        ((64, 80), "both"),
        ((120, 160), "strided"),
        ((90, 90), "both"),
        ((97, 33), "pooled"),
        ((128, 127), "strided"),
    ],
)
def test_only_cells_that_reach_every_edge_are_taken(tmp_path, task, layers, shape, taken):
    strided = [{"name": f"conv{i}", "op": "conv", "out": 8, "stride": 2} for i in range(1, 5)]
    last = {**HEADS[1], "out": 8 if task == "detection" else 4}
    body = strided if layers == "strided" else POOLED
    network = {"input": [3, *shape], "layers": [*body, last]}
    path = write(tmp_path, {"networks.grid": network, "variants.detector.task": task})
    study = load_study(path)
    if taken not in ("both", layers):
        refused(path, ("one stride apart",), check_outputs, study, path, three_classes())
        return
    check_outputs(study, path, three_classes())
    spec = study.networks["grid"]
    task_part = training_task(task, spec.input, spec.output)
    stride = task_part.stride if task == "centroids" else task_part.grid.stride
    assert spec.output[1] * stride >= shape[0] and spec.output[2] * stride >= shape[1]


# --- the data set's boxes and images --------------------------------------------------------------------


def scenes(width=64, height=48):
    return ScenesDataset(
        name="fruit-3",
        kind="scenes",
        of="cifar10",
        size_px=(width, height),
        train=9,
        test=9,
        recipe={"side_px": [16, 20]},
    )


@pytest.mark.parametrize(
    ("edits", "name", "task"),
    [
        ({}, "detector", "detection"),
        ({"variants.detector.task": "centroids"}, "detector", "centroids"),
        ({"task": "centroids"}, "teacher", "centroids"),
        ({"task": "detection"}, "teacher", "detection"),
    ],
)
def test_boxes_are_asked_of_data_that_have_them(tmp_path, edits, name, task):
    path = write(tmp_path, edits)
    study = load_study(path)
    check_labels(study, path, scenes())
    cifar10 = read_dataset(ROOT / "config/datasets/cifar10.yaml")
    for kind in ("cifar10", "folders"):
        dataset = cifar10.model_copy(update={"kind": kind})
        parts = (
            f"variants.{name}",
            f"{task} is learned from boxes",
            f"kind {kind}",
            "of kind scenes or boxes",
        )
        refused(path, parts, check_labels, study, path, dataset)


def test_classifiers_ask_for_no_boxes(tmp_path):
    path = write(tmp_path, {"variants.detector": REMOVED, "networks.own.input": [3, 20, 20]})
    check_labels(load_study(path), path, read_dataset(ROOT / "config/datasets/cifar10.yaml"))


def of_another_size(network, student):
    return f"networks.{network}", "[3, 24, 32]", f"grid of {student}", "write input: [3, 48, 64]"


@pytest.mark.parametrize(
    ("edits", "parts"),
    [
        ({}, None),
        # A student of another size; a rival of another size is none.
        ({"variants.student-2": {**SSD_STUDENT, "network": "other"}}, of_another_size("other", "student-2")),
        ({"variants.rival": {**SSD_STUDENT, "network": "other", "distillation": None}}, None),
        # Quantization-aware training is distillation too.
        (
            {
                "variants.late": {"network": "other", "recipe": "scratch", "task": "detection"},
                "quantization": {
                    "schemes": {"int8-ptq": ["student"], "int8-qat": ["late"]},
                    "qat_recipe": "scratch",
                    "distillation": {"teacher": "ssd"},
                },
            },
            of_another_size("other", "late"),
        ),
        # Without a student it answers on the first detector's grid, or the device's.
        (
            {"variants.ssd-student.distillation": None, "variants.detector.network": "other"},
            of_another_size("other", "detector"),
        ),
        (
            {
                "variants.ssd-student.distillation": None,
                "variants.detector.network": "other",
                "device_variant": "ssd-student",
                "quantization": {"schemes": {"int8-ptq": ["ssd-student"]}},
            },
            None,
        ),
    ],
)
def test_an_ssds_students_take_the_images_as_they_are(tmp_path, edits, parts):
    path = write(
        tmp_path, {"networks.other": OTHER, "variants.ssd": SSD, "variants.ssd-student": SSD_STUDENT} | edits
    )
    study = load_study(path)
    if parts is None:
        check_images(study, path, scenes())
    else:
        refused(path, parts, check_images, study, path, scenes())


@pytest.mark.parametrize(
    ("edits", "parts"),
    [
        ({}, ["networks.own", "[3, 48, 64]", "air", "write input: [1, 4, 1]"]),
        ({"networks.own.input": [1, 4, 1]}, ["recipes.scratch", "air", "crop_padding: 0 and flip: false"]),
    ],
)
def test_rows_of_numbers_are_neither_resized_nor_augmented(tmp_path, edits, parts):
    table = {
        "name": "air",
        "kind": "table",
        "path": "x",
        "target": "y",
        "unit": "1",
        "features": list("abcd"),
    }
    dataset = TableDataset.model_validate(table)
    common = {"variants.detector": REMOVED, "variants.pruned": REMOVED, "networks.own.layers": LAYERS[2:]}
    path = write(tmp_path, common | edits)
    with pytest.raises(UserError, match=naming("s.yaml", *parts)):
        check_inputs(load_study(path), path, dataset)
    refused(path, ("table",), check_labels, load_study(path), path, dataset)
    recipe = {
        "recipes.scratch.crop_padding": 0,
        "recipes.scratch.flip": False,
        "networks.own.input": [1, 4, 1],
    }
    path = write(tmp_path, common | recipe)
    check_inputs(load_study(path), path, dataset)


def test_an_ssd_sees_no_grey_students(tmp_path):
    grey = {"networks.grid.input": [1, 48, 64], "variants.ssd": SSD, "variants.ssd-student": SSD_STUDENT}
    path = write(tmp_path, grey)
    refused(path, ("its input is [1, 48, 64]",), check_images, load_study(path), path, scenes())


@pytest.mark.parametrize("path", sorted((ROOT / "config/studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_of_this_project_are_sound(path):
    study = load_study(path)
    for budget in ("smoke", "standard", "full"):
        check_budget(study, path, budget)
    dataset = read_dataset(ROOT / f"config/datasets/{study.dataset}.yaml")
    check_labels(study, path, dataset)
    check_inputs(study, path, dataset)
    check_images(study, path, dataset)
    check_outputs(study, path, dataset)


def test_classes_that_folders_give_are_counted(tmp_path):
    for name in "abcd":
        (tmp_path / "images/train" / name).mkdir(parents=True)
    text = {"name": "own", "kind": "folders", "path": str(tmp_path / "images")}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(text))
    path = write(tmp_path, {})
    dataset = read_dataset(tmp_path / "own.yaml")
    parts = ("networks.own", "classification on own needs 4 values")
    refused(path, parts, check_outputs, load_study(path), path, dataset)


def test_the_patterns_of_names_are_those_in_use():
    schemas = [str(model.model_json_schema()) for model in (Config, NetworkSpec)]
    assert all(any(repr(pattern) in text for text in schemas) for pattern in configuration._NAMES)
