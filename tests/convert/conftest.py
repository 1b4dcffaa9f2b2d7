"""What tests of libraries share."""

from pathlib import Path

import pytest
from libraries import deployed

from paper2board.convert.tflite_flatbuffer import write_flatbuffer


@pytest.fixture
def tflite(tmp_path: Path) -> Path:
    path = tmp_path / "deployed.tflite"
    path.write_bytes(write_flatbuffer(deployed()))
    return path
