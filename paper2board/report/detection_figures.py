"""A detector's figures: precision over recall, and what scenarios leave of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field, ValidationError, model_validator

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence
from paper2board.core.strict import StrictModel
from paper2board.report.claims import Claim
from paper2board.report.drawing import (
    NAMES_AS_TEXT,
    OUR_COLOUR,
    PAPER_COLOUR,
    STYLE,
    Drawing,
    literal,
    svg_text,
    whiskers,
)
from paper2board.tasks.detection.average_precision import RECALLS

SCENARIOS = (
    "unchanged",
    "indoor",
    "outdoor",
    "low-light",
    "sensor-noise",
    "small-objects",
    "occlusion-25",
    "occlusion-50",
)
LINES = ("-", "--", ":")
"""One after the other when the colours have run out."""
_Curve = Annotated[tuple[float, ...], Field(min_length=len(RECALLS), max_length=len(RECALLS))]


class Curves(StrictModel):
    """Precision, 0 … 1, at the recalls 0, 0.01 … 1: of networks (mean over classes), and of one's classes."""

    device: str
    networks: dict[str, _Curve]
    classes: dict[str, _Curve]

    @model_validator(mode="after")
    def _device_is_a_network(self) -> "Curves":
        if self.device not in self.networks:
            raise ValueError(f"there is no network {self.device}")
        return self

    def released(self) -> dict[str, tuple[float, ...]]:
        """Return a curve a variant: of its int8 form where it has one, else float32."""
        chosen: dict[str, str] = {}
        for name in self.networks:
            variant, _, form = name.rpartition(".")
            if form == "int8" or (form == "fp32" and variant not in chosen):
                chosen[variant] = name
        return {variant: self.networks[name] for variant, name in chosen.items()}


def precision_recall(path: Path) -> Drawing:
    """Draw precision over recall: each variant's mean over classes, and each class of the one on the device.

    Raise :class:`UserError` if ``path`` holds no :class:`Curves`.
    """
    try:
        curves = Curves.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path} holds no precision-recall curves ({' '.join(str(error).split())}); run its rule again"
        ) from error
    with matplotlib.rc_context(NAMES_AS_TEXT):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _lines(left, curves.released())
        _lines(right, curves.classes)
        left.set(title="variants, mean over classes", ylabel="precision (%)")
        right.set(title=f"classes of {curves.device}")
        caption = (
            "Best precision at each recall or beyond, at an overlap (IoU) of at least one half. The area under a"
            " line is its average precision. Variants are shown as int8 where they have that form."
        )
        return Drawing("precision-recall", "Precision over recall", "evaluate", caption, svg_text(figure))


def _lines(axes: Axes, curves: Mapping[str, tuple[float, ...]]) -> None:
    colours = len(STYLE["axes.prop_cycle"])
    lines = []
    for index, curve in enumerate(curves.values()):
        lines += axes.plot(
            100 * RECALLS,
            100 * np.array(curve),
            color=f"C{index % colours}",
            linestyle=LINES[index // colours % len(LINES)],
            linewidth=1.2,
        )
    axes.set(xlabel="recall (%)", xlim=(0, 100), ylim=(0, 100))
    legend = axes.legend(lines, ["" for _ in lines], fontsize=7, ncols=2)
    # Names afterwards: a legend leaves out those that begin with "_".
    for text, name in zip(legend.get_texts(), curves, strict=True):
        text.set_text(literal(name))


def scenario_bars(evidence: Mapping[str, Evidence], claims: Mapping[str, Claim]) -> Drawing | None:
    """Draw detection rate and mAP@0.5 of every scenario with intervals, and the paper's rates; None without any."""
    shown = [name for name in SCENARIOS if f"scenario.{name}.detection-rate" in evidence]
    if not shown:
        return None
    printed = {claim.metric: float(claim.number) for claim in claims.values() if claim.metric}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots()
        series = (
            ("detection-rate", -0.2, OUR_COLOUR, "detection rate, ours"),
            ("map50", 0.2, "#2a8a57", "mAP@0.5, ours"),
        )
        for what, shift, colour, label in series:
            for index, name in enumerate(shown):
                item = evidence.get(f"scenario.{name}.{what}")
                if item is None:
                    continue
                axes.bar(
                    index + shift,
                    item.value,
                    0.38,
                    yerr=whiskers(item),
                    color=colour,
                    ecolor="#333333",
                    capsize=2,
                    label=label if not index else None,
                )
        claimed = [
            (index - 0.2, printed[metric])
            for index, name in enumerate(shown)
            if (metric := f"scenario.{name}.detection-rate") in printed
        ]
        if claimed:
            axes.plot(*zip(*claimed, strict=True), "D", color=PAPER_COLOUR, label="detection rate, the paper")
        axes.set_xticks(
            range(len(shown)), [name.replace("-", " ") for name in shown], rotation=25, ha="right"
        )
        axes.set(ylabel="%", ylim=(0, 100))
        axes.grid(visible=False, axis="x")
        axes.legend()
        caption = (
            "The network on the device, by its integer decoding, on the test scenes under controlled perturbations,"
            " with 95 % intervals. Each half of the scenes counts answers from the score with the best F1 on the"
            " other half, unchanged. The paper's rates are of its own photos, which are not published."
        )
        return Drawing("scenarios", "Scenarios", "evaluate", caption, svg_text(figure))
