"""What an instrument recorded: the columns of its file that carry time, current, voltage and a pin's level."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.core.errors import UserError
from paper2board.traces.columns import UNSTATED, TraceColumns
from paper2board.traces.layouts import (
    CLOCK_KEYS,
    CURRENT_KEYS,
    VOLTAGE_KEYS,
    Column,
    Quantity,
    find_layout,
    key,
    understood,
)

_SYNTHETIC = "# synthetic trace"
SYNTHETIC = f"{_SYNTHETIC}: generated from the board configuration, not measured"
"""First line of a file that no instrument wrote."""

_LOGIC_SWING_V = 1.0
"""An analog channel that moves by less carries no logic level."""
_DIGITAL: tuple[Quantity, ...] = ("digital", "bits")


@dataclass(frozen=True)
class Recording:
    """What a file holds, not yet checked; equally long arrays, float64 but for ``active``."""

    instrument: str
    """Empty where the file does not say."""
    time_s: NDArray[np.float64]
    current_mA: NDArray[np.float64]
    voltage_V: NDArray[np.float64] | None = None
    active: NDArray[np.bool_] | None = None
    """The pin's level."""
    full_scale_mA: float | None = None
    synthetic: bool = False
    notes: tuple[str, ...] = ()


def read_text(path: str | Path, stated: TraceColumns = UNSTATED) -> Recording:
    """Read a text file of any layout that :mod:`paper2board.traces.layouts` lists.

    An unterminated last line is left out: it may have been cut.

    Raises:
        UserError: the file cannot be read, its header is unknown, the columns of time, current or pin are in doubt,
            or the rows are not numbers in as many columns as the header has.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name an existing file") from error
    lines = text[: text.rfind("\n") + 1].splitlines()
    layout = find_layout(lines)
    if layout is None:
        raise UserError(f"{path}: its header is not understood; {understood()} can be read")
    current = pick_current(path, layout.columns, stated)
    voltage = pick_voltage(path, layout.columns, stated, current)
    pins = pick_pins(path, layout.columns, stated)
    clock = pick_clock(path, layout.columns)

    trailing = f" {layout.separator}"
    rows = [row for line in lines[layout.first_row :] if (row := line.rstrip(trailing))]
    for number, row in enumerate(rows, 1):
        width = row.count(layout.separator) + 1
        if width != layout.width:
            raise UserError(
                f"{path}: sample {number} has {width} columns, the header {layout.width}; export it again, "
                "whole and with a decimal point"
            )
    analog = [each for each in (clock, current, voltage, *pins) if each and each.quantity not in _DIGITAL]
    table = _numbers(path, rows, layout.separator, [column.index for column in analog])
    numbers = {column: column.scaled(values) for column, values in zip(analog, table.T, strict=True)}
    levels: dict[str, NDArray[np.bool_]] = {}
    for pin in pins:
        if pin in numbers:
            levels[pin.name] = above_middle(numbers[pin])
        else:
            levels |= _levels(path, pin, [row.split(layout.separator)[pin.index].strip(' "') for row in rows])
    active, notes = pick_level(path, levels, stated)
    start_s, unit_s = layout.clock_s
    return Recording(
        layout.instrument,
        start_s + unit_s * numbers[clock],
        in_mA(numbers[current], stated),
        voltage_V=numbers[voltage] if voltage else None,
        active=active,
        full_scale_mA=stated.full_scale_mA or layout.full_scale_mA,
        # A spreadsheet that saves the file again adds quotes and separators.
        synthetic=any(line.strip("\"',; \t").startswith(_SYNTHETIC) for line in lines[: layout.first_row]),
        notes=notes,
    )


def _numbers(path: str | Path, rows: list[str], separator: str, columns: list[int]) -> NDArray[np.float64]:
    """Return the columns named, one a column, in the file's units."""
    if not rows:
        return np.empty((0, len(columns)))
    try:
        return np.loadtxt(rows, delimiter=separator, usecols=columns, comments=None, quotechar='"', ndmin=2)
    except ValueError as error:
        raise UserError(
            f"{path}: not a table of numbers ({' '.join(str(error).split())}); export it again with a decimal "
            "point and time as a number"
        ) from error


def _levels(path: str | Path, pin: Column, texts: list[str]) -> dict[str, NDArray[np.bool_]]:
    """Return the levels of a digital column, or of the eight channels of a PPK2's bit string.

    A sample in which the pin was both (``X``, at reduced rates) or unknown (``-``) was not high throughout: low.
    """
    # There are few different texts among the many samples.
    known = {text: position for position, text in enumerate(dict.fromkeys(texts))}
    positions = np.fromiter(map(known.__getitem__, texts), np.intp, len(texts))

    def spread(levels: Iterable[bool]) -> NDArray[np.bool_]:
        return np.fromiter(levels, bool, len(known))[positions]

    try:
        if pin.quantity == "digital":
            return {pin.name: spread(text not in ("X", "-") and float(text) > 0.5 for text in known)}
        if not all(re.fullmatch("[01X-]{8}", text) for text in known):
            raise ValueError("not eight of 0, 1, X and -")
        return {f"D{bit}": spread(text[bit] == "1" for text in known) for bit in range(8)}
    except ValueError as error:
        raise UserError(
            f"{path}: column {pin.name} holds no logic levels ({error}); export it as 0 and 1, or leave it out"
        ) from error


