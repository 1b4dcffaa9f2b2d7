import zlib

import numpy as np
import pytest
from PIL import Image

from paper2board.acquire import photo
from paper2board.core.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_formats(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(PIXELS).save(path, lossless=True)
    found = photo.decode(path)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize("suffix", ["jpg", "gif", "avif"])
def test_lossy_formats(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (7, 5), (200, 30, 90)).save(path)
    np.testing.assert_allclose(photo.decode(path), np.full((5, 7, 3), (200, 30, 90)), atol=8)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, PIXELS), (3, PIXELS[::-1, ::-1]), (6, np.rot90(PIXELS, -1)), (8, np.rot90(PIXELS))],
)
def test_exif_orientation(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(photo.decode(tmp_path / "x.png"), upright)
    np.testing.assert_array_equal(photo.decode(tmp_path / "x.png", upright=False), PIXELS)


def test_grey(tmp_path):
    Image.fromarray(PIXELS[:, :, 0]).save(tmp_path / "x.png")
    np.testing.assert_array_equal(photo.decode(tmp_path / "x.png"), PIXELS[:, :, [0, 0, 0]])


def test_16_bit_grey_keeps_its_high_byte(tmp_path):
    deep = PIXELS[:, :, 0].astype(np.uint16) * 256 + 77
    Image.fromarray(deep).save(tmp_path / "x.png")
    np.testing.assert_array_equal(photo.decode(tmp_path / "x.png"), PIXELS[:, :, [0, 0, 0]])


def test_transparency_lies_on_white(tmp_path):
    Image.fromarray(np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], dtype=np.uint8)).save(tmp_path / "x.png")
    assert photo.decode(tmp_path / "x.png").tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "x.jpg")
    np.testing.assert_array_equal(photo.decode(tmp_path / "x.jpg"), np.full((8, 8, 3), 255))


def test_bomb_is_not_decoded(tmp_path):
    Image.new("1", (8, 8)).save(tmp_path / "x.png")
    png = bytearray((tmp_path / "x.png").read_bytes())
    for side in (12_000, 60_000):  # beyond our limit, beyond Pillow's
        png[16:24] = side.to_bytes(4) * 2
        png[29:33] = zlib.crc32(png[12:29]).to_bytes(4)
        (tmp_path / "x.png").write_bytes(png)
        with pytest.raises(UserError, match=r"x\.png cannot be used as a photo .*pixels"):
            photo.decode(tmp_path / "x.png")


@pytest.mark.parametrize("content", [b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_no_photo(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.jpg cannot be used as a photo"):
        photo.decode(tmp_path / "x.jpg")


def test_cut_photo(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "x.jpg")
    whole = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="truncated"):
        photo.decode(tmp_path / "x.jpg")


def test_missing_photo(tmp_path):
    with pytest.raises(UserError, match=r"none\.jpg cannot be used as a photo"):
        photo.decode(tmp_path / "none.jpg")
