"""One-shot latency and energy of an inference on this machine (the deck's Table II).

One-shot means batch size 1: each inference is timed by itself. Energy counters tick about once a
millisecond, so energy is read around batches of inferences and divided.
"""

import gc
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.core.evidence import Evidence, Spread, measured
from paper2board.energy.rapl import POWERCAP, NotMeasurableError, Rapl

MIN_INFERENCES = 1000
BATCHES = 10


@dataclass(frozen=True)
class HostMeasurement:
    """What one run of inferences showed."""

    latency_ms: NDArray[np.float64]
    """One value per timed inference."""
    energy_uJ: NDArray[np.float64] | None
    """Package energy per inference, one value per batch; None where not measurable."""
    power_W: NDArray[np.float64] | None
    """Package power, one value per batch; None where not measurable."""
    energy_note: str
    """How energy was measured, or ``not measurable here: `` and why."""


def measure(
    infer: Callable[[], object],
    inferences: int = MIN_INFERENCES,
    warm_up: int = 50,
    powercap: Path = POWERCAP,
) -> HostMeasurement:
    """Time ``infer`` call by call after ``warm_up`` calls, garbage collection switched off.

    Raises:
        ValueError: fewer than 1,000 inferences, or not a multiple of the 10 batches.
    """
    if inferences < MIN_INFERENCES or inferences % BATCHES:
        raise ValueError(f"inferences must be a multiple of {BATCHES} and at least {MIN_INFERENCES}")
    try:
        rapl: Rapl | None = Rapl(powercap)
        note = "RAPL package counters around each batch, idle power of the machine included"
    except NotMeasurableError as error:
        rapl, note = None, f"not measurable here: {error}"
    for _ in range(warm_up):
        infer()
    latency_ns: list[int] = []
    energy_uJ: list[float] = []
    power_W: list[float] = []
    size = inferences // BATCHES
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(BATCHES):
            before, began = rapl.read_uJ() if rapl else [], time.perf_counter_ns()
            latency_ns += _timed(infer, size)
            if rapl:
                spent = rapl.spent_uJ(before, rapl.read_uJ())
                energy_uJ.append(spent / size)
                power_W.append(spent * 1e3 / (time.perf_counter_ns() - began))
    finally:
        if collecting:
            gc.enable()
    return HostMeasurement(
        latency_ms=np.array(latency_ns) * 1e-6,
        energy_uJ=np.array(energy_uJ) if rapl else None,
        power_W=np.array(power_W) if rapl else None,
        energy_note=note,
    )


def _timed(infer: Callable[[], object], times: int) -> list[int]:
    """Return nanoseconds per call."""
    durations = []
    for _ in range(times):
        began = time.perf_counter_ns()
        infer()
        durations.append(time.perf_counter_ns() - began)
    return durations


def host_metrics(subject: str, measurement: HostMeasurement) -> dict[str, Evidence]:
    """Return ``host.latency.<subject>``, ``host.energy.<subject>`` and ``host.power.<subject>``.

    Latency is the median with its 5th to 95th percentile, and ``.mean``, ``.std``, ``.p95``, ``.p99``.
    Energy and power are mean and ``.std`` over batches, absent where not measurable.
    """
    latency = measurement.latency_ms
    n = len(latency)
    p5, p95, p99 = (float(p) for p in np.percentile(latency, [5, 95, 99]))

    def latency_item(value: float, statistic: str, spread: Spread | None = None) -> Evidence:
        method = f"{statistic} of one-shot latencies, batch size 1, after warm-up"
        return measured(value, "ms", method, n=n, spread=spread)

    name = f"host.latency.{subject}"
    metrics = {
        name: latency_item(float(np.median(latency)), "median", ((p5, p95), "5th to 95th percentile")),
        f"{name}.mean": latency_item(float(latency.mean()), "mean"),
        f"{name}.std": latency_item(float(latency.std(ddof=1)), "standard deviation"),
        f"{name}.p95": latency_item(p95, "95th percentile"),
        f"{name}.p99": latency_item(p99, "99th percentile"),
    }
    batches = (("energy", "uJ", measurement.energy_uJ), ("power", "W", measurement.power_W))
    for quantity, unit, values in batches:
        if values is None:
            continue
        for suffix, statistic, value in (
            ("", "mean", values.mean()),
            (".std", "standard deviation", values.std(ddof=1)),
        ):
            method = f"{statistic} over {len(values)} batches: {measurement.energy_note}"
            metrics[f"host.{quantity}.{subject}{suffix}"] = measured(float(value), unit, method, n=n)
    return metrics


def processor_name() -> str:
    """Return the CPU model of this machine as the kernel names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
