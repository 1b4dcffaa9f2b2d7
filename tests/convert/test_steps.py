"""Lowering: which ops become one step, and which rows of its input a row of a step's output needs."""

from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import integer_models

from paper2board.convert.lowering import constants, lower, storage
from paper2board.convert.lowering import given as given_tensors
from paper2board.convert.operators.window import window_pad
from paper2board.convert.steps import Step, output_range, row_bytes, rows
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add, Binary
from paper2board.model.operators.moving import Concatenation, Constant, Move, Pad, Reshape
from paper2board.model.operators.operator import Activated, Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.products import BatchMatMul
from paper2board.model.operators.recurrent import Lstm, Svdf
from paper2board.model.operators.reduction import ArgMax, ReduceMin, Sum
from paper2board.model.operators.resizing import ResizeBilinear
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.port import Port
from paper2board.model.tensor import Activation, Padding, Tensor, activation_range, pad_before

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
CONVOLUTIONS = (Conv2D, DepthwiseConv2D)
WHOLE = (Sum, ReduceMin, ArgMax, ResizeBilinear, BatchMatMul, Lstm, Svdf)
"""What sees all of its inputs for each row."""


def readers(model: IntegerModel, tensor: int) -> list[Op]:
    return [op for op in model.ops for source in op.inputs if source == tensor]


