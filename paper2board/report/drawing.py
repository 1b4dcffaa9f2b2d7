"""What all figures share: their style, and the SVG text that is the same bytes for the same numbers."""

import warnings
from dataclasses import dataclass
from io import StringIO
from typing import Any

from cycler import cycler
from matplotlib.figure import Figure

from paper2board.core.evidence import Evidence
from paper2board.report.catalogue import Stage

COLOURS = (
    *("#0b6fb8", "#d9730d", "#2a8a57", "#8a4fb0", "#b8336a"),
    *("#5b6770", "#00a3ad", "#8c6d1f", "#7aa82b", "#3d3d8f"),
)
STYLE: Any = {
    "svg.hashsalt": "paper2board",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=COLOURS),
}
PAPER_COLOUR = "#b8336a"
OUR_COLOUR = "#0b6fb8"


@dataclass(frozen=True)
class Drawing:
    """One figure, ready to place."""

    id: str
    title: str
    stage: Stage
    caption: str
    svg: str


NAMES_AS_TEXT: Any = STYLE | {"svg.fonttype": "none"}
"""The style where a user's names are drawn: as text, for the font of the figures lacks most scripts."""


def literal(name: str) -> str:
    """Return a label that is drawn as ``name`` is: matplotlib sets what stands between two "$" as mathematics."""
    return name.replace("$", r"\$")


def whiskers(item: Evidence) -> list[list[float]]:
    """Return the lengths of an error bar below and above the value."""
    low, high = item.interval or (item.value, item.value)
    return [[item.value - low], [high - item.value]]


def svg_text(figure: Figure) -> str:
    """Return ``figure`` as SVG without anything that changes from run to run."""
    stream = StringIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is text in the file, and drawn in the reader's font.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font")
        figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
