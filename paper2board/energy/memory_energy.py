"""The deck's memory-energy model (slides 'Memory Simulation Methodology', 'Convolution Energy Analysis').

A block of an SRAM scratchpad holds several elements (64 B, 16 float32). Per layer

    accesses = MACs / elements per block
    E        = 2 · accesses · E_read  +  outputs / elements per block · E_write

one input and one weight block read per access, each output written once. These formulas give the
printed 43,200 / 183,600 accesses and 8.23 / 33.89 µJ. The deck states the leakage power but leaves
it out of its energies; here it stands beside them, as leakage power × latency of the layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paper2board.boards.board import Scratchpad
from paper2board.core.derive import derive
from paper2board.core.evidence import Evidence, counted
from paper2board.core.units import in_unit


@dataclass(frozen=True)
class LayerTraffic:
    """What the model needs to know of a layer: multiply-accumulates and output elements."""

    name: str
    macs: int
    outputs: int


def physical_accesses(macs: int, elements_per_block: int) -> float:
    """Return block reads per operand stream."""
    return macs / elements_per_block


def dynamic_energy_uJ(
    macs: int, outputs: int, elements_per_block: int, read_nJ: float, write_nJ: float
) -> float:
    """Return the dynamic energy of one layer in µJ."""
    reads = 2 * physical_accesses(macs, elements_per_block)
    return (reads * read_nJ + outputs / elements_per_block * write_nJ) * 1e-3


def leakage_energy_uJ(leakage_mW: float, latency_s: float) -> float:
    """Return the energy that leaks during ``latency_s``, in µJ."""
    return leakage_mW * latency_s * 1e3


def memory_energy_metrics(
    scratchpad: Scratchpad, layers: Sequence[LayerTraffic], latencies: Mapping[str, Evidence]
) -> dict[str, Evidence]:
    """Return ``memory-energy.<layer>.{accesses,energy,leakage}`` and the same of ``total``.

    ``latencies`` maps layer names to their latency (s, ms or us); a layer without one has no leakage,
    and the total has none unless all layers have.
    """
    elements = scratchpad.elements_per_block
    read, write = scratchpad.read_nJ.evidence("nJ"), scratchpad.write_nJ.evidence("nJ")
    leakage = scratchpad.leakage_mW.evidence("mW")
    metrics: dict[str, Evidence] = {}
    for layer in layers:
        name = f"memory-energy.{layer.name}"
        metrics[f"{name}.accesses"] = counted(
            physical_accesses(layer.macs, elements), "1", f"{layer.macs} MACs / {elements} elements per block"
        )
        metrics[f"{name}.energy"] = derive(
            lambda read_nJ, write_nJ, layer=layer: dynamic_energy_uJ(
                layer.macs, layer.outputs, elements, read_nJ, write_nJ
            ),
            "uJ",
            f"2 · accesses · E_read + {layer.outputs} outputs / {elements} · E_write (CACTI, dynamic)",
            read,
            write,
        )
        if layer.name in latencies:
            metrics[f"{name}.leakage"] = derive(
                leakage_energy_uJ,
                "uJ",
                "leakage power × latency of the layer; the deck leaves it out of its energies",
                leakage,
                in_unit(latencies[layer.name], "s"),
            )
    for quantity, unit in (("accesses", "1"), ("energy", "uJ"), ("leakage", "uJ")):
        parts = [metrics.get(f"memory-energy.{layer.name}.{quantity}") for layer in layers]
        known = [part for part in parts if part is not None]
        if known and len(known) == len(parts):
            metrics[f"memory-energy.total.{quantity}"] = derive(
                lambda *values: sum(values), unit, "sum over layers", *known
            )
    return metrics