def read_positions(model: IntegerModel, op: Op, source: int, positions: set[int], axis: int) -> set[int]:
    """Return the rows (axis 0) or columns (1) of input number ``source`` that an op's outputs at ``positions``
    depend on: the operator's definition, one position at a time."""
    shape = model.tensors[op.inputs[source]].shape
    size = shape[axis] if len(shape) == 3 else 1
    if isinstance(op, Conv2D | DepthwiseConv2D | Pool2D):
        before, _ = pad_before(size, op.window[axis], op.stride[axis], op.padding)
        found = {p * op.stride[axis] - before + k for p in positions for k in range(op.window[axis])}
    elif isinstance(op, Pad):
        found = {p - op.paddings[axis][0] for p in positions}
    elif isinstance(op, Concatenation) and op.axis == axis and len(shape) == 3:
        found = {p - sum(model.tensors[i].shape[axis] for i in op.inputs[:source]) for p in positions}
    elif isinstance(op, Move) and axis == 0:
        places = op.indices().reshape(rows(model, op.output), -1)
        found = set(
            (places[sorted(positions)] // (model.tensors[op.inputs[0]].size // size)).ravel().tolist()
        )
    elif isinstance(op, WHOLE) or (isinstance(op, FullyConnected) and not op.by_pixel(model.tensors)):
        found = set(range(size))
    elif isinstance(op, Binary) and size == 1:
        found = {0}
    else:
        found = positions
    return {p for p in found if 0 <= p < size}


# --- every op once ------------------------------------------------------------------------------------


@given(model=integer_models(max_ops=10), fuse=st.booleans())
@SLOW
def test_every_op_that_computes_is_in_one_step(model: IntegerModel, fuse: bool) -> None:
    arrival, *steps = lower(model, fuse=fuse)
    assert (arrival.op, arrival.operands, arrival.output) == (None, (), model.input)
    assert all(len(step.fused) == 1 for step in steps) or fuse
    computing = [id(op) for op in model.ops if not isinstance(op, Reshape | Constant)]
    assert sorted(id(op) for step in steps for op in step.fused) == sorted(computing)
    owner = storage(model)
    written = {*given_tensors(model), *constants(model)}
    for step in steps:
        assert {owner[operand.tensor] for operand in step.operands} <= written
        written.add(owner[step.output])
    assert owner[model.output] in written


@given(model=integer_models(max_ops=10))
@SLOW
def test_a_view_has_the_bytes_of_its_source(model: IntegerModel) -> None:
    """And a state's new content those of the state."""
    owner, states = storage(model), {state.written: state.read for state in model.states}
    for op in model.ops:
        own = states.get(op.output, op.output)
        assert owner[op.output] == (owner[op.inputs[0]] if isinstance(op, Reshape) else own)
    for index, tensor in enumerate(model.tensors):
        assert rows(model, index) * row_bytes(model, index) == tensor.size


# --- fusion -------------------------------------------------------------------------------------------


def may_become_padding(model: IntegerModel, pad: Op) -> bool:
    if not isinstance(pad, Pad) or pad.output == model.output or pad.paddings[2] != (0, 0):
        return False
    followers = readers(model, pad.output)
    if len(followers) != 1 or not isinstance(followers[0], CONVOLUTIONS) or followers[0].padding != "VALID":
        return False
    reader = followers[0]
    last = [size - 1 for size in model.tensors[reader.output].shape]
    reached = [last[axis] * reader.stride[axis] + reader.window[axis] for axis in (0, 1)]
    # All rows and columns that the convolution reads would otherwise be padding.
    return all(pad.paddings[axis][0] < reached[axis] for axis in (0, 1))


def may_be_pooled(model: IntegerModel, conv: Op) -> bool:
    """Whether the one reader of a convolution is a max pooling of which every window lies inside its input and
    no two share an element."""
    followers = readers(model, conv.output)
    if not isinstance(conv, CONVOLUTIONS) or conv.output == model.output or len(followers) != 1:
        return False
    pool = followers[0]
    if not isinstance(pool, Pool2D) or pool.type != "MAX_POOL_2D" or pool.kernel == (1, 1):
        return False
    if np.abs(conv.weights.astype(np.int64)).sum() * 255 >= 1 << 31:
        raise AssertionError("the strategy's networks are smaller than that")
    for axis in (0, 1):
        size = model.tensors[pool.inputs[0]].shape[axis]
        before, count = pad_before(size, pool.kernel[axis], pool.stride[axis], pool.padding)
        starts = [i * pool.stride[axis] - before for i in range(count)]
        seen = [position for start in starts for position in range(start, start + pool.kernel[axis])]
        # A stride below the window overlaps even where there is only one window; the engine does not ask.
        if len(set(seen)) < len(seen) or not set(seen) <= set(range(size)):
            return False
        if pool.stride[axis] < pool.kernel[axis]:
            return False
    return True


@given(model=integer_models(max_ops=10))
@settings(SLOW, max_examples=200)
def test_what_may_be_fused_is_and_nothing_else(model: IntegerModel) -> None:
    steps = lower(model, fuse=True)[1:]
    becomes_padding = {id(op) for op in model.ops if may_become_padding(model, op)}
    pooled = {id(op) for op in model.ops if may_be_pooled(model, op)}
    for step in steps:
        *first, last = step.fused
        assert [id(op) for op in step.fused if id(op) in becomes_padding] == [
            id(op) for op in first if isinstance(op, Pad)
        ]
        assert (step.pool is not None) == (id(step.op) in pooled)
        assert step.pool is None or (last is step.pool and step.pool.inputs == (step.op.output,))
        assert step.output == last.output
        for one, after in pairwise(step.fused):
            assert after.inputs == (one.output,)
    assert becomes_padding <= {id(step.fused[0]) for step in steps if len(step.fused) > 1}


def conv(name: str, source: int, output: int, padding: Padding = "VALID") -> Conv2D:
    """A 3 × 3 convolution of 2 channels to 2."""
    weights = np.ones((2, 3, 3, 2), np.int8)
    scale = np.ones(1, np.float32)
    return Conv2D(name, (source,), output, weights, np.zeros(2, np.int32), scale, padding=padding)


def image(size: int, channels: int = 2) -> Tensor:
    return Tensor(f"t{size}", (size, size, channels), 1.0, 0)


PAD = Pad("pad", (0,), 1, ((1, 1), (1, 1), (0, 0)))
POOL = Pool2D("MAX_POOL_2D", "pool", (2,), 3, (2, 2), (2, 2))
PLAIN = IntegerModel.single(
    "x", (image(8), image(10), image(8), image(4)), (PAD, conv("conv", 1, 2), POOL), input=0, output=3
)


def fused_names(model: IntegerModel) -> list[tuple[str, ...]]:
    return [tuple(op.name for op in step.fused) for step in lower(model, fuse=True)[1:]]


def test_padding_convolution_and_pooling_are_one_step() -> None:
    assert fused_names(PLAIN) == [("pad", "conv", "pool")]
    (step,) = lower(PLAIN, fuse=True)[1:]
    # Four input rows for one pooled row, two further each time; the first lies above the image.
    (operand,) = step.operands
    assert (operand.tensor, operand.height, operand.stride, operand.pad) == (0, 4, 2, 1)
    assert (window_pad(PLAIN, step), step.output) == ((1, 1), 3)
    assert [step.name for step in lower(PLAIN, fuse=False)] == ["input", "pad", "conv", "pool"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            replace(PLAIN, tensors=(*PLAIN.tensors, image(10)), ops=(*PLAIN.ops, Add("add", (1, 1), 4))),
            [("pad",), ("conv", "pool"), ("add",)],
            id="padding read twice",
        ),
        pytest.param(
            replace(PLAIN, tensors=(*PLAIN.tensors, image(8)), ops=(*PLAIN.ops, Add("add", (2, 2), 4))),
            [("pad", "conv"), ("pool",), ("add",)],
            id="convolution read twice",
        ),
        pytest.param(
            replace(PLAIN, outputs=(Port("output", 2),)),
            [("pad", "conv"), ("pool",)],
            id="convolution is the output",
        ),
        pytest.param(
            replace(PLAIN, outputs=(Port("output", 1),)),
            [("pad",), ("conv", "pool")],
            id="padding is the output",
        ),
        pytest.param(
            IntegerModel.single(
                "x",
                (image(8), image(10), image(10), image(5)),
                (PAD, conv("conv", 1, 2, "SAME"), POOL),
                input=0,
                output=3,
            ),
            [("pad",), ("conv", "pool")],
            id="padding twice",
        ),
        pytest.param(
            IntegerModel.single(
                "x",
                (image(8, 1), image(10), image(8), image(4)),
                (replace(PAD, paddings=((1, 1), (1, 1), (0, 1))), conv("conv", 1, 2), POOL),
                input=0,
                output=3,
            ),
            [("pad",), ("conv", "pool")],
            id="padded channels",
        ),
        pytest.param(
            replace(PLAIN, ops=(*PLAIN.ops[:2], replace(POOL, type="AVERAGE_POOL_2D"))),
            [("pad", "conv"), ("pool",)],
            id="average",
        ),
        pytest.param(
            IntegerModel.single(
                "x",
                (image(8), image(10), image(8), image(3)),
                (PAD, conv("conv", 1, 2), replace(POOL, kernel=(3, 3))),
                input=0,
                output=3,
            ),
            [("pad", "conv"), ("pool",)],
            id="overlapping windows",
        ),
        pytest.param(
            IntegerModel.single(
                "x",
                (image(7), image(9), image(7), image(4)),
                (PAD, conv("conv", 1, 2), replace(POOL, padding="SAME")),
                input=0,
                output=3,
            ),
            [("pad", "conv"), ("pool",)],
            id="windows beyond the border",
        ),
    ],
)
def test_what_cannot_be_fused(model: IntegerModel, expected: list[tuple[str, ...]]) -> None:
    assert fused_names(model) == expected


