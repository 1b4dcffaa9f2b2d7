"""The report's figures as SVG text: the same bytes for the same numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from paper2board.errors import UserError
from paper2board.evidence import Evidence
from paper2board.report.claims import Claim
from paper2board.report.metrics import Stage

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
    "axes.prop_cycle": cycler(color=["#0b6fb8", "#d9730d", "#2a8a57", "#8a4fb0", "#b8336a", "#5b6770"]),
}
PAPER_COLOUR = "#b8336a"
OUR_COLOUR = "#0b6fb8"

PARETO_MARKERS = {"fp32": "o", "int8": "s"}
PARETO_VARIANTS = ("teacher", "original", "pooled", "distilled", "deployed")
LAYERS = ("conv1", "pool1", "conv2", "pool2", "aap", "fc1", "fc2")
LAYERS_WITH_WEIGHTS = ("conv1", "conv2", "fc1", "fc2")
BUILD = "paper-split"


@dataclass(frozen=True)
class Details:
    """The files behind figures; a figure whose file is not given, or whose metrics are absent, is left out."""

    histories: Mapping[str, Path] = field(default_factory=dict)
    """Variant → history CSV (epoch, train_accuracy and validation_accuracy in %)."""
    confusion: Path | None = None
    """JSON with variant, classes and matrix[true][predicted]."""
    duty_cycle: Path | None = None
    """CSV with duty_cycle (0 to 1), sleep_state, average_power_mW, life_h."""


@dataclass(frozen=True)
class Drawing:
    """One figure, ready to place."""

    id: str
    title: str
    stage: Stage
    caption: str
    svg: str


class Confusion(BaseModel):
    """How often each class was taken for each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]

    @model_validator(mode="after")
    def _is_square(self) -> "Confusion":
        if {len(self.classes)} != {len(self.matrix), *map(len, self.matrix)}:
            raise ValueError("matrix has not one row and one column a class")
        return self


def metric_names() -> set[str]:
    """Return every metric that a figure reads."""
    pareto = {
        f"{what}.{name}.{form}"
        for what in ("accuracy", "size")
        for name in PARETO_VARIANTS
        for form in PARETO_MARKERS
    }
    layers = {f"device.{BUILD}.layer.{layer}.latency" for layer in LAYERS}
    return pareto | layers | {f"memory-energy.{layer}.energy" for layer in LAYERS_WITH_WEIGHTS}


def draw_all(
    details: Details, evidence: Mapping[str, Evidence], claims: Mapping[str, Claim]
) -> list[Drawing]:
    """Draw every figure whose data are there.

    Raises:
        UserError: a file in ``details`` is missing or not what it should be.
    """
    drawings = []
    if details.histories:
        drawings.append(training_curves(details.histories))
    pareto = accuracy_against_bytes(evidence, claims)
    layers = layer_bars(evidence, claims)
    drawings += [drawing for drawing in (pareto, layers) if drawing is not None]
    if details.duty_cycle is not None:
        drawings.append(battery_life(details.duty_cycle))
    if details.confusion is not None:
        drawings.append(confusion_matrix(details.confusion))
    return drawings


