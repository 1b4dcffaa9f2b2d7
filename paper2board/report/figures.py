"""The report's figures as SVG text: the same bytes for the same numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from pydantic import ValidationError, model_validator

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence
from paper2board.core.strict import StrictModel
from paper2board.energy.battery import YEAR_h
from paper2board.report.claims import Claim
from paper2board.report.csv_file import read_csv
from paper2board.report.detection_figures import precision_recall, scenario_bars
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
from paper2board.report.survey_figures import latency_against_flash
from paper2board.tasks.registry import TASKS

PARETO_MARKERS = {"fp32": "o", "int8": "s"}
SCORES = {task.score: task.score_label for task in TASKS.values()}
"""Main scores of networks, and how figures call them."""


@dataclass(frozen=True)
class Details:
    """The files behind figures; a figure whose file is not given, or whose metrics are absent, is left out."""

    histories: Mapping[str, Path] = field(default_factory=dict)
    """Variant → history CSV (epoch, train_accuracy and validation_accuracy in %)."""
    scores: Sequence[Path] = ()
    """Folders with what each task shows of one network, as JSON; the first is of the task on the device."""
    duty_cycle: Path | None = None
    """CSV with duty_cycle (0 to 1), sleep_state, average_power_mW, life_h."""
    schedule: Path | None = None
    """CSV with inferences_per_hour, sleep_state, life_h."""
    engine: str = "paper-split"
    """Whose layers are shown."""
    board: str = "esp32-wroom"
    """On which the surveyed networks are shown to fit or not."""
    survey: Path | None = None
    """CSV of the surveyed networks."""


class Confusion(StrictModel):
    """How often each class was taken for each: ``confusion.json`` of a task's scores."""

    variant: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    """``matrix[true][predicted]``."""
    counted: str
    """What is counted and what the cells are, to go on after a number."""

    @model_validator(mode="after")
    def _is_square(self) -> "Confusion":
        if {len(self.classes)} != {len(self.matrix), *map(len, self.matrix)}:
            raise ValueError("matrix has not one row and one column a class")
        return self


def draw_all(
    details: Details, evidence: Mapping[str, Evidence], claims: Mapping[str, Claim]
) -> list[Drawing]:
    """Draw every figure whose data are there.

    Raises:
        UserError: a file in ``details`` is missing or not what it should be.
    """
    drawings = []
    if details.histories:
        drawings.append(training_curves(details.histories, evidence))
    pareto = accuracy_against_bytes(evidence, claims)
    layers = layer_bars(evidence, claims, details.engine)
    drawings += [drawing for drawing in (pareto, layers) if drawing is not None]
    if details.duty_cycle is not None:
        drawings.append(battery_life(details.duty_cycle))
    if details.schedule is not None:
        drawings.append(year(details.schedule))
    for name, draw in (("confusion.json", confusion_matrix), ("precision_recall.json", precision_recall)):
        files = [folder / name for folder in details.scores if (folder / name).exists()]
        drawings += [draw(file) for file in files[:1]]
    if (scenarios := scenario_bars(evidence, claims)) is not None:
        drawings.append(scenarios)
    if details.survey is not None:
        drawings.append(latency_against_flash(details.survey, details.board))
    return drawings


def training_curves(histories: Mapping[str, Path], evidence: Mapping[str, Evidence]) -> Drawing:
    """Draw validation (solid) and training score (dotted) over epochs, one colour a variant.

    The tasks with a score in ``evidence`` say what the scores are.
    """
    scores = {name.partition(".")[0] for name in evidence}
    labels = {task.training_label for task in TASKS.values() if task.score in scores}
    counted = "; ".join(task.training_score for task in TASKS.values() if task.training_label in labels)
    label = " or ".join(sorted(labels))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots()
        for index, (variant, path) in enumerate(histories.items()):
            history = read_csv(path, ("epoch", "train_score", "validation_score"))
            colour = f"C{index}"
            alone = "o" if len(history) == 1 else ""
            axes.plot(history["epoch"], history["validation_score"], alone + "-", color=colour, label=variant)
            axes.plot(history["epoch"], history["train_score"], color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel="epoch", ylabel=f"{label} (%)")
        axes.legend(ncols=2)
        caption = (
            f"{label.capitalize()} on the validation images (solid) and on the augmented training images (dotted):"
            f" {counted}."
        )
        return Drawing("training-curves", "Training curves", "train", caption, svg_text(figure))


