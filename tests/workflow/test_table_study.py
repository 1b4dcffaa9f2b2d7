"""A table of numbers through the whole journey: the example study of this project."""

import json

import numpy as np
import pytest
from checkout import copy_sources


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The checkout after a run of the study."""
    checkout = copy_sources(tmp_path_factory.mktemp("table"))
    checkout.edit("config/config.yaml", "studies: [esp32-wroom-cifar10]", "studies: [gas-sensor]")
    checkout.edit("config/studies/gas-sensor.yaml", "engines: [portable, mac16]", "engines: [mac16]")
    checkout.snakemake("report")
    return checkout


@pytest.fixture(scope="module")
def report(finished):
    """What the report says."""
    return json.loads((finished.folder / "results/gas-sensor/smoke/report/report.json").read_text())


def test_every_form_of_the_network_gives_the_same_numbers(report):
    parity = {
        name.removeprefix("parity.model."): item["value"]
        for name, item in report["evidence"].items()
        if name.startswith("parity.model.")
    }
    pairs = ("simulation-vs-tflm", "simulation-vs-c", "tflm-vs-c", "device-vs-tflm", "emulated-vs-tflm")
    assert parity == dict.fromkeys(pairs, 0)


def test_the_error_is_small_in_the_targets_unit_in_float_and_in_int8(report, finished):
    evidence = report["evidence"]
    rows = np.genfromtxt(finished.folder / "examples/gas-sensor.csv", delimiter=",", names=True)
    deviation = rows["gas_ppm"].std()
    floats, integers, device = (
        evidence[name] for name in ("rmse.model.fp32", "rmse.model.int8", "device.mac16.rmse")
    )
    assert {item["unit"] for item in (floats, integers, device)} == {"ppm"}
    assert (floats["n"], integers["n"], device["n"]) == (250, 250, 20)
    assert floats["value"] < 0.2 * deviation, "the network has learned"
    assert integers["value"] < 1.3 * floats["value"]
    assert device["value"] < 0.3 * deviation and device["kind"] == "emulated"
    for item in (floats, integers, device):
        low, high = item["interval"]
        assert low < item["value"] < high
    gain = evidence["gain.quantization"]
    assert gain["value"] == pytest.approx(floats["value"] - integers["value"]) and gain["unit"] == "ppm"
    assert gain["method"] == "rmse.model.fp32 − rmse.model.int8"
    assert evidence["r2.model.int8"]["value"] > 0.95


def test_the_report_shows_the_errors(report, finished):
    assert not [name for name in report["not_produced"] if name.startswith(("rmse", "r2"))]
    (table,) = [table for table in report["tables"] if table["id"] == "score"]
    assert {(cell["row"], cell["column"]) for cell in table["cells"]} == {
        (row, column) for row in ("float32", "int8") for column in ("RMSE", "R²")
    }
    text = (finished.folder / "results/gas-sensor/smoke/report/report.md").read_text()
    assert "Explained variance on the validation" in text and "The network's error" in text
