"""Where every row lives, and when it is computed: schedule and arena of a network.

A plan cuts the steps, in their order, into **segments**. Within a segment rows flow: as soon as a row of a step
can be computed, it is, the step furthest along first, so of a tensor between two steps only the rows exist that
someone still needs (a ring buffer; for a residual sum, a delay line). A tensor that crosses the bound of two
segments is there as a whole. Two plans over the same steps:

* **layer by layer**: every step is a segment of its own. This is what TFLite Micro does.
* **streaming**: the segments whose largest needs least memory (dynamic programming over the segment_bounds). One
  segment is not always best: two convolutions on a small image may need less one after the other than
  together, for each then has the memory of both.

The arena is laid out as TFLite Micro's greedy planner does it: largest item first, each at the lowest offset
where it fits between those already placed that live during the same segments.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from paper2board.convert.lowering import constants, storage
from paper2board.convert.steps import Operand, Step, row_bytes, rows
from paper2board.model.integer_model import IntegerModel

ALIGNMENT = 16
"""Bytes; every tensor starts at a multiple of it, so that kernels may load words."""


@dataclass(frozen=True)
class KernelMemory:
    """What a step's kernel adds: output rows of one call, and bytes of working memory during it."""

    rows: int = 1
    scratch_bytes: int = 0


@dataclass(frozen=True)
class ArenaBuffer:
    """A tensor or the working memory of a segment in the arena: it lives from segment ``first`` to ``last``.

    ``tensor`` is None for working memory, of which ``step`` names the step that needs most. ``capacity`` is the
    number of rows held.
    """

    tensor: int | None
    step: str
    bytes: int
    first: int
    last: int
    capacity: int = 0
    offset: int = 0


@dataclass(frozen=True)
class MemoryPlan:
    """Schedule (index of the step of each call), segments (first step of each, and the end), arena items."""

    schedule: tuple[int, ...]
    segment_bounds: tuple[int, ...]
    items: tuple[ArenaBuffer, ...]

    @cached_property
    def bytes(self) -> int:
        """Size of the arena."""
        return max(_aligned(item.offset + item.bytes) for item in self.items)

    @cached_property
    def scratch_bytes(self) -> int:
        """Largest working memory of a kernel."""
        return max((item.bytes for item in self.items if item.tensor is None), default=0)

    @cached_property
    def activation_bytes(self) -> int:
        """Most bytes of activations that are alive at a time."""
        segments = range(len(self.segment_bounds) - 1)
        return max(
            sum(_aligned(item.bytes) for item in self.tensors.values() if item.first <= s <= item.last)
            for s in segments
        )

    @cached_property
    def tensors(self) -> dict[int, ArenaBuffer]:
        """ArenaBuffer of each tensor that has bytes of its own."""
        return {item.tensor: item for item in self.items if item.tensor is not None}

    @cached_property
    def scratch(self) -> dict[int, ArenaBuffer]:
        """Working memory of each segment that has some."""
        return {item.first: item for item in self.items if item.tensor is None}

    def peak(self) -> tuple[int, list[ArenaBuffer]]:
        """Return the segment that needs most memory and the items that live in it, largest first."""
        alive = [
            sorted((item for item in self.items if item.first <= s <= item.last), key=lambda i: -i.bytes)
            for s in range(len(self.segment_bounds) - 1)
        ]
        segment = max(range(len(alive)), key=lambda s: sum(item.bytes for item in alive[s]))
        return segment, alive[segment]


def plan(
    model: IntegerModel, steps: tuple[Step, ...], work: tuple[KernelMemory, ...], *, streaming: bool
) -> MemoryPlan:
    """Return the plan of ``steps`` (:func:`~paper2board.convert.lowering.lower`) with their kernels' ``work``."""
    flow = _Flow(model, steps, work)
    each = tuple(range(len(steps) + 1))
    # The placement may lose to gaps what the best segment_bounds saved.
    choices = [_best_bounds(flow), each] if streaming else [each]
    return min(
        (_planned(flow, segment_bounds) for segment_bounds in choices), key=lambda planned: planned.bytes
    )


