"""COCO and VOC files as other tools write them."""

import json

import numpy as np
import pytest
from messages import naming
from PIL import Image

from paper2board.acquire import foreign
from paper2board.acquire.boxes import read_coco, read_voc
from paper2board.acquire.findings import Findings
from paper2board.core.errors import UserError

WIDTH, HEIGHT = 160, 120


@pytest.fixture
def coco(tmp_path):
    """A function that writes a file with these boxes and reads it."""
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "0.jpg")

    def read(*boxes, image=(), box=(), encoding="utf-8", findings=None):
        entries = [{"image_id": 0, "category_id": 1, "bbox": list(b)} | dict(box) for b in boxes]
        content = {
            "categories": [{"id": 1, "name": "cat"}, {"id": "2", "name": " dog "}],
            "images": [{"id": 0, "file_name": "0.jpg", "width": WIDTH, "height": HEIGHT} | dict(image)],
            "annotations": entries,
        }
        (tmp_path / "a.json").write_bytes(json.dumps(content).encode(encoding))
        return read_coco(tmp_path / "a.json", tmp_path, ("cat", "dog"), findings=findings)

    return read


GOOD = (10, 10, 50, 40)


@pytest.mark.parametrize("flag", [0, "0", False, "false", "False", None, "", 0.0, "no"])
def test_no_crowd(coco, flag):
    assert len(coco(GOOD, box={"iscrowd": flag}).classes) == 1


@pytest.mark.parametrize("flag", [1, "1", True, "true", " TRUE ", 1.0])
def test_crowd(coco, flag):
    assert len(coco(GOOD, box={"iscrowd": flag}).classes) == 0


@pytest.mark.parametrize("flag", ["maybe", 2, -1, [], {}, [0]])
def test_neither_crowd_nor_none(coco, flag):
    with pytest.raises(UserError, match=naming("a.json", "annotations[0].iscrowd", "write 0 or 1")):
        coco(GOOD, box={"iscrowd": flag})


@pytest.mark.parametrize(("right", "wrong"), [(1, 1), (3, 2), (9, 1), (50, 50)])
def test_half_of_the_boxes_may_be_wrong_and_are_left_out(coco, right, wrong):
    findings = Findings()
    assert len(coco(*[GOOD] * right, *[(1000, 1000, 5, 5)] * wrong, findings=findings).classes) == right
    assert findings.count("boxes outside their picture") == wrong


@pytest.mark.parametrize(("right", "wrong"), [(0, 1), (1, 2), (49, 51)])
def test_more_than_half_of_the_boxes_wrong_is_refused(coco, right, wrong):
    parts = naming("a.json", f"{wrong} of {right + wrong} boxes are wrong", "1000")
    with pytest.raises(UserError, match=parts):
        coco(*[GOOD] * right, *[(1000, 1000, 5, 5)] * wrong)


@pytest.mark.parametrize("width", [160, "160", " 160 ", 160.0, "160.0", -1, "-1", 0, None, ""])
def test_size_of_a_picture_whatever_its_type(coco, width):
    findings = Findings()
    assert len(coco(GOOD, image={"width": width}, findings=findings).classes) == 1
    unknown = width in (-1, "-1", 0, None, "")
    assert findings.count("pictures whose annotation states no size") == unknown


@pytest.mark.parametrize("width", [161, "161", 160.5, True, "wide", [160], float("nan")])
def test_wrong_size_of_a_picture(coco, width):
    with pytest.raises(UserError, match=naming("a.json", "0.jpg")):
        coco(GOOD, image={"width": width})


