"""The device logs of a study's engines, all of one network and the same images, as evidence."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paper2board.boards.board import Cpu
from paper2board.capture.board_fit import engine_memory_metrics
from paper2board.capture.log import DeviceLog, check_origin, read_log
from paper2board.capture.metrics import device_metrics, engine_gain, split_gain
from paper2board.convert.manifest import Manifest
from paper2board.core.evidence import Evidence
from paper2board.core.files import digest
from paper2board.firmware.image import image_digest
from paper2board.model.integer_model import IntegerModel
from paper2board.study.engines import ENGINES


class EngineRun(NamedTuple):
    """What one engine's build did on the device."""

    log: DeviceLog
    manifest: Manifest
    chain: dict[str, str]


def read_run(
    log: str | Path, image: str | Path, c: str | Path, inputs: np.ndarray, model_chain: Mapping[str, str]
) -> EngineRun:
    """Read the log of an image, and the manifest beside its generated C.

    ``inputs``: those that were sent (int8, N × H × W × C). ``model_chain``: digests of the weights and, as
    ``tflite``, of the model. Raise :class:`UserError` if the log is of another image, model or other inputs.
    """
    found = read_log(log, image_digest(image))
    check_origin(found, log, inputs, model_chain["tflite"])
    chain = {
        **model_chain,
        "c": digest(c),
        "image": image_digest(image),
        "device": found.header.image,
        "log": digest(log),
    }
    return EngineRun(found, Manifest.read(Path(c).parent), chain)


def engine_metrics(runs: Mapping[str, EngineRun], model: IntegerModel, cpu: Cpu) -> dict[str, Evidence]:
    """Return ``device.<engine>.*`` of every run, ``gain.engine.<engine>`` against the first one, and
    ``gain.interior-split`` where both builds of the paper's kernels ran."""
    metrics: dict[str, Evidence] = {}
    for engine, run in runs.items():
        prefix, mac16 = f"device.{engine}", ENGINES[engine].needs_mac16
        metrics |= device_metrics(run.log, model, cpu, mac16=mac16, chain=run.chain, prefix=prefix)
        metrics |= engine_memory_metrics(run.log, run.manifest, run.chain, prefix)
    first, *others = runs
    for engine in others:
        run = runs[engine]
        metrics[f"gain.engine.{engine}"] = engine_gain(run.log, runs[first].log, first, run.chain)
    if {"paper-split", "paper-nosplit"} <= set(runs):
        split = runs["paper-split"]
        metrics["gain.interior-split"] = split_gain(split.log, runs["paper-nosplit"].log, split.chain)
    return metrics
