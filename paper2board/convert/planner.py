"""The cheapest engine of a network within a board's limits.

Cheapest means fewest instructions by the kernels' cost table. A kernel costs memory in three ways: constants in
flash, working memory, and rows of its input and output that must exist together. Each layer gets its cheapest
kernel that needs no more working memory and rows than a bound allows; the bounds fall until the network fits.
The streaming plan is never the dearer one and never needs more memory than layer by layer, so it is the plan.
"""

from dataclasses import dataclass
from itertools import product

from paper2board.boards.backends import Backend
from paper2board.boards.board import Memory
from paper2board.convert.c_layers import c_layer, weighted_layer
from paper2board.convert.engine import Engine, assemble, check_size, compact
from paper2board.convert.kernels.catalogue import candidates
from paper2board.convert.kernels.cost import features, instructions
from paper2board.convert.kernels.layer import Packed
from paper2board.convert.lowering import lower
from paper2board.convert.steps import Step
from paper2board.core.errors import DoesNotFitError
from paper2board.model.integer_model import IntegerModel


@dataclass(frozen=True)
class Limits:
    """What a board gives a network: SRAM for activations and working memory, flash for its constants."""

    sram_bytes: int
    flash_bytes: int


def board_limits(memory: Memory) -> Limits:
    """Return a board's limits: its whole data SRAM and flash."""
    return Limits(int(memory.dram_B.value), int(memory.flash_B.value))


@dataclass(frozen=True)
class _Option:
    """A kernel for a step: what it takes (None: plain C), instructions, bytes of its constants in flash."""

    packed: Packed | None
    instructions: float
    flash_bytes: int

    @property
    def scratch_bytes(self) -> int:
        return self.packed.scratch_bytes if self.packed else 0

    @property
    def rows(self) -> int:
        return self.packed.rows if self.packed else 1


def choose(model: IntegerModel, backend: Backend | str, limits: Limits) -> Engine:
    """Return the cheapest engine of ``model`` with the kernels of ``backend`` that fits ``limits``.

    Raise :class:`DoesNotFitError` if none does, naming the layer to shrink.
    """
    backend = Backend(backend)
    check_size(model)
    model = compact(model, backend)
    steps = lower(model, fuse=True)
    options = [_options(model, backend, step) for step in steps]
    _refuse_flash(model, steps, options, limits)
    fitting: list[tuple[float, int, Engine]] = []
    smallest: Engine | None = None
    for rows, scratch_bytes in _bounds(options):
        chosen = _cheapest(options, rows, scratch_bytes, limits.flash_bytes)
        if chosen is None:
            continue
        cost = sum(option.instructions for option in chosen)
        if fitting and cost >= fitting[0][0]:
            continue
        packed = tuple(option.packed for option in chosen)
        engine = assemble(model, backend, steps, packed, streaming=True)
        if engine.plan.bytes <= limits.sram_bytes:
            fitting = [(cost, engine.plan.bytes, engine)]
        if smallest is None or engine.plan.bytes < smallest.plan.bytes:
            smallest, kernels = engine, chosen
    if fitting:
        return fitting[0][2]
    assert smallest is not None  # _refuse_flash
    smallest = _squeeze(smallest, kernels, options, limits)
    if smallest.plan.bytes <= limits.sram_bytes:
        return smallest
    _, alive = smallest.plan.peak()
    raise DoesNotFitError(
        f"model {model.name}: the smallest plan found takes {smallest.plan.bytes} bytes of SRAM, the limit is"
        f" {limits.sram_bytes}; shrink layer {alive[0].step}, which holds {alive[0].bytes} of them at the peak"
    )


def _squeeze(
    smallest: Engine, kernels: list[_Option], options: list[list[_Option]], limits: Limits
) -> Engine:
    """Return an engine that needs less SRAM, kernel by kernel, where one bound for all layers was too coarse."""
    improved = True
    while improved and smallest.plan.bytes > limits.sram_bytes:
        improved = False
        segment, _ = smallest.plan.peak()
        start, end = smallest.plan.segment_bounds[segment : segment + 2]
        for step, other in ((i, option) for i in range(start, end) for option in options[i]):
            changed = [*kernels[:step], other, *kernels[step + 1 :]]
            if sum(option.flash_bytes for option in changed) > limits.flash_bytes:
                continue
            packed = tuple(option.packed for option in changed)
            engine = assemble(smallest.model, smallest.backend, smallest.steps, packed, streaming=True)
            if engine.plan.bytes < smallest.plan.bytes:
                smallest, kernels, improved = engine, changed, True
                break
    return smallest


def _options(model: IntegerModel, backend: Backend, step: Step) -> list[_Option]:
    """Return the kernels for a step, the cheapest first."""
    layer = weighted_layer(model, step)
    if layer is None:
        return [_Option(None, 0.0, c_layer(model, step, None).weight_bytes if step.op else 0)]
    options = [
        _Option(
            packed,
            instructions(packed.function, features(layer, packed)),
            c_layer(model, step, packed).weight_bytes,
        )
        for packed in candidates(backend, layer)
    ]
    return sorted(options, key=lambda option: option.instructions)


def _bounds(options: list[list[_Option]]) -> list[tuple[int, int]]:
    """Return the bounds (rows a call, bytes of working memory) to try, the loosest first."""
    rows = {option.rows for step in options for option in step}
    scratch = {option.scratch_bytes for step in options for option in step}
    # Below the largest of the layers' least, a layer would have no kernel.
    least = max(min(option.scratch_bytes for option in step) for step in options)
    return list(product(sorted(rows, reverse=True), sorted((s for s in scratch if s >= least), reverse=True)))


def _cheapest(
    options: list[list[_Option]], rows: int, scratch_bytes: int, flash_bytes: int
) -> list[_Option] | None:
    """Return the cheapest kernel of each step within the bounds, None if a step has none.

    While their constants do not fit, the exchange that saves a byte at the least cost is made; None if nothing is
    left to exchange.
    """
    allowed = [[o for o in step if o.rows <= rows and o.scratch_bytes <= scratch_bytes] for step in options]
    if not all(allowed):
        return None
    chosen = [step[0] for step in allowed]
    while sum(option.flash_bytes for option in chosen) > flash_bytes:
        exchanges = [
            (
                (other.instructions - chosen[i].instructions) / (chosen[i].flash_bytes - other.flash_bytes),
                i,
                j,
            )
            for i, step in enumerate(allowed)
            for j, other in enumerate(step)
            if other.flash_bytes < chosen[i].flash_bytes
        ]
        if not exchanges:
            return None
        _, i, j = min(exchanges)
        chosen[i] = allowed[i][j]
    return chosen


def _refuse_flash(
    model: IntegerModel, steps: tuple[Step, ...], options: list[list[_Option]], limits: Limits
) -> None:
    least = [min(option.flash_bytes for option in step) for step in options]
    if sum(least) > limits.flash_bytes:
        largest, step = max(zip(least, steps, strict=True), key=lambda pair: pair[0])
        raise DoesNotFitError(
            f"model {model.name}: its constants take {sum(least)} bytes of flash, the limit is"
            f" {limits.flash_bytes}; shrink layer {step.name}, which takes {largest} of them"
        )
