import json

import numpy as np
import pytest
from PIL import Image

from paper2board.acquire.boxes import fit_scene, read_coco, read_voc, without_empty
from paper2board.core.errors import UserError


def _image(path, size=(80, 80), box=(20, 40, 60, 80), orientation=1):
    """A black image with a white rectangle, stored as it is whatever its EXIF ``orientation``."""
    image = Image.new("RGB", size)
    image.paste((255, 255, 255), box)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


@pytest.fixture
def coco(tmp_path):
    """A function that writes a COCO file, changed by ``change``, and reads it with ``options``."""
    _image(tmp_path / "a.png")
    _image(tmp_path / "b.png", (160, 60), (0, 0, 0, 0))

    def read(change=lambda content: None, **options):
        content = {
            "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
            "images": [
                {"id": 7, "file_name": "b.png", "width": 160, "height": 60},
                {"id": 5, "file_name": "a.png", "width": 80, "height": 80},
            ],
            "annotations": [
                {"image_id": 5, "category_id": 9, "bbox": [20, 40, 40, 40], "iscrowd": 0},
                {"image_id": 5, "category_id": 3, "bbox": [65, 65, 20, 20]},
                {"image_id": 5, "category_id": 3, "bbox": [1, 1, 0.1, 9]},
                {"image_id": 5, "category_id": 3, "bbox": [0, 0, 80, 80], "iscrowd": 1},
            ],
        }
        change(content)
        (tmp_path / "i.json").write_text(json.dumps(content))
        return read_coco(tmp_path / "i.json", tmp_path, **options)

    return read


def test_coco_letterboxed(coco):
    scenes = coco()
    assert scenes.names == ("cat", "dog")
    assert np.diff(scenes.offsets).tolist() == [2, 0], "by image id; an image without boxes stays"
    # 80 × 80 becomes 120 × 120 with 20 grey columns on either side.
    assert scenes[0].boxes.tolist() == [[50, 60, 110, 120], [117.5, 97.5, 140, 120]]
    assert scenes[0].classes.tolist() == [1, 0]
    assert np.isnan(scenes.visible).all()
    assert (scenes[0].image[:, [0, 19, 140, 159]] == 114).all()
    assert (scenes[0].image[62:118, 52:108] == 255).all()
    assert (scenes[0].image[:58, 20:140] == 0).all()
    assert scenes.origin == (
        "COCO instances i.json: 2 images, letterbox; left out: 1 boxes under a pixel, 1 crowd regions; "
        "1 boxes cut at their picture's edge"
    )


def test_coco_stretched_with_chosen_classes(coco):
    scenes = coco(names=["dog"], fit="stretch", limit=1)
    assert len(scenes) == 1
    assert scenes.boxes.tolist() == [[40, 60, 120, 120]]
    assert scenes.classes.tolist() == [0]
    assert "2 objects of other classes" in scenes.origin


@pytest.mark.parametrize("orientation", [3, 6])
def test_coco_boxes_are_of_stored_pixels(coco, tmp_path, orientation):
    _image(tmp_path / "a.png", orientation=orientation)
    _image(tmp_path / "b.png", (160, 60), (0, 0, 0, 0), orientation)
    scenes = coco()
    assert (scenes[0].image[62:118, 52:108] == 255).all(), "the box is where the rectangle is"
    assert (scenes[0].image[:58, 20:140] == 0).all()


@pytest.mark.parametrize("size", [(1, 700), (700, 1), (1, 1), (33, 77), (640, 480)])
@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_whole_image_stays_inside(size, fit):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    scene = fit_scene(image, [(-5, -5, size[0] + 5, size[1] + 5)], [0], fit=fit)
    assert scene.image.shape == (120, 160, 3)
    x0, y0, x1, y1 = scene.boxes[0].astype(int)
    assert (scene.image[y0:y1, x0:x1] == 0).all()
    assert (scene.image == 0).all(axis=2).sum() == (x1 - x0) * (y1 - y0)


