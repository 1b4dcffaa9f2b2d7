"""Layouts of the text files in which instruments keep a supply current over time, recognised by their headers.

An instrument is one function below, registered with its name and with where its layout is known from (no instrument
was attached here). They are tried in the order of this file.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

HEADER_LINES = 64
"""A header is looked for in so many lines; the longest preamble known (Tektronix MDO) has 21."""
JOULESCOPE_FULL_SCALE_mA = 10_000.0

Quantity = Literal["time", "current", "voltage", "digital", "bits"]

UNITS: dict[str, tuple[Quantity, int]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), ("time", 0)),
    "ms": ("time", -3),
    "us": ("time", -6),
    "μs": ("time", -6),
    "ns": ("time", -9),
    **dict.fromkeys(("a", "amp", "ampere"), ("current", 3)),
    "ma": ("current", 0),
    "ua": ("current", -3),
    "μa": ("current", -3),
    "na": ("current", -6),
    **dict.fromkeys(("v", "volt"), ("voltage", 0)),
    "mv": ("voltage", -3),
    "uv": ("voltage", -6),
    "μv": ("voltage", -6),
}
"""Quantity and exponent of a unit, by its casefolded spelling (which makes one of the two letters µ)."""

CURRENT_KEYS = ("current", "i")
# Not the shunt's voltage; nor the "load" voltage of Adafruit's example, which is the one before the shunt: an
# INA219 measures the bus at the pin where the load is (datasheet SBOS448).
VOLTAGE_KEYS = ("voltage", "v", "busvoltage", "busv", "vbus", "supplyvoltage")
CLOCK_KEYS = (("time", "timestamp"), ("millis", "currentmillis", "micros"))
"""Names of one clock each, which loggers write in two units."""
_STEMS = {*CURRENT_KEYS, *VOLTAGE_KEYS, *CLOCK_KEYS[0], "t", "elapsed", "supply", "shunt"}
"""What a unit of one letter may follow: ``ch_a`` is channel a, no ampere."""
_IMPLIED_UNITS = {"millis": "ms", "currentmillis": "ms", "micros": "us", "busvoltage": "V"}
"""Of names that loggers take from the Arduino and Adafruit libraries, by :func:`key`."""
_CHANNEL = re.compile(r"D\d+")
_PIN = re.compile(r"gpio?\d*|gpi\[\d\]|active", re.IGNORECASE)
_JOULESCOPE_PIN = re.compile(r".+\.([0-37T]|gpi\[\d\]|trigger_in)")


@dataclass(frozen=True)
class Column:
    """One column or signal whose quantity is known."""

    index: int
    name: str
    """As the header has it."""
    quantity: Quantity
    exponent: int = 0
    """Ten to it leads from the column's unit to s, mA or V."""

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values in s, mA or V, correctly rounded: ten to 3 is exact, ten to −3 is not."""
        with np.errstate(over="ignore"):
            if self.exponent < 0:
                return values / 10.0**-self.exponent
            return values * 10.0**self.exponent


@dataclass(frozen=True)
class Layout:
    """How to read the rows of one file."""

    columns: list[Column]
    first_row: int
    """Line number, from 0, of the first sample."""
    width: int
    """Fields of a row."""
    clock_s: tuple[float, float] = (0.0, 1.0)
    """Time of 0 and of one unit more in the time column: oscilloscopes may count samples there."""
    separator: str = ","
    instrument: str = ""
    """Empty where the header does not say."""
    full_scale_mA: float | None = None


Recogniser = Callable[[list[list[str]], int], Layout | None]
"""Takes the first lines as cells, and the number of the line that may be the header; returns None for another
instrument's file."""


@dataclass(frozen=True)
class Instrument:
    """One row of the registry."""

    name: str
    """As notes on a trace have it; empty where a file does not say."""
    exports: str
    """Whose files these are, in the words of messages."""
    recognise: Recogniser
    full_scale_mA: float | None
    """Current up to which it changes ranges by itself; None: unknown, or as the user has set it."""


INSTRUMENTS: list[Instrument] = []


def _instrument(
    name: str, exports: str, full_scale_mA: float | None = None
) -> Callable[[Recogniser], Recogniser]:
    """Register a function that recognises the files of an instrument; its docstring says where the layout is known
    from."""

    def register(recognise: Recogniser) -> Recogniser:
        INSTRUMENTS.append(Instrument(name, exports, recognise, full_scale_mA))
        return recognise

    return register


def understood() -> str:
    """Return whose files can be read, as text."""
    exports = ", ".join(each.exports for each in INSTRUMENTS)
    return (
        f"the CSV exports of {exports}, and any table whose header names its units, as time_s,current_mA does"
    )


