"""The study's detectors side by side on its board: modelled latency, frames per second, arena.

Inputs: .tflite files in the order of params.names; an evidence book with macs.{name} of params.without_int8.
Output: evidence book. Method: the kernels' cost table for the planner's choice; MACs times the median cost of a MAC
for networks without an int8 form.
"""

from paper2board.energy.board import Cpu, Memory
from paper2board.errors import UserError
from paper2board.evidence import read_book, write_book
from paper2board.files import digest
from paper2board.report.comparison import comparison_book, modelled
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        memory, cpu = Memory.model_validate(params.memory), Cpu.model_validate(params.cpu)
        networks = {
            name: modelled(path, params.backend, memory)
            for name, path in zip(params.names, files.tflite, strict=True)
        }
        chains = {
            name: {"tflite": digest(path)} for name, path in zip(params.names, files.tflite, strict=True)
        }
        counts = read_book(files.counts)
        missing = [name for name in params.without_int8 if f"macs.{name}" not in counts]
        if missing:
            raise UserError(f"{files.counts} lacks macs.{missing[0]}; run count_networks again")
        macs = {name: int(counts[f"macs.{name}"].value) for name in params.without_int8}
        book = comparison_book(networks, macs, params.backend, cpu, chains)
        write_book(snakemake.output.book, book)
        log(", ".join(f"{name}: {item.value:.4g} {item.unit}" for name, item in book.items()))
