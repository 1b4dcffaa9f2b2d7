"""Operators of a file that are read as others: one table, :data:`FORMS`.

What has a row in :mod:`paper2board.convert.operators` alone is read by that row.
"""

from collections.abc import Callable

from paper2board.convert.tflite_file import TfliteNode
from paper2board.convert.tflite_moves import MOVES
from paper2board.convert.tflite_products import PRODUCTS
from paper2board.convert.tflite_recurrent import RECURRENT
from paper2board.convert.tflite_reductions import REDUCTIONS
from paper2board.convert.tflite_spaces import SPACES

FORMS: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    **MOVES,
    **PRODUCTS,
    **RECURRENT,
    **REDUCTIONS,
    **SPACES,
}
"""Newest version that is read, and reader, of each operator."""