def _set(*keys, to):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("images", to=None), "no list 'images'"),
        (_set("annotations", to=[1]), "no list 'annotations'"),
        (_set("annotations", 0, "image_id", to=6), "unknown image or category"),
        (_set("annotations", 0, "category_id", to=6), "unknown image or category"),
        (_set("annotations", 0, "category_id", to="nine"), "no whole number 'category_id'"),
        (_set("annotations", 0, "category_id", to=None), "no whole number 'category_id'"),
        (_set("annotations", 0, "iscrowd", to="2"), r"annotations\[0\].iscrowd is '2', no mark"),
        (_set("images", 0, "width", to="wide"), r"the size of b\.png is 'wide'"),
        (_set("annotations", 0, "bbox", to=[1, 2, 3]), r"annotations\[0\].bbox is not four finite"),
        (_set("annotations", 0, "bbox", to=[1, 2, 3, float("nan")]), "is not four finite"),
        (_set("annotations", 0, "bbox", to=[1, 2, 3, 10**400]), "is not four finite"),
        (_set("annotations", 0, "bbox", to=[1, 2, 3, "4_0"]), "is not four finite"),
        (_set("images", 0, "id", to=5), "two images have the same id"),
        (_set("categories", 0, "id", to=3), "two categories have the same id"),
        (_set("categories", 0, "name", to="cat"), "two classes have the same name"),
        (
            _set("images", 0, "width", to=161),
            r"b\.png is 160 × 60 pixels as it is stored, but .* says 161 × 60",
        ),
        (_set("images", 0, "file_name", to="none.png"), r"the file 'none\.png' is not in"),
        (_set("images", 0, "file_name", to=300 * "x"), "x' is not in"),
        (_set("images", 0, "file_name", to="../b.png"), "lies outside"),
        (_set("images", 0, "file_name", to="/etc/passwd"), "lies outside"),
        (_set("images", 0, "file_name", to=None), "no file name"),
        (_set("images", to=[]), "unknown image"),
    ],
)
def test_wrong_coco(coco, change, reason):
    with pytest.raises(UserError, match=reason):
        coco(change)


def test_unknown_class_asked_for(coco):
    with pytest.raises(UserError, match="no class 'cow'; choose among cat, dog"):
        coco(names=["cow"])


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]"],
    ids=["empty", "cut", "binary", "deep", "list"],
)
def test_no_json(tmp_path, content):
    (tmp_path / "i.json").write_bytes(content)
    with pytest.raises(UserError, match=r"i\.json .*give COCO's instances file"):
        read_coco(tmp_path / "i.json", tmp_path)


OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"
CORNERS = "<xmin>21</xmin><ymin>41</ymin><xmax>60</xmax><ymax>80</ymax>"


@pytest.fixture
def voc(tmp_path):
    """A function that writes one VOC file of these objects (or this text) and reads it with ``options``."""
    _image(tmp_path / "a.png")

    def read(*objects, text=None, width=0, height=0, **options):
        body = "".join(OBJECT.format(*one) for one in objects)
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        whole = f"<annotation><filename>wrong.jpg</filename>{size}{body}</annotation>"
        (tmp_path / "a.xml").write_bytes(whole.encode() if text is None else text)
        return read_voc(tmp_path, **options)

    return read


def test_voc(voc):
    scenes = voc(("pear", 0, CORNERS), ("apple", 1, CORNERS), ("fig", 0, CORNERS))
    assert scenes.names == ("fig", "pear")
    assert scenes.classes.tolist() == [1, 0]
    assert scenes.boxes.tolist() == [[50, 60, 110, 120]] * 2, "counted from 1, both ends included"
    assert (scenes[0].image[62:118, 52:108] == 255).all()
    assert "1 difficult objects" in scenes.origin
    chosen = voc(("pear", 0, CORNERS), ("fig", 0, CORNERS), names=["fig"])
    assert chosen.classes.tolist() == [0]
    assert "1 objects of other classes" in chosen.origin


