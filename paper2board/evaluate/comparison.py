"""The detectors of a study side by side: modelled latency, frames per second and arena on one board.

An int8 network's latency is the kernels' cost table (``paper2board/convert/kernels/cost.py``) for the plan that the
planner chooses; layers without weights are left out. A network without an int8 form gets its MACs times
the median cost of a MAC of those that have one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from paper2board.boards.backends import Backend
from paper2board.boards.board import Cpu, Memory
from paper2board.boards.latency import latency
from paper2board.convert.c_layers import weighted_layer
from paper2board.convert.engine import Engine
from paper2board.convert.kernels.cost import features, instructions
from paper2board.convert.planner import Limits, board_limits, choose
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.derive import derive
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, counted, measured

UNLIMITED = Limits(1 << 40, 1 << 40)


@dataclass(frozen=True)
class Modelled:
    """A network on a board: instructions and MACs of one inference, the arena, whether the board holds it."""

    instructions: float
    macs: int
    arena_bytes: int
    fits: bool


def modelled(source: str | Path | bytes, backend: Backend | str, memory: Memory) -> Modelled:
    """Return what the kernels of ``backend`` make of an int8 ``.tflite``; one that the board does not hold is
    planned as if it did."""
    model = read_tflite(source)
    try:
        engine, fits = choose(model, backend, board_limits(memory)), True
    except UserError:
        engine, fits = choose(model, backend, UNLIMITED), False
    return Modelled(_cost(engine), model.macs, engine.plan.bytes, fits)


def counted_macs(counts: Mapping[str, Evidence], names: Sequence[str], path: str | Path) -> dict[str, int]:
    """Return the MACs of the networks ``names``; raise :class:`UserError` if the metrics file at ``path`` lacks
    one."""
    for name in names:
        if f"macs.{name}" not in counts:
            raise UserError(f"{path} lacks macs.{name}; run count_networks again")
    return {name: int(counts[f"macs.{name}"].value) for name in names}


def _cost(engine: Engine) -> float:
    total = 0.0
    for step, packed in zip(engine.steps, engine.packed, strict=True):
        if packed is not None:
            layer = weighted_layer(engine.model, step)
            assert layer is not None  # only such steps are packed
            total += instructions(packed.function, features(layer, packed))
    return total


def comparison_metrics(
    networks: Mapping[str, Modelled],
    without_int8: Mapping[str, int],
    backend: Backend | str,
    cpu: Cpu,
    chains: Mapping[str, dict[str, str]],
) -> dict[str, Evidence]:
    """Return ``compare.{variant}.{latency,frames-per-second,arena}``.

    A network of ``without_int8`` (name → MACs) has no arena. ``chains``: by name, of the int8 networks. Raise
    :class:`UserError` if there is no int8 network to take the cost of a MAC from.
    """
    if not networks:
        raise UserError("no network of the comparison has an int8 form; quantize one in the study's file")
    mac16 = Backend(backend).needs_mac16
    metrics: dict[str, Evidence] = {}

    def add(name: str, count: Evidence) -> None:
        time = latency(count, cpu, mac16=mac16)
        metrics[f"compare.{name}.latency"] = time
        metrics[f"compare.{name}.frames-per-second"] = derive(
            lambda ms: 1e3 / ms, "FPS", f"1000 / latency; {time.method}", time
        )

    for name, network in networks.items():
        where = "" if network.fits else "; the board does not hold it"
        method = f"instructions of the layers with weights by the cost table of {Backend(backend)}{where}"
        chain = chains.get(name)
        add(name, counted(network.instructions, "instructions", method, chain=chain))
        metrics[f"compare.{name}.arena"] = counted(
            network.arena_bytes,
            "B",
            f"this engine's streamed plan with the kernels of {Backend(backend)}{where}",
            chain=chain,
        )
    per_mac = [network.instructions / network.macs for network in networks.values()]
    for name, count in without_int8.items():
        method = (
            f"{count:,} MACs × {median(per_mac):.3g} instructions a MAC, the median of {len(per_mac)} int8 networks"
            " here; it is not run"
        )
        spread = (count * min(per_mac), count * max(per_mac)), "least to most over those networks"
        add(
            name,
            measured(count * median(per_mac), "instructions", method, Kind.MODELLED, spread=spread),
        )
    return metrics
