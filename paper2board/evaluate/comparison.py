"""The detectors of a study side by side: modelled latency, frames per second and arena on one board.

An int8 network's latency is the kernels' cost table (``paper2board/convert/kernels/cost.py``) for the plan that the
planner chooses; layers without weights are not in that table. A network without an int8 form gets its MACs times
the median cost of a MAC of those that have one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from paper2board.boards.board import Cpu, Memory
from paper2board.convert.c_layers import weighted_layer
from paper2board.convert.engine import Engine
from paper2board.convert.kernels.catalogue import Backend
from paper2board.convert.kernels.cost import features, instructions
from paper2board.convert.planner import Limits, board_limits, choose
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind

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
    figure = cpu.cpi(mac16=Backend(backend).needs_mac16)
    low, high = figure.interval or (figure.value, figure.value)
    clock_kHz = cpu.clock_MHz.value * 1e3  # cycles a millisecond
    metrics: dict[str, Evidence] = {}

    def add(name: str, cycles: float, bounds: tuple[float, float], how: str, method: str) -> None:
        best, worst = bounds[0] / clock_kHz, bounds[1] / clock_kHz
        common: dict[str, Any] = {
            "kind": Kind.MODELLED,
            "interval_method": how,
            "chain": dict(chains.get(name, {})),
        }
        metrics[f"compare.{name}.latency"] = Evidence(
            value=cycles / clock_kHz, unit="ms", method=method, interval=(best, worst), **common
        )
        metrics[f"compare.{name}.frames-per-second"] = Evidence(
            value=1e3 * clock_kHz / cycles,
            unit="FPS",
            method=f"1000 / latency; {method}",
            interval=(1e3 / worst, 1e3 / best),
            **common,
        )

    given = f"{figure.value:g} ({low:g} to {high:g}) cycles an instruction / {cpu.clock_MHz.value:g} MHz"
    for name, network in networks.items():
        where = "" if network.fits else "; the board does not hold it"
        add(
            name,
            network.instructions * figure.value,
            (network.instructions * low, network.instructions * high),
            "range of cycles per instruction",
            f"instructions of the layers with weights by the cost table of {Backend(backend)} x {given}{where}",
        )
        metrics[f"compare.{name}.arena"] = Evidence(
            value=network.arena_bytes,
            unit="B",
            kind=Kind.MODELLED,
            method=f"this engine's streamed plan with the kernels of {Backend(backend)}{where}",
            chain=dict(chains.get(name, {})),
        )
    per_mac = [network.instructions / network.macs for network in networks.values()]
    middle = median(per_mac)
    for name, count in without_int8.items():
        add(
            name,
            count * middle * figure.value,
            (count * min(per_mac) * low, count * max(per_mac) * high),
            "least to most over those networks, and range of cycles per instruction",
            f"{count:,} MACs x {middle:.3g} instructions a MAC, the median of {len(per_mac)} int8 networks here,"
            f" x {given}; it is not run",
        )
    return metrics
