"""The device's decoding and NMS, compiled for this machine, against Python's integer path, box for box."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paper2board.convert.engine_sources import APPLICATION, ENGINE, WARNINGS
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.integer_decode import (
    IntegerBoxes,
    Quantization,
    Tables,
    decode_int8,
    int8_tables,
    suppress_int8,
    tables_header,
)

PORT = """
#include "tables.h"
uint32_t decode(const int8_t *output, p2b_box_t *boxes)
{ return p2b_boxes_decode(&p2b_box_tables, output, boxes); }
uint32_t suppress(p2b_box_t *boxes, uint32_t count, uint32_t limit)
{ return p2b_boxes_suppress(&p2b_box_tables, boxes, count, limit); }
"""
BOX = np.dtype([("box", "<i2", 4), ("score", "<u2"), ("kind", "<u2")])
CASES = {
    "paper": int8_tables(Grid(), Quantization(1 / 16, 0), score_threshold=0.02, iou_threshold=0.5),
    "own scales": int8_tables(
        Grid(width=96, height=96, classes=3, stride=8, logit_range=4),
        Quantization(0.04, 11),
        Quantization(0.11, -40),
        Quantization(0.2, 90),
        score_threshold=0.3,
        iou_threshold=0.3,
    ),
    "every cell": int8_tables(
        Grid(width=255, height=255, classes=255), Quantization(1e-4, 0), score_threshold=0, iou_threshold=0
    ),
    "nothing overlaps": int8_tables(
        Grid(classes=1), Quantization(0.5, -128), score_threshold=0.5, iou_threshold=1
    ),
}

Run = Callable[[np.ndarray, int], tuple[IntegerBoxes, IntegerBoxes]]


def build(tables: Tables, folder: Path) -> Run:
    (folder / "tables.h").write_text(tables_header(tables))
    (folder / "port.c").write_text(PORT)
    command = [shutil.which("gcc") or "gcc", "-std=c11", "-O2", *WARNINGS, "-fsanitize=undefined"]
    command += ["-fno-sanitize-recover", "-fPIC", "-shared", f"-I{APPLICATION}", f"-I{ENGINE}", f"-I{folder}"]
    command += [str(APPLICATION / "p2b_boxes.c"), str(folder / "port.c"), "-o", str(folder / "boxes.so")]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "boxes.so"))

    def boxes(memory: np.ndarray, count: int) -> IntegerBoxes:
        part = memory[:count]
        return IntegerBoxes(*(part[name].astype(np.int64) for name in ("box", "kind", "score")))

    def run(output: np.ndarray, limit: int) -> tuple[IntegerBoxes, IntegerBoxes]:
        memory = np.zeros(tables.rows * tables.columns, BOX)
        place = memory.ctypes.data_as(ctypes.c_void_p)
        output = np.ascontiguousarray(output)
        count = library.decode(output.ctypes.data_as(ctypes.c_void_p), place)
        found = boxes(memory, count)
        return found, boxes(memory, library.suppress(place, count, limit))

    return run


def same(device: IntegerBoxes, python: IntegerBoxes) -> None:
    np.testing.assert_array_equal(device.boxes, python.boxes)
    np.testing.assert_array_equal(device.labels, python.labels)
    np.testing.assert_array_equal(device.scores, python.scores)


@pytest.mark.parametrize("name", CASES)
def test_device_and_python_give_the_same_boxes(name: str, tmp_path: Path) -> None:
    tables = CASES[name]
    run = build(tables, tmp_path)
    generator = np.random.default_rng(0)
    shape = (tables.rows, tables.columns, 4 + tables.classes + 1)
    outputs = generator.integers(-128, 128, (200, *shape)).astype(np.int8)
    outputs[100:] = outputs[100:] // 64  # few values: many ties of class and score
    outputs[0], outputs[1] = -128, 127
    found, kept = 0, 0
    for output, python in zip(outputs, decode_int8(tables, outputs), strict=True):
        for limit in (tables.rows * tables.columns, 5):
            decoded, left = run(output, limit)
            same(decoded, python)
            same(left, suppress_int8(tables, python, limit))
            found, kept = found + len(decoded.scores), kept + len(left.scores)
    assert found > kept > 0
