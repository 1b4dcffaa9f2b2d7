"""Every target's kernels, compiled once for all tests here: with checks, on this host with sanitizers."""

from functools import cache
from pathlib import Path

import pytest
from kernel_calls import Make, make

from paper2board.firmware.runner import Target, kernel_library


@pytest.fixture(scope="session")
def make_calls(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that makes calls on a target and returns their outputs."""

    @cache
    def library(target: Target) -> Path:
        return kernel_library(target, tmp_path_factory.mktemp("libraries"), checks=True)

    return lambda calls, target: make(calls, target, library(target), tmp_path_factory.mktemp("calls"))
