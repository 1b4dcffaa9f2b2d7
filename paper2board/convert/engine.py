"""A network made ready for C: its steps, the kernel of each, and their memory plan."""

from dataclasses import dataclass

from paper2board.boards.backends import Backend
from paper2board.convert.c_layers import weighted_layer
from paper2board.convert.dead_channels import without_dead_channels
from paper2board.convert.kernels.catalogue import candidates
from paper2board.convert.kernels.layer import Packed
from paper2board.convert.lowering import lower, rows_a_call
from paper2board.convert.memory_plan import KernelMemory, MemoryPlan, plan
from paper2board.convert.steps import Step, rows
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel

MAX_STEPS = 255
"""The schedule has a byte a call."""
MAX_ROWS = 32767
"""Rows are counted in 16 bits."""
MAX_CALLS = 100_000
"""A byte each; a network of images has hundreds."""


@dataclass(frozen=True)
class Engine:
    """A network made ready for C: its steps, each with its kernel, and their memory plan.

    ``model``: the network that is run, which has the outputs of the one given (:func:`compact`).
    ``packed``: for each step what its kernel takes, None where only plain C does the layer.
    """

    model: IntegerModel
    backend: Backend
    streaming: bool
    steps: tuple[Step, ...]
    packed: tuple[Packed | None, ...]
    plan: MemoryPlan

    @property
    def layers(self) -> tuple[tuple[Step, Packed | None], ...]:
        """The steps after the inputs' arrivals, each with what its kernel takes."""
        return tuple(zip(self.steps, self.packed, strict=True))[len(self.model.inputs) :]


def plan_engine(
    model: IntegerModel, backend: Backend | str = Backend.PORTABLE, *, streaming: bool = True
) -> Engine:
    """Return ``model`` with the first kernel of ``backend`` that does each layer.

    ``streaming`` fuses layers, leaves out dead channels and lets rows flow; without, every op runs by itself, as in
    TFLite Micro. Raise :class:`UserError` for a model with nothing to compute, or too much.
    """
    backend = Backend(backend)
    check_size(model)
    if streaming:
        model = compact(model, backend)
    steps = lower(model, fuse=streaming)
    packed = []
    for step in steps:
        layer = weighted_layer(model, step)
        packed.append(next(candidates(backend, layer)) if layer else None)
    return assemble(model, backend, steps, tuple(packed), streaming=streaming)


def compact(model: IntegerModel, backend: Backend) -> IntegerModel:
    """Return what ``backend`` runs for a model: the deck's kernels all of it, the others no dead channels."""
    return model if backend is Backend.PAPER else without_dead_channels(model)


def assemble(
    model: IntegerModel,
    backend: Backend,
    steps: tuple[Step, ...],
    packed: tuple[Packed | None, ...],
    *,
    streaming: bool,
) -> Engine:
    """Return the engine of chosen kernels, planned."""
    memory = tuple(
        KernelMemory(rows_a_call(model, step, item), item.scratch_bytes if item else 0)
        for step, item in zip(steps, packed, strict=True)
    )
    return Engine(model, backend, streaming, steps, packed, plan(model, steps, memory, streaming=streaming))


def check_size(model: IntegerModel) -> None:
    """Raise :class:`UserError` for a model that the engine's tables cannot hold; quick, whatever the model."""
    plain = lower(model, fuse=False)
    if len(plain) == 1:
        raise UserError(f"model {model.name}: it has only RESHAPE ops and computes nothing; convert another")
    if len(plain) > MAX_STEPS:
        raise UserError(
            f"model {model.name}: it has {len(plain)} layers, the engine takes {MAX_STEPS - 1}; split it"
        )
    for step in (*plain, *lower(model, fuse=True)):
        numbers = [rows(model, step.output)]
        numbers += [n for o in step.operands for n in (o.height, o.stride, o.pad, rows(model, o.tensor))]
        if max(numbers) > MAX_ROWS:
            raise UserError(
                f"model {model.name}: layer {step.name} has {max(numbers)} rows, or strides over as many, the"
                f" engine takes {MAX_ROWS}; use a smaller image"
            )
    calls = sum(rows(model, step.output) for step in plain)
    if calls > MAX_CALLS:
        raise UserError(
            f"model {model.name}: its layers have {calls} rows together, the engine takes {MAX_CALLS}; use a"
            " smaller image"
        )
