"""Calls of single kernels, with checks, on this host with sanitizers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_calls import Make, make

from paper2board.firmware.runner import Target


@pytest.fixture(scope="session")
def make_calls(tmp_path_factory: pytest.TempPathFactory, checked_kernels: Callable[[Target], Path]) -> Make:
    """A function that makes calls on a target and returns their outputs."""
    return lambda calls, target: make(
        calls, target, checked_kernels(target), tmp_path_factory.mktemp("calls")
    )
