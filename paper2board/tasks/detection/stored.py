"""From a detector's stored outputs, and a scene set, to boxes in pixels of the network's input.

Outputs are N × (rows · columns · channels), in that order: float32, or int8 of an integer model.
"""

import numpy as np

from paper2board.acquire.scenes import SceneSet
from paper2board.core.errors import UserError
from paper2board.tasks.detection.boxes import Boxes, true_boxes
from paper2board.tasks.detection.decode import decode, suppress
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.integer_decode import (
    Quantization,
    Tables,
    decode_int8,
    int8_tables,
    suppress_int8,
)
from paper2board.tasks.outputs import OutputLayout


def truths(scenes: SceneSet, grid: Grid) -> list[Boxes]:
    """Return each scene's true boxes in pixels of the network's input, to which a scene is stretched.

    Raise :class:`UserError` if there is no object at all: nothing could be said of a detector then.
    """
    if not len(scenes.classes):
        raise UserError(
            f"{scenes.origin}: the test scenes hold no object; take more of them or another data set"
        )
    height, width = scenes.images.shape[1:3]
    scale = np.array([grid.width / width, grid.height / height] * 2)
    return [true_boxes(scene.boxes * scale, scene.classes) for scene in scenes]


def found_boxes(outputs: np.ndarray, layout: OutputLayout, where: str) -> list[Boxes]:
    """Return what a network found, after NMS, in pixels of its input, from stored outputs."""
    grid = _grid(outputs, layout, where)
    if (outputs.dtype == np.int8) != (layout.scale is not None):
        raise UserError(f"{where} is {outputs.dtype}, unlike its model's outputs; delete it and run again")
    values = outputs.astype(np.float32)
    if layout.scale is not None:
        values = np.float32(layout.scale) * (values - layout.zero_point)
    cells = values.reshape(-1, grid.rows, grid.columns, grid.channels).transpose(0, 3, 1, 2)
    return [suppress(found) for found in decode(grid, cells)]


def device_boxes(outputs: np.ndarray, layout: OutputLayout, where: str) -> list[Boxes]:
    """Return what the device finds, in its own integers (``firmware/app/p2b_boxes.h``), from int8 outputs."""
    grid, tables = _grid(outputs, layout, where), layout_tables(layout)
    cells = outputs.reshape(-1, grid.rows, grid.columns, grid.channels)
    return [suppress_int8(tables, found).pixels() for found in decode_int8(tables, cells)]


def layout_tables(layout: OutputLayout) -> Tables:
    """Return the device's tables for int8 outputs of a layout."""
    assert layout.scale is not None  # int8
    grid = Grid.of(layout.input, layout.output)
    return int8_tables(grid, Quantization(layout.scale, layout.zero_point))


def _grid(outputs: np.ndarray, layout: OutputLayout, where: str) -> Grid:
    grid = Grid.of(layout.input, layout.output)
    if outputs.shape[1] != grid.rows * grid.columns * grid.channels:
        raise UserError(
            f"{where} has {outputs.shape[1]} values an image, not {grid.rows} x {grid.columns} cells of"
            f" {grid.channels}; delete it and run again"
        )
    return grid
