"""Run every int8 network of a study on the emulated core and compare it with TFLite Micro bit by bit.

Inputs: test images; .tflite files in the order of params.names, with TFLite Micro's outputs. Output: metrics file.
Method: the kernels of the study's engine, planned for its board, in an image of ``firmware/runner``; instructions
are exact. A network that the board does not hold is planned for the runner's own memory, and the log says so.
"""

import tempfile
from pathlib import Path

from paper2board.boards.board import Cpu, Memory
from paper2board.capture.emulated_metrics import emulated_metrics
from paper2board.convert.c_code import write_engine
from paper2board.convert.planner import Limits, board_limits, choose
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import DoesNotFitError, UserError
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test, read_logits
from paper2board.firmware import runner
from paper2board.networks.pixels import to_int8
from paper2board.study.engines import ENGINES

RUNNER_LIMITS = Limits(sram_bytes=64 << 20, flash_bytes=48 << 20)
"""Of the memories in ``firmware/runner/runner.ld``, what code and inputs leave."""

if __name__ == "__main__":
    with running(snakemake) as log, tempfile.TemporaryDirectory(prefix="paper2board-") as scratch:
        params, files, folder = snakemake.params, snakemake.input, Path(scratch)
        engine, cpu = ENGINES[params.engine], Cpu.model_validate(params.cpu)
        limits = board_limits(Memory.model_validate(params.memory))
        target = runner.Target(params.core)
        library = runner.kernel_library(target, folder)
        metrics, wrong = {}, []
        for name, tflite, golden in zip(params.names, files.tflite, files.tflm, strict=True):
            model = read_tflite(tflite)
            try:
                chosen = choose(model, engine.backend, limits)
            except DoesNotFitError as error:
                log(f"{name}: does not fit the board ({error})")
                chosen = choose(model, engine.backend, RUNNER_LIMITS)
            write_engine(chosen, folder / name)
            golden_outputs = read_logits(golden)[: params.images]
            images = load_test(files.data, len(golden_outputs), model.image_shape)
            [result] = runner.run([(folder / name, to_int8(images))], target, library, folder / "run")
            chain = {"tflite": digest(tflite), "tflm": digest(golden)}
            metrics |= emulated_metrics(
                name, result, golden_outputs, cpu, mac16=engine.needs_mac16, chain=chain
            )
            differing = metrics[f"parity.{name}.emulated-vs-tflm"].value
            log(f"{name}: {result.instructions:,} instructions, {differing} outputs differ")
            wrong += [name] if differing else []
        write_metrics(snakemake.output.metrics, metrics)
        if wrong:
            raise UserError(
                f"{snakemake.output.metrics}: {', '.join(wrong)} differ from TFLite Micro on the emulated core;"
                " this is a defect of paper2board, report it"
            )
