"""Evidence of networks that ran on the emulated core by themselves, without the device application."""

from collections.abc import Mapping

import numpy as np

from paper2board.boards.board import Cpu
from paper2board.boards.latency import latency
from paper2board.core.evidence import Evidence, Kind, counted, measured
from paper2board.firmware.runner import Result


def emulated_metrics(
    name: str, result: Result, reference: np.ndarray, cpu: Cpu, *, mac16: bool, chain: Mapping[str, str]
) -> dict[str, Evidence]:
    """Return ``parity.{name}.emulated-vs-tflm``, ``emulated.{name}.instructions`` and ``.latency`` (ms).

    ``reference``: TFLite Micro's outputs for the same images, int8 N×K. ``mac16``: whether the kernels use MAC16.
    """
    differing = int((result.outputs != reference).sum())
    method = "QEMU's CCOUNT with -icount, inference of the first image"
    count = counted(result.instructions, "instructions", method, Kind.EMULATED, chain)
    return {
        f"parity.{name}.emulated-vs-tflm": measured(
            differing, "logits", "differing int8 outputs", Kind.EMULATED, n=reference.size, chain=chain
        ),
        f"emulated.{name}.instructions": count,
        f"emulated.{name}.latency": latency(count, cpu, mac16=mac16),
    }
