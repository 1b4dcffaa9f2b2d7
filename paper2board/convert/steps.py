"""Steps: what the engine runs as one layer, and which input rows a row of its output needs."""

from dataclasses import dataclass

from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Pad
from paper2board.model.operators.operator import Activated, Op
from paper2board.model.operators.pooling import Pool2D


@dataclass(frozen=True)
class Operand:
    """One input of a step. Output row ``y`` needs rows ``y · stride − pad`` to ``… + height − 1`` of tensor
    ``tensor``; ``height`` 0 means all of it, as one piece."""

    tensor: int
    height: int = 1
    stride: int = 1
    pad: int = 0


@dataclass(frozen=True)
class Step:
    """One layer as the engine runs it: ``op``, with the PAD before it and the max pooling after it that are fused
    into it. ``op`` None is the arrival of the model's input."""

    name: str
    op: Op | None
    operands: tuple[Operand, ...]
    output: int
    pad: Pad | None = None
    pool: Pool2D | None = None

    @property
    def inputs(self) -> tuple[int, ...]:
        """The tensors that it reads."""
        first = self.pad or self.op
        return first.inputs if first else ()

    @property
    def fused(self) -> tuple[Op, ...]:
        """All ops of the step, in order."""
        return tuple(op for op in (self.pad, self.op, self.pool) if op)


def rows(model: IntegerModel, tensor: int) -> int:
    """Return the number of rows of a tensor: its H, or 1 for a vector."""
    shape = model.tensors[tensor].shape
    return shape[0] if len(shape) == 3 else 1


def row_bytes(model: IntegerModel, tensor: int) -> int:
    """Return the bytes of one row."""
    return model.tensors[tensor].size // rows(model, tensor)


def row_by_row(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    """Return the operands of a step whose output row needs the same row of each input."""
    return tuple(Operand(index) for index in step.inputs)


def whole_inputs(model: IntegerModel, step: Step) -> tuple[Operand, ...]:
    """Return the operands of a step that needs all of each input."""
    return tuple(Operand(index, height=0) for index in step.inputs)


def output_range(model: IntegerModel, step: Step) -> tuple[int, int]:
    """Return the clamp (lowest, highest) of a step with its fused activations, one after the other."""
    assert isinstance(step.op, Activated)
    low, high = step.op.output_range(model.tensors)
    if step.pool:
        bounds = step.pool.output_range(model.tensors)
        low, high = (min(max(value, bounds[0]), bounds[1]) for value in (low, high))
    return low, high