def test_voc_boxes_are_of_stored_pixels(voc, tmp_path):
    _image(tmp_path / "a.png", (120, 80), (20, 40, 60, 80), orientation=6)
    pear = ("pear", 0, CORNERS)
    for width, height in ((120, 80), (0, 0), (0, 80), (-1, -1), ("120.0", " 80 ")):
        scenes = voc(pear, width=width, height=height, fit="stretch")
        (x0, y0, x1, y1) = scenes.boxes[0].round().astype(int)
        assert (scenes[0].image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2] == 255).all()
    with pytest.raises(
        UserError, match=r"a\.png is 120 × 80 pixels as it is stored, but .*a\.xml says 80 × 120"
    ):
        voc(pear, width=80, height=120)
    with pytest.raises(UserError, match=r"a\.xml: <size> is '1e2x', no number"):
        voc(pear, width="1e2x", height=80)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><annotation>&b;</annotation>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB.encode(), "declares a document type"),
        (BOMB.replace("DOCTYPE", "doctype").encode(), "is not a VOC annotation"),
        (BOMB.encode("utf-16"), "declares a document type"),
        (b"<?xml version='1.0' encoding='zip'?><annotation/>", "zip"),
        (
            b"<?xml version='1.0' encoding='utf-7'?>" + BOMB.replace("<!", "+ADwAIQ-").encode(),
            "is not a VOC annotation",
        ),
        (b"<annotation>&b;</annotation>", "undefined entity"),
        (b"<html></html>", "root is <html>"),
        (b"<annotation>", "no element found"),
        (b"", "no element found"),
        (b"<annotation>" + b" " * 1_000_000 + b"</annotation>", "more than"),
    ],
    ids=["bomb", "lower", "utf-16", "zip", "utf-7", "entity", "html", "cut", "empty", "long"],
)
def test_refused_xml(voc, text, reason):
    with pytest.raises(UserError, match=rf"a\.xml.*{reason}"):
        voc(text=text)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (("", 0, CORNERS), "an <object> has no name"),
        (("pear", 0, ""), "<bndbox> of pear is not four finite"),
        (("pear", 0, CORNERS.replace("21", "nan")), "is not four finite"),
        (("pear", 0, CORNERS.replace("21", "1e999")), "is not four finite"),
        (("pear", 0, CORNERS.replace("21", "61")), "1 of 1 boxes are wrong"),
        (("pear", "maybe", CORNERS), "<difficult> of pear is 'maybe'"),
    ],
)
def test_wrong_voc(voc, one, reason):
    with pytest.raises(UserError, match=reason):
        voc(one)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone.png", "has no image for"), (300 * "x", "has no image for"), ("../x", "lies outside")],
)
def test_voc_without_its_image(tmp_path, name, reason):
    (tmp_path / "b.xml").write_text(f"<annotation><filename>{name}</filename></annotation>")
    with pytest.raises(UserError, match=reason):
        read_voc(tmp_path)


def test_folder_without_xml(tmp_path):
    with pytest.raises(UserError, match="has no XML file"):
        read_voc(tmp_path)


def test_images_without_boxes_are_taken_out_and_counted(coco):
    scenes = without_empty(coco())
    assert len(scenes) == 1
    assert np.diff(scenes.offsets).tolist() == [2]
    assert scenes.origin.endswith("; 1 images without a wanted object left out")
    assert without_empty(scenes) is scenes
    with pytest.raises(UserError, match="no image shows a wanted object"):
        without_empty(coco(lambda content: content.update(annotations=[])))


def test_class_that_no_voc_image_shows(voc):
    scenes = voc(("pear", 0, CORNERS), names=["kiwi", "pear"])
    assert scenes.names == ("kiwi", "pear")
    assert scenes.classes.tolist() == [1]


def test_list_of_voc_files(tmp_path):
    for name in ("a", "b", "c"):
        _image(tmp_path / f"{name}.png", (80 + ord(name), 80))
        body = OBJECT.format(name, 0, CORNERS)
        (tmp_path / f"{name}.xml").write_text(f"<annotation>{body}</annotation>")
    names = ["a", "b", "c"]
    (tmp_path / "list.txt").write_text("c  1\n\na -1\n")
    scenes = read_voc(tmp_path, names=names, listed=tmp_path / "list.txt")
    assert scenes.classes.tolist() == [2, 0], "in the list's order"
    (tmp_path / "list.txt").write_text("../x\n")
    with pytest.raises(UserError, match="lies outside"):
        read_voc(tmp_path, names=names, listed=tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("gone\n")
    with pytest.raises(UserError, match=r"gone\.xml"):
        read_voc(tmp_path, names=names, listed=tmp_path / "list.txt")
    with pytest.raises(UserError, match=r"none\.txt cannot be read as a list"):
        read_voc(tmp_path, names=names, listed=tmp_path / "none.txt")
