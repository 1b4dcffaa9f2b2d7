"""A synthetic run: evidence for every catalogued metric, and the files behind the figures."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from paper2board.core.evidence import Evidence, Kind, write_metrics
from paper2board.report.catalogue import Metric, read_catalogue
from paper2board.report.claims import read_ledger
from paper2board.report.figures import Details
from paper2board.report.tables import parse_cell, read_tables

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "config" / "claims" / "esp32-wroom-cifar10.yaml"
TABLES = ROOT / "reports" / "tables" / "esp32-wroom-cifar10.yaml"
TEMPLATES = ROOT / "reports"

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# What a plausible run gives, by the longest matching prefix of a metric's name; 1 where nothing matches.
VALUES: dict[str, float] = {
    "accuracy": 76.2,
    "accuracy.teacher": 86.9,
    "accuracy.original": 77.4,
    "accuracy.distilled": 78.0,
    "accuracy.pruned": 41.3,
    "parameters.teacher": 78042,
    "parameters.original": 545098,
    "parameters.pooled": 53578,
    "parameters.distilled": 53578,
    "parameters.pruned": 28576,
    "parameters.deployed": 28576,
    "parameters.resnet18": 11689512,
    "parameters.reduction": 94.757640,
    "macs": 3645224,
    "size.resnet18.fp32": 46758048,
    "size.teacher.fp32": 312168,
    "size.teacher.int8": 79000,
    "size.original.fp32": 2180392,
    "size.original.int8": 545800,
    "size.pooled.fp32": 214312,
    "size.pooled.int8": 54280,
    "size.distilled.fp32": 214312,
    "size.distilled.int8": 54280,
    "size.deployed.fp32": 114304,
    "size.deployed.int8": 29062,
    "gain.distillation": 0.62,
    "gain.qat": 0.15,
    "gain.fine-tuning": 34.9,
    "parity": 0,
    "compression.input": 3.652,
    "compression.input.h": 11219,
    "compression.input.bin": 3072,
    "compression.weights": 3.41,
    "compression.weights.h": 99100,
    "compression.weights.bin": 29062,
    "device.paper-split": 7.3,
    "device.paper-split.latency": 301.0,
    "device.paper-split.instructions": 57792000,
    "device.paper-split.layer.conv1.latency": 57.2,
    "device.paper-split.layer.conv2.latency": 231.4,
    "device.paper-nosplit": 9.1,
    "device.paper-nosplit.latency": 402.5,
    "device.paper-split.accuracy": 79.0,
    "memory": 4096,
    "memory.layer.conv1.output": 25600,
    "memory.buffers": 32000,
    "memory.dram.total": 335872,
    "memory.dram.free": 262144,
    "memory.iram.total": 327680,
    "memory.iram.free": 300000,
    "memory-energy.conv1.accesses": 43200,
    "memory-energy.conv1.energy": 8.23056,
    "memory-energy.conv2.accesses": 183600,
    "memory-energy.conv2.energy": 33.893784,
    "claimed.power.current.idle": 36.4,
    "claimed.power.current.active": 43.0,
    "host.latency.torch": 0.31,
    "battery.idle.life": 20.9,
    "battery.deep-sleep.life": 190.4,
}


@dataclass(frozen=True)
class Run:
    """Where a synthetic run's files lie."""

    metrics_files: list[Path]
    details: Details