def training_curves(histories: Mapping[str, Path]) -> Drawing:
    """Draw validation (solid) and training accuracy (dotted) over epochs, one colour a variant."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots()
        for index, (variant, path) in enumerate(histories.items()):
            history = _read_csv(path, ("epoch", "train_accuracy", "validation_accuracy"))
            colour = f"C{index}"
            axes.plot(history["epoch"], history["validation_accuracy"], color=colour, label=variant)
            axes.plot(history["epoch"], history["train_accuracy"], color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel="epoch", ylabel="accuracy (%)")
        axes.legend(ncols=2)
        caption = "Accuracy on the validation images (solid) and on the augmented training images (dotted)."
        return Drawing("training-curves", "Training curves", "train", caption, _svg(figure))


def accuracy_against_bytes(evidence: Mapping[str, Evidence], claims: Mapping[str, Claim]) -> Drawing | None:
    """Draw test accuracy over model size for each network, ours with intervals, and the paper's points.

    The paper's points are those whose size and accuracy metric are both named by claims.
    """
    printed = {claim.metric: float(claim.number) for claim in claims.values() if claim.metric}
    shown = [
        (variant, form)
        for variant in PARETO_VARIANTS
        for form in PARETO_MARKERS
        if {f"size.{variant}.{form}", f"accuracy.{variant}.{form}"} <= evidence.keys()
    ]
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        for variant, form in shown:
            names = f"size.{variant}.{form}", f"accuracy.{variant}.{form}"
            size, accuracy = (evidence[name] for name in names)
            colour = f"C{PARETO_VARIANTS.index(variant)}"
            axes.errorbar(
                size.value / 1e3,
                accuracy.value,
                yerr=_whiskers(accuracy),
                fmt=PARETO_MARKERS[form],
                color=colour,
                capsize=2,
                label=variant if form == "int8" else None,
            )
            if all(name in printed for name in names):
                x, y = printed[names[0]] * 1e3, printed[names[1]]
                axes.plot(x, y, PARETO_MARKERS[form], color=colour, markerfacecolor="white")
        axes.set(xscale="log", xlabel="size (kB)", ylabel="test accuracy (%)")
        _plain_logarithm(axes.xaxis)
        axes.legend()
        caption = (
            "Circles are FP32, squares INT8. Filled points are ours with their intervals; hollow points are the"
            " paper's sizes and accuracies as printed."
        )
        return Drawing("pareto", "Accuracy against bytes", "compress", caption, _svg(figure))


def layer_bars(evidence: Mapping[str, Evidence], claims: Mapping[str, Claim]) -> Drawing | None:
    """Draw latency and memory energy of each layer beside the paper's numbers for the same metric."""
    latency = [f"device.{BUILD}.layer.{layer}.latency" for layer in LAYERS]
    energy = [f"memory-energy.{layer}.energy" for layer in LAYERS_WITH_WEIGHTS]
    panels = [
        (names, layers, title)
        for names, layers, title in (
            (latency, LAYERS, "latency (ms)"),
            (energy, LAYERS_WITH_WEIGHTS, "memory energy (µJ)"),
        )
        if any(name in evidence for name in names)
    ]
    if not panels:
        return None
    printed = {claim.metric: float(claim.number) for claim in claims.values() if claim.metric}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        for axes, (names, layers, title) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _bars(axes, names, layers, evidence, printed)
            axes.set(title=title)
        caption = (
            "Ours (blue, with intervals) and as the paper prints (red). Latency: modelled for our build. Memory"
            " energy: the paper's float32 model on our layer shapes."
        )
        return Drawing("layers", "Latency and memory energy per layer", "capture", caption, _svg(figure))


def battery_life(path: Path) -> Drawing:
    """Draw battery life over the duty cycle, one line a sleep state."""
    table = _read_csv(path, ("duty_cycle", "sleep_state", "average_power_mW", "life_h"))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        for state, rows in table.groupby("sleep_state", sort=False):
            rows = rows.sort_values("duty_cycle")
            axes.plot(100 * rows["duty_cycle"], rows["life_h"], label=str(state).replace("-", " "))
        axes.set(xscale="log", yscale="log", xlabel="duty cycle (%)", ylabel="battery life (h)")
        _plain_logarithm(axes.xaxis)
        _plain_logarithm(axes.yaxis)
        axes.legend(title="between inferences")
        caption = "Modelled life of the paper's battery for the share of time that is spent on inference."
        return Drawing("battery-life", "Battery life over duty cycle", "energy", caption, _svg(figure))


def confusion_matrix(path: Path) -> Drawing:
    """Draw a confusion matrix: rows are true classes, cells the percentage of the row."""
    try:
        confusion = Confusion.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path} is not a confusion matrix ({' '.join(str(error).split())}); run its rule again"
        ) from error
    matrix = np.array(confusion.matrix, dtype=float)
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 5.0), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        axes.grid(visible=False)
        ticks = range(len(confusion.classes))
        axes.set_xticks(ticks, confusion.classes, rotation=45, ha="right")
        axes.set_yticks(ticks, confusion.classes)
        axes.set(xlabel="predicted", ylabel="true")
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 55 else "#333333"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
        total = int(matrix.sum())
        caption = f"{confusion.variant} over {total:,} test images; cells are percentages of the true class."
        return Drawing("confusion", "Confusion matrix", "report", caption, _svg(figure))


def _bars(
    axes,
    names: Sequence[str],
    layers: Sequence[str],
    evidence: Mapping[str, Evidence],
    printed: Mapping[str, float],
) -> None:
    """Draw one pair of horizontal bars a layer, first layer on top."""
    for index, name in enumerate(names):
        item = evidence.get(name)
        if item is not None:
            axes.barh(
                index - 0.18,
                item.value,
                0.34,
                xerr=_whiskers(item),
                color=OUR_COLOUR,
                ecolor="#333333",
                capsize=2,
            )
        if name in printed:
            axes.barh(index + 0.18, printed[name], 0.34, color=PAPER_COLOUR)
    axes.set_yticks(range(len(layers)), layers)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _whiskers(item: Evidence) -> list[list[float]]:
    """Return the lengths of an error bar below and above the value."""
    low, high = item.interval or (item.value, item.value)
    return [[item.value - low], [high - item.value]]


def _plain_logarithm(axis: Axis) -> None:
    """Label a logarithmic axis 1, 2, 5, 10 … instead of powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV ({error}); run its rule again") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path} lacks the column {missing[0]}; run its rule again")
    return table


def _svg(figure: Figure) -> str:
    stream = StringIO()
    figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
