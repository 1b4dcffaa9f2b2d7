"""Layouts of the text files in which instruments keep a supply current over time, recognised by their headers.

An instrument is one function below, registered with its name and with where its layout is known from (no instrument
was attached here). They are tried in the order of this file.
"""

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paper2board.traces.columns import UNSTATED, TraceColumns

HEADER_LINES = 64
"""A header is looked for in so many lines; the longest preamble known (Tektronix MDO) has 21."""
JOULESCOPE_FULL_SCALE_mA = 10_000.0

Quantity = Literal["time", "current", "voltage", "digital", "bits", "other", "unknown"]
"""What a column holds; ``other``: a unit that is known, of something that is not read; ``unknown``: no unit."""

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
    **dict.fromkeys(("w", "watt", "mw", "uw", "μw", "nw"), ("other", 0)),
    **dict.fromkeys(("j", "joule", "mj", "uj", "μj", "nj", "wh", "mwh", "uwh", "μwh", "ws"), ("other", 0)),
    **dict.fromkeys(
        ("c", "mc", "uc", "μc", "ah", "mah", "uah", "μah", "as", "°c", "hz", "ohm"), ("other", 0)
    ),
}
"""Quantity and exponent of a unit, by its casefolded spelling (which makes one of the two letters µ)."""

CURRENT_KEYS = ("current", "i", "mainavgcurrent", "maincurrent", "arcmaincurrent")
# Not the shunt's voltage; nor the "load" voltage of Adafruit's example, which is the one before the shunt: an
# INA219 measures the bus at the pin where the load is (datasheet SBOS448).
VOLTAGE_KEYS = (
    "voltage",
    "v",
    "busvoltage",
    "busv",
    "vbus",
    "supplyvoltage",
    "mainavgvoltage",
    "mainvoltage",
)
CLOCK_KEYS = (("time", "timestamp"), ("millis", "currentmillis", "micros"))
"""Names of one clock each, which loggers write in two units."""
_STEMS = {*CURRENT_KEYS, *VOLTAGE_KEYS, *CLOCK_KEYS[0], "t", "elapsed", "supply", "shunt"}
_STEMS |= {"power", "energy", "charge", "vcc", "vdd", "battery", "bus", "load", "zeit", "strom", "spannung"}
"""What a unit of one letter but V may follow where nothing else marks it: ``ch_a`` is channel a, no ampere."""
_IMPLIED_UNITS = {"millis": "ms", "currentmillis": "ms", "micros": "us", "busvoltage": "V"}
"""Of names that loggers take from the Arduino and Adafruit libraries, by :func:`key`."""
_CHANNEL = re.compile(r"D\d+")
_PIN = re.compile(r"(.+ )?(gpio?\d*|gpi\[\d\]|active)", re.IGNORECASE)
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
    counted: bool = False
    """The file has no column of time: ``clock_s`` are the first sample's and the interval."""
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


def find_layout(lines: list[str], stated: TraceColumns = UNSTATED) -> Layout | None:
    """Return how to read the file that begins with ``lines``, or None.

    Of several rows that could be the header, one that has the columns stated goes first.
    """
    found = None
    for separator in ",;\t ":
        table = [cells(line, separator) for line in lines[:HEADER_LINES]]
        for row, names in enumerate(table):
            # A row without blanks is one column in all readings.
            if len(names) < (1 if stated.interval_s and separator == "," else 2):
                continue
            for each in INSTRUMENTS:
                layout = each.recognise(table, row)
                if layout is None:
                    continue
                layout = replace(layout, columns=with_stated_units(layout.columns, stated))
                quantities = {column.quantity for column in layout.columns}
                timed = layout.counted or stated.interval_s or "time" in quantities
                if timed and quantities & {"current", "voltage"}:
                    layout = replace(
                        layout, separator=separator, instrument=each.name, full_scale_mA=each.full_scale_mA
                    )
                    known = [column.name for column in layout.columns]
                    if all(matching(known, name) for name in stated.named()):
                        return layout
                    found = found or layout
    return found


def matching(names: Iterable[str], stated: str) -> tuple[str, str] | None:
    """Return the name of a column and the unit that ``stated`` means: ``Timestamp in s``, or the name alone."""
    known = {name.casefold(): name for name in names}
    if name := known.get(stated.casefold()):
        return name, ""
    name, _, unit = stated.rpartition(" in ")
    if unit.casefold() in UNITS and name.casefold() in known:
        return known[name.casefold()], unit
    return None


