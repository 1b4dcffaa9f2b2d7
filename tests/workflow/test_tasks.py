"""Detection and centroids through the whole journey, in studies small enough for a test."""

import json

import numpy as np
import pytest
import yaml
from checkout import copy_sources

from paper2board.train.mobilenet_cut import cut_spec

SCENES = {
    "name": "few-scenes",
    "kind": "scenes",
    "of": "cifar10",
    "train": 150,
    "test": 30,
    "recipe": {"objects": [1, 3], "side_px": [40, 76]},
}
COMMON = {
    "dataset": "few-scenes",
    "board": "esp32-cam",
    "validation_per_class": 1,
    "calibration_images": 20,
    "budgets": {"smoke": {"seeds": [0], "parity_images": 5, "device_images": 10}},
    "engines": ["mac16"],
    "engine": "mac16",
    "device_variant": "model",
    "period_s": 60,
}
RECIPE = {"epochs": {"smoke": 1}, "learning_rate": 0.02, "batch_size": 32, "crop_padding": 0}
HEADS = {"op": "conv", "kernel": 1, "out": 15, "batch_norm": False, "activation": "none"}
DETECTOR = COMMON | {
    "title": "A detector",
    "task": "detection",
    "networks": {
        "tiny": {
            "input": [3, 120, 160],
            "layers": [
                *({"name": f"conv{i}", "op": "conv", "out": 8, "stride": 2} for i in range(1, 5)),
                {"name": "heads", **HEADS},
            ],
        }
    },
    "recipes": {"short": RECIPE},
    "variants": {
        "teacher": {"ssd": "mobilenet-v2", "pretrained": "mobilenet-v2", "recipe": "short"},
        "model": {"network": "tiny", "recipe": "short", "distillation": {"teacher": "teacher"}},
    },
    "quantization": {"schemes": {"int8-ptq": ["model"], "int8-qat": ["model"]}, "qat_recipe": "short"},
    "magnitude_pruning": {"model": [0.3]},
    "comparisons": {"quantization": ["model.fp32", "model.int8"]},
    "scenarios": ["unchanged", "low-light"],
}


def cut(head):
    return json.loads(cut_spec((3, 32, 32), 10, head=head).model_dump_json())


FOMO = COMMON | {
    "title": "Centres",
    "task": "centroids",
    "networks": {"centres": cut("cells"), "whole": cut("classifier")},
    "recipes": {"short": RECIPE},
    "variants": {
        "model": {"network": "centres", "recipe": "short", "pretrained": "mobilenet-v2"},
        "whole": {
            "network": "whole",
            "recipe": "short",
            "pretrained": "mobilenet-v2",
            "task": "classification",
        },
    },
    "quantization": {"schemes": {"int8-ptq": ["model"]}},
    "cross_validation": {"variant": "whole", "folds": 3, "repeats": 1, "epochs": 2},
}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """The evidence of both studies' reports after one run."""
    checkout = copy_sources(tmp_path_factory.mktemp("tasks"))
    for name, content in {
        "datasets/few-scenes": SCENES,
        "studies/boxes": DETECTOR,
        "studies/centres": FOMO,
    }.items():
        (checkout.folder / f"config/{name}.yaml").write_text(yaml.safe_dump(content))
    checkout.edit("config/config.yaml", "studies: [esp32-wroom-cifar10]", "studies: [boxes, centres]")
    checkout.snakemake("report")
    reports = checkout.folder.glob("results/*/smoke/report/report.json")
    return {path.parts[-4]: json.loads(path.read_text())["evidence"] for path in reports}


@pytest.mark.parametrize("study", ["boxes", "centres"])
def test_every_form_of_the_network_gives_the_same_cells(evidence, study):
    parity = {
        name.removeprefix("parity.model."): item["value"]
        for name, item in evidence[study].items()
        if name.startswith("parity.model.")
    }
    pairs = ("simulation-vs-tflm", "simulation-vs-c", "tflm-vs-c", "device-vs-tflm", "emulated-vs-tflm")
    assert parity == dict.fromkeys(pairs, 0)


def test_the_device_finds_the_boxes_that_python_finds(evidence):
    boxes = evidence["boxes"]["device.mac16.boxes-vs-python"]
    assert boxes["value"] == 0 and boxes["n"] == 10 and boxes["kind"] == "emulated"


def test_a_detector_is_judged_with_intervals(evidence):
    metrics = evidence["boxes"]
    names = [f"map50.{name}" for name in ("teacher.fp32", "model.fp32", "model.int8-ptq", "model.int8")]
    names += [f"scenario.{name}.map50" for name in ("unchanged", "low-light")]
    for name in [*names, "gain.quantization", "magnitude-pruning.model.30.map50"]:
        low, high = metrics[name]["interval"]
        assert low <= metrics[name]["value"] <= high, name
    assert np.isclose(
        metrics["scenario.unchanged.map50"]["value"], metrics["map50.model.int8"]["value"], atol=3
    )
    assert metrics["compare.model.latency"]["kind"] == "modelled"
    assert metrics["arena.model.streamed"]["value"] < metrics["arena.model.layer-by-layer"]["value"]


def test_centres_and_classes_live_in_one_study(evidence):
    metrics = evidence["centres"]
    assert {"f1.model.fp32", "f1.model.int8", "accuracy.whole.fp32"} <= set(metrics)
    assert "accuracy.model.fp32" not in metrics and "f1.whole.fp32" not in metrics
    assert metrics["cross-validation.whole.accuracy"]["n"] == 180
