"""Evidence from device logs: instruction counts, latency, memory.

Latency on an emulator is a model: instructions × cycles per instruction (CPI) ÷ clock. An emulator counts
instructions only; stalls and flash cache misses are in the CPI, whose uncertainty becomes the interval.
"""

from collections.abc import Mapping

import numpy as np

from paper2board.capture.log import DeviceLog
from paper2board.errors import UserError
from paper2board.evidence import Evidence, Kind
from paper2board.integer_model import Conv2D, IntegerModel, Op, Reshape, macs


def device_book(
    log: DeviceLog,
    model: IntegerModel,
    cpi: float,
    cpi_uncertainty: float,
    clock_hz: float,
    chain: Mapping[str, str],
    prefix: str,
) -> dict[str, Evidence]:
    """Return counts and latency of one build, named ``prefix`` (``device.paper-split``) and so on:

    ``.instructions`` (median over the images, interval least to most), ``.instructions.std``,
    ``.instructions-per-mac``, ``.latency`` (ms), ``.latency.std``, ``.convolution-share`` (%), and
    ``.layer.<name>.instructions`` and ``.latency``. A log of a board that counts cycles gives ``.cycles``
    instead of ``.instructions``, and measured latencies; CPI is not used then.
    """
    ops = _ops(log, model)
    totals, layers = log.counts, log.layer_counts
    unit = log.header.unit
    emulated = unit == "instructions"
    counted = Kind.EMULATED if emulated else Kind.MEASURED
    source = (
        "QEMU's CCOUNT with -icount, summed over layers"
        if emulated
        else "the core's CCOUNT, summed over layers"
    )
    common = {"n": len(totals), "chain": dict(chain)}
    low_cpi, mid_cpi, high_cpi = (
        (cpi - cpi_uncertainty, cpi, cpi + cpi_uncertainty) if emulated else (1.0, 1.0, 1.0)
    )

    def count(values: np.ndarray) -> Evidence:
        return Evidence(
            value=_plain(np.median(values)),
            unit=unit,
            kind=counted,
            method=f"median of {source}",
            interval=(int(values.min()), int(values.max())),
            interval_method="least to most over the images",
            **common,
        )

    def latency(values: np.ndarray) -> Evidence:
        def to_ms(cycles_per_count: float, of: float) -> float:
            return of * cycles_per_count / clock_hz * 1e3

        formula = f"instructions x {cpi} +- {cpi_uncertainty} cycles / {clock_hz / 1e6:g} MHz"
        return Evidence(
            value=to_ms(mid_cpi, float(np.median(values))),
            unit="ms",
            kind=Kind.MODELLED if emulated else Kind.MEASURED,
            method=f"median of {formula if emulated else f'cycles / {clock_hz / 1e6:g} MHz'}",
            interval=(to_ms(low_cpi, float(values.min())), to_ms(high_cpi, float(values.max()))),
            interval_method="range over the images" + (" and of cycles per instruction" if emulated else ""),
            **common,
        )

    def derived(value: float, unit_: str, kind: Kind, method: str) -> Evidence:
        return Evidence(value=float(value), unit=unit_, kind=kind, method=method, **common)

    convolutions = [isinstance(op, Conv2D) for op in ops]
    deviation = float(totals.std())
    book = {
        f"{prefix}.{unit}": count(totals),
        f"{prefix}.{unit}.std": derived(deviation, unit, counted, "standard deviation over the images"),
        f"{prefix}.{unit}-per-mac": derived(
            np.median(totals) / sum(macs(model, op) for op in ops),
            "1",
            counted,
            f"median {unit} / multiply-accumulates",
        ),
        f"{prefix}.latency": latency(totals),
        f"{prefix}.latency.std": derived(
            deviation * mid_cpi / clock_hz * 1e3,
            "ms",
            Kind.MODELLED if emulated else Kind.MEASURED,
            "standard deviation over the images",
        ),
        f"{prefix}.convolution-share": derived(
            100 * np.median(layers[:, convolutions].sum(axis=1) / totals),
            "%",
            counted,
            f"{unit} of convolution layers / all, median over the images",
        ),
    }
    for op, values in zip(ops, layers.T, strict=True):
        book[f"{prefix}.layer.{op.name}.{unit}"] = count(values)
        book[f"{prefix}.layer.{op.name}.latency"] = latency(values)
    return book


def memory_book(log: DeviceLog, model: IntegerModel, chain: Mapping[str, str]) -> dict[str, Evidence]:
    """Return ``memory.device.*`` (sections, arena and the stack's highest use, as the device reports them) and
    ``memory.layer.<name>.output``, all in bytes."""
    emulated = log.header.unit == "instructions"
    book = {
        f"memory.device.{name}": Evidence(
            value=size,
            unit="B",
            kind=Kind.EMULATED if emulated else Kind.MEASURED,
            method="painted stack, highest use during the capture"
            if name == "stack"
            else "linked size, reported by the device",
            chain=dict(chain),
        )
        for name, size in log.footer.memory.items()
    }
    for op in _ops(log, model):
        book[f"memory.layer.{op.name}.output"] = Evidence(
            value=model.tensors[op.output].size,
            unit="B",
            kind=Kind.MODELLED,
            method="elements of the layer's int8 output",
            chain=dict(chain),
        )
    return book


def split_gain(split: DeviceLog, nosplit: DeviceLog, chain: Mapping[str, str]) -> Evidence:
    """Return how many percent of the instructions the interior/boundary split saves (metric
    ``gain.interior-split``); both logs are of the same images."""
    if split.header.inputs != nosplit.header.inputs or split.header.unit != nosplit.header.unit:
        raise UserError(
            "the logs of the builds with and without the split are not of the same images on the same kind of"
            " device; capture both again"
        )
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


def _ops(log: DeviceLog, model: IntegerModel) -> list[Op]:
    """Return the model's ops that the log has counts of; a reshape computes nothing."""
    ops = [op for op in model.ops if not isinstance(op, Reshape)]
    if tuple(op.name for op in ops) != log.header.layers:
        raise UserError(
            f"the log has layers {', '.join(log.header.layers)}, model {model.name} has"
            f" {', '.join(op.name for op in ops)}; capture again"
        )
    return ops


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