# --- rows ---------------------------------------------------------------------------------------------


def needed(model: IntegerModel, step: Step, number: int, position: int, axis: int) -> set[int]:
    """Return what operand ``number`` must give for output row (column) ``position``, through all fused ops."""
    *before, first = reversed(step.fused)
    positions = {position}
    for op in before:
        positions = read_positions(model, op, 0, positions, axis)
    return read_positions(model, first, number, positions, axis)


@given(model=integer_models(max_ops=10), fuse=st.booleans())
@settings(SLOW, max_examples=200)
def test_operands_are_the_rows_that_an_output_row_depends_on(model: IntegerModel, fuse: bool) -> None:
    for step in lower(model, fuse=fuse)[1:]:
        for number, operand in enumerate(step.operands):
            if len(step.operands) < len(step.inputs):  # without a constant that is part of a table
                number = step.inputs.index(operand.tensor)
            available = range(rows(model, operand.tensor))
            for y in range(rows(model, step.output)):
                top = y * operand.stride - operand.pad
                seen = range(top, top + operand.height) if operand.height else available
                wanted = needed(model, step, number, y, axis=0)
                if isinstance(step.op, Move):
                    assert wanted <= set(seen)
                elif not step.pool:
                    assert wanted == set(seen) & set(available)
                elif wanted:  # rows between pooled windows' convolutions are seen but not needed
                    assert (min(wanted), max(wanted)) == (max(seen[0], 0), min(seen[-1], available[-1]))