def _planned(flow: "_Flow", segment_bounds: tuple[int, ...]) -> MemoryPlan:
    schedule: list[int] = []
    capacities: dict[int, int] = {}
    for start, end in pairwise(segment_bounds):
        calls, held = flow.stream(start, end)
        schedule += calls
        capacities |= held
    return MemoryPlan(tuple(schedule), segment_bounds, _place(_items(flow, segment_bounds, capacities)))


# --- one segment --------------------------------------------------------------------------------------


class _Flow:
    """Steps, and who reads what."""

    def __init__(self, model: IntegerModel, steps: tuple[Step, ...], work: tuple[KernelMemory, ...]) -> None:
        self.model, self.steps, self.work = model, steps, work
        self.store = storage(model)
        self.states = {state.read for state in model.states}
        """In the arena from one inference to the next."""
        self.producer = {step.output: index for index, step in enumerate(steps)}
        self.last_reader = {step.output: index for index, step in enumerate(steps)}
        self.readers: dict[int, list[tuple[int, Operand]]] = {step.output: [] for step in steps}
        self.needs: list[list[tuple[int, Operand]]] = [[] for _ in steps]
        in_flash = constants(model)
        readers_of_states: dict[int, list[int]] = {tensor: [] for tensor in self.states}
        for index, step in enumerate(steps):
            for operand in step.operands:
                owner = self.store[operand.tensor]
                if owner in self.states:
                    readers_of_states[owner].append(index)
                if owner in self.states or owner in in_flash:
                    continue
                # A view maps rows to other rows, so its reader waits for all of them.
                needed = operand if owner == operand.tensor else replace(operand, height=0)
                self.needs[index].append((owner, needed))
                self.readers[owner].append((index, needed))
                self.last_reader[owner] = index
        for port in model.outputs:
            self.last_reader[self.store[port.tensor]] = len(steps)
        self.rows = {tensor: rows(model, tensor) for tensor in self.producer}
        self.waits = [
            readers_of_states[self.store[step.output]] if self.store[step.output] in self.states else []
            for step in steps
        ]
        """Of a step that writes a state: the steps that must have read it before."""
        self.followers = [{reader for reader, _ in self.readers[step.output]} for step in steps]
        """The steps that may have become ready after a call of each."""
        for index, earlier in enumerate(self.waits):
            for reader in earlier:
                self.followers[reader].add(index)

    def bytes(self, tensor: int, capacity: int) -> int:
        return capacity * row_bytes(self.model, tensor)

    def stream(self, start: int, end: int) -> tuple[list[int], dict[int, int]]:
        """Return the calls of a segment and the rows that each of its tensors must hold."""
        computed = {step.output: 0 for step in self.steps[start:end]}
        held = dict.fromkeys(computed, 0)
        calls: list[int] = []
        unfinished = sum(self.rows[tensor] for tensor in computed)
        index = end - 1
        while unfinished:
            # The furthest step that can run; beyond the one that ran last only its readers can have become ready.
            while not self._ready(index, computed):
                index -= 1
            output = self.steps[index].output
            rows_done = min(self.work[index].rows, self.rows[output] - computed[output])
            computed[output] += rows_done
            unfinished -= rows_done
            held[output] = max(held[output], computed[output] - self._oldest(output, computed))
            calls.append(index)
            index = max([index, *(step for step in self.followers[index] if step < end)])
        for tensor in held:
            if self.store[tensor] != tensor:
                continue
            crosses = self.last_reader[tensor] >= end
            if crosses or any(operand.height == 0 for _, operand in self.readers[tensor]):
                held[tensor] = self.rows[tensor]
        return calls, held

    def _ready(self, index: int, computed: dict[int, int]) -> bool:
        output = self.steps[index].output
        first = computed[output]
        count = min(self.work[index].rows, self.rows[output] - first)
        if count == 0:
            return False
        for before in self.waits[index]:
            output_before = self.steps[before].output
            if computed.get(output_before, self.rows[output_before]) < self.rows[output_before]:
                return False
        for tensor, operand in self.needs[index]:
            if tensor in computed:
                bottom = (first + count - 1) * operand.stride - operand.pad + operand.height
                wanted = self.rows[tensor] if operand.height == 0 else min(bottom, self.rows[tensor])
                if computed[tensor] < wanted:
                    return False
        return True

    def _oldest(self, tensor: int, computed: dict[int, int]) -> int:
        """Return the first row of a tensor that a reader still needs (before the rows just computed, at least)."""
        oldest = computed[tensor] - min(self.work[self.producer[tensor]].rows, computed[tensor])
        for index, operand in self.readers[tensor]:
            output = self.steps[index].output
            first = computed.get(output, 0)
            if first < self.rows[output]:
                oldest = min(oldest, max(first * operand.stride - operand.pad, 0))
        return oldest


