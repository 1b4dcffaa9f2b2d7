"""Evidence from device logs: instruction counts, latency, memory.

Latency is a model. Of an emulator: instructions × cycles per instruction (CPI) ÷ clock; it counts instructions
only, stalls and flash cache misses are in the CPI, whose uncertainty becomes the interval. Of a board: cycles,
which are measured, ÷ a clock that it need not have run at.
"""

from collections.abc import Mapping

import numpy as np

from paper2board.capture.log import DeviceLog
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D


def device_metrics(
    log: DeviceLog,
    model: IntegerModel,
    cpi: float,
    cpi_interval: tuple[float, float] | None,
    clock_hz: float,
    chain: Mapping[str, str],
    prefix: str,
) -> dict[str, Evidence]:
    """Return counts and latency of one build, named ``prefix`` (``device.paper-split``) and so on:

    ``.instructions`` (median over the images, interval least to most), ``.instructions.std``,
    ``.instructions-per-mac``, ``.latency`` (ms), ``.latency.std``, ``.convolution-share`` (%), and
    ``.layer.<name>.instructions`` and ``.latency``. ``cpi``: cycles per instruction, with its range. A log of a
    board that counts cycles gives ``.cycles`` instead of ``.instructions``; CPI is not used then. Raise
    :class:`UserError` if the log is of another network.
    """
    ops = _ops(log, model)
    totals, layers, unit = log.counts, log.layer_counts, log.header.unit
    emulated = unit == "instructions"
    counted = Kind.EMULATED if emulated else Kind.MEASURED
    counter = "QEMU's CCOUNT with -icount" if emulated else "the core's CCOUNT"
    clock = f"{clock_hz / 1e6:g} MHz"
    low_cpi, high_cpi = cpi_interval or (cpi, cpi)
    cycles = (low_cpi, cpi, high_cpi) if emulated else (1.0, 1.0, 1.0)
    given = f"{cpi:g} ({low_cpi:g} to {high_cpi:g})"
    formula = (
        f"instructions x {given} cycles / {clock}" if emulated else f"cycles, at whatever clock / {clock}"
    )
    low_ms, ms, high_ms = (per_count / clock_hz * 1e3 for per_count in cycles)

    def evidence(
        value: float,
        unit: str,
        kind: Kind,
        method: str,
        interval: tuple[float, float] | None = None,
        interval_method: str | None = None,
    ) -> Evidence:
        return Evidence(
            value=int(value) if float(value).is_integer() else float(value),
            unit=unit,
            kind=kind,
            method=method,
            n=len(totals),
            interval=interval,
            interval_method=interval_method,
            chain=dict(chain),
        )

    def count_and_latency(name: str, counts: np.ndarray, what: str) -> dict[str, Evidence]:
        median, least, most = float(np.median(counts)), float(counts.min()), float(counts.max())
        over = "least to most over the images"
        both = f"{over}, and range of cycles per instruction" if emulated else over
        interval_ms = (least * low_ms, most * high_ms)
        return {
            f"{name}.{unit}": evidence(median, unit, counted, f"{counter}, {what}", (least, most), over),
            f"{name}.latency": evidence(
                median * ms, "ms", Kind.MODELLED, f"{formula}, {what}", interval_ms, both
            ),
        }

    deviation = float(totals.std())
    convolutions = [isinstance(op, Conv2D | DepthwiseConv2D) for op in ops]
    share = 100 * np.median(layers[:, convolutions].sum(axis=1) / totals)
    density = np.median(totals) / model.macs
    over = "over the images"
    metrics = count_and_latency(prefix, totals, "sum of layers, median over the images")
    metrics |= {
        f"{prefix}.{unit}.std": evidence(deviation, unit, counted, f"standard deviation {over}"),
        f"{prefix}.latency.std": evidence(deviation * ms, "ms", Kind.MODELLED, f"standard deviation {over}"),
        f"{prefix}.{unit}-per-mac": evidence(
            density, "1", counted, f"{unit} per multiply-accumulate, median {over}"
        ),
        f"{prefix}.convolution-share": evidence(
            share, "%", counted, f"{unit} in convolutions, median {over}"
        ),
    }
    for op, counts in zip(ops, layers.T, strict=True):
        metrics |= count_and_latency(f"{prefix}.layer.{op.name}", counts, "median over the images")
    return metrics


def memory_metrics(log: DeviceLog, model: IntegerModel, chain: Mapping[str, str]) -> dict[str, Evidence]:
    """Return ``memory.device.*`` (sections, arena and the stack's highest use, as the device reports them) and
    ``memory.layer.<name>.output``, all in bytes."""
    emulated = log.header.unit == "instructions"
    metrics = {
        f"memory.device.{name}": Evidence(
            value=size,
            unit="B",
            kind=Kind.EMULATED if emulated else Kind.MEASURED,
            method="painted stack, highest use since the line was opened"
            if name == "stack"
            else "linked size, reported by the device",
            chain=dict(chain),
        )
        for name, size in log.footer.memory.items()
    }
    for op in _ops(log, model):
        metrics[f"memory.layer.{op.name}.output"] = Evidence(
            value=model.tensors[op.output].size,
            unit="B",
            kind=Kind.MODELLED,
            method="elements of the layer's int8 output",
            chain=dict(chain),
        )
    return metrics


def differing(first: np.ndarray, second: np.ndarray, kind: Kind, chain: Mapping[str, str]) -> Evidence:
    """Return how many int8 outputs of two N × outputs arrays differ."""
    return Evidence(
        value=int((first != second).sum()),
        unit="logits",
        kind=kind,
        method="differing int8 logits",
        n=first.size,
        chain=dict(chain),
    )


def engine_gain(log: DeviceLog, reference: DeviceLog, name: str, chain: Mapping[str, str]) -> Evidence:
    """Return how many times fewer instructions (cycles) an engine needs than ``reference``, the log of engine
    ``name``, over the same images (metric ``gain.engine.<engine>``)."""
    _same_images(log, reference)
    ratios = reference.counts / log.counts
    return Evidence(
        value=float(np.median(ratios)),
        unit="1",
        kind=Kind.EMULATED if log.header.unit == "instructions" else Kind.MEASURED,
        method=f"{log.header.unit} of engine {name} over this engine's, median over paired images",
        n=len(ratios),
        interval=(float(ratios.min()), float(ratios.max())),
        interval_method="least to most over the images",
        chain=dict(chain),
    )


def split_gain(split: DeviceLog, nosplit: DeviceLog, chain: Mapping[str, str]) -> Evidence:
    """Return how many percent of the instructions the interior/boundary split saves (metric
    ``gain.interior-split``); both logs are of the same images."""
    _same_images(split, nosplit)
    saved = 100 * (1 - split.counts / nosplit.counts)
    return Evidence(
        value=float(np.median(saved)),
        unit="%",
        kind=Kind.EMULATED if split.header.unit == "instructions" else Kind.MEASURED,
        method=f"{split.header.unit} saved by the split, median over paired images",
        n=len(saved),
        interval=(float(saved.min()), float(saved.max())),
        interval_method="least to most over the images",
        chain=dict(chain),
    )


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
