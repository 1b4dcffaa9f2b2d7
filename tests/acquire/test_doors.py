"""Whatever is in a user's file, it gives a value or one sentence that names the file."""

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from paper2board.acquire.boxes import read_coco, read_voc
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.acquire.photo import decode
from paper2board.acquire.prepare.table import read_columns
from paper2board.core.configuration import parse_yaml
from paper2board.core.errors import UserError

pytestmark = pytest.mark.fuzz_doors


def value_or_sentence(read: Callable[[], Any], name: str) -> None:
    """Call ``read``: it returns, or raises one line about the file ``name``."""
    try:
        read()
    except UserError as error:
        assert name in str(error)
        assert "\n" not in str(error)


def foreign_values() -> st.SearchStrategy[Any]:
    """What a tool may write where a number, a flag or a name belongs."""
    texts = st.sampled_from(
        ["", "0", "1", "-1", " 160 ", "false", "nan", "1e999", "1_0", "٣", "a,b", "{x}", "<b>", "\x85"]
    )
    numbers = st.integers(-(10**9), 10**9) | st.floats() | st.integers(0, 3)
    return st.none() | st.booleans() | numbers | texts | st.lists(numbers | texts, max_size=5)


def coco_files() -> st.SearchStrategy[bytes]:
    """Instances files of which a few values are others, in one of several encodings."""
    box = st.lists(st.integers(-5, 45) | st.floats(-1, 50), min_size=4, max_size=4) | foreign_values()
    entry = st.fixed_dictionaries(
        {
            "image_id": st.just(0) | foreign_values(),
            "category_id": st.integers(1, 2) | foreign_values(),
            "bbox": box,
        },
        optional={"iscrowd": foreign_values()},
    )
    picture = st.fixed_dictionaries(
        {"id": st.just(0) | foreign_values(), "file_name": st.just("a.png") | foreign_values()},
        optional={"width": st.just(40) | foreign_values(), "height": st.just(40) | foreign_values()},
    )
    content = st.fixed_dictionaries(
        {
            "categories": st.just([{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]) | foreign_values(),
            "images": st.lists(picture, max_size=2) | foreign_values(),
            "annotations": st.lists(entry, max_size=4) | foreign_values(),
        }
    )
    encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    return st.builds(lambda c, e: json.dumps(c).encode(e), content, encodings)


def voc_files() -> st.SearchStrategy[bytes]:
    """VOC files of which a few texts are others."""
    texts = foreign_values().map(lambda value: str(value).replace("<", "&lt;"))
    corners = st.tuples(*[st.integers(-2, 45).map(str) | texts] * 4)

    def written(
        name: str, difficult: str, corners: tuple[str, ...], width: str, head: str, cut: int
    ) -> bytes:
        keys = ("xmin", "ymin", "xmax", "ymax")
        box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners, strict=True))
        one = f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"
        whole = f"{head}<annotation><size><width>{width}</width><height>40</height></size>{one}</annotation>"
        return whole.encode("utf-8", "replace")[: cut or None]

    heads = st.sampled_from(
        ["", "<?xml version='1.0' encoding='utf-16'?>", "<?xml version='1.0' encoding='x'?>", "\ufeff"]
    )
    cuts = st.just(0) | st.integers(1, 200)
    return st.builds(written, st.just("pear") | texts, texts, corners, st.just("40") | texts, heads, cuts)


def pictures() -> st.SearchStrategy[bytes]:
    """Small files of every format, with bytes changed, removed or doubled."""

    def written(kind: str, mode: str) -> bytes:
        stream, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        exif[0x011A] = 72.0
        options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        Image.new(mode, (40, 24), 77).save(stream, kind, **options)
        return stream.getvalue()

    def changed(content: bytes, edits: list[tuple[int, int]], end: int) -> bytes:
        raw = bytearray(content)
        for place, value in edits:
            raw[place % len(raw)] = value
        return bytes(raw[: len(raw) - end % len(raw)])

    kinds = [
        ("JPEG", "L"),
        ("PNG", "P"),
        ("PNG", "I;16"),
        ("TIFF", "I;16"),
        ("GIF", "L"),
        ("BMP", "RGB"),
        ("PPM", "L"),
    ]
    kinds += [("WEBP", "RGB"), ("TIFF", "RGB"), ("PNG", "LA"), ("JPEG", "CMYK")]
    whole = st.sampled_from([written(kind, mode) for kind, mode in kinds])
    edits = st.lists(
        st.tuples(st.integers(0, 1 << 20) | st.integers(0, 120), st.integers(0, 255)), max_size=12
    )
    return st.builds(changed, whole, edits, st.just(0) | st.integers(0, 1 << 20)) | st.binary(max_size=60)


def tables() -> st.SearchStrategy[bytes]:
    """CSV files: any cells, ends of lines, marks and encodings."""
    cell = st.sampled_from(
        ["1", "2.5", "", "nan", "1e400", '"', '"1"', "a", "0x1", "1,5", "\x00", "٣", " 3 "]
    )
    row = st.lists(st.integers(0, 99).map(str), min_size=2, max_size=2) | st.lists(cell, max_size=3)
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
    heads = st.sampled_from([["x", "y"], ["y", "x", "x"], [" x ", '"y"'], []])
    return st.builds(
        lambda head, rows, end, code: end.join(map(",".join, [head, *rows])).encode(code),
        heads,
        st.lists(row, min_size=8, max_size=14),
        ends,
        encodings,
    )


def yaml_files() -> st.SearchStrategy[str]:
    """Configurations of a data set with other values, and any text."""
    values = foreign_values() | st.dictionaries(st.text(max_size=3) | st.none(), st.integers(), max_size=2)
    keys = {
        "name": st.just("some") | values,
        "kind": st.sampled_from(["folders", "boxes", "table", "cifar10", "x"]),
    }
    others = dict.fromkeys(
        ["path", "classes", "size_px", "test_share", "seed", "train", "test", "sources"], values
    )
    content = st.fixed_dictionaries(keys, optional=others).map(
        lambda c: yaml.safe_dump(c, allow_unicode=True)
    )
    pieces = st.sampled_from(
        ["a: ", "- ", "\n", "\r\n", "  ", "{", "}", "&a ", "*a", "!!int ", "'", '"', "0x", "2020-99-99", "? "]
    )
    return content | st.lists(pieces | st.text(max_size=3), max_size=12).map("".join)


@given(coco_files())
def test_any_coco_file(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_bytes(content)
        Image.new("RGB", (40, 40)).save(Path(folder, "a.png"))
        value_or_sentence(lambda: read_coco(path, folder, ("cat", "dog")), "a.")


@given(voc_files())
def test_any_voc_file(content):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.xml").write_bytes(content)
        Image.new("RGB", (40, 40)).save(Path(folder, "a.png"))
        value_or_sentence(lambda: read_voc(folder), Path(folder).name)


@given(pictures())
def test_any_picture(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.jpg")
        path.write_bytes(content)
        value_or_sentence(lambda: decode(path), "x.jpg")


@given(tables())
def test_any_table(content):
    value_or_sentence(lambda: read_columns(content, "t.csv", ("x", "y")), "t.csv")


@given(yaml_files())
def test_any_yaml(text):
    value_or_sentence(lambda: parse_yaml(text, "some.yaml"), "some.yaml")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "some.yaml")
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
        value_or_sentence(lambda: read_dataset(path), "some.yaml")
