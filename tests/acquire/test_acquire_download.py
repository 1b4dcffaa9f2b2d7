import hashlib
import random

import pytest

from paper2board.acquire import download as module
from paper2board.acquire.download import download, download_unverified
from paper2board.acquire.errors import SourceError

CONTENT = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file.bin"


@pytest.fixture
def get(server, target):
    server.pages["/file.bin"] = CONTENT
    return lambda: download(server.url + "/file.bin", target, len(CONTENT), MD5)


def ranges(server):
    return [requested for _, requested in server.asked]


def test_whole(server, target, get):
    get()
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    get()
    assert len(server.asked) == 1, "a verified file is downloaded again"


def test_cut_connections_resume(server, target, get):
    server.cut_after = [100_000, 50_000]
    get()
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={6 * module.CHUNK_BYTES}-", f"bytes={9 * module.CHUNK_BYTES}-"]


def test_part_of_an_earlier_run_resumes(server, target, get):
    target.with_name("file.bin.part").write_bytes(CONTENT[:200_000])
    get()
    assert target.read_bytes() == CONTENT
    assert ranges(server) == ["bytes=200000-"]


def test_server_that_ignores_range(server, target, get):
    server.ignores_range = True
    server.cut_after = [100_000]
    get()
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * len(CONTENT), CONTENT + b"x"])
def test_part_of_something_else_is_started_over(target, get, part):
    target.with_name("file.bin.part").write_bytes(part)
    get()
    assert target.read_bytes() == CONTENT


def test_busy_server_is_asked_again(server, target, get):
    server.statuses = [503, 429, 500]
    get()
    assert target.read_bytes() == CONTENT


def test_dead_server_is_given_up(server, target, get):
    server.statuses = [503] * 100
    with pytest.raises(SourceError, match="given up after 5 attempts: HTTP 503"):
        get()
    assert len(server.asked) == module.FAILURES
    assert not target.exists()


def test_refused_connection(target):
    with pytest.raises(SourceError, match=r"given up .* ConnectionError"):
        download("http://127.0.0.1:1/file.bin", target, 1, MD5)


def test_missing_page_is_not_asked_twice(server, target, get):
    server.pages.clear()
    with pytest.raises(SourceError, match="HTTP 404"):
        get()
    assert len(server.asked) == 1


def test_shorter_file_than_expected(server, target, get):
    server.pages["/file.bin"] = CONTENT[:1000]
    with pytest.raises(SourceError, match="given up"):
        get()


def test_longer_file_than_expected(server, target, get):
    server.pages["/file.bin"] = CONTENT + b"x"
    with pytest.raises(SourceError, match="more than the 300000 bytes"):
        get()
    assert not list(target.parent.iterdir())


def test_corrupt_file_leaves_nothing(server, target, get):
    server.pages["/file.bin"] = b"x" + CONTENT[1:]
    with pytest.raises(SourceError, match=f"instead of {MD5}"):
        get()
    assert not list(target.parent.iterdir())


def test_plain_lines_without_a_terminal(get, capfd):
    get()
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == "file.bin: 100 % of 300000 B"
    assert 2 <= len(lines) <= 10


def test_by_sha256(server, target):
    server.pages["/file.bin"] = CONTENT
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    download(server.url + "/file.bin", target, len(CONTENT), sha256, "sha256")
    assert target.read_bytes() == CONTENT
    with pytest.raises(SourceError, match="its sha256 is"):
        download(server.url + "/file.bin", target, len(CONTENT), MD5 * 2, "sha256")


def test_unverified(server, target):
    server.pages["/file.bin"] = CONTENT
    server.statuses = [503]
    server.cut_after = [100_000]
    download_unverified(server.url + "/file.bin", target, len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 3
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "limit", "requests", "reason"),
    [
        ("/file.bin", len(CONTENT) - 1, 1, "more than the 299999 bytes allowed"),
        ("/gone.bin", 10, 1, "HTTP 404"),
        ("/busy.bin", 10, 3, "given up after 3 attempts: HTTP 503"),
    ],
)
def test_unverified_fails(server, target, path, limit, requests, reason):
    server.pages["/file.bin"] = CONTENT
    server.statuses = [503] * 3 if path == "/busy.bin" else []
    with pytest.raises(SourceError, match=reason):
        download_unverified(server.url + path, target, limit)
    assert len(server.asked) == requests
    assert list(target.parent.iterdir()) == []
