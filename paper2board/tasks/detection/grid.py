"""How a single-scale grid detector's output is laid out. Imports neither torch nor numpy."""

from collections.abc import Sequence

from pydantic import Field, PositiveInt, model_validator

from paper2board.core.strict import StrictModel

BOX = 4
"""Channels of the box; the classes follow, the confidence is last."""


class Grid(StrictModel):
    """Where the cells lie and what their numbers mean. Sides, stride and sizes are pixels.

    ``stride`` is the network's true one, also where the image is no multiple of it (120 = 7.5 · 16): cells of
    120 / 8 pixels would make the same weights mean another offset in every row.
    """

    width: PositiveInt = 160
    height: PositiveInt = 120
    stride: PositiveInt = 16
    classes: int = Field(default=10, ge=1, le=255)
    min_size: float = Field(default=4.0, gt=0)
    """Smallest side that can be encoded; the largest is the image's."""
    logit_range: float = Field(default=8.0, gt=0)

    @model_validator(mode="after")
    def _sizes(self) -> "Grid":
        if self.min_size >= min(self.width, self.height):
            raise ValueError("min_size must be smaller than the image; choose a few pixels")
        return self

    @classmethod
    def of(cls, input_shape: Sequence[int], output_shape: Sequence[int]) -> "Grid":
        """Return the grid of a network from (C, H, W) images to (channels, rows, columns) cells.

        Raise ValueError if such an output is no grid over such images.
        """
        if len(output_shape) != 3:
            raise ValueError(f"a detector ends in rows and columns of cells, not {tuple(output_shape)}")
        channels, _, columns = output_shape
        _, height, width = input_shape
        grid = cls(width=width, height=height, stride=-(-width // columns), classes=channels - BOX - 1)
        if (grid.channels, grid.rows, grid.columns) != tuple(output_shape):
            raise ValueError(f"an output of {tuple(output_shape)} is no grid over {width} × {height} pixels")
        return grid

    @property
    def rows(self) -> int:
        """Number of cells from top to bottom."""
        return -(-self.height // self.stride)

    @property
    def columns(self) -> int:
        """Number of cells from left to right."""
        return -(-self.width // self.stride)

    @property
    def channels(self) -> int:
        """Numbers a cell: box, classes, confidence."""
        return BOX + self.classes + 1
