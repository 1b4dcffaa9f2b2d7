"""A script run by itself, as for debugging: the real workflow says what its inputs and parameters are."""

import sys

import numpy as np
import pytest
from checkout import Checkout, copy_sources

from paper2board.acquire.datasets.cifar10 import RECORD_BYTES

STUDY = "study=esp32-wroom-cifar10"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Checkout:
    """A checkout with five files of the same blank images."""
    checkout = copy_sources(tmp_path_factory.mktemp("alone"))
    records = np.zeros((10_000, RECORD_BYTES), np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    file = checkout.folder / "data/cifar10/data_batch_1.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(records.tobytes())
    for number in range(2, 6):
        file.with_name(f"data_batch_{number}.bin").hardlink_to(file)
    return checkout


def test_a_script_alone_does_its_job_and_nothing_else(checkout):
    result = checkout.run(sys.executable, "scripts/split_dataset.py", STUDY)
    with np.load(checkout.folder / "data/esp32-wroom-cifar10/smoke/splits.npz") as splits:
        assert all(len(splits[name]) for name in ("train", "validation", "calibration"))
        assert f"train: {len(splits['train'])} images" in result.stderr
    log = checkout.folder / "logs/esp32-wroom-cifar10/smoke/split_dataset.log"
    assert log.read_text().startswith("train: ")
    assert not (checkout.folder / "models").exists()


def test_a_script_alone_takes_the_budget_that_is_named(checkout):
    checkout.run(sys.executable, "scripts/split_dataset.py", STUDY, "budget=standard")
    assert (checkout.folder / "data/esp32-wroom-cifar10/standard/splits.npz").is_file()
    result = checkout.run(sys.executable, "scripts/split_dataset.py", STUDY, "budget=huge", check=False)
    assert result.returncode == 1 and "budgets has no huge" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["studies=x"], [STUDY, "seed=0"], [STUDY, "budget=smoke", "x=1"]])
def test_a_job_that_is_not_named_by_its_wildcards_is_refused_in_one_sentence(checkout, arguments):
    result = checkout.run(sys.executable, "scripts/split_dataset.py", *arguments, check=False)
    assert result.returncode == 1
    assert result.stderr.endswith("scripts/split_dataset.py: name the job with budget=… study=…\n")
    assert "Traceback" not in result.stderr


def test_a_mistake_in_the_configuration_is_the_workflows_own_sentence(checkout):
    checkout.edit("config/config.yaml", "budget: smoke", "budget: small")
    try:
        result = checkout.run(sys.executable, "scripts/split_dataset.py", STUDY, check=False)
    finally:
        checkout.edit("config/config.yaml", "budget: small", "budget: smoke")
    assert result.returncode == 1
    assert "config/config.yaml" in result.stderr and "budget" in result.stderr
