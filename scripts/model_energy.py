"""Power, energy per inference and by phases, memory energy and battery life of the board.

Inputs: the device's metrics file, IntegerModel; in params.files the study's recorded trace and serial log, where it
has them.
Outputs: metrics file, current trace, battery life over duty cycle and over inferences per hour (CSV). Method: the
formulas of the paper's slide deck (``paper2board.energy``), once with the latency that the paper claims
(``claimed.…``), if it claims one, and once with our engine's. With a recorded trace, currents of inference and idle
and the supply voltage are its; without one, the detector runs on a synthetic trace.
"""

from pathlib import Path

from paper2board.boards.board import Board
from paper2board.core.evidence import Kind, measured, read_metrics, write_metrics
from paper2board.core.files import atomic_path
from paper2board.core.scripting import running, snakemake
from paper2board.core.units import in_unit
from paper2board.energy.metrics import energy_metrics
from paper2board.energy.study_energy import (
    battery_curves,
    memory_metrics,
    recorded_metrics,
    synthetic_metrics,
)
from paper2board.model.file import read
from paper2board.traces.columns import MeasuredTrace

if __name__ == "__main__":
    with running(snakemake):
        params, output = snakemake.params, snakemake.output
        board, path = Board.model_validate(params.board), Path(output.trace)
        device = read_metrics(snakemake.input.device)
        ours, claimed = in_unit(device[f"device.{params.engine}.latency"], "s"), None
        if stated := params.claimed:
            spread = stated["interval_s"], "range that the paper prints"
            claimed = measured(stated["value_s"], "s", stated["source"], Kind.CLAIMED, spread=spread)
        if params.trace:
            recorded = MeasuredTrace.model_validate(params.trace | params.files)
            metrics, bench = recorded_metrics(board, ours, params.period_s, recorded, path)
        else:
            bench = board
            metrics = synthetic_metrics(board, ours, params.period_s, claimed or ours, path)
        if claimed:
            metrics |= energy_metrics(board, claimed, params.period_s, prefix="claimed.")
        if params.memory_energy:
            metrics |= memory_metrics(board, read(snakemake.input.model), device)
        write_metrics(output.metrics, metrics)
        for curve, file in zip(battery_curves(bench, ours), (output.curve, output.schedule), strict=True):
            with atomic_path(file) as temporary:
                curve.to_csv(temporary, index=False)
