"""The study's detectors side by side on its board: modelled latency, frames per second, arena.

Inputs: .tflite files in the order of params.names; a metrics file with macs.{name} of params.without_int8.
Output: metrics file. Method: the kernels' cost table for the planner's choice; MACs times the median cost of a MAC
for networks without an int8 form.
"""

from paper2board.boards.board import Cpu, Memory
from paper2board.core.evidence import read_metrics, write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.comparison import comparison_metrics, counted_macs, modelled

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        memory, cpu = Memory.model_validate(params.memory), Cpu.model_validate(params.cpu)
        paths = dict(zip(params.names, files.tflite, strict=True))
        networks = {name: modelled(path, params.backend, memory) for name, path in paths.items()}
        chains = {name: {"tflite": digest(path)} for name, path in paths.items()}
        macs = counted_macs(read_metrics(files.counts), params.without_int8, files.counts)
        metrics = comparison_metrics(networks, macs, params.backend, cpu, chains)
        write_metrics(snakemake.output.metrics, metrics)
        log(", ".join(f"{name}: {item.value:.4g} {item.unit}" for name, item in metrics.items()))
