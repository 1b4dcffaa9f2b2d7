"""Evidence from device logs: instruction counts, latency, memory, gains."""

from collections.abc import Mapping

import numpy as np

from paper2board.boards.board import Cpu
from paper2board.boards.latency import latency
from paper2board.capture.log import DeviceLog
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, counted, measured
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D


def device_metrics(
    log: DeviceLog, model: IntegerModel, cpu: Cpu, *, mac16: bool, chain: Mapping[str, str], prefix: str
) -> dict[str, Evidence]:
    """Return counts and latency of one build, named ``prefix`` (``device.paper-split``) and so on:

    ``.instructions`` (median over the images, interval least to most), ``.instructions.std``,
    ``.instructions-per-mac``, ``.latency`` (ms), ``.latency.std``, ``.convolution-share`` (%), and
    ``.layer.<name>.instructions`` and ``.latency``. ``mac16``: whether the build's kernels use MAC16. A log of a
    board that counts cycles gives ``.cycles`` instead of ``.instructions``. Raise :class:`UserError` if the log is
    of another network.
    """
    ops = _ops(log, model)
    totals, layers, unit = log.counts, log.layer_counts, log.header.unit
    counter = "QEMU's CCOUNT with -icount" if log.kind is Kind.EMULATED else "the core's CCOUNT"

    def evidence(value: float, unit: str, method: str) -> Evidence:
        return measured(_plain(value), unit, method, log.kind, n=len(totals), chain=chain)

    def count_and_latency(name: str, counts: np.ndarray, what: str) -> dict[str, Evidence]:
        median = _median(counts, unit, f"{counter}, {what}", log.kind, chain)
        return {f"{name}.{unit}": median, f"{name}.latency": latency(median, cpu, mac16=mac16)}

    convolutions = [isinstance(op, Conv2D | DepthwiseConv2D) for op in ops]
    share = 100 * np.median(layers[:, convolutions].sum(axis=1) / totals)
    density = np.median(totals) / model.macs
    over = "over the images"
    deviation = evidence(float(totals.std()), unit, f"standard deviation {over}")
    metrics = count_and_latency(prefix, totals, "sum of layers, median over the images")
    metrics |= {
        f"{prefix}.{unit}.std": deviation,
        f"{prefix}.latency.std": latency(deviation, cpu, mac16=mac16),
        f"{prefix}.{unit}-per-mac": evidence(density, "1", f"{unit} per multiply-accumulate, median {over}"),
        f"{prefix}.convolution-share": evidence(share, "%", f"{unit} in convolutions, median {over}"),
    }
    for op, counts in zip(ops, layers.T, strict=True):
        metrics |= count_and_latency(f"{prefix}.layer.{op.name}", counts, "median over the images")
    return metrics


def memory_metrics(log: DeviceLog, model: IntegerModel, chain: Mapping[str, str]) -> dict[str, Evidence]:
    """Return ``memory.device.*`` (sections, arena and the stack's highest use, as the device reports them) and
    ``memory.layer.<name>.output``, all in bytes."""
    metrics = {
        f"memory.device.{name}": measured(
            size,
            "B",
            "painted stack, highest use since the line was opened"
            if name == "stack"
            else "linked size, reported by the device",
            log.kind,
            chain=chain,
        )
        for name, size in log.footer.memory.items()
    }
    for op in _ops(log, model):
        metrics[f"memory.layer.{op.name}.output"] = counted(
            model.tensors[op.output].size, "B", "elements of the layer's int8 output", chain=chain
        )
    return metrics


def differing(first: np.ndarray, second: np.ndarray, kind: Kind, chain: Mapping[str, str]) -> Evidence:
    """Return how many int8 outputs of two N × outputs arrays differ."""
    different = int((first != second).sum())
    return measured(different, "logits", "differing int8 logits", kind, n=first.size, chain=chain)


def engine_gain(log: DeviceLog, reference: DeviceLog, name: str, chain: Mapping[str, str]) -> Evidence:
    """Return how many times fewer instructions (cycles) an engine needs than ``reference``, the log of engine
    ``name``, over the same images (metric ``gain.engine.<engine>``)."""
    _same_images(log, reference)
    method = f"{log.header.unit} of engine {name} over this engine's, median over paired images"
    return _median(reference.counts / log.counts, "1", method, log.kind, chain)


def split_gain(split: DeviceLog, nosplit: DeviceLog, chain: Mapping[str, str]) -> Evidence:
    """Return how many percent of the instructions the interior/boundary split saves (metric
    ``gain.interior-split``); both logs are of the same images."""
    _same_images(split, nosplit)
    saved = 100 * (1 - split.counts / nosplit.counts)
    method = f"{split.header.unit} saved by the split, median over paired images"
    return _median(saved, "%", method, split.kind, chain)


def _median(values: np.ndarray, unit: str, method: str, kind: Kind, chain: Mapping[str, str]) -> Evidence:
    """Return the median over the images, and the least to the most as its interval."""
    interval = float(values.min()), float(values.max())
    return measured(
        _plain(np.median(values)),
        unit,
        method,
        kind,
        n=len(values),
        spread=(interval, "least to most over the images"),
        chain=chain,
    )


def _plain(value: float) -> float | int:
    """Return a whole number as int, which is written without a decimal point."""
    return int(value) if float(value).is_integer() else float(value)


def _same_images(log: DeviceLog, other: DeviceLog) -> None:
    if log.header.inputs != other.header.inputs or log.header.unit != other.header.unit:
        raise UserError(
            "the logs of two engines are not of the same images on the same kind of device; capture both again"
        )


def _ops(log: DeviceLog, model: IntegerModel) -> list[Op]:
    """Return the op that each layer of the log is named by: a layer may hold ops fused into it, and a reshape
    computes nothing."""
    ops = {op.name: op for op in model.ops}
    if not set(log.header.layers) <= set(ops):
        raise UserError(
            f"the log has layers {', '.join(log.header.layers)}, model {model.name} has"
            f" {', '.join(ops)}; capture again"
        )
    return [ops[name] for name in log.header.layers]
