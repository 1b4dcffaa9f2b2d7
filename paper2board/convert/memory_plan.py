"""Where each activation lives in the arena: a static plan by lifetimes.

A tensor lives from the layer that writes it to the last layer that reads it; the model's input lives from
before the first layer, its output until after the last one. A RESHAPE moves nothing: its output is its input
under another name, and lives in the same bytes. Tensors whose lives overlap never share a byte.

The planner is TFLite Micro's greedy one: largest tensor first, each at the lowest offset where it fits between
those already placed that live at the same time.
"""

from dataclasses import dataclass

from paper2board.integer_model import IntegerModel, Op, Reshape

ALIGNMENT = 4
"""Bytes; every activation starts at a multiple of it, so that kernels may load words."""


@dataclass(frozen=True)
class Lifetime:
    """First and last layer (index into :func:`layers`) during which a tensor holds its value. The input is
    written before layer 0 (first = −1); the output is read after the last layer."""

    first: int
    last: int

    def overlaps(self, other: "Lifetime") -> bool:
        """Return whether both are alive during some layer."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """Arena size in bytes, and offset in bytes and lifetime of each tensor that is used (by index)."""

    bytes: int
    offsets: dict[int, int]
    lifetimes: dict[int, Lifetime]
    alignment: int = ALIGNMENT


def layers(model: IntegerModel) -> list[Op]:
    """Return the ops that compute something: all but RESHAPE."""
    return [op for op in model.ops if not isinstance(op, Reshape)]


def plan(model: IntegerModel) -> MemoryPlan:
    """Return the memory plan of a model. A reshaped tensor has its source's offset and lifetime."""
    storage = {model.input: model.input}
    for op in model.ops:
        storage[op.output] = storage[op.inputs[0]] if isinstance(op, Reshape) else op.output

    lifetimes = {storage[model.input]: Lifetime(-1, -1)}
    computing = layers(model)
    for index, op in enumerate(computing):
        lifetimes[op.output] = Lifetime(index, index)
        for tensor in {storage[i] for i in op.inputs}:
            lifetimes[tensor] = Lifetime(lifetimes[tensor].first, index)
    result = storage[model.output]
    lifetimes[result] = Lifetime(lifetimes[result].first, len(computing))

    offsets: dict[int, int] = {}
    for tensor in sorted(lifetimes, key=lambda i: (-model.tensors[i].size, i)):
        offset = 0
        for other in sorted(offsets, key=lambda i: (offsets[i], i)):
            fits_before = offset + model.tensors[tensor].size <= offsets[other]
            if lifetimes[tensor].overlaps(lifetimes[other]) and not fits_before:
                offset = max(offset, _aligned(offsets[other] + model.tensors[other].size))
        offsets[tensor] = offset

    return MemoryPlan(
        bytes=max(_aligned(offset + model.tensors[i].size) for i, offset in offsets.items()),
        offsets={tensor: offsets[owner] for tensor, owner in storage.items()},
        lifetimes={tensor: lifetimes[owner] for tensor, owner in storage.items()},
    )


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
