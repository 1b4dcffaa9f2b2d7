import io
import stat
import tarfile
import zipfile

import pytest

from paper2board.acquire.errors import SourceError
from paper2board.acquire.extraction import extract

FILES = {"set/train/a.jpg": b"a" * 1000, "set/train/a.xml": b"<a/>", "set/README.md": b"#"}
LIMIT = 10_000


def make_zip(members, path, change=lambda info: None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, content)
    return path


def make_tar(members, path, change=lambda info: None):
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content))
    return path


def pack(members, path, **options):
    return (make_zip if path.suffix == ".zip" else make_tar)(members, path, **options)


def wanted(path):
    return path.parts[:1] == ("train",)


@pytest.fixture(params=["x.zip", "x.tar", "x.tar.gz"])
def archive(request, tmp_path):
    """The archive's path; its suffix is its kind."""
    return tmp_path / request.param


@pytest.fixture
def into(tmp_path):
    return tmp_path / "deep" / "into"


def written(into):
    return sorted(str(path.relative_to(into)) for path in into.rglob("*") if path.is_file())


def test_wanted_files_alone(archive, into):
    members = {"set/": b"", "set/train/": b""} if archive.suffix == ".zip" else {}
    assert extract(pack(members | FILES, archive), "set", wanted, into, LIMIT) == 1004
    assert written(into) == ["train/a.jpg", "train/a.xml"]
    assert (into / "train/a.jpg").read_bytes() == FILES["set/train/a.jpg"]


@pytest.mark.parametrize("name", ["../train/x.jpg", "/train/x.jpg", "set/train/../../../x.jpg", "set\\x.jpg"])
def test_names_that_leave_the_folder(archive, into, tmp_path, name):
    with pytest.raises(SourceError, match="leaves its folder"):
        extract(pack({name: b"x"} | FILES, archive), ".", lambda _: True, into, LIMIT)
    assert [path for path in tmp_path.rglob("x.jpg")] == []


def _tar_kind(kind):
    def change(info):
        if info.name.endswith(".jpg"):
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

    return change


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path, into, kind):
    path = make_tar(FILES, tmp_path / "x.tar", _tar_kind(kind))
    with pytest.raises(SourceError, match="link or device"):
        extract(path, "set", wanted, into, LIMIT)
    assert written(into) == []


def test_link_in_a_zip(tmp_path, into):
    def change(info):
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(SourceError, match="link or device"):
        extract(make_zip(FILES, tmp_path / "x.zip", change), "set", wanted, into, LIMIT)


def test_link_that_nobody_wants_is_passed_over(tmp_path, into):
    def change(info):
        if "README" in info.name:
            info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0

    extract(make_tar(FILES, tmp_path / "x.tar", change), "set", wanted, into, LIMIT)
    assert written(into) == ["train/a.jpg", "train/a.xml"]


@pytest.mark.parametrize("name", ["set/train/bomb.jpg", "set/unwanted"])
def test_bomb(archive, into, name):
    path = pack({name: bytes(50_000_000)}, archive)
    with pytest.raises(SourceError, match="more than the 10000 bytes allowed"):
        extract(path, "set", wanted, into, LIMIT)
    assert written(into) == []


def test_zip_that_lies_about_its_sizes(tmp_path, into):
    path = make_zip({"set/train/bomb.jpg": bytes(1_000_000)}, tmp_path / "x.zip")
    content = path.read_bytes()
    size = (1_000_000).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(SourceError):
        extract(path, "set", wanted, into, LIMIT)
    assert written(into) == []


def test_damaged(archive, into):
    pack({"set/train/a.jpg": bytes(range(256)) * 30}, archive)
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"x" * 2000, b""):
        archive.write_bytes(damaged)
        with pytest.raises(SourceError, match=r"is damaged|lacks"):
            extract(archive, "set", wanted, into, LIMIT)


def test_file_that_is_a_folder_too(archive, into):
    path = pack({"set/train/a": b"x", "set/train/a/b": b"x"}, archive)
    with pytest.raises(SourceError, match="is damaged"):
        extract(path, "set", wanted, into, LIMIT)


def test_two_archives_may_repeat_a_file_but_not_change_it(archive, into):
    extract(pack(FILES, archive), "set", wanted, into, LIMIT)
    extract(archive, "set", wanted, into, LIMIT)
    with pytest.raises(SourceError, match=r"another a\.jpg than came before"):
        extract(pack(FILES | {"set/train/a.jpg": b"other"}, archive), "set", wanted, into, LIMIT)
    assert (into / "train/a.jpg").read_bytes() == FILES["set/train/a.jpg"]
