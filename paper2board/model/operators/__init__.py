"""The operators of an IntegerModel: a module for each family, which lists its operators in ``OPERATORS``.

An operator's class has all that the model needs of it: fields, TFLite's arithmetic, consistency, exact simulation.
"""

from paper2board.model.operators import (
    binary,
    elementwise,
    moving,
    normalization,
    pooling,
    products,
    recurrent,
    reduction,
    resizing,
    softmax,
    weighted,
)
from paper2board.model.operators.operator import Op

_FAMILIES = (
    weighted,
    pooling,
    binary,
    elementwise,
    reduction,
    moving,
    resizing,
    products,
    normalization,
    softmax,
    recurrent,
)

OPERATORS: dict[str, type[Op]] = {
    name: operator for family in _FAMILIES for operator in family.OPERATORS for name in operator.types()
}
"""Class of each operator by its name in TFLite."""