def accuracy_against_bytes(evidence: Mapping[str, Evidence], claims: Mapping[str, Claim]) -> Drawing | None:
    """Draw the test score over model size for each network, ours with intervals, and the paper's points.

    The paper's points are those whose size and accuracy metric are both named by claims.
    """
    printed = {claim.metric: float(claim.number) for claim in claims.values() if claim.metric}
    score = next((name for name in SCORES if any(key.startswith(f"{name}.") for key in evidence)), None)
    names = [tuple(key.split(".")) for key in evidence if key.count(".") == 2]
    shown = [
        (variant, form)
        for topic, variant, form in names
        if topic == score and form in PARETO_MARKERS and f"size.{variant}.{form}" in evidence
    ]
    if score is None or not shown:
        return None
    colours = {variant: f"C{index}" for index, variant in enumerate(dict.fromkeys(v for v, _ in shown))}
    first = dict(reversed(shown))  # a variant's first form, which the legend names
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        for variant, form in shown:
            pair = f"size.{variant}.{form}", f"{score}.{variant}.{form}"
            size, accuracy = (evidence[name] for name in pair)
            colour = colours[variant]
            axes.errorbar(
                size.value / 1e3,
                accuracy.value,
                yerr=whiskers(accuracy),
                fmt=PARETO_MARKERS[form],
                color=colour,
                capsize=2,
                label=variant if form == first[variant] else None,
            )
            if all(name in printed for name in pair):
                x, y = printed[pair[0]] * 1e3, printed[pair[1]]
                axes.plot(x, y, PARETO_MARKERS[form], color=colour, markerfacecolor="white")
        unit = evidence[f"{score}.{'.'.join(shown[0])}"].unit
        axes.set(xscale="log", xlabel="size (kB)", ylabel=f"{SCORES[score]}, test set ({unit})")
        _plain_logarithm(axes.xaxis)
        axes.legend()
        caption = (
            "Circles are FP32, squares INT8. Filled points are ours with their intervals; hollow points are the"
            " paper's sizes and accuracies as printed."
        )
        return Drawing(
            "pareto",
            f"{SCORES[score]} against bytes",
            "compress",
            caption,
            svg_text(figure),
        )


def layer_bars(evidence: Mapping[str, Evidence], claims: Mapping[str, Claim], engine: str) -> Drawing | None:
    """Draw latency and memory energy of each layer beside the paper's numbers for the same metric."""
    ends = (
        (f"device.{engine}.layer.", ".latency", "latency (ms)"),
        ("memory-energy.", ".energy", "memory energy (µJ)"),
    )
    panels = [
        (names, [name.removeprefix(start).removesuffix(end) for name in names], title)
        for start, end, title in ends
        if (
            names := [
                name
                for name in evidence
                if name.startswith(start) and name.endswith(end) and name != f"{start}total{end}"
            ]
        )
    ]
    if not panels:
        return None
    printed = {claim.metric: float(claim.number) for claim in claims.values() if claim.metric}
    with matplotlib.rc_context(STYLE):
        height = max(3.4, 0.22 * max(len(names) for names, _, _ in panels))
        figure = Figure(figsize=(7.2, height), layout="constrained")
        for axes, (names, layers, title) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _bars(axes, names, layers, evidence, printed)
            axes.set(title=title)
        caption = (
            "Ours (blue, with intervals) and as the paper prints (red). Latency: modelled for our build. Memory"
            " energy: the paper's float32 model on our layer shapes."
        )
        return Drawing("layers", "Latency and memory energy per layer", "capture", caption, svg_text(figure))


def battery_life(path: Path) -> Drawing:
    """Draw battery life over the duty cycle, one line a sleep state."""
    table = read_csv(path, ("duty_cycle", "sleep_state", "average_power_mW", "life_h"))
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
        return Drawing("battery-life", "Battery life over duty cycle", "energy", caption, svg_text(figure))


def year(path: Path) -> Drawing:
    """Draw battery life and its range over inferences per hour for each sleep state, and where a year is."""
    table = read_csv(path, ("inferences_per_hour", "sleep_state", "life_h", "life_h_low", "life_h_high"))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        for state, rows in table.groupby("sleep_state", sort=False):
            rows = rows.sort_values("inferences_per_hour")
            rates, low, high = rows["inferences_per_hour"], rows["life_h_low"] / 24, rows["life_h_high"] / 24
            (line,) = axes.plot(rates, rows["life_h"] / 24, label=str(state).replace("-", " "))
            axes.fill_between(rates, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.axhline(YEAR_h / 24, color="#333333", linestyle="--", linewidth=1, label="a year")
        axes.set(xscale="log", yscale="log", xlabel="inferences per hour", ylabel="battery life (days)")
        _plain_logarithm(axes.xaxis, (1,))
        _plain_logarithm(axes.yaxis)
        figure.legend(title="between inferences", loc="outside lower center", ncols=3)
        caption = (
            "Modelled life of the battery by the board's file, its self-discharge and the start of a camera"
            " counted, evenly spaced inferences around the clock. Bands span the ranges of the inputs; lives of"
            " years are upper bounds even so, for the converter's loss at microamperes, temperature and ageing are"
            " not modelled. Lines that stay below a year tell that even sleep draws too much."
        )
        return Drawing("year", "What it would take to last a year", "energy", caption, svg_text(figure))


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
    with matplotlib.rc_context(NAMES_AS_TEXT):
        figure = Figure(figsize=(5.8, 5.0), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        axes.grid(visible=False)
        ticks, names = range(len(confusion.classes)), [literal(name) for name in confusion.classes]
        axes.set_xticks(ticks, names, rotation=45, ha="right")
        axes.set_yticks(ticks, names)
        axes.set(xlabel="predicted", ylabel="true")
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 55 else "#333333"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
        caption = f"{confusion.variant} over {int(matrix.sum()):,} {confusion.counted}."
        return Drawing("confusion", "Confusion matrix", "evaluate", caption, svg_text(figure))


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
                xerr=whiskers(item),
                color=OUR_COLOUR,
                ecolor="#333333",
                capsize=2,
            )
        if name in printed:
            axes.barh(index + 0.18, printed[name], 0.34, color=PAPER_COLOUR)
    axes.set_yticks(range(len(layers)), layers)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _plain_logarithm(axis: Axis, steps: Sequence[float] = (1, 2, 5)) -> None:
    """Label a logarithmic axis 1, 2, 5, 10 … (these steps of every decade) instead of powers of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())
