"""The survey's figure: what the guide's networks cost, and which of them a board takes."""

from pathlib import Path

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from paper2board.core.errors import UserError
from paper2board.report.csv_file import read_csv
from paper2board.report.drawing import STYLE, Drawing, svg_text

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
COLUMNS = ("network", "family", "flash_B", "peak_streamed_B", "latency_ms")


def latency_against_flash(table: Path, board: str) -> Drawing:
    """Draw every surveyed network: modelled latency over flash, a marker a family, and whether ``board`` takes it.

    ``table``: the survey's CSV. Filled: the network fits layer by layer; half filled: only with rows streamed;
    hollow: not at all. Raise UserError if the table is not a survey with that board.
    """
    columns = (f"fits {board}", f"fits layer by layer {board}")
    survey = read_csv(table, (*COLUMNS, *columns))
    if survey.empty:
        raise UserError(
            f"{table} lists no network; add some to the survey's configuration and run its rule again"
        )
    families = survey["family"].fillna("this project's").tolist()
    known = list(dict.fromkeys(families))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        axes = figure.subplots()
        for family, (_, line) in zip(families, survey.iterrows(), strict=True):
            streamed, whole = (line[column] == "fits" for column in columns)
            index = known.index(family)
            axes.plot(
                line["flash_B"] / 1e3,
                line["latency_ms"],
                MARKERS[index % len(MARKERS)],
                color=f"C{index % 6}",
                fillstyle="full" if whole else "left" if streamed else "none",
                markersize=6,
            )
        axes.set(xscale="log", yscale="log", xlabel="flash, int8 (kB)", ylabel="modelled latency (ms)")
        for axis in (axes.xaxis, axes.yaxis):
            _decades(axis)
        handles = [
            Line2D([], [], marker=MARKERS[i % len(MARKERS)], color=f"C{i % 6}", linestyle="", label=family)
            for i, family in enumerate(known)
        ]
        axes.legend(handles=handles, ncols=2, fontsize=8)
        caption = (
            f"Each network of the survey, on {board}. Filled: its int8 weights and its activations, layer by layer,"
            " fit what an application leaves of flash and SRAM. Half filled: only with rows streamed through the"
            " layers. Hollow: they do not fit. Down and to the left is better; latency leaves out layers without"
            " weights."
        )
        return Drawing("survey", "Networks against a microcontroller", "convert", caption, svg_text(figure))


def _decades(axis: Axis) -> None:
    axis.set_major_locator(LogLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())
