"""Evidence computed from evidence. Apart from :mod:`paper2board.core.evidence`, on which every script depends."""

from collections.abc import Callable, Sequence
from itertools import product

from paper2board.core.evidence import Evidence, Kind, Spread, measured, weakest


def derive(function: Callable[..., float], unit: str, method: str, *inputs: Evidence) -> Evidence:
    """Apply ``function`` to the values of ``inputs``.

    The interval spans the function's values at all corners of the inputs' intervals: the exact range
    of a function that is monotone in each input, as every formula here is. Inputs are taken
    as independent, so it is a worst case, unless an input's interval holds at a level of confidence only.

    The kind is the weakest of the inputs', except that a formula over claimed numbers is ``modelled``:
    the paper claims its inputs, not our result.
    """
    value = function(*(item.value for item in inputs))
    kind = weakest(item.kind for item in inputs)
    spread: Spread | None = None
    if any(item.interval for item in inputs):
        corners = [
            function(*corner) for corner in product(*(item.interval or [item.value] for item in inputs))
        ]
        spread = (min(value, *corners), max(value, *corners)), _spanned(inputs)
    return measured(
        value,
        unit,
        method,
        Kind.MODELLED if kind is Kind.CLAIMED else kind,
        spread=spread,
        chain={name: digest for item in inputs for name, digest in item.chain.items()},
    )


def _spanned(inputs: Sequence[Evidence]) -> str:
    # Whatever holds at a level of confidence names that level.
    if any("%" in (item.interval_method or "") for item in inputs):
        return "corners of the inputs' ranges and intervals of 95 % confidence or more"
    return "worst case over the ranges of the inputs"


def columns(name: str, item: Evidence) -> dict[str, float]:
    """Return a value and its interval as columns of a table: ``name``, ``name_low``, ``name_high``."""
    low, high = item.interval or (item.value, item.value)
    return {name: item.value, f"{name}_low": low, f"{name}_high": high}
