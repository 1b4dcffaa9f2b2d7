"""Evidence of networks that ran on the emulated core by themselves, without the device application."""

from collections.abc import Mapping

import numpy as np

from paper2board.boards.board import Cpu, Figure
from paper2board.core.evidence import Evidence, Kind
from paper2board.firmware.runner import Result


def emulated_metrics(
    name: str, result: Result, reference: np.ndarray, cpi: Figure, cpu: Cpu, chain: Mapping[str, str]
) -> dict[str, Evidence]:
    """Return ``parity.{name}.emulated-vs-tflm``, ``emulated.{name}.instructions`` and ``.latency`` (ms).

    ``reference``: TFLite Micro's outputs for the same images, int8 N×K. ``cpi``: cycles per instruction.
    """
    low, high = cpi.interval or (cpi.value, cpi.value)
    per_ms = cpu.clock_MHz.value * 1e3
    counted = "QEMU's CCOUNT with -icount, inference of the first image"
    return {
        f"parity.{name}.emulated-vs-tflm": Evidence(
            value=int((result.outputs != reference).sum()),
            unit="logits",
            kind=Kind.EMULATED,
            method="differing int8 outputs",
            n=reference.size,
            chain=dict(chain),
        ),
        f"emulated.{name}.instructions": Evidence(
            value=result.instructions,
            unit="instructions",
            kind=Kind.EMULATED,
            method=counted,
            chain=dict(chain),
        ),
        f"emulated.{name}.latency": Evidence(
            value=result.instructions * cpi.value / per_ms,
            unit="ms",
            kind=Kind.MODELLED,
            method=f"instructions x {cpi.value:g} ({low:g} to {high:g}) cycles / {cpu.clock_MHz.value:g} MHz",
            interval=(result.instructions * low / per_ms, result.instructions * high / per_ms),
            interval_method="range of cycles per instruction",
            chain=dict(chain),
        ),
    }
