"""One smoke run of the whole workflow, in a copy of the checkout, shared by the tests that need one."""

import os
import shutil
from pathlib import Path

import pytest
from checkout import Checkout, copy_sources


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Checkout:
    """A checkout in which the whole journey has run with the smoke budget."""
    checkout = copy_sources(tmp_path_factory.mktemp("finished"))
    checkout.snakemake("all")
    return checkout


@pytest.fixture
def copy(finished, tmp_path) -> Checkout:
    """A copy of the finished checkout, to edit; hard links make it cheap, and edits replace whole files."""
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, copy_function=_link, symlinks=True)
    return Checkout(folder)


def _link(source: str, target: str) -> None:
    big = Path(source).suffix in {".bin", ".safetensors", ".npy", ".npz"}
    if big:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
