"""The cheapest engine of a network within a board's limits.

Cheapest means fewest instructions by the kernels' cost table. Every layer starts with its cheapest kernel and the
plan that needs less memory; as long as something does not fit, the kernel is exchanged that saves a byte at the
least cost. When nothing is left to exchange, the layer to shrink is named.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from paper2board.convert.c_code import Engine, assemble
from paper2board.convert.c_layers import c_layer, weighted_layer
from paper2board.convert.kernels.catalogue import Backend, candidates
from paper2board.convert.kernels.cost import features, instructions
from paper2board.convert.kernels.layer import Packed
from paper2board.convert.steps import lower
from paper2board.energy.board import Memory
from paper2board.errors import UserError
from paper2board.integer_model import IntegerModel


@dataclass(frozen=True)
class Limits:
    """What a board gives a network: SRAM for activations and working memory, flash for its constants."""

    sram_bytes: int
    flash_bytes: int


def board_limits(memory: Memory) -> Limits:
    """Return a board's limits: its whole data SRAM and flash."""
    return Limits(int(memory.dram_B.value), int(memory.flash_B.value))


@dataclass(frozen=True)
class _Choice:
    """Kernels that a step may have, the cheapest first: (what it takes, instructions, bytes of flash)."""

    options: tuple[tuple[Packed | None, float, int], ...]
    chosen: int = 0

    @property
    def current(self) -> tuple[Packed | None, float, int]:
        return self.options[self.chosen]

    @property
    def dearer(self) -> "list[_Choice]":
        """The choices of the kernels that cost more."""
        return [replace(self, chosen=index) for index in range(self.chosen + 1, len(self.options))]

    @property
    def scratch_bytes(self) -> int:
        return self.current[0].scratch_bytes if self.current[0] else 0


def choose(model: IntegerModel, backend: Backend | str, limits: Limits) -> Engine:
    """Return the cheapest engine of ``model`` with the kernels of ``backend`` that fits ``limits``.

    Raise :class:`UserError` if none does.
    """
    backend = Backend(backend)
    engines = [_fit(model, backend, limits, streaming=streaming) for streaming in (True, False)]
    fitting = [engine for engine in engines if engine and engine[0].plan.bytes <= limits.sram_bytes]
    if fitting:
        return min(fitting, key=lambda pair: (pair[1], pair[0].plan.bytes))[0]
    raise UserError(_what_to_shrink(model, backend, limits))


def _fit(
    model: IntegerModel, backend: Backend, limits: Limits, *, streaming: bool
) -> tuple[Engine, float] | None:
    """Return the engine of one plan and its instructions; None if its constants do not fit."""
    steps = lower(model, fuse=streaming)
    choices = []
    for step in steps:
        layer = weighted_layer(model, step)
        constants = c_layer(model, step, None).weight_bytes if step.op and not layer else 0
        options: list[tuple[Packed | None, float, int]] = [(None, 0.0, constants)]
        if layer:
            options = [
                (
                    packed,
                    instructions(packed.function, features(layer, packed)),
                    c_layer(model, step, packed).weight_bytes,
                )
                for packed in candidates(backend, layer)
            ]
        choices.append(_Choice(tuple(sorted(options, key=lambda option: option[1]))))

    def ready(*changed: tuple[int, _Choice]) -> Engine:
        current = dict(enumerate(choices)) | dict(changed)
        packed = tuple(choice.current[0] for choice in current.values())
        return assemble(model, backend, steps, packed, streaming=streaming)

    def flash(*changed: tuple[int, _Choice]) -> int:
        return sum(choice.current[2] for choice in (dict(enumerate(choices)) | dict(changed)).values())

    def exchange(saved: Callable[[int, _Choice], float]) -> bool:
        """Exchange the kernel that saves a byte at the least cost; tell whether there was one."""
        prices = []
        for index, choice in enumerate(choices):
            for other in choice.dearer:
                if (bytes_saved := saved(index, other)) > 0:
                    prices.append(((other.current[1] - choice.current[1]) / bytes_saved, index, other.chosen))
        if prices:
            _, index, chosen = min(prices)
            choices[index] = replace(choices[index], chosen=chosen)
        return bool(prices)

    while flash() > limits.flash_bytes:
        if not exchange(lambda i, other: flash() - flash((i, other))):
            return None
    while (engine := ready()).plan.bytes > limits.sram_bytes:

        def saved(index: int, other: _Choice) -> float:
            if flash((index, other)) > limits.flash_bytes:
                return 0
            return engine.plan.bytes - ready((index, other)).plan.bytes

        def scratch_saved(index: int, other: _Choice) -> float:
            """What counts only once all layers that share the working memory have given it back."""
            if flash((index, other)) > limits.flash_bytes:
                return 0
            return choices[index].scratch_bytes - other.scratch_bytes

        if not exchange(saved) and not exchange(scratch_saved):
            break
    return engine, sum(choice.current[1] for choice in choices)


def _what_to_shrink(model: IntegerModel, backend: Backend, limits: Limits) -> str:
    steps = lower(model, fuse=True)
    smallest: list[Packed | None] = []
    sizes: dict[str, int] = {}
    for step in steps:
        layer = weighted_layer(model, step)
        options: list[tuple[int, Packed | None]] = [
            (c_layer(model, step, packed).weight_bytes, packed)
            for packed in (candidates(backend, layer) if layer else [None] if step.op else [])
        ]
        size, packed = min(options, key=lambda pair: pair[0], default=(0, None))
        sizes[step.name] = size
        smallest.append(packed)
    if (total := sum(sizes.values())) > limits.flash_bytes:
        name = max(sizes, key=lambda key: sizes[key])
        return (
            f"model {model.name}: its constants take {total} bytes of flash, the limit is {limits.flash_bytes};"
            f" shrink layer {name}, which takes {sizes[name]} of them"
        )
    engine = assemble(model, backend, steps, tuple(smallest), streaming=True)
    _, alive = engine.plan.peak()
    return (
        f"model {model.name}: it needs {engine.plan.bytes} bytes of SRAM, the limit is {limits.sram_bytes};"
        f" shrink layer {alive[0].step}, which holds {alive[0].bytes} of them at the peak"
    )
