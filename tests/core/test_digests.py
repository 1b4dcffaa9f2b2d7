"""Remembered digests are those of the files, whatever was done to the files or to the memory."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.core import digests as module
from paper2board.core.digests import SETTLED_NS, Digests

LATER_NS = 10 * SETTLED_NS


@pytest.fixture
def later(monkeypatch):
    """Files that are made now were made long ago."""
    now = time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: now() + LATER_NS)


@pytest.fixture
def read(monkeypatch) -> list[Path]:
    """The files whose content is read."""
    files: list[Path] = []

    def digest(path):
        files.append(Path(path))
        return fresh(Path(path))

    monkeypatch.setattr(module, "digest", digest)
    return files


def fresh(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reopened(digests: Digests) -> Digests:
    digests._write()
    return Digests(digests._store)


def settled(path: Path) -> bool:
    return path.stat().st_ctime_ns % module.COARSE_NS != 0


def test_a_file_is_read_once_until_it_may_have_changed(tmp_path, later, read):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    digests = Digests(tmp_path / "store")
    for _ in range(3):
        assert digests.of_file(path) == fresh(path)
        assert digests.of_files({"x": path}) == hashlib.sha256(f"{fresh(path)}  x\n".encode()).hexdigest()
        digests = reopened(digests)
    assert len(read) == 2 or not settled(path)
    path.touch()
    assert digests.of_file(path) == fresh(path)
    assert len(read) > 2


def assert_read_every_time(tmp_path, read):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    digests = Digests(tmp_path / "store")
    for number in (1, 2):
        digests.of_file(path)
        assert len(read) == number


def test_a_file_that_has_just_changed_is_read_again(tmp_path, read):
    assert_read_every_time(tmp_path, read)


def test_coarse_times_are_no_hint(tmp_path, later, read, monkeypatch):
    stamp = module._stamp
    monkeypatch.setattr(module, "_stamp", lambda path: [n // 10**9 * 10**9 for n in stamp(path)])
    assert_read_every_time(tmp_path, read)


def test_the_place_and_the_order_of_files_decide_nothing(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            (tmp_path / folder / name).write_text(name)
    digests = Digests(tmp_path / "store")
    one = digests.of_files({name: tmp_path / "one" / name for name in ("a", "b")})
    two = digests.of_files({name: tmp_path / "two" / name for name in ("b", "a")})
    renamed = digests.of_files({name: tmp_path / "two" / other for name, other in (("a", "b"), ("b", "a"))})
    assert one == two != renamed


@pytest.mark.parametrize("damage", ["empty", "half", "bit", "other machine", "folder", "unwritable"])
def test_damage_to_the_memory_does_no_harm(tmp_path, later, monkeypatch, damage):
    path, store = tmp_path / "a", tmp_path / "sub" / "store"
    path.write_bytes(b"one")
    digests = Digests(store)
    digests.of_file(path)
    digests._write()
    content = bytearray(store.read_bytes())
    if damage == "bit":
        content[-10] ^= 1
    if damage == "other machine":
        monkeypatch.setattr(module.platform, "node", lambda: "another")
    elif damage in ("folder", "unwritable"):
        shutil.rmtree(store.parent)
        store.mkdir(parents=True) if damage == "folder" else store.parent.write_text("")
    else:
        store.write_bytes(content[: {"empty": 0, "half": len(content) // 2}.get(damage)])
    digests = Digests(store)
    assert digests._known == {}
    assert digests.of_file(path) == fresh(path)
    digests._write()


STEPS = st.sampled_from(["write", "move older", "copy with dates", "touch", "link", "reopen", "nothing"])


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 3)), max_size=12))
def test_a_digest_is_that_of_the_content_whatever_was_done(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("steps")
    path, other = folder / "file", folder / "other"
    path.write_bytes(b"0")
    digests = Digests(folder / "store")
    for step, number in steps:
        there = path.stat()
        other.unlink(missing_ok=True)
        other.write_bytes(b"%d" % number)
        os.utime(other, ns=(there.st_atime_ns, there.st_mtime_ns))
        match step:
            case "write":
                path.write_bytes(b"%d" % number)
                os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))
            case "move older":
                other.replace(path)
            case "copy with dates":
                shutil.copy2(other, path)
            case "touch":
                path.touch()
            case "link":
                target = folder / f"target{number}"
                target.write_bytes(b"%d" % number)
                path.unlink()
                path.symlink_to(target)
            case "reopen":
                digests = reopened(digests)
        assert digests.of_file(path) == fresh(path)
        assert digests.of_files({"": path}) == hashlib.sha256(f"{fresh(path)}  \n".encode()).hexdigest()
