"""Operators of a file that are read as others: one table, :data:`FORMS`.

What has a row in :mod:`paper2board.convert.operators` alone is read by that row.
"""

from collections.abc import Callable

from paper2board.convert.reading.file import TfliteNode
from paper2board.convert.reading.moves import MOVES
from paper2board.convert.reading.products import PRODUCTS
from paper2board.convert.reading.recurrent import RECURRENT
from paper2board.convert.reading.reductions import REDUCTIONS
from paper2board.convert.reading.spaces import SPACES

FORMS: dict[str, tuple[int, Callable[[TfliteNode], None]]] = {
    **MOVES,
    **PRODUCTS,
    **RECURRENT,
    **REDUCTIONS,
    **SPACES,
}
"""Newest version that is read, and reader, of each operator."""
