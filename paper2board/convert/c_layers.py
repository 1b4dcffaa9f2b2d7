"""The constants of each layer in C: the fields of the structures in ``firmware/engine/p2b_kernels.h``."""

from dataclasses import dataclass

import numpy as np

from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed
from paper2board.convert.operators import operator_of
from paper2board.convert.operators.registry import CFields
from paper2board.convert.steps import Step
from paper2board.model.integer_model import IntegerModel


@dataclass(frozen=True)
class CLayer:
    """A layer's kernel, the C type and nested fields of its constants, and the arrays they point to (field by
    name). ``channels`` are int32 (out, 4)."""

    kernel: str
    struct: str
    fields: CFields
    arrays: dict[str, np.ndarray]

    @property
    def weight_bytes(self) -> int:
        """Flash that the arrays take."""
        return sum(array.nbytes for array in self.arrays.values())


def weighted_layer(model: IntegerModel, step: Step) -> Convolution | FullyConnectedWeights | None:
    """Return a layer with weights as a kernel's packer sees it, None for other layers."""
    operator = operator_of(step.op) if step.op else None
    return operator.weighted(model, step) if operator and operator.weighted else None


def c_layer(model: IntegerModel, step: Step, packed: Packed | None) -> CLayer:
    """Return a step's constants; ``packed`` for a layer with weights."""
    assert step.op is not None
    operator = operator_of(step.op)
    assert operator.fields is not None  # a view is no step
    if parts := operator.table(model, step, packed):
        return CLayer("p2b_table", "p2b_table_t", *parts)
    fields, arrays = operator.fields(model, step, packed)
    layer = weighted_layer(model, step)
    if layer and packed:
        return CLayer(packed.function, layer.STRUCTURE, fields, arrays)
    return CLayer(operator.kernel, operator.structure, fields, arrays)
