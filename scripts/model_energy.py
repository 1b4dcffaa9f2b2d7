"""Power, energy per inference and by phases, memory energy and battery life of the board.

Inputs: the device's metrics file, IntegerModel; the study's recorded trace and serial log, where it has them.
Outputs: metrics file, current trace, battery life over duty cycle and over inferences per hour (CSV). Method: the
deck's formulas, once with the latency that the paper claims (``claimed.…``), if it claims one, and once with our
engine's. Phases are as the recorded trace tells; without one, the deck's detector runs on a synthetic trace.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from paper2board.boards.board import Board, Figure
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, read_metrics, write_metrics
from paper2board.core.files import atomic_path, digest
from paper2board.core.scripting import running
from paper2board.core.units import in_unit
from paper2board.energy.memory_energy import LayerTraffic, memory_energy_metrics
from paper2board.energy.metrics import duty_cycle_curve, energy_metrics
from paper2board.energy.phases import Recorded
from paper2board.energy.trace_metrics import trace_metrics
from paper2board.energy.year import schedule_curve
from paper2board.model.integer_model import macs, read
from paper2board.traces.columns import MeasuredTrace
from paper2board.traces.laps import read_laps
from paper2board.traces.timestamps import Timestamps
from paper2board.traces.trace import Trace, read_trace, synthetic_trace, write_trace

INFERENCES_IN_TRACE = 20
FEWEST_PER_HOUR = 0.1
POINTS = 60


def stand_in(board: Board, latency: Evidence) -> Trace:
    """Return a synthetic trace of windows that last as long as inferences may."""
    low, high = latency.interval or (latency.value, latency.value)
    # What the detector takes for one inference has a shortest length: several in a row, as at a bench.
    shortest = board.detector.min_duration_s
    in_a_row = math.ceil(2 * shortest / low) if low < shortest else 1
    low, likely, high = (in_a_row * value for value in (low, latency.value, high))
    durations = np.random.default_rng(0).triangular(low, likely, high, INFERENCES_IN_TRACE)
    return synthetic_trace(board, durations.tolist())


def with_log(trace: Trace, recorded: MeasuredTrace) -> tuple[Trace, Timestamps]:
    """Return the trace with what the log tells noted, and the log's timestamps.

    Raises:
        UserError: the log is not one, or its commands are not of the study's number of inferences.
    """
    laps = read_laps(recorded.log)
    if laps.inferences != recorded.inferences:
        raise UserError(
            f"{recorded.log}: each 'infer' is of {laps.inferences} inferences, the study's 'inferences' is "
            f"{recorded.inferences}; correct the study, or name the log of this recording"
        )
    note = f"{laps.inferences} inferences to a window by the serial log"
    return replace(trace, notes=(*trace.notes, note)), laps.windows_s


def supplied(board: Board, trace: Trace, recorded: MeasuredTrace) -> Board:
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


if __name__ == "__main__":
    with running(snakemake):
        params = snakemake.params
        board = Board.model_validate(params.board)
        device = read_metrics(snakemake.input.device)
        ours = in_unit(device[f"device.{params.engine}.latency"], "s")
        deck = None
        if params.claimed:
            deck = Evidence(
                value=params.claimed["value_s"],
                unit="s",
                kind=Kind.CLAIMED,
                method=params.claimed["source"],
                interval=params.claimed["interval_s"],
                interval_method="range that the paper prints",
            )

        path = Path(snakemake.output.trace)
        if params.trace:
            recorded = MeasuredTrace.model_validate(params.trace)
            trace = read_trace(recorded.file, recorded)
            write_trace(path, trace)
            chain, stamps = {"trace": digest(recorded.file)}, []
            if recorded.log:
                chain["log"] = digest(recorded.log)
                trace, stamps = with_log(trace, recorded)
            bench = supplied(board, trace, recorded)
            windows = trace_metrics(trace, bench, chain, stamps)
            told = Recorded(windows, recorded.inferences, bench)
            metrics = energy_metrics(board, ours, params.period_s, recorded=told)
        else:
            write_trace(path, stand_in(board, deck or ours))
            windows = trace_metrics(read_trace(path), board, {"trace": digest(path)})
            metrics = energy_metrics(board, ours, params.period_s)
        metrics |= windows
        if deck:
            metrics |= energy_metrics(board, deck, params.period_s, prefix="claimed.")

        if params.memory_energy:
            model = read(snakemake.input.model)
            layers = [
                LayerTraffic(op.name, macs(model, op), model.tensors[op.output].size)
                for op in model.ops
                if macs(model, op)
            ]
            latencies = {
                layer.name: device[f"device.paper-split.layer.{layer.name}.latency"] for layer in layers
            }
            metrics |= memory_energy_metrics(board.scratchpad, layers, latencies)
        write_metrics(snakemake.output.metrics, metrics)

        shortest_s = 2 * max(ours.interval or (ours.value,))
        periods = np.geomspace(shortest_s, 3600, POINTS).tolist()
        rates = np.geomspace(FEWEST_PER_HOUR, 3600 / shortest_s, POINTS).tolist()
        for curve, output in (
            (duty_cycle_curve(board, ours, periods), snakemake.output.curve),
            (schedule_curve(board, ours, rates), snakemake.output.schedule),
        ):
            with atomic_path(output) as temporary:
                curve.to_csv(temporary, index=False)
