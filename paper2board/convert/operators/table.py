"""The operators in ``docs/engine.md``: ``python -m paper2board.convert.operators.table`` prints them."""

import textwrap
from collections.abc import Iterator

from paper2board.convert.engine_sources import kernel_names
from paper2board.convert.operators import OPERATORS
from paper2board.convert.operators.registry import Operator
from paper2board.convert.reading.forms import FORMS
from paper2board.convert.reading.states import KINDS
from paper2board.convert.steps import whole_inputs

_HEAD = ("operator", "versions read", "written", "an output row needs", "kernels")


def table() -> str:
    """Return the table as Markdown, a line for each operator that the registry has."""
    rows = (row for kind, row in OPERATORS.items() if row.writes)
    lines = [_HEAD, ("---",) * len(_HEAD), *map(tuple, map(_cells, rows))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def forms() -> str:
    """Return the operators that a file is read with beside those, as others or as what they are for."""
    kinds = {kind: newest for kind, (newest, _) in FORMS.items() if kind not in OPERATORS}
    kinds |= dict.fromkeys(KINDS, 1)
    listed = ", ".join(
        f"{kind} ({newest})" for kind, newest in sorted(kinds.items()) if kind not in OPERATORS
    )
    return textwrap.fill(listed, 124, break_long_words=False) + "\n"


def kernels_of(operator: Operator) -> list[str]:
    """Return the C kernels of an operator: its own, or one or more of each back end."""
    if operator.weighted:
        return [name for name in kernel_names() if name.startswith(f"{operator.kernel}_")]
    return [operator.kernel] if operator.kernel else []


def _cells(operator: Operator) -> Iterator[str]:
    yield operator.type
    newest = FORMS[operator.type][0] if operator.type in FORMS else operator.reads or 1
    yield "1" if newest == 1 else f"1 to {newest}"
    yield str(operator.writes)
    yield "nothing: a view" if operator.view else "all of its input" if _is_whole(operator) else "some rows"
    yield ", ".join(f"`{name}`" for name in kernels_of(operator)) or "–"


def _is_whole(operator: Operator) -> bool:
    return operator.operands is whole_inputs


if __name__ == "__main__":
    print(table(), forms(), sep="\n", end="")
