"""The engine and its kernels for all targets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from paper2board.firmware.runner import Target


@pytest.fixture(scope="session")
def engine_libraries(checked_kernels: Callable[[Target], Path]) -> Path:
    """The folder that :func:`kernel_library` was given for every target."""
    (folder,) = {checked_kernels(target).parents[1] for target in Target}
    return folder
