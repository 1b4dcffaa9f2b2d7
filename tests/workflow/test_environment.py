"""The conda environment names the versions that requirements.lock names."""

import re
from pathlib import Path

import yaml


def test_the_pins_are_the_locks():
    lock = set(re.findall(r"^[\w.-]+==[\w.+-]+", Path("requirements.lock").read_text(), re.MULTILINE))
    environment = yaml.safe_load(Path("envs/paper2board.yaml").read_text())
    (pins,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert len(pins) > 20
    assert set(pins) <= lock
