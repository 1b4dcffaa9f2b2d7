"""Units of claims and evidence: conversion by exact factors within one dimension."""

from fractions import Fraction

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence

_FACTORS: tuple[dict[str, Fraction], ...] = tuple(
    {unit: Fraction(factor) for unit, factor in dimension.items()}
    for dimension in (
        {"1": "1", "%": "1/100", "million": "1000000"},
        {"B": "1", "kB": "1000", "MB": "1000000", "KiB": "1024", "MiB": "1048576"},
        {"s": "1", "ms": "1e-3", "us": "1e-6", "ns": "1e-9", "min": "60", "h": "3600", "d": "86400"},
        {"J": "1", "mJ": "1e-3", "uJ": "1e-6", "nJ": "1e-9", "Wh": "3600"},
        {"W": "1", "mW": "1e-3"},
        {"A": "1", "mA": "1e-3", "uA": "1e-6"},
    )
)

_SYMBOLS = {"1": "", "uJ": "µJ", "us": "µs", "uA": "µA", "mm2": "mm²", "percentage points": "pp"}


def factor(source: str, target: str, what: str) -> Fraction:
    """Return what a value in ``source`` is multiplied by to be in ``target``.

    Raises:
        UserError: the units measure different things; ``what`` names the file and key to correct.
    """
    if source == target:
        return Fraction(1)
    for dimension in _FACTORS:
        if source in dimension and target in dimension:
            return dimension[source] / dimension[target]
    raise UserError(f"{what}: {source} cannot be converted to {target}; correct the unit")


def in_unit(item: Evidence, unit: str) -> Evidence:
    """Return ``item`` in another unit of its dimension; kind, method and chain are kept.

    Raises:
        UserError: the units measure different things.
    """
    times = float(factor(item.unit, unit, "evidence"))
    interval = item.interval and (item.interval[0] * times, item.interval[1] * times)
    return item.model_copy(update={"value": item.value * times, "unit": unit, "interval": interval})


def symbol(unit: str) -> str:
    """Return a unit as printed after a number; nothing for pure numbers."""
    return _SYMBOLS.get(unit, unit)
