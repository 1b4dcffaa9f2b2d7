"""Settings and shared fixtures for all tests."""

import fcntl
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from paper2board.firmware.runner import Target, kernel_library

pytest_plugins = ["tiny_device"]

# Time limits would make tests fail on a busy machine.
settings.register_profile("no deadline", deadline=None)
# make fuzz-doors: more of each test that is marked fuzz_doors.
settings.register_profile("doors", deadline=None, max_examples=500, print_blob=True)
settings.load_profile("no deadline")

LONG = ("tests/workflow/", "tests/engine/")
"""Folders of tests of minutes. They come first, so that no worker begins one when the others are done."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="session")
def checked_kernels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Target], Path]:
    """A function that returns the archive of a target's kernels with checks, in a folder that all targets share.

    They are compiled once for all of pytest's workers.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "kernels"
    folder.mkdir(exist_ok=True)

    @cache
    def library(target: Target) -> Path:
        archive = folder / target / "libp2b.a"
        with (folder / f"{target}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return archive if archive.exists() else kernel_library(target, folder, checks=True)

    return library
