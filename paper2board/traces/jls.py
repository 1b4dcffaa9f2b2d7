"""Joulescope's recordings, JLS version 2, read with the package pyjls.

Signals are named ``current``, ``voltage``, ``gpi[0]`` to ``gpi[3]``, ``trigger_in``, each of one source and at a
rate of its own; a missing sample is NaN. Sources: github.com/jetperch/jls, pyjls/binding.pyx;
github.com/jetperch/pyjoulescope_ui, jls_v2.py (names), jls_source.py (prefixes).
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyjls
from numpy.typing import NDArray

from paper2board.core.errors import UserError
from paper2board.traces.columns import UNSTATED, TraceColumns
from paper2board.traces.instruments import (
    Recording,
    above_middle,
    in_mA,
    pick_current,
    pick_level,
    pick_pins,
    pick_supply,
    pick_voltages,
    unused,
)
from paper2board.traces.layouts import UNITS, Column, JOULESCOPE_FULL_SCALE_mA

_PREFIX = bytes.fromhex("6a6c73666d740d0a200a201a2020b21c")
_PREFIX_OF_VERSION_1 = bytes.fromhex("d3746167666d74200d0a200a20201a1c")


def is_jls(path: str | Path) -> bool:
    """Return whether the file begins as a JLS file of version 1 or 2 does; raise UserError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_PREFIX)) in (_PREFIX, _PREFIX_OF_VERSION_1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name an existing file") from error


def read_jls(path: str | Path, stated: TraceColumns = UNSTATED) -> Recording:
    """Read a JLS file of version 2; time counts from the first sample of the current.

    Raises:
        UserError: pyjls does not read the file, or the signals of current or pin are in doubt.
    """
    # Opening a file that was never closed repairs it in place; the evidence names the digest of the original.
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copyfile(path, Path(folder) / "copy.jls")
        try:
            with pyjls.Reader(str(copy)) as reader:
                return _read(path, reader, stated)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise UserError(
                f"{path}: pyjls does not read it ({' '.join(str(error).split())}); open it in the Joulescope UI "
                "and export it again, as JLS version 2 or CSV"
            ) from error


def _read(path: str | Path, reader: pyjls.Reader, stated: TraceColumns) -> Recording:
    signals = {
        each.signal_id: each for each in reader.signals.values() if each.signal_type == pyjls.SignalType.FSR
    }
    columns = []
    for index, signal in signals.items():
        quantity, exponent = UNITS.get(signal.units.casefold(), (None, 0))
        # The low 16 bits of a type give kind and width, the upper ones fixed-point formats.
        if signal.data_type & 0xFFFF == pyjls.DataType.U1:
            quantity, exponent = "digital", 0
        if quantity and signal.length:
            name = f"{reader.sources[signal.source_id].name}.{signal.name}"
            columns.append(Column(index, name, quantity, exponent))
    if stated.time or stated.interval_s:
        raise UserError(f"{path}: a JLS file has a clock of its own; remove 'time' and 'interval_s'")
    current = pick_current(path, columns, stated)
    voltages = pick_voltages(path, columns, stated, current)
    pins = pick_pins(path, columns, stated)

    def time_s(column: Column) -> NDArray[np.float64]:
        signal = signals[column.index]
        start_s = 0.0
        if reader.time_map_length(column.index) and reader.time_map_length(current.index):
            ticks = [reader.sample_id_to_timestamp(each.index, 0) for each in (column, current)]
            start_s = (ticks[0] - ticks[1]) / pyjls.time64.SECOND
        return start_s + np.arange(signal.length) / signal.sample_rate

    def values(column: Column) -> NDArray[np.float64]:
        return column.scaled(reader.fsr(column.index, 0, signals[column.index].length).astype(np.float64))

    voltage = pick_supply(path, voltages, stated, values)
    measured = in_mA(values(current), stated)
    present = np.isfinite(measured)
    clock_s = time_s(current)[present]

    def held(column: Column, levels: NDArray[Any]) -> NDArray[Any]:
        """Return a signal at the times of the current: its last sample before."""
        return levels[np.maximum(np.searchsorted(time_s(column), clock_s, side="right") - 1, 0)]

    levels = {}
    for pin in pins:
        if pin.quantity == "digital":
            length = signals[pin.index].length
            bits = np.unpackbits(reader.fsr(pin.index, 0, length), bitorder="little", count=length)
            levels[pin.name] = held(pin, bits.astype(bool))
        else:
            levels[pin.name] = above_middle(held(pin, values(pin)))
    active, notes = pick_level(path, levels, stated)
    return Recording(
        "Joulescope",
        clock_s,
        measured[present],
        voltage_V=held(voltage, values(voltage)) if voltage else None,
        active=active,
        full_scale_mA=stated.full_scale_mA or JOULESCOPE_FULL_SCALE_mA,
        notes=(*notes, *unused(columns, (current, voltage, *pins))),
        unit_mA=current.scaled(np.ones(1))[0] * (stated.current_mA_per_V or 1.0),
    )
