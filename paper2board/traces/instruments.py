"""What an instrument recorded: the columns of its file that carry time, current, voltage and a pin's level."""

import codecs
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.core.errors import UserError
from paper2board.traces.columns import UNSTATED, TraceColumns
from paper2board.traces.layouts import (
    CLOCK_KEYS,
    CURRENT_KEYS,
    UNITS,
    VOLTAGE_KEYS,
    Column,
    Quantity,
    find_layout,
    key,
    matching,
    split_row,
    understood,
)

_SYNTHETIC = "# synthetic trace"
SYNTHETIC = f"{_SYNTHETIC}: generated from the board configuration, not measured"
"""First line of a file that no instrument wrote."""

_LOGIC_SWING_V = 1.0
"""An analog channel that moves by less carries no logic level."""
_DIGITAL: tuple[Quantity, ...] = ("digital", "bits")
_LOWEST_SUPPLY_V = 1.0
"""No board runs from less; a column in V below it is a shunt's or a sensor's."""
_SUPPLY_DIPS = 0.5
"""Share of its median that a supply voltage stays above, in all but a hundredth of the samples."""
_NO_NUMBERS = {"", "nan", "n/a", "#n/a", "na", "null", "none", "inf", "infinity", "∞", "ol", "o.l", "ol."}
_NO_NUMBERS |= {"ovl", "ovld", "ovrflw", "over", "overload", "overflow", "overrange", "over-range"}
_NO_NUMBERS |= {"invalid", "error", "err", "****"}
"""What instruments write where they have no number, casefolded, without a sign."""


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
    unit_mA: float = 1.0
    """One unit of the column of the current."""


def read_text(path: str | Path, stated: TraceColumns = UNSTATED) -> Recording:
    """Read a text file of any layout that :mod:`paper2board.traces.layouts` lists, or whose columns are stated.

    An unterminated last line is left out: it may have been cut. What is no number because the instrument had none
    (``OL``, an empty cell) is NaN.

    Raises:
        UserError: the file cannot be read, its header is unknown, the columns of time, current, voltage or pin are
            in doubt, or the rows are not numbers in as many columns as the header has.
    """
    text, encoding = _text(path)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text[: text.rfind("\n") + 1].split("\n")[:-1]
    layout = find_layout(lines, stated)
    if layout is None:
        seen = f" (read as {encoding}, because it is not UTF-8)" if encoding == "Latin-1" else ""
        raise UserError(
            f"{path}: its header is not understood{seen}; {understood()} can be read, and any table whose columns "
            "the study's trace.columns names with their units, as current: amps in A"
        )
    current = pick_current(path, layout.columns, stated)
    voltages = pick_voltages(path, layout.columns, stated, current)
    pins = pick_pins(path, layout.columns, stated)
    clock = None if layout.counted or stated.interval_s else pick_clock(path, layout.columns, stated)

    rows = []
    for line in lines[layout.first_row :]:
        row = split_row(line, layout.separator)
        # A spreadsheet adds empty cells at the end; the last column's may be lost.
        while len(row) > layout.width and not row[-1].strip():
            row.pop()
        if not any(cell.strip() for cell in row):
            continue
        rows.append(row)
        if len(row) != layout.width:
            raise UserError(
                f"{path}: sample {len(rows)} has {len(row)} columns, the header {layout.width}; export it again, "
                "whole and with a decimal point"
            )
    analog = [each for each in (clock, current, *voltages, *pins) if each and each.quantity not in _DIGITAL]
    numbers = {
        column: column.scaled(_numbers(path, column.name, [row[column.index] for row in rows]))
        for column in analog
    }
    levels: dict[str, NDArray[np.bool_]] = {}
    for pin in pins:
        if pin in numbers:
            levels[pin.name] = above_middle(numbers[pin])
        else:
            levels |= _levels(path, pin, [row[pin.index].strip(' "') for row in rows])
    active, notes = pick_level(path, levels, stated)
    voltage = pick_supply(path, voltages, stated, numbers.__getitem__)
    start_s, unit_s = (0.0, stated.interval_s) if stated.interval_s else layout.clock_s
    ticks = numbers[clock] if clock else np.arange(len(rows), dtype=np.float64)
    return Recording(
        layout.instrument,
        start_s + unit_s * ticks,
        in_mA(numbers[current], stated),
        voltage_V=numbers[voltage] if voltage else None,
        active=active,
        full_scale_mA=stated.full_scale_mA or layout.full_scale_mA,
        # A spreadsheet that saves the file again adds quotes and separators.
        synthetic=any(line.strip("\"',; \t").startswith(_SYNTHETIC) for line in lines[: layout.first_row]),
        notes=(*notes, *unused(layout.columns, (clock, current, voltage, *pins))),
        unit_mA=current.scaled(np.ones(1))[0] * (stated.current_mA_per_V or 1.0),
    )


