"""Run every int8 network of a study on the emulated core and compare it with TFLite Micro bit by bit.

Inputs: test images; .tflite files in the order of params.names, with TFLite Micro's outputs. Output: metrics file.
Method: the kernels of the study's engine, planned for its board, in an image of ``firmware/runner``; instructions
are exact. A network that the board does not hold is planned for the runner's own memory, and the log says so.
"""

import tempfile
from pathlib import Path

from paper2board.boards.board import Cpu, Memory
from paper2board.capture.emulated_metrics import emulated_metrics
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.emulated import run_networks
from paper2board.evaluate.parity import require_parity
from paper2board.study.engines import ENGINES

if __name__ == "__main__":
    with running(snakemake) as log, tempfile.TemporaryDirectory(prefix="paper2board-") as scratch:
        params, files = snakemake.params, snakemake.input
        engine, cpu = ENGINES[params.engine], Cpu.model_validate(params.cpu)
        networks = list(zip(params.names, files.tflite, files.tflm, strict=True))
        chains = {name: {"tflite": digest(tflite), "tflm": digest(tflm)} for name, tflite, tflm in networks}
        memory = Memory.model_validate(params.memory)
        runs = run_networks(
            networks, files.data, params.images, engine, params.core, memory, Path(scratch), log
        )
        metrics = {}
        for name, result, reference in runs:
            log(f"{name}: {result.instructions:,} instructions")
            metrics |= emulated_metrics(
                name, result, reference, cpu, mac16=engine.needs_mac16, chain=chains[name]
            )
        write_metrics(snakemake.output.metrics, metrics)
        log(require_parity(metrics, snakemake.output.metrics))
