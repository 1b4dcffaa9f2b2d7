"""The survey: the networks of ``config/surveys/<survey>.yaml`` counted, timed by a model, fitted to every board."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from paper2board.boards.board import Board, Platform
from paper2board.boards.fit import Fit, fits
from paper2board.boards.latency import latency
from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, counted
from paper2board.core.strict import StrictModel
from paper2board.study.recipe import Name
from paper2board.survey.graph import Graph
from paper2board.survey.instructions import graph_instructions
from paper2board.survey.memory import layer_by_layer, streamed
from paper2board.survey.networks import FAMILIES, graph, own

Quantity = Literal["parameters", "macs", "flash", "peak-layer-by-layer", "peak-streamed", "latency"]
_BOARD_FIGURES = ("fits", "fits-layer-by-layer")


class Published(StrictModel):
    """Networks of one family: every combination of the lists."""

    family: Name
    widths: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    resolutions: tuple[PositiveInt, ...]
    classes: tuple[PositiveInt, ...]


class Ratio(StrictModel):
    """One network's figure over another's."""

    of: Name
    over: Name
    what: Quantity


class Survey(StrictModel):
    """Which networks are surveyed, and for which board's clock latency is modelled."""

    board: Name
    networks: tuple[Published, ...]
    own: dict[Name, str] = Field(default_factory=dict)
    """Networks of this project: name in the survey → name in :data:`paper2board.bench.networks.NETWORKS`."""
    ratios: dict[Name, Ratio] = Field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One network's figures: bytes, counts, instructions and latency, and whether each board holds it."""

    name: str
    graph: Graph
    layer_by_layer: int
    streamed: int
    instructions: Evidence
    latency: Evidence
    fits: dict[str, Fit] = field(default_factory=dict)
    fits_layer_by_layer: dict[str, Fit] = field(default_factory=dict)

    def quantity(self, what: Quantity) -> float:
        """Return one figure."""
        figures: dict[Quantity, float] = {
            "parameters": self.graph.parameters,
            "macs": self.graph.macs,
            "flash": self.graph.flash_bytes,
            "peak-layer-by-layer": self.layer_by_layer,
            "peak-streamed": self.streamed,
            "latency": self.latency.value,
        }
        return figures[what]


def network_name(family: str, width: float, resolution: int, classes: int) -> str:
    """Return the survey's name of a network: ``mobilenet-v2-w35-r96-c10``; a family of one width has no ``w``."""
    single = family.startswith(("alexnet", "squeezenet", "efficientnet", "mcunet"))
    return f"{family}{'' if single else f'-w{round(100 * width)}'}-r{resolution}-c{classes}"


def graphs(survey: Survey) -> Iterator[Graph]:
    """Yield every network of a survey; raise UserError for an unknown one."""
    for entry in survey.networks:
        for key in _combinations(entry):
            yield graph(network_name(*key), *key)
    for name, network in survey.own.items():
        yield own(network, name)


def row(network: Graph, board: Board, platforms: Mapping[str, Platform]) -> Row:
    """Return a network's figures; latency is ``board``'s, the fit check is made for all ``platforms``."""
    method = "cost table of the MAC16 kernels, layers without weights left out"
    instructions = counted(graph_instructions(network), "instructions", method)
    whole, flowing, flash = layer_by_layer(network).bytes, streamed(network).bytes, network.flash_bytes
    return Row(
        network.name,
        network,
        whole,
        flowing,
        instructions,
        latency(instructions, board.cpu, mac16=True),
        {name: fits(platform, flash, flowing) for name, platform in platforms.items()},
        {name: fits(platform, flash, whole) for name, platform in platforms.items()},
    )


def metrics(survey: Survey, rows: Sequence[Row]) -> dict[str, Evidence]:
    """Return every figure as evidence, ``survey.<network>.…``, and the survey's counts and ratios."""
    result: dict[str, Evidence] = {}
    for each in rows:
        result |= {f"survey.{each.name}.{what}": item for what, item in _figures(each).items()}
    result["survey.networks.count"] = counted(len(rows), "1", "networks of the survey's configuration")
    for key, wanted, verdicts in (
        ("fitting", "fits", [each.fits for each in rows]),
        ("fitting-layer-by-layer", "fits-layer-by-layer", [each.fits_layer_by_layer for each in rows]),
    ):
        for name in verdicts[0] if verdicts else ():
            count = sum(fit[name] is Fit.FITS for fit in verdicts)
            result[f"survey.networks.{key}.{name}"] = counted(
                count, "1", f"networks with survey.<network>.{wanted}.{name} = 1"
            )
    by_name = {each.name: each for each in rows}
    for name, ratio in survey.ratios.items():
        value = by_name[ratio.of].quantity(ratio.what) / by_name[ratio.over].quantity(ratio.what)
        result[f"survey.ratio.{name}"] = counted(
            value, "1", f"{ratio.what} of {ratio.of} over those of {ratio.over}"
        )
    return result


