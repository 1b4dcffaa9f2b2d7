"""A simulated instrument: records a board whose current, voltage and pin are known, in the formats of real ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paper2board.core.evidence import Kind
from paper2board.traces.columns import UNSTATED, TraceColumns
from paper2board.traces.trace import Trace

SUPPLY_V = 5.0
PROBE = TraceColumns(current="CH1", current_mA_per_V=100.0, voltage="CH2", gpio="CH3")


def record(
    windows_s: list[tuple[float, float]],
    length_s: float,
    *,
    rate_Hz: float = 1000.0,
    noise_mA: float = 0.0,
    step_mA: float = 0.0,
    ceiling_mA: float = np.inf,
    seed: int = 0,
) -> Trace:
    """Return what an ideal instrument with these faults sees: 36 mA, 44 mA within the windows, at 5 V; the pin."""
    time_s = np.arange(round(length_s * rate_Hz)) / rate_Hz
    active = np.zeros(len(time_s), bool)
    for start_s, end_s in windows_s:
        active |= (start_s <= time_s) & (time_s < end_s)
    current_mA = np.where(active, 44.0, 36.0)
    current_mA += np.random.default_rng(seed).normal(0, noise_mA, len(time_s))
    if step_mA:
        current_mA = np.round(current_mA / step_mA) * step_mA
    return Trace(
        time_s,
        np.minimum(current_mA, ceiling_mA),
        Kind.MEASURED,
        np.full(len(time_s), SUPPLY_V),
        active,
    )


def keep(trace: Trace, samples: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Trace:
    """Return the trace with these samples alone."""
    assert trace.voltage_V is not None and trace.active is not None
    return replace(
        trace,
        time_s=trace.time_s[samples],
        current_mA=trace.current_mA[samples],
        voltage_V=trace.voltage_V[samples],
        active=trace.active[samples],
    )


@dataclass(frozen=True)
class Format:
    """How an instrument writes, how finely, and what its owner has to say about its stated."""

    write: Callable[[Trace], str]
    current_step_mA: float
    time_step_s: float = 1e-6
    stated: TraceColumns = UNSTATED
    voltage: bool = True
    pin: bool = True


def _rows(
    header: str, form: Callable[[float, float, float, bool], str], end: str = "\n"
) -> Callable[[Trace], str]:
    """Return a writer: the header, then for each sample ``form`` of time (s), current (mA), voltage (V) and pin."""

    def write(trace: Trace) -> str:
        assert trace.voltage_V is not None and trace.active is not None
        columns = (trace.time_s, trace.current_mA, trace.voltage_V, trace.active)
        rows = (form(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
        return end.join([*header.splitlines(), *rows]) + end

    return write


def _bits(pin: bool) -> str:
    return "".join("1" if pin and bit == 2 else "0" for bit in range(8))


def _counted(trace: Trace) -> str:
    """Rigol DS1000Z: the time is that of the first sample and an interval."""
    interval_s = (trace.time_s[-1] - trace.time_s[0]) / (len(trace.time_s) - 1)
    numbers = iter(range(len(trace.time_s)))
    return _rows(
        f"X,CH1,CH2,CH3,Start,Increment,\nSequence,Volt,Volt,Volt,{trace.time_s[0]:.6e},{interval_s:.6e},",
        lambda t, i, v, pin: f"{next(numbers)},{i / 100:.6e},{v:.6e},{3.3 * pin:.6e},",
        "\r\n",
    )(trace)


def _tds(trace: Trace) -> str:
    """Tektronix TDS: the preamble is beside the first samples; one channel a file."""
    preamble = [
        f"Record Length,{len(trace.time_s):.6e}",
        "Sample Interval,1.000000e-03",
        "Trigger Point,5.000000000000e+01",
        *(["" + ","] * 3),
        "Source,CH1",
        "Vertical Units,V",
        "Vertical Scale,1.000000e-01",
        "Vertical Offset,0.000000e+00",
        "Horizontal Units,s",
        "Horizontal Scale,5.000000e-02",
        "Pt Fmt,Y",
        "Yzero,0.000000e+00",
        "Probe Atten,1.000000e+00",
        "Model Number,TDS2024B",
        "Serial Number,C000000",
        "Firmware Version,FV:v22.01",
    ]
    left = iter(preamble)
    return _rows("", lambda t, i, v, pin: f"{next(left, ',')},,{t:018.12f}, {i / 100:.6f},")(trace)


_MSO = """Model,MDO3014
Firmware Version,1.20

