"""Power, energy per inference, memory energy and battery life of the board.

Inputs: the device's evidence book, IntegerModel. Outputs: evidence book, current trace (CSV), duty-cycle curve
(CSV). Method: the deck's formulas, once with the latency that the paper claims (``deck.…``), if it claims one, and
once with our engine's; the deck's active-window detector on a synthetic trace, since no instrument is attached.
"""

import math
from pathlib import Path

import numpy as np

from paper2board.energy.active_window import trace_book
from paper2board.energy.board import Board
from paper2board.energy.book import duty_cycle_curve, energy_book
from paper2board.energy.current_trace import read_trace, synthetic_trace, write_trace
from paper2board.energy.memory_energy import LayerTraffic, memory_energy_book
from paper2board.evidence import Evidence, Kind, read_book, write_book
from paper2board.files import atomic_path, digest
from paper2board.integer_model import macs, read
from paper2board.scripting import running

INFERENCES_IN_TRACE = 20

if __name__ == "__main__":
    with running(snakemake):
        board = Board.model_validate(snakemake.params.board)
        device, claimed = read_book(snakemake.input.device), snakemake.params.claimed
        ours = device[f"device.{snakemake.params.engine}.latency"]
        book = energy_book(board, ours, snakemake.params.period_s)
        low, high = (value / 1e3 for value in ours.interval or (ours.value, ours.value))
        duration_s = ours.value / 1e3
        if claimed:
            duration_s, (low, high) = claimed["value_s"], claimed["interval_s"]
            deck = Evidence(
                value=duration_s,
                unit="s",
                kind=Kind.CLAIMED,
                method=claimed["source"],
                interval=(low, high),
                interval_method="range that the paper prints",
            )
            book |= energy_book(board, deck, snakemake.params.period_s, prefix="deck.")

        if snakemake.params.memory_energy:
            model = read(snakemake.input.model)
            layers = [
                LayerTraffic(op.name, macs(model, op), model.tensors[op.output].size)
                for op in model.ops
                if macs(model, op)
            ]
            latencies = {
                layer.name: device[f"device.paper-split.layer.{layer.name}.latency"] for layer in layers
            }
            book |= memory_energy_book(board.scratchpad, layers, latencies)

        # What the detector takes for one inference has a shortest length: several in a row, as at a bench.
        in_a_row = (
            math.ceil(2 * board.detector.min_duration_s / low) if low < board.detector.min_duration_s else 1
        )
        low, duration_s, high = (in_a_row * value for value in (low, duration_s, high))
        durations = np.random.default_rng(0).triangular(low, duration_s, high, INFERENCES_IN_TRACE)
        path = Path(snakemake.output.trace)
        write_trace(path, synthetic_trace(board, durations.tolist()))
        book |= trace_book(read_trace(path), board, digest(path))
        write_book(snakemake.output.book, book)

        longest = max(ours.interval or (ours.value,)) / 1e3
        curve = duty_cycle_curve(board, ours, np.geomspace(2 * longest, 3600, 60).tolist())
        with atomic_path(snakemake.output.curve) as temporary:
            curve.to_csv(temporary, index=False)