def _figures(each: Row) -> dict[str, Evidence]:
    network = each.graph
    result = {
        "parameters": counted(
            network.parameters, "1", "trained parameters of the definition, batch normalisation included"
        ),
        "macs": counted(network.macs, "1", "multiply-accumulates of one inference, padding counted"),
        "flash": counted(
            network.flash_bytes, "B", "int8 weights and int32 biases, batch normalisation folded"
        ),
        "compression": counted(
            4 * network.folded / network.flash_bytes,
            "1",
            "bytes of float32 weights and biases over those of int8 and int32",
        ),
        "tensors": counted(
            network.tensor_bytes, "B", "all int8 activations of one inference, input included, nothing shared"
        ),
        "peak-layer-by-layer": counted(
            each.layer_by_layer,
            "B",
            "most int8 activations alive at a time, one layer after the other, input included",
        ),
        "peak-streamed": counted(
            each.streamed,
            "B",
            "most int8 activations alive at a time, rows flowing within the best segments, input included",
        ),
        "instructions": each.instructions,
        "latency": each.latency,
    }
    for key, verdicts in zip(_BOARD_FIGURES, (each.fits, each.fits_layer_by_layer), strict=True):
        peak = "peak-streamed" if key == "fits" else "peak-layer-by-layer"
        for name, fit in verdicts.items():
            method = f"1 if flash and {peak} fit what an application leaves of the board: {fit}"
            result[f"{key}.{name}"] = counted(int(fit is Fit.FITS), "1", method)
    return result


def table(rows: Sequence[Row]) -> str:
    """Return the survey as CSV, a line a network; board columns say in words whether it fits.

    ``family`` is empty for this project's own networks.
    """
    boards = list(rows[0].fits) if rows else []
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            "network",
            "family",
            "parameters",
            "macs",
            "flash_B",
            "peak_layer_by_layer_B",
            "peak_streamed_B",
            "tensors_B",
            "instructions",
            "latency_ms",
            "latency_low_ms",
            "latency_high_ms",
            *(f"fits {name}" for name in boards),
            *(f"fits layer by layer {name}" for name in boards),
        ]
    )
    for each in rows:
        network = each.graph
        counts = (network.parameters, network.macs, network.flash_bytes, each.layer_by_layer, each.streamed)
        low, high = each.latency.interval or (each.latency.value, each.latency.value)
        times = (f"{number:.6g}" for number in (each.instructions.value, each.latency.value, low, high))
        verdicts = (*each.fits.values(), *each.fits_layer_by_layer.values())
        writer.writerow(
            [each.name, network.family, *counts, network.tensor_bytes, *times, *map(str, verdicts)]
        )
    return stream.getvalue()


def load_survey(path: str | Path) -> Survey:
    """Read a survey's configuration.

    Raises:
        UserError: it is not YAML, has an unknown key or family, a network twice, or a ratio of one that it lacks.
    """
    survey = load_yaml(path, Survey)
    for entry in survey.networks:
        if entry.family not in FAMILIES:
            raise UserError(f"{path}: no family called {entry.family}; there are {', '.join(FAMILIES)}")
    names = [*(network_name(*key) for entry in survey.networks for key in _combinations(entry)), *survey.own]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: the network {name} is there twice; remove one")
    for ratio_name, ratio in survey.ratios.items():
        for name in (ratio.of, ratio.over):
            if name not in names:
                raise UserError(
                    f"{path}: ratios.{ratio_name}: no network called {name}; take one of the survey's"
                )
    return survey


def _combinations(entry: Published) -> Iterator[tuple[str, float, int, int]]:
    return ((entry.family, *rest) for rest in product(entry.widths, entry.resolutions, entry.classes))