def above_middle(values_V: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where an analog channel lies above the middle of its range; nowhere if that is no logic swing."""
    if not len(values_V) or not np.ptp(values_V) >= _LOGIC_SWING_V:
        return np.zeros(len(values_V), bool)
    return values_V > values_V.min() + np.ptp(values_V) / 2


def in_mA(values: NDArray[np.float64], stated: TraceColumns) -> NDArray[np.float64]:
    """Return the current's column, which is in mA or the voltage (V) of a probe or shunt, in mA."""
    with np.errstate(over="ignore"):
        return values if stated.current_mA_per_V is None else values * stated.current_mA_per_V


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns) or "none"


def _named(path: str | Path, columns: Sequence[Column], wanted: str, name: str, *of: Quantity) -> Column:
    """Return the column of a quantity ``of`` these that the key ``wanted`` names."""
    usable = [column for column in columns if column.quantity in of]
    for column in usable:
        if column.name.casefold() == name.casefold():
            return column
    raise UserError(f"{path}: there is no column {name!r}; '{wanted}' can be one of: {_names(usable)}")


def pick_current(path: str | Path, columns: Sequence[Column], stated: TraceColumns) -> Column:
    """Return the current's column: the one named, the one called current, or the only one in ampere.

    Raises:
        UserError: none or several qualify, or the scale of a voltage is missing or superfluous.
    """
    if stated.current:
        column = _named(path, columns, "current", stated.current, "current", "voltage")
    else:
        currents = [each for each in columns if each.quantity == "current"]
        called = [each for each in currents if key(each.name) in CURRENT_KEYS]
        if len(called or currents) != 1:
            usable = currents or [each for each in columns if each.quantity == "voltage"]
            raise UserError(
                f"{path}: it is open which column is the current; head it by name and unit, as current_mA, or name "
                f"it with 'current', one of: {_names(usable)}"
            )
        (column,) = called or currents
    if column.quantity == "voltage" and stated.current_mA_per_V is None:
        raise UserError(
            f"{path}: column {column.name} is a voltage; state 'current_mA_per_V' of the current probe, or 1000 / "
            "ohm of the shunt"
        )
    if column.quantity == "current" and stated.current_mA_per_V is not None:
        raise UserError(f"{path}: column {column.name} is in ampere already; remove 'current_mA_per_V'")
    return column


def pick_clock(path: str | Path, columns: Sequence[Column]) -> Column:
    """Return the time's column: the finer one of those called so, or the only one in a unit of time.

    Raises:
        UserError: several qualify.
    """
    times = [each for each in columns if each.quantity == "time"]
    called = [clock for names in CLOCK_KEYS if (clock := [each for each in times if key(each.name) in names])]
    if len(called or times) != 1:
        raise UserError(
            f"{path}: it is open which column is the time; head the one that is by name and unit, as time_s, and "
            f"no other, one of: {_names(times)}"
        )
    return min(called[0] if called else times, key=lambda each: each.exponent)


def pick_voltage(
    path: str | Path, columns: Sequence[Column], stated: TraceColumns, current: Column
) -> Column | None:
    """Return the supply voltage's column: the one named, or the first called so that is neither current nor pin.

    Raises:
        UserError: the one named is not there.
    """
    if stated.voltage:
        return _named(path, columns, "voltage", stated.voltage, "voltage")
    taken = {current.name.casefold(), (stated.gpio or "").casefold()}
    voltages = (each for each in columns if each.quantity == "voltage" and key(each.name) in VOLTAGE_KEYS)
    return next((each for each in voltages if each.name.casefold() not in taken), None)


def pick_pins(path: str | Path, columns: Sequence[Column], stated: TraceColumns) -> list[Column]:
    """Return the columns that may be the pin's: the one named, or all digital ones.

    Raises:
        UserError: the one named is not there.
    """
    digital = [each for each in columns if each.quantity == "digital"]
    bits = [each for each in columns if each.quantity == "bits"]
    if not stated.gpio:
        return digital or bits
    if bits and not digital and re.fullmatch("D[0-7]", stated.gpio):
        return bits
    return [_named(path, columns, "gpio", stated.gpio, "digital", "voltage")]


def pick_level(
    path: str | Path, levels: dict[str, NDArray[np.bool_]], stated: TraceColumns
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return the level of the channel named, or of the only one that changes, and what is to be noted.

    Raises:
        UserError: the channel named never changes, or none is named and several change.
    """
    if stated.gpio:
        levels = {name: each for name, each in levels.items() if name.casefold() == stated.gpio.casefold()}
    changing = {name: level for name, level in levels.items() if level.any() and not level.all()}
    if stated.gpio and not changing:
        raise UserError(f"{path}: channel {stated.gpio} never changes; check its wire, or leave out 'gpio'")
    if len(changing) > 1:
        raise UserError(
            f"{path}: the channels {', '.join(changing)} change; name the one that marks inferences with 'gpio'"
        )
    if levels and not changing:
        return None, ("no digital channel changes",)
    return next(iter(changing.values()), None), ()
