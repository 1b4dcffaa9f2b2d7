"""A study that starts from somebody's int8 .tflite file: no training, no paper, the same journey."""

import json

import numpy as np
import yaml
from checkout import Checkout, copy_sources

from paper2board.bench.networks import build
from paper2board.convert.tflite_flatbuffer import write_flatbuffer

STUDY = {
    "title": "My network on the ESP32",
    "dataset": "cifar10",
    "board": "esp32-wroom",
    "validation_per_class": 100,
    "calibration_images": 10,
    "budgets": {
        "smoke": {"test_images": 100, "parity_images": 20, "seeds": [0], "device_images": 10},
    },
    "variants": {"model": {"tflite": "mine.tflite"}},
    "device_variant": "model",
    "period_s": 60,
}


def own_study(folder, model) -> Checkout:
    """A checkout whose only study is a .tflite file."""
    checkout = copy_sources(folder)
    (folder / "mine.tflite").write_bytes(write_flatbuffer(model))
    (folder / "config/studies/mine.yaml").write_text(yaml.safe_dump(STUDY))
    checkout.edit("config/config.yaml", "studies: [esp32-wroom-cifar10]", "studies: [mine]")
    return checkout


def test_from_a_tflite_file_to_a_report(tmp_path):
    checkout = own_study(tmp_path, build("deployed"))
    checkout.snakemake("report")
    report = json.loads((tmp_path / "results/mine/smoke/report/report.json").read_text())
    evidence = report["evidence"]
    assert report["not_produced"] == [] and report["claims"] == []
    parity = [item["value"] for name, item in evidence.items() if name.startswith("parity.model.")]
    assert len(parity) == 5 and set(parity) == {0}
    counts = [
        evidence[f"device.{name}.instructions"]["value"] for name in ("paper-split", "portable", "mac16")
    ]
    assert np.all(np.diff(counts) < 0)
    assert "My network on the ESP32" in (tmp_path / "results/mine/smoke/report/index.html").read_text()


def test_a_file_for_other_classes_is_refused(tmp_path):
    checkout = own_study(tmp_path, build("mobilenet-v1-0.25"))
    output = checkout.snakemake("report", check=False)
    assert "mine.tflite has 2 outputs, the data set has 10 classes; use another" in output