def with_stated_units(columns: list[Column], stated: TraceColumns) -> list[Column]:
    """Return the columns with the units that are stated for those whose header has none."""
    units = {}
    for text in stated.named():
        if (found := matching((column.name for column in columns), text)) and found[1]:
            units[found[0]] = UNITS[found[1].casefold()]
    return [
        replace(column, quantity=units[column.name][0], exponent=units[column.name][1])
        if column.name in units and column.quantity == "unknown"
        else column
        for column in columns
    ]


def cells(line: str, separator: str) -> list[str]:
    """Split a header line; ``#`` before it, quotation marks and empty cells at its end do not count."""
    parts = split_row(line.lstrip("# "), separator)
    found = [cell.strip().strip('"').strip() for cell in parts]
    while found and not found[-1]:
        found.pop()
    return found


def split_row(line: str, separator: str) -> list[str]:
    """Split a line; a separator between quotation marks does not count, and several blanks are one."""
    if separator == " ":
        return line.split()
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return line.split(separator)


def key(name: str) -> str:
    """Return what of a name is compared: letters and digits, without its unit or a Joulescope's serial number."""
    return re.sub("[^a-z0-9]", "", _split(name)[0].rpartition(".")[2].casefold())


_BRACKETED = re.compile(r"(.+?)\s*[\[({<]\s*([^\])}>]+?)\s*[\])}>]")
_WORDED = re.compile(r"(.+?)(?:\s*/\s*|\s+in\s+)(\S+)")
_ATTACHED = re.compile(r"(.+)[_ ]([^_ ]+)")


def _split(name: str) -> tuple[str, str]:
    """Split ``Current[mA]``, ``Current (mA)``, ``I / mA``, ``Strom in mA``, ``current_mA``; the unit is empty where
    there is none."""
    match = _BRACKETED.fullmatch(name) or _WORDED.fullmatch(name)
    if match is None or match[2].casefold() not in UNITS:
        match = _ATTACHED.fullmatch(name)
        is_letter = match and len(match[2]) == 1 and match[2] != "V"
        if match and is_letter and re.split("[_ ]", match[1].casefold())[-1] not in _STEMS:
            return name, ""
    return (match[1], match[2]) if match and match[2].casefold() in UNITS else (name, "")


def _columns(pairs: Iterable[tuple[str, str]]) -> list[Column]:
    """Return the columns with these names and units."""
    columns = []
    for index, (name, unit) in enumerate(pairs):
        if name == "D0-D7":
            columns.append(Column(index, name, "bits"))
        elif any(pattern.fullmatch(name) for pattern in (_CHANNEL, _PIN, _JOULESCOPE_PIN)):
            # Whatever its unit: mixed-signal oscilloscopes give these V.
            columns.append(Column(index, name, "digital"))
        elif name:
            columns.append(Column(index, name, *UNITS.get(_bare(unit), ("unknown", 0))))
    return columns


def _bare(unit: str) -> str:
    """Return a unit as :data:`UNITS` has it: without brackets."""
    return unit.strip("()[]{}<> ").casefold()


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
    if not units or "time" not in [UNITS.get(_bare(unit), ("",))[0] for unit in units]:
        return None
    if len(units) != len(names) or (any(map(_is_number, names[1:])) and names[0] != "x-axis"):
        # Siglent's converter of binary files writes no names.
        names = ["Time", *(f"CH{number}" for number in range(1, len(units)))]
    if "Value" in units:  # Siglent: the units stand in the preamble, as CH1:V
        of = dict(pair.split(":", 1) for pair in _preamble(table, "Vertical Units") if ":" in pair)
        units = [units[0], *(of.get(name, "") for name in names[1:])]
    named = (name or "Time" for name in names)
    return Layout(_columns(zip(named, units, strict=True)), row + 2, len(names))