def synthetic(name: str, metric: Metric) -> Evidence:
    """Return evidence of the kind that the metric's stage would give."""
    matching = [prefix for prefix in VALUES if name == prefix or name.startswith(prefix + ".")]
    value = VALUES[max(matching, key=len)] if matching else 1.0
    kind = {"firmware": Kind.MODELLED, "capture": Kind.EMULATED, "energy": Kind.MODELLED}.get(
        metric.stage, Kind.MEASURED
    )
    if name.endswith(".latency") and name.startswith("device."):
        kind = Kind.MODELLED
    if name.startswith("claimed.power.current") or name == "claimed.energy.latency":
        kind = Kind.CLAIMED
    if name.startswith("host."):
        kind = Kind.MEASURED
    spread = {"accuracy": 0.8, "device": 0.12 * value, "gain": 0.9}.get(name.split(".")[0], 0)
    if name.endswith("instructions"):
        spread = 0
    return Evidence(
        value=value,
        unit=metric.unit,
        kind=kind,
        method=f"synthetic: {metric.meaning}",
        n=10_000 if name.startswith(("accuracy", "parity")) else None,
        interval=(value - spread, value + spread) if spread else None,
        interval_method="Wilson 95 %" if spread else None,
        chain={"weights": hashlib.sha256(name.encode()).hexdigest()},
    )


def shown_metrics() -> list[str]:
    """Every metric that the deck's tables, claims and figures show."""
    ledger, catalogue = read_ledger(LEDGER), read_catalogue(TEMPLATES / "metrics")
    cells = {
        parse_cell(cell)[0]
        for spec in read_tables(TABLES, ledger, catalogue)
        for row in spec.rows.values()
        for cell in row
        if cell
    }
    claimed = {claim.metric for claim in ledger.claims.values() if claim.metric}
    layers = {
        f"device.paper-split.layer.{name}.latency"
        for name in ("conv1", "pool1", "conv2", "pool2", "aap", "fc1", "fc2")
    }
    return sorted((cells - set(ledger.claims)) | claimed | layers)


def write_run(folder: Path) -> Run:
    """Write metrics_files and detail files into ``folder``; the RAPL metrics are left out, as on most machines."""
    catalogue = read_catalogue(TEMPLATES / "metrics")
    metrics_files: dict[str, dict[str, Evidence]] = {}
    for name in shown_metrics():
        if not (metric := catalogue[name]).optional:
            metrics_files.setdefault(metric.stage, {})[name] = synthetic(name, metric)
    paths = []
    for stage, metrics in metrics_files.items():
        paths.append(folder / "metrics" / f"{stage}.json")
        write_metrics(paths[-1], metrics)
    histories = {}
    for number, variant in enumerate(("teacher", "distilled", "deployed")):
        lines = ["epoch,learning_rate,train_loss,train_score,validation_score,seconds"]
        lines += [
            f"{epoch},0.1,{2 / epoch},{80 - 50 / epoch - number},{82 - 40 / epoch - 3 * number},5.0"
            for epoch in range(1, 17)
        ]
        histories[variant] = folder / f"{variant}.history.csv"
        histories[variant].write_text("\n".join(lines) + "\n")
    matrix = [[760 if row == column else 26 for column in range(10)] for row in range(10)]
    confusion = {"variant": "deployed int8", "classes": CLASSES, "matrix": matrix, "counted": "test images"}
    (folder / "confusion.json").write_text(json.dumps(confusion))
    lines = ["duty_cycle,sleep_state,average_power_mW,life_h"]
    for state, power in (("idle", 183.1), ("light-sleep", 23.1), ("deep-sleep", 19.2)):
        for step in range(13):
            duty = 10 ** (-4 + step / 3)
            average = power + duty * (216.3 - power)
            lines.append(f"{duty},{state},{average},{3825 / average}")
    duty_cycle = folder / "duty_cycle.csv"
    duty_cycle.write_text("\n".join(lines) + "\n")
    lines = ["inferences_per_hour,sleep_state,average_power_mW,life_h,life_h_low,life_h_high"]
    for state, power in (("idle", 183.1), ("deep-sleep-module", 0.05)):
        for step in range(13):
            rate = 10 ** (-1 + step / 4)
            average = power + rate * 69.2 / 3600
            life_h = 3825 / average
            lines.append(f"{rate},{state},{average},{life_h},{0.7 * life_h},{1.1 * life_h}")
    schedule = folder / "schedule.csv"
    schedule.write_text("\n".join(lines) + "\n")
    return Run(paths, Details(histories, [folder], duty_cycle, schedule))
