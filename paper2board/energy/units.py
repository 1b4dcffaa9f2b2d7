"""Times in one unit, whatever unit they come in."""

from paper2board.core.evidence import Evidence

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def in_unit(time: Evidence, unit: str) -> Evidence:
    """Return ``time`` (unit s, ms or us) in ``unit``; kind, method and chain are kept.

    Raises:
        ValueError: the evidence is not a time.
    """
    if time.unit not in _SECONDS:
        raise ValueError(f"{time.unit!r} is not a unit of time; s, ms or us is needed")
    factor = _SECONDS[time.unit] / _SECONDS[unit]
    interval = time.interval and (time.interval[0] * factor, time.interval[1] * factor)
    return time.model_copy(update={"value": time.value * factor, "unit": unit, "interval": interval})
