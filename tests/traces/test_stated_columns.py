"""Columns by unit, in any text: used, asked for, or told; and columns that a study states."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import naming

from paper2board.core.errors import UserError
from paper2board.traces.columns import UNSTATED, TraceColumns
from paper2board.traces.trace import Trace, read_trace

N = 1000
TIME_S = np.arange(N) / 1000
CURRENT_mA = 40 + np.random.default_rng(0).normal(0, 0.1, N).round(4)
PROBE = TraceColumns(current="CH1V", current_mA_per_V=100)


def _read(folder: Path, content: str | bytes, stated: TraceColumns = UNSTATED) -> Trace:
    path = folder / "recording.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_trace(path, stated)


def _rows(head: str, form: str) -> str:
    """Fill in number n, time t (s), current i (mA) of each sample; 3.3 V."""
    rows = (
        form.format(n=n, t=t, ms=t * 1e3, i=i, A=i / 1e3)
        for n, (t, i) in enumerate(zip(TIME_S, CURRENT_mA, strict=True))
    )
    return head + "\n" + "\n".join(rows) + "\n"


def _check(trace: Trace, volts: float | None = 3.3) -> None:
    np.testing.assert_allclose(trace.current_mA, CURRENT_mA, atol=2e-3)
    np.testing.assert_allclose(np.diff(trace.time_s), 1e-3, atol=1e-5)
    assert (trace.voltage_V is None) == (volts is None)
    if trace.voltage_V is not None:
        np.testing.assert_allclose(trace.voltage_V, volts)


FILES = {
    "Keysight log": (
        "Model:,N6705C\nSample interval:,0.001\nTotal samples:,1000\nSample,Volt avg 1,Curr avg 1",
        "{n},3.3,{A:.7f}",
    ),
    "Keysight log, quoted": ('"Sample interval: 1.0E-3"\nSample,Volt avg 1,Curr avg 1', "{n},3.3,{A:.7f}"),
    "Otii": ("Timestamp (s),Main current (A),Main voltage (V)", "{t:.6f},{A:.7f},3.3"),
    "Otii without units": ("Timestamp,Arc Main Current,Arc Main Voltage", "{t:.6f},{A:.7f},3.3"),
    "Monsoon": (
        "Time (s),Main Min Current (mA),Main Avg Current (mA),Main Avg Voltage (V)",
        "{t:.4f},1,{i:.4f},3.3",
    ),
    "CurrentRanger": ("timestamp,amps,voltage_v", "{t:.6f},{A:.7f},3.3"),
    "FNIRSI": ("timestamp sample_in_packet voltage_V current_A dp_V", "{t:.3f} 0 3.3 {A:.7f} 0.6"),
    "Digilent": ("Time (s),Channel 1 (A),Channel 2 (V)", "{t:.4f},{A:.7f},3.3"),
    "German": ("Zeit in s;Strom / mA;Spannung {mV}", "{t:.4f};{i:.4f};3300"),
    "units in a second row": ("Zeit;Strom;Spannung\n[ms];[mA];[V]", "{ms:.1f};{i:.4f};3.3"),
    "own": ("time_s,current_mA,vcc_V", "{t:.4f},{i:.4f},3.3"),
    "angle brackets": ("t<ms>,i<µA>,bus<mV>", "{ms:.1f},{A:.7f}e6,3300"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_layout_is_read_in_every_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    _check(_read(tmp_path, _rows(*FILES[name]).encode(encoding)))


@pytest.mark.parametrize("name", ["German", "units in a second row"])
def test_decimal_commas_are_read(tmp_path: Path, name: str) -> None:
    head, form = FILES[name]
    _check(_read(tmp_path, _rows(head, form).replace(".", ",")))


def test_a_comma_that_may_group_digits_is_refused(tmp_path: Path) -> None:
    text = "time_s;current_uA\n" + "".join(f"{n};{990 + n:,}\n" for n in range(200))
    with pytest.raises(
        UserError, match=naming("recording.csv", "current_uA", "group digits", "without groups")
    ):
        _read(tmp_path, text)


@pytest.mark.parametrize("micro", ["µ", "μ", "u"])
def test_micro_in_every_form(tmp_path: Path, micro: str) -> None:
    _check(_read(tmp_path, _rows(f"time ({micro}s),current [{micro}A]", "{ms:.1f}e3,{A:.7f}e6")), None)


def test_latin_1_and_a_damaged_encoding(tmp_path: Path) -> None:
    text = _rows("Time,CH1V\n(µs),(V)", "{ms:.1f}e3,{A:.6f}e1")
    _check(_read(tmp_path, text.encode("latin-1"), PROBE), None)
    with pytest.raises(UserError, match=naming("recording.csv", "Latin-1", "not UTF-8")):
        _read(tmp_path, "Größe,Wert\n1,2\n".encode("latin-1"))
    with pytest.raises(UserError, match=naming("recording.csv", "zero bytes", "UTF-8")):
        _read(tmp_path, b"time_s,current_mA\n\0\n1,2\n")


@pytest.mark.parametrize(
    ("head", "form"),
    [
        ("CH1V,CH2V,t0 = -1.000000e+00, tInc = 1.000000e-03", "{A:.6f}e1,3.3,,"),
        ("Time(s),CH1V,CH2V", "{t:.6f},{A:.6f}e1,3.3"),
    ],
)
def test_rigols_newer_scopes(tmp_path: Path, head: str, form: str) -> None:
    _check(_read(tmp_path, _rows(head, form), PROBE))


@pytest.mark.parametrize(
    ("head", "form", "stated"),
    [
        ("Timestamp;amps;x", "{t:.4f};{A:.7f};1", {"time": "Timestamp in s", "current": "amps in A"}),
        ("n,amps", "{n},{A:.7f}", {"interval_s": 0.001, "current": "amps in A"}),
        ("tick,I", "{ms:.0f},{i:.4f}", {"time": "tick in ms", "current": "i in mA"}),
        ("time in s,load", "{t:.4f},{i:.4f}", {"time": "time in s", "current": "load in mA"}),
        ("{t:.4f},{i:.4f}", None, {"time": "1 in s", "current": "2 in mA"}),
        ("amps", "{A:.7f}", {"interval_s": 0.001, "current": "amps in A"}),
        ("a b c", "{t:.4f}  {i:.4f} 9", {"time": "a in s", "current": "b in mA"}),
    ],
)
def test_stated_columns_read_any_table(
    tmp_path: Path, head: str, form: str | None, stated: dict[str, str | float]
) -> None:
    text = _rows(head, form) if form else _rows("", head).lstrip("\n")
    _check(_read(tmp_path, text, TraceColumns.model_validate(stated)), None)


@pytest.mark.parametrize(
    ("head", "stated", "parts"),
    [
        ("time_s,amps", {"current": "amps"}, ("header is not understood", "amps in A")),
        ("time_s,a_mA,amps", {"current": "amps"}, ("'amps' has no unit", "'current: amps in mA'")),
        ("time_s,a_mA,b", {"current": "a_mA in A"}, ("'a_mA' is in A", "remove ' in A'")),
        ("time_s,a_mA,b", {"current": "c in A"}, ("no column 'c in A'", "a_mA", "b")),
        ("time_s,a_mA,a_mA", {"current": "a_mA"}, ("2 columns are called 'a_mA'",)),
        ("t_s,u_ms,a_mA", {}, ("which column is the time", "'time'", "t_s, u_ms")),
    ],
)
def test_what_is_wrong_with_a_stated_column_is_told(
    tmp_path: Path, head: str, stated: dict[str, str], parts: tuple[str, ...]
) -> None:
    text = (
        head
        + "\n"
        + "".join(f"{n},{40 + n % 3},{n}\n"[: 99 if head.count(",") > 1 else -1] + "" for n in range(200))
    )
    if head.count(",") == 1:
        text = head + "\n" + "".join(f"{n},40\n" for n in range(200))
    with pytest.raises(UserError, match=naming("recording.csv", *parts)):
        _read(tmp_path, text, TraceColumns.model_validate(stated))


def test_time_and_interval_are_not_both_stated() -> None:
    with pytest.raises(ValueError, match="both 'time' and 'interval_s'"):
        TraceColumns(time="t in s", interval_s=0.1)


def test_a_supply_voltage_in_doubt_is_asked_for(tmp_path: Path) -> None:
    text = _rows("time_s,current_mA,vcc_V,bat_V,temp_mV", "{t:.4f},{i:.4f},3.3,3.7,250")
    with pytest.raises(
        UserError, match=naming("recording.csv", "supply voltage", "'voltage'", "vcc_V, bat_V")
    ):
        _read(tmp_path, text)
    trace = _read(tmp_path, text, TraceColumns(voltage="vcc_V"))
    _check(trace)
    assert "columns not used: bat_V, temp_mV" in trace.notes


@pytest.mark.parametrize("unit", ["W", "mW", "mJ", "mAh", "mV", "µA"])
def test_a_column_in_a_known_unit_that_is_not_used_is_told(tmp_path: Path, unit: str) -> None:
    trace = _read(tmp_path, _rows(f"time_s,current_mA,extra ({unit})", "{t:.4f},{i:.4f},0.2"))
    _check(trace, None)
    assert f"columns not used: extra ({unit})" in trace.notes


@pytest.mark.fuzz_doors
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
def test_permuted_columns_and_damaged_bytes_give_the_same_numbers_or_a_user_error(
    tmp_path: Path, data: st.DataObject, name: str
) -> None:
    """No damage makes another current of a sample, but where it is in that sample's own digits."""
    lines = _rows(*FILES[name]).splitlines()[:150]
    blank = " " if name == "FNIRSI" else ";" if ";" in lines[-1] else ","
    wide = [number for number, line in enumerate(lines) if line.count(blank) == lines[-1].count(blank)]
    order = data.draw(st.permutations(range(lines[-1].count(blank) + 1)))
    for number in wide:
        cells = lines[number].split(blank)
        lines[number] = blank.join(cells[each] for each in order)
    content = ("\n".join(lines) + "\n").encode()
    at, new = data.draw(st.integers(0, len(content))), data.draw(st.binary(max_size=4))
    damaged = content[:at] + new + content[at + data.draw(st.integers(0, 4)) :]
    try:
        trace = _read(tmp_path, damaged)
    except UserError as error:
        assert "recording.csv" in str(error)
        return
    assert (np.diff(trace.time_s) > 0).all()
    assert np.isfinite(trace.current_mA).all()
    off = ~np.isclose(trace.current_mA[:, None], CURRENT_mA[None, :150], atol=2e-3).any(axis=1)
    header = sum(map(len, lines[: min(wide) + 2])) + 4
    assert off.sum() <= 2 or at < header
