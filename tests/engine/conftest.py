"""The engine and its kernels, compiled once for all tests here."""

from pathlib import Path

import pytest

from paper2board.firmware.runner import Target, kernel_library


@pytest.fixture(scope="session")
def engine_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that :func:`kernel_library` was given for every target."""
    folder = tmp_path_factory.mktemp("libraries")
    for target in Target:
        kernel_library(target, folder, checks=True)
    return folder
