"""A set of images and annotations as a folder, from the first source that delivers it.

A mirror is read where it lies. Archives are unpacked into the cache (see :mod:`paper2board.acquire.acquisition`),
once for all checkouts: ``tree-<digest of the source>/`` is complete or absent, ``parts/`` are downloads that may
be resumed and verified archives, kept until the tree is complete, ``staging-*/`` is wiped by the next run, ``lock``
admits one process at a time.
"""

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from paper2board.acquire.acquisition import CACHE_VARIABLE
from paper2board.acquire.datasets.boxes import BoxesDataset, TreeArchives, TreeMirror
from paper2board.acquire.download import download, download_unverified
from paper2board.acquire.errors import SourceError
from paper2board.acquire.extraction import extract
from paper2board.core.errors import UserError
from paper2board.core.files import digest, listing_digest


@dataclass(frozen=True)
class Tree:
    """A set's folder."""

    root: Path
    source: str
    """Where it came from, in words."""
    delivered_by: str
    """``mirror`` or ``archives``."""


class NoTreeError(Exception):
    """No source delivered; the reasons, one a source."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def find_tree(dataset: BoxesDataset, *, mirror: Path | None = None, cache: Path | None = None) -> Tree:
    """Return the folder of ``dataset``, verified as far as its configuration allows.

    ``mirror`` is the configured mirror, in which a source's ``folder`` is looked for; ``cache`` as in
    :func:`paper2board.acquire.acquisition.acquire`. Raise :class:`NoTreeError` if no source delivers, and
    :class:`UserError` if a folder cannot be written.
    """
    cache = cache or Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("paper2board"))
    reasons = []
    for source in dataset.sources:
        print(f"{dataset.name}: trying {source}", file=sys.stderr, flush=True)
        try:
            if isinstance(source, TreeMirror):
                root = _mirrored(source, dataset, mirror)
            else:
                root = _unpacked(source, dataset, cache / dataset.name)
        except SourceError as error:
            reasons.append(f"{source}: {' '.join(str(error).split())}")
        except OSError as error:
            raise UserError(
                f"{error.filename or cache}: {error.strerror or error}; make room and see that it may be "
                f"read and written, or name another cache folder in {CACHE_VARIABLE}"
            ) from error
        else:
            return Tree(root, str(source), "mirror" if isinstance(source, TreeMirror) else "archives")
    raise NoTreeError(reasons)


def tree_digest(root: Path, dataset: BoxesDataset) -> str:
    """Return the :func:`paper2board.core.files.listing_digest` of the set's files below ``root``.

    Whatever else lies there does not count.
    """
    files = {name: path for name, path in dataset.files_in(root).items() if path.is_file()}
    return listing_digest({name: digest(path) for name, path in files.items()})


def _mirrored(source: TreeMirror, dataset: BoxesDataset, mirror: Path | None) -> Path:
    root = source.named(mirror)
    if root is None:
        raise SourceError(f"{source.environment} is not set")
    _check(root, dataset)
    return root


def _unpacked(source: TreeArchives, dataset: BoxesDataset, home: Path) -> Path:
    # What is unpacked depends on both.
    about = json.dumps([source.model_dump(), dataset.model_dump(include={"format", "train", "test"})])
    tree = home / f"tree-{hashlib.sha256(about.encode()).hexdigest()[:16]}"
    parts = home / "parts"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "lock"):
        if tree.is_dir():
            try:
                _check(tree, dataset)
                return tree
            except SourceError:
                shutil.rmtree(tree)
        for stale in home.glob("staging-*"):
            shutil.rmtree(stale, ignore_errors=True)
        staging = home / f"staging-{os.getpid()}"
        staging.mkdir()
        parts.mkdir(exist_ok=True)
        left = source.unpacked_bytes
        try:
            for part in source.parts:
                archive = parts / part.url.rsplit("/", 1)[-1]
                if part.size is not None and part.digest is not None:
                    algorithm, expected = part.digest
                    download(part.url, archive, part.size, expected, algorithm)
                    left -= extract(archive, part.root, dataset.holds, staging, left)
                    continue
                download_unverified(part.url, archive, source.unpacked_bytes)
                try:
                    left -= extract(archive, part.root, dataset.holds, staging, left)
                finally:
                    archive.unlink()
            _check(staging, dataset)
            os.replace(staging, tree)
            shutil.rmtree(parts, ignore_errors=True)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return tree


def _check(root: Path, dataset: BoxesDataset) -> None:
    """Raise :class:`SourceError` unless ``root`` holds what the configuration says."""
    for part in (dataset.train, dataset.test):
        for path in (part.images, part.annotations, part.listed):
            if path is not None and not (root / path).exists():
                raise SourceError(f"{root} has no {path}")
    if dataset.digest is not None and (found := tree_digest(root, dataset)) != dataset.digest:
        raise SourceError(f"the files below {root} have digest {found} instead of {dataset.digest}")
