"""Parity of all forms of a network: which outputs differ, over the same test images. None may."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from paper2board.capture.log import DeviceLog
from paper2board.capture.metrics import differing
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.core.files import digest
from paper2board.evaluate.logits import read_logits


def host_parity(
    name: str, simulation: str | Path, tflm: str | Path, engine: str | Path | None = None
) -> dict[str, Evidence]:
    """Return ``parity.{name}.{simulation-vs-tflm,simulation-vs-c,tflm-vs-c}``, the last two of the C engine's
    outputs.

    The files hold int8 outputs (N × outputs); TFLite Micro's may be of the first images only, unless ``engine`` is
    given.
    """
    simulated, reference = read_logits(simulation), read_logits(tflm)
    chain = {"simulation": digest(simulation), "tflm": digest(tflm)}
    metrics = {
        f"parity.{name}.simulation-vs-tflm": differing(
            simulated[: len(reference)], reference, Kind.MEASURED, chain
        )
    }
    if engine is not None:
        outputs, chain = read_logits(engine), chain | {"engine": digest(engine)}
        for other, logits in (("simulation", simulated), ("tflm", reference)):
            metrics[f"parity.{name}.{other}-vs-c"] = differing(logits, outputs, Kind.MEASURED, chain)
    return metrics


def device_parity(logs: Sequence[DeviceLog], tflm: str | Path, chain: Mapping[str, str]) -> Evidence:
    """Return how many outputs of all captured images differ from TFLite Micro's; ``chain``: digests of the logs."""
    reference = read_logits(tflm)
    return differing(
        np.concatenate([device.outputs for device in logs]),
        np.concatenate([reference[device.indices] for device in logs]),
        Kind.EMULATED,
        {"tflm": digest(tflm), **chain},
    )


def require_parity(metrics: Mapping[str, Evidence], path: str | Path) -> str:
    """Return the counts of differing outputs as one line; ``path``: where the metrics were written.

    Raises:
        UserError: a count is not 0.
    """
    counts = {name: item.value for name, item in metrics.items() if item.unit == "logits"}
    if wrong := [name for name, count in counts.items() if count]:
        raise UserError(f"{path}: {', '.join(wrong)} differ; this is a defect of paper2board, report it")
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