@_instrument("oscilloscope", "Rigol DHO800, DHO1000 and MSO5000")
def _rigol(table: list[list[str]], row: int) -> Layout | None:
    """DHO800, DHO1000: ``CH1V,CH2V,t0 = -1.0e+00, tInc = 1.0e-03``, no column of time. MSO5000, MSO7000:
    ``Time(s),CH1V,CH2V``. Programs in public repositories that read them."""
    names, clock_s, counted = table[row], (0.0, 1.0), False
    match = re.fullmatch(r"t0\s*=\s*(\S+)\|tInc\s*=\s*(\S+)", "|".join(names[-2:]))
    if match and _is_number(match[1]) and _is_number(match[2]):
        clock_s, counted, names = (float(match[1]), float(match[2])), True, names[:-2]
    channels = [re.fullmatch(r"CH\d+([VA])", name) for name in names]
    if not any(channels) or not (counted or names[0] == "Time(s)"):
        return None
    units = [
        channel[1] if channel else _split(name)[1] for channel, name in zip(channels, names, strict=True)
    ]
    return Layout(_columns(zip(names, units, strict=True)), row + 1, len(names), clock_s, counted=counted)


@_instrument("Keysight power analyzer", "Keysight's N6705C and 14585A data logs")
def _keysight_log(table: list[list[str]], row: int) -> Layout | None:
    """A preamble with ``Sample interval:``, then ``Sample,Volt avg 1,Curr avg 1`` in V and A; the column counts
    samples. Programs in public repositories that read them."""
    names = table[row]
    if names[0] != "Sample" or not any(name.startswith(("Volt ", "Curr ")) for name in names):
        return None
    text = "\n".join(" ".join(line) for line in table[:row])
    interval = re.search(r"Sample interval:?\s*([-+.\deE]+)", text)
    if interval is None or not _is_number(interval[1]):
        return None
    units = {"Volt": "V", "Curr": "A", "Power": "W", "Sample": "s"}
    pairs = ((name, units.get(name.partition(" ")[0], "")) for name in names)
    return Layout(_columns(pairs), row + 1, len(names), (0.0, float(interval[1])))


@_instrument("Otii", "Qoitech's Otii")
def _otii(table: list[list[str]], row: int) -> Layout | None:
    """``Timestamp (s),Main current (A),Main voltage (V)`` (Arc and Ace may stand before ``Main``), also without
    units: all are SI units. Excerpts of such files in public repositories."""
    names = table[row]
    if names[0].partition(" ")[0] != "Timestamp" or not any(
        re.match("(?:(?:Arc|Ace) )?Main (?:current|voltage)", name, re.IGNORECASE) for name in names
    ):
        return None
    units = {"timestamp": "s", "current": "A", "voltage": "V", "power": "W", "energy": "J"}
    pairs = ((name, _split(name)[1] or units.get(name.casefold().rpartition(" ")[2], "")) for name in names)
    return Layout(_columns(pairs), row + 1, len(names))


@_instrument("CurrentRanger", "the CurrentRanger's app")
def _current_ranger(table: list[list[str]], row: int) -> Layout | None:
    """``timestamp,amps,voltage_v``: s and A, as a user reported it. (github.com/MGX3D/CurrentViewer writes dates
    and no header.)"""
    names = table[row]
    if names[:2] != ["timestamp", "amps"]:
        return None
    return Layout(
        _columns((name, {"timestamp": "s", "amps": "A"}.get(name) or _split(name)[1]) for name in names),
        row + 1,
        len(names),
    )


@_instrument("FNIRSI", "FNIRSI loggers")
def _fnirsi(table: list[list[str]], row: int) -> Layout | None:
    """``timestamp sample_in_packet voltage_V current_A …`` between blanks; the timestamp is in s.
    github.com/baryluk/fnirsi-usb-power-data-logger, README.md."""
    names = table[row]
    if names[:2] != ["timestamp", "sample_in_packet"]:
        return None
    return Layout(
        _columns((name, "s" if name == "timestamp" else _split(name)[1]) for name in names),
        row + 1,
        len(names),
    )


@_instrument("Monsoon", "Monsoon's PowerTool")
def _monsoon(table: list[list[str]], row: int) -> Layout | None:
    """``Time (s),Main Avg Current (mA),Main Avg Voltage (V)``. Programs in public repositories that read them."""
    return _one_row(table, row) if any(name.startswith("Main Avg ") for name in table[row]) else None


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
    if all(map(_is_number, names)):
        # No header: columns are called by their position, and only a study can give their units.
        return Layout(_columns((str(number), "") for number in range(1, len(names) + 1)), row, len(names))
    columns = _columns((name, _split(name)[1] or _IMPLIED_UNITS.get(key(name), "")) for name in names)
    return Layout(columns, row + 1, len(names))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
