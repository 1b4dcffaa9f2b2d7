"""Whether foreign boxes are where they can be: each kind of wrong box is counted, a set of them is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paper2board.acquire.findings import Findings
from paper2board.core.errors import UserError

Box = tuple[float, float, float, float]
"""As a file has it: x, y, width, height (COCO) or xmin, ymin, xmax, ymax counted from 1 (VOC)."""
ROUNDING_PX = 1.0
"""Annotation tools round and count from 0 or 1: what reaches so far beyond the edge is at the edge."""
WRONG_SHARE = 0.5
"""A set with a larger share of wrong boxes is refused: then the rest is wrong, too."""
CUT_SHARE = 0.2
"""Corners that are taken for sizes reach beyond the edge at least as often."""

OUTSIDE = "boxes outside their picture"
INVERTED = "boxes that end before they begin"
CUT = "boxes cut at their picture's edge"
ZERO = "boxes that begin at pixel 0, where VOC counts from 1"
_LEFT_OUT = {
    "boxes under a pixel": "they cannot be seen at the set's size_px; choose a larger one to keep them",
    "crowd regions": "they are no single objects",
    "difficult objects": "the annotators marked them so",
    "objects of other classes": "add their classes to the data set's file to keep them",
    OUTSIDE: "at least half of the box is not in the picture; correct the annotation",
    INVERTED: "correct the annotation",
}
"""What is left out, and the remedy."""


_EXTENT = np.array([[-1, 0], [0, -1], [1, 0], [0, 1]], dtype=np.float64)
"""Corners times this are width and height."""


class BoxChecks:
    """The boxes of one split: checked one picture at a time, judged together at the end."""

    def __init__(self, source: str | Path, form: Literal["sizes", "corners"], findings: Findings) -> None:
        self._source = source
        self._form = form
        self._findings = findings
        self._counts: dict[str, int] = {}
        self._seen: list[NDArray[np.float64]] = []
        """Of each box: the file's four values, width and height of its picture, 1 if it is wrong, 1 if cut."""

    def leave_out(self, what: str, count: int = 1, name: object = None) -> None:
        """Count what is left out."""
        self._counts[what] = self._counts.get(what, 0) + count
        self._findings.add(what, f"left out: {_LEFT_OUT[what]}", name, count)

    @property
    def left_out(self) -> str:
        """What was left out so far, in words; empty for nothing."""
        return ", ".join(f"{n} {what}" for what, n in sorted(self._counts.items()) if n and what in _LEFT_OUT)

    @property
    def repaired(self) -> str:
        """What was repaired so far, in words that begin with "; "; empty for nothing."""
        return f"; {cut} {CUT}" if (cut := self._counts.get(CUT)) else ""

    def corners(
        self, boxes: Sequence[Box], size: tuple[int, int], where: object
    ) -> tuple[list[Box], list[bool]]:
        """Return the right ones of a picture's ``boxes``, and of each box whether it is right.

        Those returned are corners x0, y0, x1, y1 in the picture's pixels, x1 and y1 exclusive. ``size``: its width
        and height. ``where`` names it in what is told.
        """
        raw = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        found = raw.copy()
        if self._form == "sizes":
            found[:, 2:] += found[:, :2]
        else:
            found[:, :2] -= 1
            from_zero = (found[:, :2] == -1).any(axis=1)
            self._findings.add(ZERO, "taken as beginning at 1; export them anew", where, int(from_zero.sum()))
            found[:, :2] = np.where(found[:, :2] == -1, 0, found[:, :2])
        inverted = ((found if self._form == "sizes" else raw) @ _EXTENT < 0).any(axis=1)
        edge = np.array((*size, *size), dtype=np.float64)
        inner = np.clip(found, 0, edge)
        area = np.maximum(found[:, 2:] - found[:, :2], 1e-9).prod(axis=1)
        shown = np.maximum(inner[:, 2:] - inner[:, :2], 1e-9).prod(axis=1)
        outside = ~inverted & (shown < area / 2)
        kept = ~inverted & ~outside
        cut = kept & ((found < -ROUNDING_PX) | (found > edge + ROUNDING_PX)).any(axis=1)
        self.leave_out(OUTSIDE, int(outside.sum()), where)
        self.leave_out(INVERTED, int(inverted.sum()), where)
        self._counts[CUT] = self._counts.get(CUT, 0) + int(cut.sum())
        self._findings.add(CUT, "correct them if many are cut", where, int(cut.sum()))
        shares = (np.abs(raw) <= 1).all(axis=1)
        wrong = inverted | outside | shares
        self._seen.append(np.column_stack([raw, np.tile(edge[:2], (len(raw), 1)), wrong, cut | outside]))
        right: list[Box] = [(box[0], box[1], box[2], box[3]) for box in found[kept].tolist()]
        return right, kept.tolist()

    def refuse_if_wrong(self) -> None:
        """Raise :class:`UserError` with a guess if most boxes of the split are wrong."""
        seen = np.concatenate(self._seen) if self._seen else np.empty((0, 8))
        if not len(seen):
            return
        raw, size, wrong = seen[:, :4], seen[:, 4:6], seen[:, 6].astype(bool)
        begin, end = raw[:, :2], raw[:, 2:]
        look_like_corners = (end > begin).all(axis=1) & (end <= size + 1).all(axis=1)
        likely_corners = (
            self._form == "sizes" and seen[:, 7].mean() >= CUT_SHARE and look_like_corners.mean() >= 0.95
        )
        if wrong.mean() <= WRONG_SHARE and not likely_corners:
            return
        if (np.abs(raw) <= 1).all(axis=1).mean() > WRONG_SHARE:
            guess = "they look like shares of the picture's sides, 0 to 1: multiply them by width and height"
        elif likely_corners:
            guess = "they look like two corners: write x, y, width, height"
        elif self._form == "corners" and (end < begin).any(axis=1).mean() > WRONG_SHARE:
            guess = "they look like x, y, width, height, or swapped: write xmin, ymin, xmax, ymax"
        else:
            largest = np.abs(raw).max()
            guess = (
                f"they look like another scale, up to {largest:g} where the largest picture has "
                f"{size.max():g} pixels: give pixels of the stored pictures"
            )
        count = int((wrong | likely_corners).sum())
        raise UserError(f"{self._source}: {count} of {len(seen)} boxes are wrong; {guess}")
