"""Memory plans, replayed byte by byte: what a call reads is what was written, and nothing takes too much."""

from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import integer_models

from paper2board.convert import memory_plan
from paper2board.convert.lowering import constants, lower, storage
from paper2board.convert.memory_plan import ALIGNMENT, KernelMemory, MemoryPlan, plan
from paper2board.convert.steps import Step, row_bytes, rows
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add
from paper2board.model.operators.operator import Op
from paper2board.model.operators.weighted import Conv2D
from paper2board.model.tensor import Tensor

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
GARBAGE = -2


@dataclass(frozen=True)
class Case:
    """A model, its steps and what their kernels add."""

    model: IntegerModel
    steps: tuple[Step, ...]
    work: tuple[KernelMemory, ...]

    def plan(self, *, streaming: bool) -> MemoryPlan:
        return plan(self.model, self.steps, self.work, streaming=streaming)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random models, fused or not, with kernels of 1 to 4 rows a call and any working memory."""
    model = draw(integer_models(max_ops=8))
    steps = lower(model, fuse=draw(st.booleans()))
    scratch = st.one_of(st.just(0), st.integers(0, 300))
    kernels = st.builds(KernelMemory, rows=st.integers(1, 4), scratch_bytes=scratch)
    work = [KernelMemory()] + [draw(kernels) if step.op else KernelMemory() for step in steps[1:]]
    return Case(model, steps, tuple(work))


class ClobberedError(AssertionError):
    """A call found bytes that are not what it needs."""


def replay(case: Case, planned: MemoryPlan) -> int:
    """Run the schedule as the engine does, with bytes that know which element of which tensor they are.

    Return the highest byte used, plus one. Raise :class:`ClobberedError` where a call does not find what it reads.
    """
    model = case.model
    owner, in_flash = storage(model), constants(model)
    first_element = np.cumsum([0, *(tensor.size for tensor in model.tensors)])
    arena = np.full(planned.bytes, -1, np.int64)
    progress = [0] * len(case.steps)
    used = 0

    written = {state.written for state in model.states}

    def elements(tensor: int, row: int) -> np.ndarray:
        size = row_bytes(model, tensor)
        return first_element[tensor if tensor in written else owner[tensor]] + row * size + np.arange(size)

    def place(tensor: int, row: int) -> slice:
        item, size = planned.tensors[owner[tensor]], row_bytes(model, tensor)
        # A view is read as if all of it were there.
        turn = item.capacity if owner[tensor] == tensor else rows(model, tensor)
        start = item.offset + row % turn * size
        assert item.offset <= start and start + size <= item.offset + item.bytes
        return slice(start, start + size)

    def check(tensor: int, wanted: list[int]) -> None:
        for row in wanted:
            if not np.array_equal(arena[place(tensor, row)], elements(tensor, row)):
                raise ClobberedError(f"row {row} of {model.tensors[tensor].name}")

    for state in model.states:
        for row in range(rows(model, state.read)):
            arena[place(state.read, row)] = elements(state.read, row)
            used = max(used, place(state.read, row).stop)
    for segment, (start, end) in enumerate(pairwise(planned.segment_bounds)):
        share = [call for call in planned.schedule if start <= call < end]
        for index in share:
            step, work = case.steps[index], case.work[index]
            total = rows(model, step.output)
            done = progress[index]
            assert done < total, "computed more than once"
            computed = list(range(done, min(done + work.rows, total)))
            progress[index] += len(computed)

            reads: list[tuple[int, list[int]]] = []
            for operand in step.operands:
                if owner[operand.tensor] in in_flash:
                    continue
                count = rows(model, operand.tensor)
                top = done * operand.stride - operand.pad
                bottom = top + (len(computed) - 1) * operand.stride + operand.height
                wanted = range(max(top, 0), min(bottom, count)) if operand.height else range(count)
                if operand.height == 0:  # one pointer to all of it
                    assert planned.tensors[owner[operand.tensor]].capacity == rows(
                        model, owner[operand.tensor]
                    )
                reads.append((operand.tensor, list(wanted)))

            if work.scratch_bytes:
                item = planned.scratch[segment]
                assert item.bytes >= work.scratch_bytes
                area = slice(item.offset, item.offset + work.scratch_bytes)
                arena[area] = GARBAGE
                used = max(used, area.stop)
            for row in computed:
                arena[place(step.output, row)] = elements(step.output, row)
                used = max(used, place(step.output, row).stop)
            # Only now: output and working memory must not touch what the call still reads, nor each other.
            for tensor, wanted_rows in (*reads, (step.output, computed)):
                check(tensor, wanted_rows)
            assert not work.scratch_bytes or np.all(arena[area] == GARBAGE)
    assert progress == [rows(model, step.output) for step in case.steps]
    check(model.output, list(range(rows(model, model.output))))
    return used


# --- properties ---------------------------------------------------------------------------------------


@given(case=cases(), streaming=st.booleans())
@settings(SLOW, max_examples=200)
def test_every_call_finds_what_it_needs(case: Case, streaming: bool) -> None:
    """Every row is computed once and in order, and nothing that is still needed is overwritten."""
    planned = case.plan(streaming=streaming)
    assert all(item.offset % ALIGNMENT == 0 for item in planned.items)
    used = replay(case, planned)
    assert planned.bytes == -(-used // ALIGNMENT) * ALIGNMENT


@given(case=cases())
@settings(SLOW, max_examples=100)
def test_segments_follow_each_other(case: Case) -> None:
    for streaming in (False, True):
        planned = case.plan(streaming=streaming)
        assert (planned.segment_bounds[0], planned.segment_bounds[-1]) == (0, len(case.steps))
        segments = [
            next(s for s, (start, end) in enumerate(pairwise(planned.segment_bounds)) if start <= call < end)
            for call in planned.schedule
        ]
        assert segments == sorted(segments)
        if not streaming:
            assert planned.segment_bounds == tuple(range(len(case.steps) + 1))
            assert list(planned.schedule) == sorted(planned.schedule)


@given(case=cases())
@settings(SLOW, max_examples=200)
def test_streaming_never_needs_more(case: Case) -> None:
    assert case.plan(streaming=True).bytes <= case.plan(streaming=False).bytes


@given(case=cases())
@settings(SLOW, max_examples=100)
def test_bounds_are_the_best_of_all(case: Case) -> None:
    """Against every way to cut up to seven steps."""
    count = min(len(case.steps), 7)
    flow = memory_plan._Flow(case.model, case.steps[:count], case.work[:count])

    def peak(segment_bounds: tuple[int, ...]) -> int:
        items = memory_plan._planned(flow, segment_bounds).items
        sizes = [
            sum(
                item.bytes if item.tensor is None else -(-item.bytes // ALIGNMENT) * ALIGNMENT
                for item in items
                if item.first <= segment <= item.last
            )
            for segment in range(len(segment_bounds) - 1)
        ]
        return max(sizes)

    inner = range(1, count)
    every = [cut for size in range(count) for cut in combinations(inner, size)]
    assert peak(memory_plan._best_bounds(flow)) == min(peak((0, *cut, count)) for cut in every)


@given(case=cases())
@settings(SLOW, max_examples=100)
def test_no_ring_is_a_row_too_long(case: Case) -> None:
    """With one row less of any tensor that is not there as a whole, some call no longer finds its rows."""
    planned = case.plan(streaming=True)
    for item in planned.tensors.values():
        if 1 < item.capacity < rows(case.model, item.tensor):
            shorter = replace(item, capacity=item.capacity - 1)
            items = tuple(shorter if other is item else other for other in planned.items)
            with pytest.raises(ClobberedError):
                replay(case, replace(planned, items=items))


@given(case=cases(), streaming=st.booleans())
@SLOW
def test_what_the_plan_says_about_itself(case: Case, streaming: bool) -> None:
    planned = case.plan(streaming=streaming)
    alive = [
        [item for item in planned.items if item.first <= segment <= item.last]
        for segment in range(len(planned.segment_bounds) - 1)
    ]
    assert planned.scratch_bytes == max(work.scratch_bytes for work in case.work)
    assert planned.activation_bytes == max(
        sum(-(-item.bytes // ALIGNMENT) * ALIGNMENT for item in items if item.tensor is not None)
        for items in alive
    )
    segment, items = planned.peak()
    assert {id(item) for item in items} == {id(item) for item in alive[segment]}
    assert sum(item.bytes for item in items) == max(sum(item.bytes for item in some) for some in alive)
    assert [item.bytes for item in items] == sorted((item.bytes for item in items), reverse=True)
    assert sum(item.bytes for item in items) <= planned.bytes


# --- known figures ------------------------------------------------------------------------------------


def convolutions(count: int, *, size: tuple[int, int] = (32, 8), residual: bool) -> IntegerModel:
    """``count`` 3 × 3 convolutions of 16 channels one after the other, the input added to the last."""
    weights, scale = np.ones((16, 3, 3, 16), np.int8), np.ones(1, np.float32)
    tensors = tuple(Tensor(f"t{i}", (*size, 16), 1.0, 0) for i in range(count + 1 + residual))
    ops: list[Op] = [
        Conv2D(f"conv{i}", (i,), i + 1, weights, np.zeros(16, np.int32), scale) for i in range(count)
    ]
    if residual:
        ops.append(Add("add", (0, count), count + 1))
    return IntegerModel.single("x", tensors, tuple(ops), 0, len(tensors) - 1)


def planned_rows(model: IntegerModel, *, streaming: bool = True) -> dict[str, int]:
    steps = lower(model, fuse=True)
    planned = plan(model, steps, (KernelMemory(),) * len(steps), streaming=streaming)
    return {model.tensors[tensor].name: item.capacity for tensor, item in planned.tensors.items()}


def test_a_convolution_holds_the_rows_of_its_window() -> None:
    capacities = planned_rows(convolutions(4, residual=False))
    assert capacities == {"t0": 3, "t1": 3, "t2": 3, "t3": 3, "t4": 32}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_a_residual_sum_has_a_delay_line(count: int) -> None:
    """Each convolution on the way is one row behind what it reads, and the sum waits for the last."""
    capacities = planned_rows(convolutions(count, residual=True))
    assert capacities["t0"] == max(3, count + 1)
    assert [capacities[f"t{i}"] for i in range(1, count)] == [3] * (count - 1)
    assert capacities[f"t{count}"] == 1


def test_layer_by_layer_holds_whole_neighbours() -> None:
    model = convolutions(3, residual=True)
    assert set(planned_rows(model, streaming=False).values()) == {32}
    steps = lower(model, fuse=True)
    # The input, kept for the sum, and the two tensors of the layer that runs.
    assert plan(model, steps, (KernelMemory(),) * 5, streaming=False).bytes == 3 * 32 * 8 * 16


def test_working_memory_is_shared_within_a_segment() -> None:
    model = convolutions(3, residual=False)
    work = (
        KernelMemory(),
        KernelMemory(scratch_bytes=20_000),
        KernelMemory(),
        KernelMemory(scratch_bytes=20_000),
    )
    planned = plan(model, lower(model, fuse=True), work, streaming=True)
    assert planned.segment_bounds == (0, 4)
    # Three rows of each tensor but the last, which is the output.
    assert planned.bytes == 20_000 + 3 * 3 * 128 + 32 * 128


def test_a_kernel_of_several_rows_holds_them_at_once() -> None:
    model = convolutions(2, residual=False)
    steps = lower(model, fuse=True)
    planned = plan(model, steps, (KernelMemory(), KernelMemory(rows=4), KernelMemory()), streaming=True)
    # Six input rows make four; of those, the second convolution has kept two when the next four come.
    assert planned.tensors[0].capacity == 6
    assert planned.tensors[1].capacity == 6
