"""How a photo of any size becomes an image of one size: by which method, and which of its pixels go where.

The same integers as in ``firmware/app/p2b_fit.c``; :mod:`paper2board.networks.pixels` computes the pixels. It is
light, for the configuration is read with it.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from paper2board.core.errors import UserError

FitMethod = Literal["letterbox", "stretch", "crop"]
"""``letterbox``: the whole photo, its aspect kept, centred on grey. ``stretch``: the whole photo, its aspect
changed. ``crop``: the largest part of the photo, around its centre, that has the image's aspect."""
METHODS: tuple[FitMethod, ...] = get_args(FitMethod)
BORDER = 114
"""Grey beside a letterboxed photo: the convention of the YOLO family."""
MAX_SIDE_PX = 4096
"""Of an image that photos become: the device's sums then fit their types."""
MAX_PHOTO_SIDE_PX = 65535
"""Of a photo, for the same reason."""
_TEXT = re.compile(rf"({'|'.join(METHODS)})(?::([0-9]{{1,4}})x([0-9]{{1,4}}))?")


@dataclass(frozen=True)
class Rectangle:
    """Pixels ``left`` … ``left + width − 1`` of rows ``top`` … ``top + height − 1``."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Placement:
    """The pixels of a photo that are seen, and the pixels of the image that they become."""

    seen: Rectangle
    filled: Rectangle


@dataclass(frozen=True)
class PhotoFit:
    """Photos become images of ``width`` × ``height`` pixels by ``method``. As text: ``letterbox:160x120``."""

    method: FitMethod
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.method}:{self.width}x{self.height}"

    def place(self, columns: int, rows: int) -> Placement:
        """Return what a photo of ``columns`` × ``rows`` pixels becomes."""
        width, height = self.width, self.height
        whole, image = Rectangle(0, 0, columns, rows), Rectangle(0, 0, width, height)
        wide = columns * height > rows * width
        if self.method == "crop":
            if wide:
                return Placement(_centred(max(1, rows * width // height), rows, columns, rows), image)
            return Placement(_centred(columns, max(1, columns * height // width), columns, rows), image)
        if self.method == "letterbox":
            if wide:
                inner = width, max(1, (2 * rows * width + columns) // (2 * columns))
            else:
                inner = max(1, (2 * columns * height + rows) // (2 * rows)), height
            return Placement(whole, _centred(*inner, width, height))
        return Placement(whole, image)


def parse_fit(text: str, width: int, height: int) -> PhotoFit:
    """Return the fit that ``text`` states; without a size in it, photos become images of ``width`` × ``height``.

    Raise :class:`UserError` for anything else, and for a size beyond 1 to :data:`MAX_SIDE_PX`.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UserError(
            f"fit {text!r} is unknown; write {', '.join(METHODS)}, or with the size of the training images "
            "letterbox:160x120"
        )
    method: FitMethod = match[1]  # type: ignore[assignment]  # one of METHODS
    fit = PhotoFit(method, int(match[2] or width), int(match[3] or height))
    if not (1 <= fit.width <= MAX_SIDE_PX and 1 <= fit.height <= MAX_SIDE_PX):
        raise UserError(f"fit {text}: an image has 1 to {MAX_SIDE_PX} pixels a side; correct its size")
    return fit


def _centred(width: int, height: int, columns: int, rows: int) -> Rectangle:
    return Rectangle((columns - width) // 2, (rows - height) // 2, width, height)