Waveform Type,ANALOG,,,Waveform Type,DIGITAL,
Point Format,Y,Y,,Point Format,Y,
Horizontal Units,s,s,,Horizontal Units,s,
Sample Interval,1e-03,1e-03,,Sample Interval,1e-03,
Vertical Units,A,V,,Vertical Units,V,V
,,,,,,
Label,board,supply,,Label,PIN,
TIME,CH1,CH2,,TIME,D1,D0"""
_SIGLENT = """Record Length,Analog:1000,
Sample Interval,Analog:1.000000E-03,
Vertical Units,CH1:V, CH2:V, CH3:V,,
Horizontal Units,s,
Model Number,SDS1104X-U,
Source,CH1,CH2,CH3
Second,Value,Value,Value"""


def _volts(form: str) -> Callable[[float, float, float, bool], str]:
    return lambda t, i, v, pin: form.format(t=t, i=i / 100, v=v, pin=3.3 * pin)


FORMATS = {
    "ours": Format(
        _rows("time_s,current_mA,voltage_V,gpio", lambda t, i, v, pin: f"{t:.6f},{i:.3f},{v:.6f},{pin:d}"),
        1e-3,
    ),
    "named columns": Format(
        _rows(
            '"Time (ms)";"Voltage (mV)";"Current (µA)";"GPIO4"',
            lambda t, i, v, pin: f"{t * 1e3:.3f};{v * 1e3:.3f};{i * 1e3:.2f};{pin:d}",
        ),
        1e-5,
    ),
    "tabs": Format(
        _rows(
            "timestamp_us\tcurrent_A\tvoltage_V",
            lambda t, i, v, pin: f"{t * 1e6:.0f}\t{i / 1e3:.9f}\t{v:.3f}",
        ),
        1e-6,
        pin=False,
    ),
    "PPK2": Format(
        _rows(
            "Timestamp(ms),Current(uA),D0-D7",
            lambda t, i, v, pin: f"{t * 1e3:.3f},{i * 1e3:.3f},{_bits(pin)}",
        ),
        1e-6,
        voltage=False,
    ),
    "PPK2, separate": Format(
        _rows(
            "Timestamp(ms),Current(uA),D0-D7,D0,D1,D2,D3,D4,D5,D6,D7",
            lambda t, i, v, pin: f"{t * 1e3:.3f},{i * 1e3:.3f},{_bits(pin)},{','.join(_bits(pin))}",
        ),
        1e-6,
        voltage=False,
    ),
    "Joulescope, visible": Format(
        _rows(
            "# time,JS220-000123.i,JS220-000123.v,JS220-000123.p,JS220-000123.0",
            lambda t, i, v, pin: f"{t:.18e},{i / 1e3:.18e},{v:.18e},{i * v / 1e3:.18e},{pin:.18e}",
        ),
        1e-9,
    ),
    "Joulescope, pyjls csv": Format(
        _rows(
            "# timestamp,JS220-000123.current,JS220-000123.voltage,JS220-000123.gpi[0]",
            lambda t, i, v, pin: f"{t:.6f},{i / 1e3:+9e},{v:+9e},{pin:.3f}",
        ),
        1e-5,
    ),
    "Joulescope, statistics": Format(
        _rows(
            "#time,current,voltage,power,charge,energy",
            lambda t, i, v, pin: f"{t:.4f},{i / 1e3:g},{v:g},{i * v / 1e3:g},0,0",
        ),
        1e-3,
        1e-4,
        pin=False,
    ),
    "Joulescope of 2019": Format(
        _rows("#time (s),current (A),voltage (V)", lambda t, i, v, pin: f"{t:.7f},{i / 1e3:.4e},{v:.4f}"),
        1e-3,
        pin=False,
    ),
    "INA219, luca-bondi": Format(
        _rows(
            "Timestamp[ms],BusV[V],ShuntV[mV],LoadV[V],Current[mA]",
            lambda t, i, v, pin: f"{t * 1e3:.0f},{v:.2f},{i / 10:.2f},{v + i / 1e4:.2f},{i:.2f}",
            "\r\n",
        ),
        1e-2,
        1e-3,
        pin=False,
    ),
    "INA226, PowerLogger": Format(
        _rows(
            "Data measured from, 2024-01-01 12:00:00\nmillis,micros,status,Load_Voltage,Current_mA, load_Power_mW",
            lambda t, i, v, pin: f"{t * 1e3:.0f},{t * 1e6:.0f},0,{v:.5f},{i:.5f},{i * v:.5f}",
            "\r\n",
        ),
        1e-5,
        voltage=False,
        pin=False,
    ),
    "INA219, Tiny-VA-Meter": Format(
        _rows(
            "currentMillis,busvoltage,shuntvoltage,loadvoltage,current_ma,power_mw,mAh",
            lambda t, i, v, pin: f"{t * 1e3:.0f},{v:.2f},{i / 10:.2f},{v:.2f},{i:.2f},{i * v:.2f},0.01",
        ),
        1e-2,
        1e-3,
        pin=False,
    ),
    "Rigol DS1000E": Format(
        _rows("X,CH1,CH2,CH3,\nSecond,Volt,Volt,Volt,", _volts("{t:.7e},{i:.5e},{v:.5e},{pin:.5e},"), "\r\n"),
        1e-3,
        stated=PROBE,
    ),
    "Rigol DS1000B": Format(
        _rows(",CH1,CH2,CH3\nSecond,Volt,Volt,Volt", _volts("{t:.6e},{i:.4e},{v:.2e},{pin:.2e}, "), "\r\n"),
        1e-2,
        stated=PROBE,
    ),
    "Rigol DS1000Z": Format(_counted, 1e-4, stated=PROBE),
    "Keysight": Format(
        _rows(
            "x-axis,1,2,3\nsecond,Ampere,Volt,Volt",
            lambda t, i, v, pin: f"{t:+.6E},{i / 1e3:+.6E},{v:+.3E},{3.3 * pin:+.3E}",
        ),
        1e-4,
        stated=TraceColumns(voltage="2", gpio="3"),
    ),
    "Siglent": Format(_rows(_SIGLENT, _volts("{t:+.6E},{i:+.6E},{v:+.6E},{pin:+.6E}")), 1e-4, stated=PROBE),
    "Siglent, converted": Format(
        _rows(
            "Record Length,Analog:1000\nSample Rate,1000.0\nVertical Scale,CH1: 0.05\nHorizontal Scale, 0.01\n"
            "Second,Volt,Volt,Volt",
            _volts("{t:.11f},{i:.5f},{v:.5f},{pin:.5f}"),
        ),
        1e-3,
        stated=PROBE,
    ),
    "PicoScope": Format(
        _rows(
            "Time,Channel A,Channel B,Channel C\n(ms),(mV),(V),(V)\n\n",
            lambda t, i, v, pin: f"{t * 1e3:.8f},{i * 10:.8f},{v:.8f},{3.3 * pin:.8f}",
        ),
        1e-6,
        stated=TraceColumns(
            current="Channel A", current_mA_per_V=100.0, voltage="Channel B", gpio="Channel C"
        ),
    ),
    "Tektronix TDS": Format(
        _tds, 1e-4, stated=TraceColumns(current="CH1", current_mA_per_V=100.0), voltage=False, pin=False
    ),
    "Tektronix MDO": Format(
        _rows(_MSO, lambda t, i, v, pin: f"{t:.6e},{i / 1e3:.8f},{v:g},,{t:.6e},{pin:d},0"),
        1e-5,
        stated=TraceColumns(voltage="CH2"),
    ),
}