# --- segment_bounds ------------------------------------------------------------------------------------------


def _best_bounds(flow: _Flow) -> tuple[int, ...]:
    """Return the segment_bounds whose most demanding segment needs least; of equals, the fewest segments."""
    count = len(flow.steps)
    best: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, (0,))]
    for end in range(1, count + 1):
        options = []
        for start in range(end - 1, -1, -1):
            peak, segments, segment_bounds = best[start]
            options.append((max(peak, _need(flow, start, end)), segments + 1, (*segment_bounds, end)))
        best.append(min(options))
    return best[count][2]


def _need(flow: _Flow, start: int, end: int) -> int:
    """Return the bytes alive during a segment: its own tensors, those that cross it, working memory."""
    _, held = flow.stream(start, end)
    total = sum(
        _aligned(flow.bytes(tensor, capacity))
        for tensor, capacity in held.items()
        if flow.store[tensor] == tensor
    )
    for tensor, index in flow.producer.items():
        if index < start and flow.last_reader[tensor] >= start:
            total += _aligned(flow.bytes(tensor, flow.rows[tensor]))
    return total + max(flow.work[i].scratch_bytes for i in range(start, end))


# --- arena --------------------------------------------------------------------------------------------


def _items(flow: _Flow, segment_bounds: tuple[int, ...], capacities: dict[int, int]) -> list[ArenaBuffer]:
    segment = {i: s for s, (start, end) in enumerate(pairwise(segment_bounds)) for i in range(start, end)}
    segment[len(flow.steps)] = len(segment_bounds) - 2
    items = [
        ArenaBuffer(
            tensor,
            flow.steps[flow.producer[tensor]].name,
            flow.bytes(tensor, capacity),
            segment[flow.producer[tensor]],
            segment[flow.last_reader[tensor]],
            capacity,
        )
        for tensor, capacity in capacities.items()
        if flow.store[tensor] == tensor
    ]
    items += [
        ArenaBuffer(
            tensor,
            flow.model.tensors[tensor].name,
            flow.model.tensors[tensor].size,
            0,
            len(segment_bounds) - 2,
            rows(flow.model, tensor),
        )
        for tensor in sorted(flow.states)
    ]
    for s, (start, end) in enumerate(pairwise(segment_bounds)):
        largest = max(range(start, end), key=lambda i: flow.work[i].scratch_bytes)
        if scratch_bytes := flow.work[largest].scratch_bytes:
            items.append(ArenaBuffer(None, flow.steps[largest].name, scratch_bytes, s, s))
    return items


def _place(items: list[ArenaBuffer]) -> tuple[ArenaBuffer, ...]:
    placed: list[ArenaBuffer] = []
    for item in sorted(items, key=lambda i: -i.bytes):
        offset = 0
        for other in sorted(placed, key=lambda i: i.offset):
            alive_together = item.first <= other.last and other.first <= item.last
            if alive_together and offset + item.bytes > other.offset:
                offset = max(offset, _aligned(other.offset + other.bytes))
        placed.append(replace(item, offset=offset))
    return tuple(placed)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
