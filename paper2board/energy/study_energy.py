"""Energy of a study: of its recorded trace or of a synthetic one, for the paper's latency and for ours."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from paper2board.boards.board import Board, Currents, Figure
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence
from paper2board.core.files import digest
from paper2board.energy.memory_energy import LayerTraffic, memory_energy_metrics
from paper2board.energy.metrics import duty_cycle_curve, energy_metrics
from paper2board.energy.phases import Recorded
from paper2board.energy.states import RecordedFigure, active, idle
from paper2board.energy.trace_metrics import trace_metrics
from paper2board.energy.year import schedule_curve
from paper2board.model.integer_model import IntegerModel
from paper2board.traces.columns import MeasuredTrace
from paper2board.traces.recording import read_recording
from paper2board.traces.trace import Trace, read_trace, synthetic_trace, write_trace

INFERENCES_IN_TRACE = 20
FEWEST_PER_HOUR = 0.1
POINTS = 60


def recorded_metrics(
    board: Board, latency: Evidence, period_s: float, recorded: MeasuredTrace, copy: Path
) -> tuple[dict[str, Evidence], Board]:
    """Return the metrics of a study with a recorded trace, and the board with what was recorded of it.

    Power, energy and battery life are of the recorded currents and supply voltage; ``energy.board.*`` are the board
    file's. The trace is written to ``copy`` in this project's layout.

    ``latency``: of our engine, s. Raise :class:`UserError` if recording and log are not fit for use.
    """
    run = read_recording(recorded)
    write_trace(copy, run.trace)
    bench = _supplied(board, run.trace, recorded)
    windows = trace_metrics(run.trace, bench, run.chain, run.timestamps)
    bench = bench.model_copy(update={"currents": _recorded_currents(board.currents, windows)})
    stated = {f"energy.board.current.{name}": of(board) for name, of in (("idle", idle), ("active", active))}
    recording = Recorded(windows, recorded.inferences)
    return energy_metrics(bench, latency, period_s, recorded=recording) | windows | stated, bench


def _recorded_currents(stated: Currents, windows: Mapping[str, Evidence]) -> Currents:
    """Return the currents of ``energy.trace.*``; the board file's where a trace has none, or none above zero, as a
    board that sleeps in its pauses."""
    figures = {}
    for name in ("idle", "active"):
        item = windows.get(f"energy.trace.current.{name}")
        if item is not None and min((item.value, *(item.interval or ()))) > 0:
            figures[f"{name}_mA"] = RecordedFigure(
                value=item.value, kind=item.kind, source=item.method, recorded=item
            )
    return stated.model_copy(update=figures)


def synthetic_metrics(
    board: Board, latency: Evidence, period_s: float, windows_s: Evidence, copy: Path
) -> dict[str, Evidence]:
    """Return the metrics of a study without a recorded trace: a synthetic one, with active windows that last as
    long as ``windows_s`` may, is written to ``copy`` and read like any other."""
    write_trace(copy, _stand_in(board, windows_s))
    windows = trace_metrics(read_trace(copy), board, {"trace": digest(copy)})
    return energy_metrics(board, latency, period_s) | windows


def memory_metrics(board: Board, model: IntegerModel, device: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """Return ``memory-energy.*`` of a board with a scratchpad; ``device``: metrics with the layers' latencies."""
    assert board.scratchpad is not None  # the rule asks for it
    layers = [
        LayerTraffic(op.name, op.macs(model.tensors), model.tensors[op.output].size)
        for op in model.ops
        if op.macs(model.tensors)
    ]
    latencies = {layer.name: device[f"device.paper-split.layer.{layer.name}.latency"] for layer in layers}
    return memory_energy_metrics(board.scratchpad, layers, latencies)


def battery_curves(board: Board, latency: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return battery life over the duty cycle and over inferences per hour; ``latency`` in s."""
    shortest_s = 2 * max(latency.interval or (latency.value,))
    periods = np.geomspace(shortest_s, 3600, POINTS).tolist()
    rates = np.geomspace(FEWEST_PER_HOUR, 3600 / shortest_s, POINTS).tolist()
    return duty_cycle_curve(board, latency, periods), schedule_curve(board, latency, rates)


def _stand_in(board: Board, latency: Evidence) -> Trace:
    """Return a synthetic trace of windows that last as long as inferences may."""
    low, high = latency.interval or (latency.value, latency.value)
    # What the detector takes for one inference has a shortest length: several in a row, as at a bench.
    shortest = board.active_window.min_duration_s
    in_a_row = math.ceil(2 * shortest / low) if low < shortest else 1
    low, likely, high = (in_a_row * value for value in (low, latency.value, high))
    durations = np.random.default_rng(0).triangular(low, likely, high, INFERENCES_IN_TRACE)
    return synthetic_trace(board, durations.tolist())


def _supplied(board: Board, trace: Trace, recorded: MeasuredTrace) -> Board:
    """Return the board at the supply voltage that it had while it was recorded.

    Raises:
        UserError: a voltage is stated beside the recorded one, or that is none.
    """
    volts = recorded.supply_V or board.supply_V
    if trace.voltage_V is not None:
        if recorded.supply_V is not None:
            raise UserError(
                f"{recorded.file}: it holds the supply voltage; remove 'supply_V' from the study's trace"
            )
        median_V = float(np.median(trace.voltage_V))
        if median_V <= 0:
            raise UserError(
                f"{recorded.file}: its supply voltage is {median_V:g} V; swap the terminals of its probe, or leave "
                "the column out"
            )
        volts = Figure(value=median_V, kind=trace.kind, source="median of the recorded supply voltage")
    return board.model_copy(update={"supply_V": volts})
