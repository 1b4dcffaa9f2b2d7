"""Wanted files out of ``.zip`` and ``.tar`` archives that nobody vouches for.

Only plain files that the caller wants are written, by names that stay in the target folder; a link among them, a
name that leaves the folder, or more bytes than allowed make the whole archive refused.
"""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from paper2board.acquire.errors import SourceError
from paper2board.core.files import atomic_path, digest

CHUNK_BYTES = 1 << 20
_BROKEN = (
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    ValueError,
    NotImplementedError,  # a compression or encryption of zip that Python lacks
    RuntimeError,  # an encrypted zip
    FileExistsError,  # a name that is a file and a folder
    NotADirectoryError,
    IsADirectoryError,
)
_Member = tuple[str, bool, int, Callable[[], IO[bytes] | None]]
"""Name, whether it is a link or device, size as it says, and what opens it (None: not a file)."""


def extract(archive: Path, root: str, wanted: Callable[[PurePosixPath], bool], into: Path, limit: int) -> int:
    """Write the files of ``archive`` below its folder ``root`` that are ``wanted`` to the folder ``into``.

    ``wanted`` is asked with the path below ``root``. Return the bytes written, at most ``limit``. Raise
    :class:`SourceError` if the archive is damaged or hostile, or two archives differ about a file.
    """
    written = claimed = 0
    try:
        with closing(_zipped(archive) if archive.suffix == ".zip" else _tarred(archive)) as members:
            for name, special, size, opened in tqdm(members, desc=archive.name, unit=" files", disable=None):
                path = PurePosixPath(name)
                if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
                    raise SourceError(f"{archive.name} has a member {name[:80]!r} that leaves its folder")
                claimed += size  # of members passed over too: a tar must unpack them to get past
                if claimed > limit:
                    raise SourceError(f"{archive.name} holds more than the {limit} bytes allowed")
                if not path.is_relative_to(root) or not wanted(path.relative_to(root)):
                    continue
                if special:
                    raise SourceError(f"{archive.name} has a link or device {name[:80]!r} among its files")
                if (stream := opened()) is not None:
                    with stream:
                        target = into / path.relative_to(root)
                        written += _write(stream, target, limit - written, archive.name)
    except _BROKEN as error:
        raise SourceError(f"{archive.name} is damaged ({error})") from error
    return written


def _write(stream: IO[bytes], target: Path, limit: int, archive: str) -> int:
    """Write ``stream`` to ``target``, which may only be there already with the same bytes."""
    with atomic_path(target) as temporary:
        size = 0
        with temporary.open("wb") as output:
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise SourceError(f"{archive} holds more bytes than it says, and than is allowed")
                output.write(chunk)
        if target.exists() and digest(target) != digest(temporary):
            raise SourceError(f"{archive} has another {target.name} than came before")
    return size


def _tarred(archive: Path) -> Generator[_Member, None, None]:
    with tarfile.open(archive, "r:" if archive.suffix == ".tar" else "r:gz") as tar:
        for member in tar:
            opened = partial(tar.extractfile, member) if member.isreg() else _nothing
            yield member.name, not (member.isreg() or member.isdir()), member.size, opened


def _zipped(archive: Path) -> Generator[_Member, None, None]:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            opened = _nothing if member.is_dir() else partial(zipped.open, member)
            yield member.filename, kind not in (0, stat.S_IFREG, stat.S_IFDIR), member.file_size, opened


def _nothing() -> None:
    """Open a folder."""
