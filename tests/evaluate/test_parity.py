"""Parity counts and what a run makes of them."""

import numpy as np
import pytest

from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.evaluate.logits import write_logits
from paper2board.evaluate.parity import host_parity, require_parity


@pytest.fixture
def files(tmp_path):
    """Outputs of three images, of the first two, and of an engine whose last output is always one more."""
    outputs = np.arange(12, dtype=np.int8).reshape(3, 4)
    write_logits(tmp_path / "simulation.npy", outputs)
    write_logits(tmp_path / "tflm.npy", outputs)
    write_logits(tmp_path / "few.npy", outputs[:2])
    write_logits(tmp_path / "c.npy", outputs + np.int8([0, 0, 0, 1]))
    return tmp_path


def test_a_sample_of_tflite_micro_is_compared_with_the_same_images(files):
    (metric,) = host_parity("net", files / "simulation.npy", files / "few.npy").values()
    assert (metric.value, metric.n, metric.kind) == (0, 8, Kind.MEASURED)
    assert set(metric.chain) == {"simulation", "tflm"}


def test_a_differing_engine_is_a_defect_with_its_metrics_named(files):
    metrics = host_parity("net", files / "simulation.npy", files / "tflm.npy", files / "c.npy")
    assert {name: item.value for name, item in metrics.items()} == {
        "parity.net.simulation-vs-tflm": 0,
        "parity.net.simulation-vs-c": 3,
        "parity.net.tflm-vs-c": 3,
    }
    with pytest.raises(UserError, match=r"^parity\.json: .*simulation-vs-c, .*tflm-vs-c differ.*report it$"):
        require_parity(metrics, "parity.json")


def test_a_count_of_anything_else_is_no_parity(files):
    metrics = host_parity("net", files / "simulation.npy", files / "tflm.npy")
    (equal,) = metrics.values()
    metrics["parity.onnx.max-abs-error"] = equal.model_copy(update={"unit": "1", "value": 1})
    assert require_parity(metrics, "parity.json") == "parity.net.simulation-vs-tflm: 0"
