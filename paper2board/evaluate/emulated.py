"""Int8 networks by themselves on the emulated core, each with the kernels of one engine, against TFLite Micro."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paper2board.boards.board import Memory
from paper2board.convert.c_code import write_engine
from paper2board.convert.planner import Limits, board_limits, choose
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import DoesNotFitError
from paper2board.core.scripting import Log
from paper2board.evaluate.logits import load_test, read_logits
from paper2board.firmware import runner
from paper2board.networks.pixels import to_int8
from paper2board.study.engines import DeviceEngine

RUNNER_LIMITS = Limits(sram_bytes=64 << 20, flash_bytes=48 << 20)
"""Of the memories in ``firmware/runner/runner.ld``, what code and inputs leave."""


class EmulatedRun(NamedTuple):
    """What one network gave."""

    name: str
    result: runner.Result
    reference: np.ndarray
    """TFLite Micro's outputs for the same images, int8 N×K."""


def run_networks(
    networks: Iterable[tuple[str, str, str]],
    data: Sequence[str],
    images: int,
    engine: DeviceEngine,
    core: str,
    memory: Memory,
    scratch: Path,
    log: Log,
) -> Iterator[EmulatedRun]:
    """Build and run every network on the first test images; yield what each gave.

    A network that the board does not hold is planned for the runner's own memory, and the log says so.

    Args:
        networks: name, path of the ``.tflite``, path of TFLite Micro's outputs.
        data: files of the test set.
        images: how many run, at most as many as TFLite Micro ran.
        engine: kernels and memory plan.
        core: of QEMU, whose instructions the kernels need.
        memory: of the board.
        scratch: an empty folder.
        log: takes a line.
    """
    target, limits = runner.Target(core), board_limits(memory)
    library = runner.kernel_library(target, scratch)
    for name, tflite, golden in networks:
        model = read_tflite(tflite)
        try:
            planned = choose(model, engine.backend, limits)
        except DoesNotFitError as error:
            log(f"{name}: does not fit the board ({error})")
            planned = choose(model, engine.backend, RUNNER_LIMITS)
        write_engine(planned, scratch / name)
        reference = read_logits(golden)[:images]
        inputs = to_int8(load_test(data, len(reference), model.image_shape))
        [result] = runner.run([(scratch / name, inputs)], target, library, scratch / "run")
        yield EmulatedRun(name, result, reference)
