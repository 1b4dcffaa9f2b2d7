"""Plans for two cores, as ``firmware/ports/esp-idf/main/cores.c`` shares them out."""

from dataclasses import replace

from paper2board.convert.engine import Engine
from paper2board.convert.lowering import rows_a_call
from paper2board.convert.memory_plan import KernelMemory, plan
from paper2board.convert.steps import rows


def schedule_for_two_cores(engine: Engine) -> Engine:
    """Return a streaming engine whose calls come in pairs, one for each core, where a step has rows left for two.

    Rings hold the rows of the second call as well. One core runs the same C, and gives the same outputs. An engine
    that goes layer by layer has long runs of calls already, and is returned as it is.
    """
    if not engine.streaming:
        return engine
    model, steps = engine.model, engine.steps
    calls = [
        rows_a_call(engine.model, step, item) for step, item in zip(engine.steps, engine.packed, strict=True)
    ]
    scratch = [item.scratch_bytes if item else 0 for item in engine.packed]
    # The input's rows come one by one.
    work = (
        KernelMemory(),
        *(KernelMemory(2 * n, size) for n, size in zip(calls[1:], scratch[1:], strict=True)),
    )
    paired = plan(model, steps, work, streaming=True)
    left = [rows(model, step.output) for step in steps]
    schedule: list[int] = []
    for step in paired.schedule:
        together = min(work[step].rows, left[step])
        left[step] -= together
        schedule += [step] * -(-together // calls[step])
    return replace(engine, plan=replace(paired, schedule=tuple(schedule)))