def unused(columns: Iterable[Column], used: Sequence[Column | None]) -> tuple[str, ...]:
    """Return what to note of columns in a known unit that nothing is read from."""
    passed = [each for each in columns if each not in used and each.quantity not in ("unknown", *_DIGITAL)]
    return (f"columns not used: {_names(passed)}",) if passed else ()


def _text(path: str | Path) -> tuple[str, str]:
    """Return a file's text and its encoding: UTF-8, UTF-16 as spreadsheets' "Unicode text", or else Latin-1."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name an existing file") from error
    head = content[:256]
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        # Without a mark, every other byte of the ASCII in a header is zero.
        zeros = head[1::2] if encoding == "utf-16-le" else head[::2]
        if content.startswith(mark) or (len(head) > 8 and zeros.count(0) > len(zeros) * 0.8):
            try:
                return content[: len(content) // 2 * 2].decode(encoding).removeprefix("\ufeff"), "UTF-16"
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}: it begins as UTF-16 text, but is damaged at byte {error.start}; save it again "
                    "as UTF-8"
                ) from error
    if b"\0" in content:
        raise UserError(f"{path}: it is no text, it has zero bytes; export it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "Latin-1"


def _numbers(path: str | Path, name: str, cells: list[str]) -> NDArray[np.float64]:
    """Return a column in the file's units; NaN where the instrument wrote that it had no number."""
    cells = [cell.strip(" \"'\t") for cell in cells]
    cells = ["nan" if cell.casefold().lstrip("+-") in _NO_NUMBERS else cell for cell in cells]
    commas = [cell for cell in cells if "," in cell]
    if commas:
        # 1,234 may be either; a number with one or two digits behind the comma shows which.
        thousands = all(re.fullmatch(r"[-+]?[1-9]\d{0,2}(,\d{3})+", cell) for cell in commas)
        if any("." in cell for cell in cells) or (
            thousands and len(commas) + cells.count("nan") < len(cells)
        ):
            raise UserError(
                f"{path}: not a table of numbers: the commas in column {name} may be decimal or group digits "
                f"({commas[0]}); export it again with a decimal point and without groups"
            )
        cells = [cell.replace(",", ".") for cell in cells]
    if not cells:
        return np.empty(0)
    try:
        return np.loadtxt(cells, comments=None, delimiter="\x1f", ndmin=1)
    except ValueError as error:
        raise UserError(
            f"{path}: not a table of numbers (column {name}: {' '.join(str(error).split())}); export it again with "
            "a decimal point and time as a number"
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
            return {
                pin.name: spread(
                    text not in ("X", "-", "") and float(text.replace(",", ".")) > 0.5 for text in known
                )
            }
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


_EXAMPLES = {"time": "s", "current": "mA", "voltage": "V", "gpio": "V"}


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns) or "none"


