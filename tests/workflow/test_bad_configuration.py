"""Bad configuration stops before anything runs: one sentence with file, key and remedy, exit status not 0."""

import pytest
from checkout import copy_sources

STUDY = "config/studies/esp32-wroom-cifar10.yaml"


@pytest.fixture
def checkout(tmp_path):
    return copy_sources(tmp_path)


@pytest.mark.parametrize(
    ("path", "old", "new", "sentence"),
    [
        (
            "config/config.yaml",
            "budget: smoke",
            "budgett: smoke\nbudget: smoke",
            "unknown key budgett; remove it or correct its spelling",
        ),
        ("config/config.yaml", "budget: smoke", "budget: huge", "budget: no 'huge' here; "),
        (STUDY, "conv1: 0.2", "conv1: 1.2", "variants.pruned.prune.conv1: "),
        (
            STUDY,
            "conv1: 0.2",
            "conv9: 0.2",
            "variants.pruned.prune: no layer called conv9",
        ),
        (
            STUDY,
            "test_images: 200",
            "test_images: 10",
            "budgets.smoke: device_images (20) is above",
        ),
        (
            STUDY,
            "device_variant: deployed",
            "device_variant: pruned",
            "device_variant pruned is not an int8 model",
        ),
        (STUDY, "parent: distilled", "parent: deployed", "its parents form a circle"),
        (
            STUDY,
            "  smoke: {training_images",
            "  # smoke: {training_images",
            "budgets has no smoke, which this run asks for; there are standard, full; add it",
        ),
        (
            STUDY,
            "name: fc2, op: linear, out: 10",
            "name: fc2, op: linear, out: 7",
            "networks.original: its output is 7, but classification on cifar10 needs 10 values",
        ),
        (
            STUDY,
            "board: esp32-wroom",
            "task: detection\nboard: esp32-wroom",
            "variants.teacher: detection is learned from boxes, but cifar10 is of kind cifar10",
        ),
        (
            "config/boards/esp32-wroom.yaml",
            "  capacity_Ah: {value: 1.0",
            "  capacity_Ah: {value: -1.0",
            "battery.capacity_Ah.value: ",
        ),
        (
            "config/config.yaml",
            "budget: smoke",
            "budget: smoke\nmirror: elsewhere",
            "mirror stands twice, in lines 5 and 11; remove one",
        ),
        (
            "config/datasets/cifar10.yaml",
            "name: cifar10",
            "nam: cifar10",
            "unknown key nam; did you mean name?",
        ),
    ],
    ids=lambda value: value[:40],
)
def test_it_is_one_sentence(checkout, path, old, new, sentence):
    checkout.edit(path, old, new)
    result = checkout.run("snakemake", "-n", "--cores", "1", "report", check=False)
    assert result.returncode != 0
    output = result.stdout + result.stderr
    lines = [line for line in output.splitlines() if path in line and sentence in line]
    assert len(lines) == 1, output[-2000:]
    assert "; " in lines[0], "no remedy"
    assert "Traceback" not in output


def test_a_wrong_override_names_the_option(checkout):
    result = checkout.run("snakemake", "-n", "--cores", "1", "report", "--config", "budget=huge", check=False)
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert "--config: budget: no 'huge' here; choose among smoke, standard, full" in output
    assert "Traceback" not in output
