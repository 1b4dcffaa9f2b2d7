"""Downloads over HTTP that survive cut connections and killed processes."""

import os
import sys
import time
from pathlib import Path

import requests
from tqdm import tqdm

from paper2board.acquire.errors import SourceError
from paper2board.core.files import atomic_path, digest

CHUNK_BYTES = 1 << 14
"""What a cut connection loses at most."""
TIMEOUT_S = (15.0, 60.0)
"""To connect, and between two pieces of data."""
FAILURES = 5
"""Attempts in a row that get no further before the server is given up."""
UNVERIFIED_FAILURES = 3
"""The same where each attempt starts from the beginning."""
PAUSE_S = 1.0
"""Pause after the first failed attempt; doubled with each further one."""


def download(url: str, target: Path, size: int, expected: str, algorithm: str = "md5") -> None:
    """Download ``url`` to ``target``, whose bytes must number ``size`` and have the ``expected`` digest.

    Bytes gather in ``target``'s name + ``.part``; a later call goes on from there. Proxies and
    certificates are those of the environment. The caller makes sure that no other process downloads to
    the same target. Raise :class:`SourceError` if the server fails, or serves something else.
    """
    if target.exists() and digest(target, algorithm) == expected:
        return
    part = target.with_name(target.name + ".part")
    if _size(part) > size:
        part.unlink()
    resumed = part.exists()
    _transfer(url, part, size)
    if digest(part, algorithm) != expected and resumed:
        # The earlier run's bytes may be of another version of the file, or damaged.
        part.unlink()
        _transfer(url, part, size)
    if (found := digest(part, algorithm)) != expected:
        part.unlink()
        raise SourceError(f"its {algorithm} is {found} instead of {expected}")
    os.replace(part, target)


def download_unverified(url: str, target: Path, limit: int) -> None:
    """Download ``url``, of unknown bytes but at most ``limit``, to ``target``, from the beginning each time.

    For archives that a host packs anew on request; the caller verifies what they hold. Raise
    :class:`SourceError` if the server fails, or sends more.
    """
    for attempt in range(UNVERIFIED_FAILURES):
        if attempt:
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        try:
            with requests.get(url, stream=True, timeout=TIMEOUT_S) as response:
                if response.status_code == 200:
                    _store(response, target, limit)
                    return
                reason = f"HTTP {response.status_code} {response.reason}"
                if response.status_code < 500 and response.status_code not in (408, 429):
                    raise SourceError(reason)
        except requests.RequestException as error:
            reason = f"{type(error).__name__} ({error})"
    raise SourceError(f"given up after {UNVERIFIED_FAILURES} attempts: {reason}")


def _store(response: requests.Response, target: Path, limit: int) -> None:
    with (
        atomic_path(target) as temporary,
        temporary.open("wb") as stream,
        tqdm(desc=target.name, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for chunk in response.iter_content(CHUNK_BYTES):
            if stream.tell() + len(chunk) > limit:
                raise SourceError(f"it has more than the {limit} bytes allowed")
            stream.write(chunk)
            bar.update(len(chunk))


def _transfer(url: str, part: Path, size: int) -> None:
    failures, furthest = 0, _size(part)
    with _Progress(url.rsplit("/", 1)[-1], size) as progress:
        while (offset := _size(part)) != size:
            try:
                reason = _append(url, part, offset, size, progress)
            except requests.RequestException as error:
                reason = f"{type(error).__name__} ({error})"
            # Against the furthest yet: a server that has too little sends its bytes again and again.
            failures = 0 if _size(part) > furthest else failures + 1
            furthest = max(furthest, _size(part))
            if failures == FAILURES:
                raise SourceError(f"given up after {FAILURES} attempts: {reason}")
            if failures:
                time.sleep(PAUSE_S * 2 ** (failures - 1))


def _append(url: str, part: Path, offset: int, size: int, progress: "_Progress") -> str:
    """Ask for the bytes from ``offset`` on and write what comes; return why more may be missing."""
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, whose offsets we know
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if response.status_code >= 500 or response.status_code in (408, 429):
            return f"HTTP {response.status_code} {response.reason}"
        if response.status_code == 416:
            part.unlink(missing_ok=True)
            return "the server has less than the partial file"
        if response.status_code not in (200, 206):
            raise SourceError(f"HTTP {response.status_code} {response.reason}")
        if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(
            f"bytes {offset}-"
        ):
            part.unlink(missing_ok=True)
            return "the server sent another range than asked for"
        # A server that ignores Range sends 200 with the whole file.
        with part.open("ab" if response.status_code == 206 else "wb") as stream:
            for chunk in response.iter_content(CHUNK_BYTES):
                if stream.tell() + len(chunk) > size:
                    part.unlink()
                    raise SourceError(f"it has more than the {size} bytes expected")
                stream.write(chunk)
                progress.at(stream.tell())
    return "the connection ended early"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Progress:
    """A bar on a terminal, a line every tenth elsewhere."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size, self._tenth = name, size, 0
        self._bar = tqdm(total=size, desc=name, unit="B", unit_scale=True, disable=None)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def at(self, position: int) -> None:
        """Show that ``position`` bytes are there."""
        self._bar.update(position - self._bar.n)
        if self._bar.disable and (tenth := 10 * position // self._size) > self._tenth:
            self._tenth = tenth
            print(f"{self._name}: {10 * tenth} % of {self._size} B", file=sys.stderr, flush=True)