def _named(path: str | Path, columns: Sequence[Column], wanted: str, name: str, *of: Quantity) -> Column:
    """Return the column of a quantity ``of`` these that the key ``wanted`` names, with its unit or without."""
    usable = [column for column in columns if column.quantity in of]
    if found := matching((column.name for column in columns), name):
        called = [column for column in columns if column.name == found[0]]
        fitting = [column for column in called if column.quantity in of]
        if len(fitting) > 1:
            raise UserError(
                f"{path}: {len(fitting)} columns are called {found[0]!r}; give them names of their own for "
                f"'{wanted}'"
            )
        if fitting and found[1] and UNITS[found[1].casefold()] != (fitting[0].quantity, fitting[0].exponent):
            raise UserError(
                f"{path}: '{wanted}' states that {found[0]!r} is in {found[1]}, its header another unit; remove "
                f"' in {found[1]}'"
            )
        if fitting:
            return fitting[0]
        if not found[1] and called[0].quantity == "unknown":
            raise UserError(
                f"{path}: column {found[0]!r} has no unit in its header; state it behind the name, "
                f"'{wanted}: {found[0]} in {_EXAMPLES[wanted]}'"
            )
    raise UserError(
        f"{path}: there is no column {name!r}; '{wanted}' can be one of: {_names(usable)}"
        + (
            f"; or of {_names(unknown)} with a unit, as in {_EXAMPLES[wanted]}"
            if (unknown := [column for column in columns if column.quantity == "unknown"])
            else ""
        )
    )


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


def pick_clock(path: str | Path, columns: Sequence[Column], stated: TraceColumns) -> Column:
    """Return the time's column: the one named, the finer one of those called so, or the only one in a unit of time.

    Raises:
        UserError: the one named is not there, or several qualify.
    """
    if stated.time:
        return _named(path, columns, "time", stated.time, "time")
    times = [each for each in columns if each.quantity == "time"]
    called = [clock for names in CLOCK_KEYS if (clock := [each for each in times if key(each.name) in names])]
    if len(called or times) != 1:
        raise UserError(
            f"{path}: it is open which column is the time; name it with 'time', one of: {_names(times)}"
        )
    return min(called[0] if called else times, key=lambda each: each.exponent)


def pick_voltages(
    path: str | Path, columns: Sequence[Column], stated: TraceColumns, current: Column
) -> list[Column]:
    """Return the columns that may be the supply voltage's: the one named, those called so, or all others in volt
    but those of current, pin and shunt.

    Raises:
        UserError: the one named is not there.
    """
    if stated.voltage:
        return [_named(path, columns, "voltage", stated.voltage, "voltage")]
    gpio = matching((each.name for each in columns), stated.gpio) if stated.gpio else None
    taken = {current.name, gpio[0] if gpio else ""}
    volts = [each for each in columns if each.quantity == "voltage" and each.name not in taken]
    called = [each for each in volts if key(each.name) in VOLTAGE_KEYS]
    return called or [each for each in volts if "shunt" not in each.name.casefold()]


def pick_supply(
    path: str | Path,
    voltages: Sequence[Column],
    stated: TraceColumns,
    values: Callable[[Column], NDArray[np.float64]],
) -> Column | None:
    """Return the supply voltage's column, of those that may be it; ``values`` returns one's in V.

    A column whose name does not say that it is has to look like one: a logic level or a sensor does not.

    Raises:
        UserError: several could be it.
    """
    fitting = [
        each
        for each in voltages
        if stated.voltage or key(each.name) in VOLTAGE_KEYS or _supplies(values(each))
    ]
    if len(fitting) > 1:
        raise UserError(
            f"{path}: it is open which column is the supply voltage; name it with 'voltage', one of: "
            f"{_names(fitting)}"
        )
    return fitting[0] if fitting else None


def _supplies(volts: NDArray[np.float64]) -> bool:
    """Return whether a voltage may supply a board all the time."""
    present = volts[np.isfinite(volts)]
    if not len(present):
        return False
    median_V = np.median(present)
    return bool(median_V >= _LOWEST_SUPPLY_V and (present > _SUPPLY_DIPS * median_V).mean() >= 0.99)


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
    # A column of 0 and 1 needs no unit.
    columns = [
        replace(each, quantity="digital")
        if each.quantity == "unknown" and each.name.casefold() == stated.gpio.casefold()
        else each
        for each in columns
    ]
    return [_named(path, columns, "gpio", stated.gpio, "digital", "voltage")]


def pick_level(
    path: str | Path, levels: dict[str, NDArray[np.bool_]], stated: TraceColumns
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return the level of the channel named, or of the only one that changes, and what is to be noted.

    Raises:
        UserError: the channel named never changes, or none is named and several change.
    """
    if stated.gpio:
        named = matching(levels, stated.gpio)
        levels = {name: each for name, each in levels.items() if named and name == named[0]}
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
