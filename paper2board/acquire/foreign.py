"""Values that foreign tools wrote, as numbers or as texts: read by their type, never by Python's idea of truth.

Every function raises :class:`ValueError` that says what the value is.
"""

import math
import re
from typing import Any

LARGEST = 1e7
"""Of a number's magnitude: no coordinate or size of a picture is larger."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def is_empty(value: Any) -> bool:
    """Whether there is no value: none at all, or a text of blanks."""
    return value is None or (isinstance(value, str) and not value.strip())


def number(value: Any) -> float:
    """Return a finite number of a sane size, given as such or as a text of digits."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"is {_shown(value)}, no number")
    if not abs(value) < LARGEST:  # nor is infinity, nor NaN
        raise ValueError(f"is {_shown(value)}, beyond ±{LARGEST:g}")
    return float(value)


def whole(value: Any) -> int:
    """Return a whole number, given as such or as a text. Identifiers may be larger than :data:`LARGEST`."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,30}", value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(value)
    if not math.floor(found) == found:
        raise ValueError(f"is {_shown(value)}, no whole number")
    return int(found)


def flag(value: Any) -> bool:
    """Return a mark that is set or not; none is not set."""
    if isinstance(value, str):
        value = _FLAGS.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return bool(value)
    try:
        found = number(value)
    except ValueError:
        found = math.nan
    if found not in (0, 1):
        raise ValueError(f"is {_shown(value)}, no mark of yes or no")
    return found == 1


def _shown(value: Any) -> str:
    return f"{str(value)[:20]!r}" if isinstance(value, str) else f"{value!r:.20}"
