"""IntegerModel: the quantized network as integers, with TFLite's int8 semantics.

It is all that conversion, firmware and evaluation know about a network. Activations are int8 tensors in
HWC order (no batch axis), ``real = scale · (q − zero_point)``; weights are int8 with zero point 0; biases
are int32 with scale ``input scale · weight scale``. Source: the TFLite 8-bit quantization specification and
the reference kernels of TFLite Micro (the golden reference).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from paper2board.core.errors import UserError
from paper2board.model.operators.operator import InconsistentError, Op, require
from paper2board.model.port import Port
from paper2board.model.tensor import INT8_MAX, INT8_MIN, LARGEST_SCALE, SMALLEST_SCALE, Tensor


@dataclass(frozen=True)
class State:
    """A tensor kept from one inference to the next.

    Ops find in tensor ``read`` what tensor ``written`` held at the end of the inference before, and ``initial``
    (int8, its shape) in the first. Where both are one tensor, an op changes it in place.
    """

    read: int
    written: int
    initial: np.ndarray


@dataclass(frozen=True)
class IntegerModel:
    """Tensors and the ops over them, in execution order, with what comes in, goes out, and is kept.

    Raises UserError for the first thing that would make the model meaningless.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    """Free text about the origin, for instance the sha256 of the float weights."""
    states: tuple[State, ...] = ()

    @classmethod
    def single(
        cls,
        name: str,
        tensors: tuple[Tensor, ...],
        ops: tuple[Op, ...],
        input: int,
        output: int,
        metadata: dict[str, str] | None = None,
    ) -> "IntegerModel":
        """Return a model with one int8 input and one int8 output, the tensors of these indices."""
        return cls(name, tensors, ops, (Port("input", input),), (Port("output", output),), metadata or {})

    def __post_init__(self) -> None:
        for tensor in self.tensors:
            scale_ok = SMALLEST_SCALE <= tensor.scale <= LARGEST_SCALE
            if not (
                scale_ok and INT8_MIN <= tensor.zero_point <= INT8_MAX and min(tensor.shape, default=0) > 0
            ):
                raise UserError(
                    f"model {self.name}: tensor {tensor.name} has scale {tensor.scale}, zero point"
                    f" {tensor.zero_point}, shape {tensor.shape}: not an int8 activation; convert it again"
                )
        arriving = [port.tensor for port in self.inputs] + [state.read for state in self.states]
        known = set(arriving)
        if not all(0 <= i < len(self.tensors) for i in known) or len(known) < len(arriving):
            raise UserError(f"model {self.name}: two inputs or states are one tensor; convert it again")
        for op in self.ops:
            try:
                self._check_place(op, known)
                op.check(self.tensors)
            except InconsistentError as error:
                raise UserError(
                    f"model {self.name}: {op.type} {op.name}: {error}; quantize or convert it again"
                ) from error
            known.add(op.output)
        leaving = {port.tensor for port in self.outputs} | {state.written for state in self.states}
        if not self.ops or not self.outputs or not leaving <= known:
            raise UserError(f"model {self.name}: nothing computes its output; convert it again")
        for port in self.inputs:
            port.check(self.name, self.tensors[port.tensor], arrives=True)
        for port in self.outputs:
            port.check(self.name, self.tensors[port.tensor], arrives=False)
        for state in self.states:
            shapes = {self.tensors[i].shape for i in (state.read, state.written)} | {state.initial.shape}
            if len(shapes) > 1 or state.initial.dtype != np.int8:
                raise UserError(f"model {self.name}: a state has no one shape; convert it again")

    def _check_place(self, op: Op, known: set[int]) -> None:
        """Check that ``op`` reads tensors that are ``known`` and writes a new one."""
        require(all(0 <= i < len(self.tensors) for i in (*op.inputs, op.output)), "no such tensor")
        require(set(op.inputs) <= known, "reads a tensor that nothing has written")
        require(op.output not in known, "writes a tensor twice")
        least, most = op.INPUTS
        wanted = f"{least}" if least == most else f"{least} to {most}"
        require(least <= len(op.inputs) <= most, f"has {len(op.inputs)} inputs, not {wanted}")

    @property
    def input(self) -> int:
        """The only input's tensor; raise UserError if there are several, or another type than int8."""
        return self._only("input", self.inputs)

    @property
    def output(self) -> int:
        """The only output's tensor; raise UserError if there are several, or another type than int8."""
        return self._only("output", self.outputs)

    def _only(self, what: str, ports: tuple[Port, ...]) -> int:
        if len(ports) != 1:
            raise UserError(
                f"model {self.name} has {len(ports)} {what}s; use one with one {what}, or paper2board compile"
            )
        if ports[0].dtype != "int8":
            raise UserError(
                f"model {self.name}: its {what} is {ports[0].dtype}; convert it with inference_{what}_type ="
                " tf.int8"
            )
        return ports[0].tensor

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that it takes."""
        height, width, channels = self.tensors[self.input].shape
        return channels, height, width

    @property
    def macs(self) -> int:
        """Multiply-accumulates with weights of one inference."""
        return sum(op.macs(self.tensors) for op in self.ops)


def renamed(model: IntegerModel, name: str, **metadata: str) -> IntegerModel:
    """Return the model under another name with ``metadata`` added."""
    return replace(model, name=name, metadata=model.metadata | metadata)


def classes_text(names: Sequence[str]) -> str:
    """Return names of outputs as the value of the metadata key ``classes``: a JSON list, for a name is any text."""
    return json.dumps(list(names), ensure_ascii=False)


def class_names(model: IntegerModel) -> list[str]:
    """Return the names of a model's outputs, empty if it has none.

    Raise :class:`UserError` if they are no list of texts, or not as many as the outputs.
    """
    text = model.metadata.get("classes", "")
    try:
        names = json.loads(text) if text else []
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UserError(
            f"model {model.name}: metadata key 'classes' is no JSON list of names; make the model again"
        )
    outputs = model.tensors[model.outputs[0].tensor].size
    if names and len(names) != outputs:
        raise UserError(
            f"model {model.name}: metadata key 'classes' names {len(names)} classes but the output has {outputs} "
            "values; correct the list"
        )
    return names
