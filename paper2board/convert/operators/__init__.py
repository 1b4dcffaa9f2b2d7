"""The operators that are converted: a module for each family, which lists its rows in ``OPERATORS``.

An operator has a class in :mod:`paper2board.model.operators` and a row (:class:`~.registry.Operator`) here.
"""

from paper2board.convert.operators import (
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
from paper2board.convert.operators.registry import Operator
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

OPERATORS: dict[str, Operator] = {row.type: row for family in _FAMILIES for row in family.OPERATORS}
"""Row of each operator by its name in TFLite."""


def operator_of(op: Op) -> Operator:
    """Return the row of an op."""
    return OPERATORS[op.type]