def find_layout(lines: list[str]) -> Layout | None:
    """Return how to read the file that begins with ``lines``, or None."""
    for separator in ",;\t":
        table = [cells(line, separator) for line in lines[:HEADER_LINES]]
        for row, names in enumerate(table):
            if len(names) < 2:
                continue
            for each in INSTRUMENTS:
                layout = each.recognise(table, row)
                quantities = {column.quantity for column in layout.columns} if layout else set()
                if layout and "time" in quantities and quantities & {"current", "voltage"}:
                    return replace(
                        layout, separator=separator, instrument=each.name, full_scale_mA=each.full_scale_mA
                    )
    return None


def cells(line: str, separator: str) -> list[str]:
    """Split a header line; ``#`` before it, quotation marks and empty cells at its end do not count."""
    found = [cell.strip().strip('"').strip() for cell in line.lstrip("# ").split(separator)]
    while found and not found[-1]:
        found.pop()
    return found


def key(name: str) -> str:
    """Return what of a name is compared: letters and digits, without its unit or a Joulescope's serial number."""
    return re.sub("[^a-z0-9]", "", _split(name)[0].rpartition(".")[2].casefold())


def _split(name: str) -> tuple[str, str]:
    """Split ``Current[mA]``, ``Current (mA)``, ``current_mA``; the unit is empty where there is none."""
    match = re.fullmatch(r"(.+?)\s*[\[(]([^\])]+)[\])]", name)
    if match is None:
        match = re.fullmatch(r"(.+)_([^_]+)", name)
        if match and len(match[2]) == 1 and match[1].casefold().rpartition("_")[2] not in _STEMS:
            return name, ""
    return (match[1], match[2]) if match and match[2].casefold() in UNITS else (name, "")


def _columns(pairs: Iterable[tuple[str, str]]) -> list[Column]:
    """Return the columns, of all with these names and units, whose quantity is known."""
    columns = []
    for index, (name, unit) in enumerate(pairs):
        if name == "D0-D7":
            columns.append(Column(index, name, "bits"))
        elif any(pattern.fullmatch(name) for pattern in (_CHANNEL, _PIN, _JOULESCOPE_PIN)):
            # Whatever its unit: mixed-signal oscilloscopes give these V.
            columns.append(Column(index, name, "digital"))
        elif known := UNITS.get(unit.strip("() ").casefold()):
            columns.append(Column(index, name, *known))
    return columns


def _preamble(table: list[list[str]], wanted: str) -> list[str]:
    """Return the cells that follow ``wanted`` in the preamble."""
    return next((row[1:] for row in table if row and row[0] == wanted), [])


@_instrument("oscilloscope", "Tektronix TDS1000 and TDS2000")
def _tds(table: list[list[str]], row: int) -> Layout | None:
    """TDS1000, TDS2000: a preamble in columns 1 and 2 beside time and value in columns 4 and 5. Excerpts of such
    files in public repositories."""
    if table[row][0] != "Record Length" or len(table[row]) != 5:
        return None
    of = {wanted: _preamble(table, wanted)[:1] for wanted in ("Source", "Horizontal Units", "Vertical Units")}
    if not all(of.values()):
        return None
    pairs = [("", ""), ("", ""), ("", "")]
    pairs += [("TIME", of["Horizontal Units"][0]), (of["Source"][0], of["Vertical Units"][0])]
    return Layout(_columns(pairs), row, len(pairs))


@_instrument("oscilloscope", "Tektronix MSO, DPO and MDO")
def _tektronix(table: list[list[str]], row: int) -> Layout | None:
    """MSO, DPO, MDO: a preamble, then ``TIME,CH1``. Excerpts of such files in public repositories."""
    names, units = table[row], _preamble(table[:row], "Vertical Units")
    if names[0] not in ("TIME", "Time") or not units:
        return None
    # The preamble's keys stand above the time. Digital channels follow behind a time of their own, the same one.
    units = ["s", *units, *[""] * len(names)][: len(names)]
    return Layout(_columns(zip(names, units, strict=True)), row + 1, len(names))


@_instrument("oscilloscope", "Rigol DS1000Z, DS2000 and DS4000")
def _counted(table: list[list[str]], row: int) -> Layout | None:
    """DS1000Z, DS2000, DS4000: ``X,CH1,Start,Increment`` / ``Sequence,Volt,START,INTERVAL``. Files of these
    instruments in github.com/scottprahl/RigolWFM, tests/files/wfm."""
    names, units = table[row], table[row + 1] if row + 1 < len(table) else []
    if names[-2:] != ["Start", "Increment"] or len(units) != len(names) or units[0] != "Sequence":
        return None
    try:
        start_s, interval_s = map(float, units[-2:])
    except ValueError:
        return None
    pairs = [(names[0], "s"), *zip(names[1:-2], units[1:-2], strict=True)]
    return Layout(_columns(pairs), row + 2, len(pairs), (start_s, interval_s))


