"""What this workflow changes in Snakemake: content alone decides, and nothing is written through a link.

Snakemake looks at an input's checksum only if the input is newer than the output, and takes a script that is newer
for a changed one. Here each input is compared with the checksum in Snakemake's own record, whatever its date, its
size and whether it is a folder. Scripts count by their closure's digest, a parameter.

DVC may put files into a checkout as links to its cache, read-only. Snakemake writes its records in place, that is
into the cache, and refuses to replace an output that is read-only and no symbolic link. Here a record is replaced,
and an output with several links may be replaced.
"""

from pathlib import Path
from typing import Any

from snakemake.io import _IOFile
from snakemake.persistence.file import FilePersistence

from paper2board.core.digests import Digests

_is_newer = _IOFile.is_newer
_checksum = _IOFile.checksum
_protected = _IOFile.protected
_write = FilePersistence._io_write


def let_content_decide(digests: Digests) -> None:
    """Change Snakemake in this process; ``digests`` takes the checksums of inputs."""

    async def is_newer(self: Any, time: Any) -> bool:
        # Snakemake compares checksums next.
        return not self.is_ancient if await _is_local(self) else await _is_newer(self, time)

    async def is_checksum_eligible(self: Any, threshold: int) -> bool:
        return await _is_local(self)

    async def checksum(self: Any, threshold: Any = None, force: bool = False, algorithm: Any = None) -> Any:
        if algorithm not in (None, "sha256") or not await _is_local(self):
            return await _checksum(self, threshold, force, algorithm)
        if not Path(self.file).is_dir():
            return f"sha256:{digests.of_file(self.file)}"
        files = {path.relative_to(self.file).as_posix(): path for path in _files_below(self.file)}
        return f"sha256:{digests.of_files(files) if files else ''}"

    async def protected(self: Any) -> bool:
        return await _protected(self) and Path(self.file).stat().st_nlink == 1

    def write(self: Any, subject: str, value: Any, name: str, *mode: int) -> None:
        Path(self._record_path(subject, name)).unlink(missing_ok=True)
        _write(self, subject, value, name, *mode)

    _IOFile.is_newer = is_newer
    _IOFile.is_checksum_eligible = is_checksum_eligible
    _IOFile.checksum = checksum
    _IOFile.protected = protected
    FilePersistence._io_write = write


async def _is_local(file: Any) -> bool:
    return not file.is_storage and await file.exists_local() and not file.is_fifo()


def _files_below(folder: str) -> list[Path]:
    """Return what is in a folder, without the file that carries Snakemake's date of it."""
    return [
        path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".snakemake_timestamp"
    ]