@pytest.mark.parametrize(
    "keys", [{"image_id": "0"}, {"category_id": "1"}, {"image_id": 0.0}, {"category_id": " 1 "}]
)
def test_identifiers_as_texts(coco, keys):
    assert coco(GOOD, box=keys).classes.tolist() == [0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings_of_json(coco, encoding):
    assert coco(GOOD, encoding=encoding).boxes.tolist() == [[10, 10, 60, 50]]


def test_boxes_as_texts(coco):
    assert coco(("10", "10", "50", "4e1")).boxes.tolist() == [[10, 10, 60, 50]]


def test_a_key_twice_in_json(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [], "images": []}')
    with pytest.raises(UserError, match=naming("a.json", "images", "twice")):
        read_coco(tmp_path / "a.json", tmp_path)


@pytest.mark.parametrize(
    ("box", "what"),
    [
        ((150, 10, 40, 40), "boxes outside their picture"),
        ((500, 10, 40, 40), "boxes outside their picture"),
        ((130, 10, 40, 40), "boxes cut at their picture's edge"),
        ((10, 10, 0.2, 40), "boxes under a pixel"),
        ((90, 90, -20, 10), "boxes that end before they begin"),
    ],
)
def test_each_kind_of_wrong_box_has_a_count_of_its_own(coco, box, what):
    findings = Findings()
    scenes = coco(GOOD, (20, 30, 9, 9), box, findings=findings)
    (line,) = findings.lines()
    assert line.startswith(f"1 {what}")
    assert f"1 {what}" in scenes.origin
    assert len(scenes.classes) == (3 if "cut" in what else 2)


@pytest.mark.parametrize(
    ("boxes", "guess"),
    [
        ([(1000, 1000, 5000, 4000)], "another scale"),
        ([(0.1, 0.1, 0.4, 0.3)], "shares"),
        ([(90, 60, 150, 110)], "corners"),
        ([(10, 10, 50, 40), (60, 60, 150, 110), (5, 60, 40, 100), (100, 10, 150, 80)], "corners"),
    ],
)
def test_a_set_of_wrong_boxes_is_refused_with_a_guess(coco, boxes, guess):
    with pytest.raises(UserError, match=naming("a.json", f"of {len(boxes)} boxes", guess)):
        coco(*boxes)


def test_pictures_without_entries_are_counted(coco, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "1.PNG")
    (tmp_path / "._0.jpg").write_bytes(b"x")
    findings = Findings()
    coco(GOOD, findings=findings)
    assert findings.count("pictures without an entry in a.json") == 1


@pytest.fixture
def voc(tmp_path):
    """A function that writes a file of one object and reads it."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.JPG", "JPEG")

    def read(corners=(21, 41, 60, 80), name="pear", difficult="0", encoding="utf-8", head="", findings=None):
        keys = ("xmin", "ymin", "xmax", "ymax")
        box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners, strict=True))
        one = f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"
        (tmp_path / "a.XML").write_bytes((head + f"<annotation>{one}</annotation>").encode(encoding))
        return read_voc(tmp_path, findings=findings)

    return read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252", "gbk"])
def test_voc_in_the_encoding_that_it_declares(voc, encoding):
    name = "梨" if encoding == "gbk" else "pêche"
    stated = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    assert voc(name=name, encoding=encoding, head=f'<?xml version="1.0" encoding="{stated}"?>\n').names == (
        name,
    )


@pytest.mark.parametrize(
    ("difficult", "kept"), [("0", 1), ("false", 1), ("", 1), ("1", 0), ("True", 0), (" 1 ", 0)]
)
def test_difficult_as_text(voc, difficult, kept):
    assert len(voc(difficult=difficult).classes) == kept


def test_upper_case_suffixes_blanks_and_decimals_in_voc(voc):
    scenes = voc(("21.0", " 41 ", "60.0", "8e1"), name="\n pear\t")
    assert scenes.names == ("pear",)
    assert scenes.boxes.tolist() == [[20, 40, 60, 80]]


def test_names_are_equal_however_their_accents_are_coded(voc, tmp_path):
    assert voc(name="pe\u0302che").names == ("pêche",)


def test_boxes_counted_from_zero_are_told(voc):
    findings = Findings()
    assert voc((0, 0, 60, 80), findings=findings).boxes.tolist() == [[0, 0, 60, 80]]
    assert findings.count("boxes that begin at pixel 0, where VOC counts from 1") == 1


@pytest.mark.parametrize("text", ["1_0", "٣", "0x10", "inf", "nan", "1,5", "", "1e999", "--1"])
def test_no_number(text):
    with pytest.raises(ValueError, match="is "):
        foreign.number(text)
