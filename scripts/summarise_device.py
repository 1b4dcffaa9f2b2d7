"""Instructions, latency, memory and accuracy on the device, as evidence.

Inputs: device logs of every engine with their images, manifests and C, the IntegerModel, its .tflite, test images.
Output: metrics file. Method: instruction counts are the emulator's, exact; latency is instructions × the board's
cycles per instruction ÷ clock, a model with that figure's interval.
"""

from paper2board.acquire.examples import load_examples
from paper2board.boards.board import Cpu, Memory
from paper2board.capture.board_fit import board_memory_metrics
from paper2board.capture.engine_runs import engine_metrics, read_run
from paper2board.capture.metrics import memory_metrics
from paper2board.capture.task_metrics import task_metrics
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.outputs import integer_layout
from paper2board.networks.pixels import fit_images, to_int8

if __name__ == "__main__":
    with running(snakemake):
        cpu = Cpu.model_validate(snakemake.params.cpu)
        memory = Memory.model_validate(snakemake.params.memory)
        model = read_tflite(snakemake.input.model)
        links = {
            "weights": digest(snakemake.input.integers),
            "tflite": digest(snakemake.input.model),
        }
        examples = load_examples(snakemake.input.data)
        integers = to_int8(fit_images(examples.images, model.image_shape))
        files = snakemake.input
        named = zip(snakemake.params.engines, files.logs, files.images, files.c, strict=True)
        runs = {engine: read_run(log, image, c, integers, links) for engine, log, image, c in named}
        metrics = engine_metrics(runs, model, cpu)
        main = snakemake.params.main
        logs = {engine: run.log for engine, run in runs.items()}
        chains = {engine: run.chain for engine, run in runs.items()}
        metrics |= task_metrics(snakemake.params.task, logs, main, integer_layout(model), examples, chains)
        metrics |= memory_metrics(runs[main].log, model, runs[main].chain)
        metrics |= board_memory_metrics(runs[main].log, runs[main].manifest, memory, runs[main].chain)
        write_metrics(snakemake.output.metrics, metrics)
