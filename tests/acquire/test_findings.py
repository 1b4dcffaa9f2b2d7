"""What lies in a folder of images beside them, and what is converted, is counted; copies stay on one side."""

import struct
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pytest
import yaml
from messages import naming
from PIL import Image

from paper2board.acquire.copies import NEAR_BITS, NEAR_DN, equal_pairs, near_pairs
from paper2board.acquire.datasets.folders import FoldersDataset
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.acquire.findings import Findings
from paper2board.acquire.photo import decode
from paper2board.acquire.preparation import Inputs
from paper2board.acquire.prepare.folders import prepare
from paper2board.core.errors import UserError


def noise(text: str, side: int = 20) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(text.encode())).integers(0, 256, (side, side, 3)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")


@pytest.fixture
def root(tmp_path):
    for label in ("cat", "dog"):
        for number in range(10):
            save(tmp_path / label / f"{number}.png", noise(f"{label}{number}"))
    return tmp_path


def prepared(root: Path, **keys):
    raw = {
        "name": "mine",
        "kind": "folders",
        "path": str(root),
        "classes": ["cat", "dog"],
        "size_px": [20, 20],
    }
    return prepare(FoldersDataset.model_validate(raw | {"test_share": 0.3} | keys), Inputs())


@pytest.mark.parametrize(
    "hidden", [".ipynb_checkpoints/1.png", "a/@eaDir/1.png", "__MACOSX/x/1.png", "._1.png", "deep/.git/1.png"]
)
def test_hidden_copies_at_any_level_are_left_out_and_counted(root, hidden):
    save(root / "cat" / hidden, noise("cat1"))
    result = prepared(root)
    assert len(result.train) + len(result.test) == 20
    assert result.findings.count("hidden files and folders") == 1


def test_hidden_folders_beside_the_classes_are_no_classes(root, tmp_path_factory):
    for hidden in (".cache", "@eaDir", "__MACOSX"):
        save(root / hidden / "1.png", noise("cat1"))
    (root / "Thumbs.db").write_bytes(b"x")
    raw = {"name": "mine", "kind": "folders", "path": str(root), "size_px": [20, 20], "test_share": 0.3}
    path = tmp_path_factory.mktemp("sets") / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    dataset = read_dataset(path)
    assert dataset.classes == ("cat", "dog")
    result = prepare(dataset, Inputs())
    assert result.findings.count("hidden files and folders") == 4
    assert len(result.findings.lines()) == 1


def test_what_is_no_image_of_a_class_is_counted_with_its_remedy(root):
    for name in ("cat/a.HEIC", "cat/b.heic", "dog/notes", "x.png"):
        (root / name).write_bytes(b"x")
    save(root / "eel" / "1.png", noise("eel"))
    save(root / "cat" / "10.PNG", noise("upper"))
    result = prepared(root)
    assert len(result.train) + len(result.test) == 21, "an upper-case suffix is read"
    lines = "\n".join(result.findings.lines())
    for line in (
        "2 files of another kind (.heic)",
        "1 files of another kind (no suffix)",
        "1 files beside the class folders",
        "1 folders that are none of the classes",
    ):
        assert line in lines
    assert all("; " in line for line in result.findings.lines())
    assert {"count", "what", "first", "remedy"} == set(result.findings.plain()[0])


def test_equal_images_are_drawn_to_one_side(root):
    for number in range(5):
        (root / "cat" / f"copy{number}.png").write_bytes((root / "cat" / f"{number}.png").read_bytes())
        # The same pixels in other bytes.
        Image.open(root / "dog" / f"{number}.png").save(root / "dog" / f"copy{number}.bmp")
    for seed in range(4):
        result = prepared(root, seed=seed)
        assert equal_pairs(result.train.images, result.test.images) == []
        assert len(result.train) + len(result.test) == 30
        assert result.findings.count("images that are equal to others") == 20


def test_an_image_in_two_classes_is_for_training_alone(root):
    save(root / "dog" / "cat0.png", noise("cat0"))
    result = prepared(root, test_share=0.5)
    assert result.findings.count("equal images in several classes") == 2
    assert equal_pairs(result.test.images, noise("cat0")[None]) == []


def test_a_draw_without_copies_is_as_before(root):
    rng = np.random.default_rng(0)
    drawn = [sorted(rng.permutation(10)[:3].tolist()) for _ in range(2)]
    expected = [noise(f"{label}{n}") for label, part in zip(("cat", "dog"), drawn, strict=True) for n in part]
    np.testing.assert_array_equal(prepared(root).test.images, np.stack(expected))


def test_equal_images_in_folders_train_and_test_are_refused(root, tmp_path):
    for label in ("cat", "dog"):
        for number in range(3):
            save(tmp_path / "two/train" / label / f"{number}.png", noise(f"{label}{number}"))
        save(tmp_path / "two/test" / label / "9.png", noise(f"{label}9"))
    assert len(prepared(tmp_path / "two", test_share=None).test) == 2
    save(tmp_path / "two/test/dog/again.png", noise("dog1"))
    with pytest.raises(UserError, match=naming("1 of 3 test images", "again.png", "dog/1.png", "remove")):
        prepared(tmp_path / "two", test_share=None)


def test_nearly_equal_images_are_told_with_both_names(tmp_path):
    for label in ("cat", "dog"):
        for number in range(3):
            save(tmp_path / "train" / label / f"{number}.png", scene(100 * ord(label[0]) + number))
        save(tmp_path / "test" / label / "9.png", scene(ord(label[0])))
    Image.open(tmp_path / "train/cat/1.png").save(tmp_path / "test/dog/near.jpg", quality=90)
    (line,) = prepared(tmp_path, test_share=None, size_px=[96, 96]).findings.lines()
    assert "1 test pictures that are nearly equal" in line and "near.jpg as " in line and "cat/1.png" in line


def test_one_image_alone_is_refused_at_the_door(root):
    save(root / "eel/1.png", noise("eel"))
    with pytest.raises(UserError, match=naming("eel", "one image alone", "add some")):
        prepared(root, classes=["cat", "eel"])


def test_uneven_classes_are_told(root):
    for number in range(100):
        save(root / "cat" / f"more{number}.png", noise(f"more{number}"))
    (line,) = prepared(root).findings.lines()
    assert "dog: 7" in line and "77 training images of cat" in line


def scene(number: int, size=(96, 96)) -> np.ndarray:
    """Something with shapes, as photographs have."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3)).astype(np.uint8))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))


def test_scaled_and_recompressed_copies_are_nearly_equal(tmp_path):
    train = np.stack([scene(number) for number in range(50)])
    copies = []
    for number, quality, side in ((3, 60, 96), (7, 90, 64), (9, 75, 80)):
        Image.fromarray(scene(number)).resize((side, side)).save(tmp_path / "x.jpg", quality=quality)
        copies.append(np.asarray(Image.open(tmp_path / "x.jpg").resize((96, 96))))
    test = np.stack([*copies, scene(100), scene(3)])
    assert near_pairs(train, test, equal_pairs(train, test)) == [(3, 0), (7, 1), (9, 2)], (
        "an equal one is no near one"
    )


@pytest.mark.parametrize("kind", ["noise", "flat", "tiny"])
def test_different_pictures_are_not_called_nearly_equal(kind):
    rng = np.random.default_rng(0)
    if kind == "noise":  # the same mean colour
        pictures = rng.integers(0, 90, (120, 48, 64, 3)) + np.array((120, 0, 0))
    elif kind == "flat":
        pictures = np.broadcast_to(np.arange(0, 240, 10)[:, None, None, None], (24, 32, 32, 3))
    else:
        pictures = np.stack([scene(number, (32, 32)) for number in range(200)])
    pictures = pictures.astype(np.uint8)
    assert near_pairs(pictures[::2], pictures[1::2], equal_pairs(pictures[::2], pictures[1::2])) == []


def compared(train, test):
    """near_pairs by its definition, picture by picture."""

    def hashed(picture):
        return imagehash.phash(Image.fromarray(picture))

    def small(picture):
        return np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX)).astype(float)

    pairs = []
    for index, other in enumerate(test):
        if not any(np.array_equal(one, other) for one in train):
            alike = [np.abs(small(one) - small(other)).mean() <= NEAR_DN for one in train]
            hashes = [hashed(one) - hashed(other) <= NEAR_BITS for one in train]
            pairs += [(i, index) for i in range(len(train)) if alike[i] and hashes[i]][:1]
    return pairs


@pytest.mark.parametrize("kind", ["flat", "dark", "scenes"])
def test_near_pairs_are_those_of_a_comparison_of_all_with_all(kind):
    rng = np.random.default_rng(1)
    if kind == "flat":
        pictures = rng.integers(0, 40, (60, 1, 1, 3)) + np.zeros((32, 32, 3), int)
    elif kind == "dark":
        pictures = scene(0, (32, 32)) // 16 + rng.integers(0, 3, (60, 32, 32, 3))
    else:
        pictures = np.stack([scene(n % 40, (32, 32)).astype(int) // 2 + n // 10 for n in range(60)])
    pictures = np.concatenate([pictures, pictures[:5]]).astype(np.uint8)
    expected = compared(pictures[:45], pictures[45:])
    assert (
        expected
        and near_pairs(pictures[:45], pictures[45:], equal_pairs(pictures[:45], pictures[45:])) == expected
    )


@pytest.mark.parametrize("name", ["srat_neg.jpg", "str_tag.jpg"])
def test_odd_exif_tags_do_not_matter(name):
    assert decode(Path(__file__).parent / "photos" / name).shape == (64, 48, 3)
    assert decode(Path(__file__).parent / "photos" / name, upright=False).shape == (48, 64, 3)


@pytest.mark.parametrize("exif", [b"Exif\0\0no tags", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_whose_tags_cannot_be_read_is_used_as_it_is(tmp_path, exif, kind):
    Image.new("RGB", (64, 48), (200, 0, 0)).save(tmp_path / "x.jpg", kind, exif=exif)
    findings = Findings()
    assert decode(tmp_path / "x.jpg", findings=findings).shape == (48, 64, 3)
    if b"no tags" in exif:
        (line,) = findings.lines()
        assert "EXIF tags that cannot be read" in line and "x.jpg" in line and "not turned" in line


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (lambda p: Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(p, "TIFF"), "16 bits"),
        (lambda p: Image.new("CMYK", (4, 4)).save(p, "TIFF"), "CMYK"),
        (lambda p: Image.new("LA", (4, 4), (9, 99)).save(p, "PNG"), "transparent"),
        (
            lambda p: Image.new("L", (4, 4)).save(
                p, "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 99)]
            ),
            "several frames",
        ),
    ],
)
def test_a_conversion_with_loss_is_told(tmp_path, write, what):
    findings = Findings()
    write(tmp_path / "x.png")
    decode(tmp_path / "x.png", findings=findings)
    (line,) = findings.lines()
    assert what in line and "x.png" in line


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_of_any_png_are_told_and_the_high_byte_taken(tmp_path, colour, channels):
    """Pillow writes no colour of 16 bits, but reads it as 8."""
    values = np.full((4, 4, channels), 40_000, ">u2")
    values[..., 3 if channels == 4 else 1 :] = 65_535  # opaque

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = b"".join(b"\0" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 4, 4, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    findings = Findings()
    pixels = decode(tmp_path / "x.png", findings=findings)
    assert pixels[0, 0, 0] == 40_000 >> 8
    assert findings.count("pictures of 16 bits a value") == 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_range_are_refused(tmp_path, mode):
    Image.new(mode, (4, 4), 300).save(tmp_path / "x.tif")
    with pytest.raises(UserError, match=naming("x.tif", "no known range")):
        decode(tmp_path / "x.tif")


def test_16_bits_that_hold_8_are_refused_for_they_would_be_black(tmp_path):
    Image.fromarray(np.full((4, 4), 200, np.uint16)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=naming("x.png", "8 bits")):
        decode(tmp_path / "x.png")
