"""What conversion needs of an operator: one row, :class:`Operator`.

The common code (:mod:`~paper2board.convert.tflite_import`, ``tflite_flatbuffer``, ``tflite``, ``lowering``,
``c_layers``) asks the rows and knows no operator by name. TensorFlow comes to a row as an argument, so nothing here
imports it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed
from paper2board.convert.reading.file import TfliteOperator
from paper2board.convert.steps import Operand, Step, row_by_row
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op

CFields = dict[str, Any]
"""Fields of a C structure: numbers, nested fields, names of ``P2B_`` constants or of arrays that go with them."""


@dataclass(frozen=True)
class Constant:
    """A constant input in a ``.tflite`` file: int8 or int32 ``values``; ``scales`` float32, one or one for each
    element along ``dimension``, None for what is not quantized."""

    name: str
    values: np.ndarray
    scales: np.ndarray | None = None
    dimension: int = 0
    zero_point: int = 0


@dataclass(frozen=True)
class Written:
    """What a ``.tflite`` file holds of an op beside its activations: the constants that follow them, and the fields
    of its options table (enumerations by name)."""

    constants: tuple[Constant, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    places: tuple[int, ...] = ()
    """Which of the op's inputs and then the constants stands at each of the operator's inputs, −1 where none does;
    empty: all as they come."""
    states: tuple[tuple[int, float | None], ...] = ()
    """Inputs that the operator changes, and the scale of those that are int16 in a file."""
    indices: tuple[int, ...] | None = None
    """The output's shape in a file, with its batch, if it is int32 there, without quantization."""
    flat: bool = False
    """Whether the op is written between two RESHAPEs, over all values in one dimension without a batch."""


def _never(model: IntegerModel, op: Any, neighbour: Op) -> bool:
    return False


def _row_by_row(model: IntegerModel, step: Step) -> bool:
    return False


def all_at_once(model: IntegerModel, step: Step) -> bool:
    """Say that a call computes the whole output."""
    return True


def _no_table(model: IntegerModel, step: Step, packed: Packed | None) -> None:
    return None


def _no_work(model: IntegerModel, step: Step) -> dict[str, int]:
    return {}


def _no_fields(source: TfliteOperator) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator. Callables get the model first, then the op or its step.

    Source of the versions: TFLite's ``op_version.cc``. A newer version than ``reads`` may mean something else.
    """

    op: type[Op]
    """Its class in the model."""
    type: str
    """Its name in TFLite."""
    stem: str
    """What its layers are called where a file's names are of no use: ``conv1``, ``conv2``."""
    writes: int
    """Version that is written; 0 of what no file has."""
    reads: int = 0
    """Newest version that it reads; 0 of what a form reads (:mod:`paper2board.convert.reading.forms`)."""
    options: str | None = None
    """Its options table in the schema."""
    constants: tuple[int, int] = (0, 0)
    """Least and greatest number of constant inputs in a file."""
    read: Callable[[TfliteOperator], dict[str, Any]] = _no_fields
    """Its fields from a file, beside name, inputs and output; refuses what the op cannot express."""
    write: Callable[[IntegerModel, Any], Written] = lambda model, op: Written()
    twin: Callable[[Any, IntegerModel, Any, list, str], Any] | None = None
    """``twin(tf, model, op, sources, node)``: the same on float tensors, N × shape, for TensorFlow's converter,
    without activation; ``node`` is its name. None: networks that are trained here
    have no such operator."""
    view: bool = False
    """Whether its output is its input's bytes under another shape."""
    operands: Callable[[IntegerModel, Step], tuple[Operand, ...]] = row_by_row
    """Which rows of its inputs a row of the step's output needs."""
    at_once: Callable[[IntegerModel, Step], bool] = _row_by_row
    """Whether a call of its kernel computes all rows of the output, which lie one after the other."""
    fuses_before: Callable[[IntegerModel, Any, Op], bool] = _never
    """Whether its step can include the op before it."""
    fuses_after: Callable[[IntegerModel, Any, Op], bool] = _never
    """Whether its step can include the op after it."""
    weighted: Callable[[IntegerModel, Step], Convolution | FullyConnectedWeights] | None = None
    """Its step as a back end's packer sees it, if back ends have kernels of their own."""
    kernel: str = ""
    """Its C kernel; with ``weighted``, what the back ends' kernels begin with. Empty for a view."""
    structure: str = ""
    """The C type of its constants; with ``weighted``, the layer says it."""
    fields: Callable[[IntegerModel, Step, Packed | None], tuple[CFields, dict[str, np.ndarray]]] | None = None
    """The structure's fields, and the arrays that they point to; ``packed`` comes with ``weighted`` alone."""
    work: Callable[[IntegerModel, Step], dict[str, int]] = _no_work
    """:class:`~paper2board.convert.kernels.cost.Features` of what its kernel does, without ``weighted``, beside
    reading and writing its values once."""
    table: Callable[[IntegerModel, Step, Packed | None], tuple[CFields, dict[str, np.ndarray]] | None] = (
        _no_table
    )
    """Likewise of ``p2b_table_t``, if the step is a function of one int8; else None."""
