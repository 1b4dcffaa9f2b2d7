"""Digests of files that are taken again only where a file may have changed.

What decides whether work is done again is the content of files, never their dates: mv, cp -p, unzip and rsync
leave old ones. To read everything at every start would take too long, so digests are remembered, each with a stamp
of the file: device, inode, size and both times in nanoseconds. Whoever changes a file changes its stamp, since
nobody can set the time of a file's last change (ctime). There are exceptions, in which the content is read again:

- The file changed less than two seconds before it was read: a second change may have the same time.
- The file system has no fine times (FAT, some network file systems), or none of its own for changes.
- The stamps come from another machine, or their file is damaged.
"""

import atexit
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

from paper2board.core.files import digest, listing_digest, write_bytes

SETTLED_NS = 2_000_000_000
"""So long after a change, another one has another time."""
COARSE_NS = 10_000_000
"""The finest steps of times that are too coarse to be trusted (exFAT's)."""
Stamp = list[int]


class Digests:
    """Digests of files and of sets of files, sha256, remembered in the file ``store`` when the program ends.

    The store may be deleted, damaged or unwritable at any time: content is then read again.
    """

    def __init__(self, store: str | Path) -> None:
        self._store = Path(store)
        self._known = self._read()
        self._is_new = False
        atexit.register(self._write)

    def of_file(self, path: str | Path) -> str:
        """Return the sha256 of a file's bytes."""
        now = time.time_ns()
        stamp = _stamp(Path(path))
        key = f"file {Path(path).absolute()}"
        if (known := self._known.get(key)) and known[0] == stamp:
            return known[1]
        return self._remember(key, stamp, digest(path), _is_settled(stamp, now))

    def of_files(self, files: Mapping[str, Path]) -> str:
        """Return the :func:`paper2board.core.files.listing_digest` of files by name."""
        now = time.time_ns()
        names = sorted(files)
        stamps = [_stamp(files[name]) for name in names]
        # One stamp for all: after a change of one file, all are used again, so all may as well be read again.
        whole = hashlib.sha256(json.dumps([names, stamps]).encode()).hexdigest()
        key = f"files {os.path.commonpath([files[name].absolute() for name in (names[0], names[-1])])}"
        if (known := self._known.get(key)) and known[0] == whole:
            return known[1]
        value = listing_digest({name: digest(files[name]) for name in names})
        return self._remember(key, whole, value, all(_is_settled(s, now) for s in stamps))

    def _remember(self, key: str, stamp: Stamp | str, value: str, settled: bool) -> str:
        if settled:
            self._known[key] = (stamp, value)
            self._is_new = True
        return value

    def _read(self) -> dict[str, tuple[Stamp | str, str]]:
        try:
            check, _, body = self._store.read_bytes().partition(b"\n")
            if check.decode() != hashlib.sha256(body).hexdigest():
                return {}
            content = json.loads(body)
            if content["machine"] != platform.node():
                return {}
            return {key: (stamp, value) for key, stamp, value in content["digests"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write(self) -> None:
        if not self._is_new:
            return
        there = [[key, *known] for key, known in self._known.items() if _is_there(key)]
        body = json.dumps({"machine": platform.node(), "digests": there}).encode()
        try:
            write_bytes(self._store, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        except OSError:
            # A folder that may only be read: the next run reads the files again.
            return


def _is_there(key: str) -> bool:
    try:
        return Path(key.partition(" ")[2]).exists()
    except OSError:  # in a folder that may not be entered
        return False


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _is_settled(stamp: Stamp, now_ns: int) -> bool:
    """Whether any later change of a file shows in its stamp."""
    changed_ns = stamp[-1]
    return changed_ns < now_ns - SETTLED_NS and changed_ns % COARSE_NS != 0