@_instrument("oscilloscope", "other oscilloscopes of Rigol, of Siglent, Keysight and PicoScope")
def _two_rows(table: list[list[str]], row: int) -> Layout | None:
    """A row of names and a row of units. Rigol DS1000E, DS1000B (``X,CH1`` / ``Second,Volt``): RigolWFM's files.
    Siglent, behind a preamble (``Source,CH1`` / ``Second,Volt`` or ``Second,Value``):
    github.com/MartinCowen/SigFyCSV. Keysight InfiniiVision (``x-axis,1`` / ``second,Volt``) and PicoScope
    (``Time,Channel A`` / ``(ms),(V)`` / empty): programs that read them."""
    names, units = table[row], table[row + 1] if row + 1 < len(table) else []
    if not units or UNITS.get(units[0].strip("()").casefold(), ("",))[0] != "time":
        return None
    if len(units) != len(names) or names[0].casefold() not in ("x", "x-axis", "time", "source", ""):
        # Siglent's converter of binary files writes no names.
        names = ["Time", *(f"CH{number}" for number in range(1, len(units)))]
    if "Value" in units:  # Siglent: the units stand in the preamble, as CH1:V
        of = dict(pair.split(":", 1) for pair in _preamble(table, "Vertical Units") if ":" in pair)
        units = [units[0], *(of.get(name, "") for name in names[1:])]
    return Layout(_columns(zip(names, units, strict=True)), row + 2, len(names))


@_instrument("Joulescope", "Joulescope", full_scale_mA=JOULESCOPE_FULL_SCALE_mA)
def _joulescope(table: list[list[str]], row: int) -> Layout | None:
    """All in SI units, the header mostly behind ``#``: ``time,JS220-000123.i,JS220-000123.v`` (waveform, export
    visible data: github.com/jetperch/pyjoulescope_ui, widgets/waveform/waveform_widget.py),
    ``timestamp,JS220-000123.current`` (``pyjls csv``: github.com/jetperch/jls, pyjls/entry_points/csv.py),
    ``time,current,voltage,power,charge,energy`` (statistics: pyjoulescope_ui,
    widgets/statistics_record/statistics_record.py; github.com/jetperch/ pyjoulescope_examples,
    bin/downsample_logging.py), ``time (s),current (A),voltage (V)`` (pyjoulescope_ui's exporter.py of 2019)."""
    names = table[row]
    if names[0] not in ("time", "timestamp"):
        return None
    statistics = {"current", "voltage", "charge", "energy"} <= set(names)
    if not statistics and not all("." in name for name in names[1:]):
        return None
    units = {"i": "A", "current": "A", "v": "V", "voltage": "V"}
    pairs = [(names[0], "s"), *((name, units.get(name.rpartition(".")[2], "")) for name in names[1:])]
    return Layout(_columns(pairs), row + 1, len(names))


@_instrument("Nordic PPK2", "Nordic's PPK2", full_scale_mA=1000.0)
def _ppk2(table: list[list[str]], row: int) -> Layout | None:
    """``Timestamp(ms),Current(uA)``, then ``D0-D7`` (a string of eight of ``0 1 X -``, D0 first) or the columns
    ``D0`` to ``D7``, whichever the user ticked; missing samples have no row. github.com/NordicSemiconductor/
    pc-nrfconnect-ppk, src/actions/exportChartAction.ts."""
    return _one_row(table, row) if table[row][:2] == ["Timestamp(ms)", "Current(uA)"] else None


@_instrument("", "INA219 and INA226 loggers")
def _one_row(table: list[list[str]], row: int) -> Layout | None:
    """Anybody's: one header whose names end with their units, ``time_s``, ``Time (ms)``, ``Current[uA]``. So do
    INA219 and INA226 loggers: ``Timestamp[ms],BusV[V],ShuntV[mV],LoadV[V],Current[mA]``
    (github.com/luca-bondi/ina219, ina219.ino), ``millis,micros,status,Load_Voltage,Current_mA, load_Power_mW``
    after a line with the date (github.com/JoeggiCH/PowerLogger, src/main.cpp),
    ``currentMillis,busvoltage,shuntvoltage,loadvoltage,current_ma, power_mw,mAh`` (a logger on the serial line of
    github.com/KarlTorp/Tiny-VA-Meter; names and units are those of Adafruit's library)."""
    names = table[row]
    columns = _columns((name, _split(name)[1] or _IMPLIED_UNITS.get(key(name), "")) for name in names)
    return Layout(columns, row + 1, len(names))