@given(model=integer_models(max_ops=10), fuse=st.booleans())
@SLOW
def test_window_padding_is_where_the_first_window_begins(model: IntegerModel, fuse: bool) -> None:
    for step in lower(model, fuse=fuse)[1:]:
        if not isinstance(step.op, Conv2D | DepthwiseConv2D | Pool2D):
            continue
        source = model.tensors[step.operands[0].tensor].shape
        without_pooling = replace(step, pool=None)
        for axis in (0, 1):
            for position in range(model.tensors[step.op.output].shape[axis]):
                start = position * step.op.stride[axis] - window_pad(model, step)[axis]
                seen = range(start, start + step.op.window[axis])
                inside = set(seen) & set(range(source[axis]))
                assert needed(model, without_pooling, 0, position, axis) == inside


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pooling", [(2, 2), (3, 3), (2, 5)])
def test_rows_of_a_pooled_convolution_with_a_stride(stride: int, pooling: tuple[int, int]) -> None:
    kernel, step_by = pooling
    size = (28 - 3) // stride + 1
    pooled = (size - kernel) // step_by + 1
    model = IntegerModel.single(
        "x",
        (image(28), image(size), image(pooled)),
        (
            replace(conv("conv", 0, 1), stride=(stride, stride)),
            Pool2D("MAX_POOL_2D", "pool", (1,), 2, (kernel, kernel), (step_by, step_by)),
        ),
        input=0,
        output=2,
    )
    (step,) = lower(model, fuse=True)[1:]
    (operand,) = step.operands
    for y in range(pooled):
        wanted = needed(model, step, 0, y, axis=0)
        top = y * operand.stride - operand.pad
        assert (top, top + operand.height - 1) == (min(wanted), max(wanted))


@pytest.mark.parametrize("of_convolution", ["NONE", "RELU", "RELU6"])
@pytest.mark.parametrize("of_pooling", ["NONE", "RELU", "RELU6"])
def test_the_clamp_of_a_pooled_convolution(of_convolution: Activation, of_pooling: Activation) -> None:
    ops = (PAD, replace(PLAIN.ops[1], activation=of_convolution), replace(POOL, activation=of_pooling))
    (step,) = lower(replace(PLAIN, ops=ops), fuse=True)[1:]
    low = -128 if of_convolution == of_pooling == "NONE" else 0
    assert output_range(PLAIN, step) == (low, 6 if "RELU6" in (of_convolution, of_pooling) else 127)


@given(model=integer_models(max_ops=10), fuse=st.booleans())
@SLOW
def test_the_clamp_is_that_of_all_fused_activations(model: IntegerModel, fuse: bool) -> None:
    for step in lower(model, fuse=fuse)[1:]:
        if not isinstance(step.op, Conv2D | DepthwiseConv2D | FullyConnected):
            continue
        low, high = output_range(model, step)
        expected = values = np.arange(-300, 300)
        for op in step.fused:
            if isinstance(op, Activated):
                expected = expected.clip(*activation_range(model.tensors[op.output], op.activation))
        np.testing.assert_array_equal(values.clip(low, high), expected)


def test_random_models_have_what_is_tested_here() -> None:
    """The strategy makes every kind of step often enough that none of the properties is empty."""
    found: set[str] = set()

    @given(model=integer_models(max_ops=10))
    @settings(SLOW, max_examples=200, database=None, derandomize=True)
    def look(model: IntegerModel) -> None:
        steps = lower(model, fuse=True)
        found.update("+".join(op.type for op in step.fused) for step in steps)
        found.update(op.type for op in chain.from_iterable(step.fused for step in steps))

    look()
    assert {"PAD+CONV_2D", "PAD+DEPTHWISE_CONV_2D", "CONV_2D+MAX_POOL_2D", "CONCATENATION", "PAD"} <= found
