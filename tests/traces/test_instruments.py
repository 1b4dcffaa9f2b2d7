"""Every format of the simulated instrument reads back to within its resolution; whatever is wrong is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyjls
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_instruments import FORMATS, PROBE, SUPPLY_V, Format, keep, record

from paper2board.boards.board import ActiveWindowThresholds, load_board
from paper2board.core.errors import UserError
from paper2board.energy.trace_metrics import trace_metrics
from paper2board.traces.active_window import locate_windows, measure_windows
from paper2board.traces.columns import UNSTATED, TraceColumns
from paper2board.traces.laps import read_laps
from paper2board.traces.trace import Trace, read_trace

BOARD = load_board(Path(__file__).parents[2] / "config" / "boards" / "esp32-wroom.yaml")
THRESHOLDS = ActiveWindowThresholds(current_min_mA=40, current_max_mA=60, boot_s=0.1, min_duration_s=0.05)
WINDOWS_S = [(0.2, 0.35), (0.5, 0.62), (0.8, 0.91)]

every_format = pytest.mark.parametrize("name", FORMATS)
in_one_folder = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _read(folder: Path, of: Format, trace: Trace, stated: TraceColumns | None = None) -> Trace:
    return _read_text(folder, of.write(trace), stated or of.stated)


def _read_text(folder: Path, text: str | bytes, stated: TraceColumns = UNSTATED) -> Trace:
    path = folder / "recording.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trace(path, stated)


@every_format
@in_one_folder
@given(
    # No two alike, and none is zero: repeated samples and zeros are lost ones.
    currents=st.lists(st.integers(1, 900), min_size=120, max_size=200, unique=True),
    offset_mA=st.floats(0, 0.5),
    rate_Hz=st.sampled_from([50.0, 500.0, 1000.0]),
    edges=st.lists(st.integers(1, 118), min_size=2, max_size=2, unique=True).map(sorted),
    volts=st.floats(2, 6),
)
def test_a_recording_reads_back_to_its_resolution(
    tmp_path: Path,
    name: str,
    currents: list[int],
    offset_mA: float,
    rate_Hz: float,
    edges: list[int],
    volts: float,
) -> None:
    of = FORMATS[name]
    trace = record([], len(currents) / rate_Hz, rate_Hz=rate_Hz)
    current_mA = (
        np.array(currents) + offset_mA + 1e-3 * np.arange(len(currents))
    )  # no plateau is taken for a ceiling
    active = (edges[0] <= np.arange(len(currents))) & (np.arange(len(currents)) < edges[1])
    trace = replace(trace, current_mA=current_mA, voltage_V=np.full(len(currents), volts), active=active)
    again = _read(tmp_path, of, trace)
    # The relative part is for formats with a number of digits, not of decimals.
    np.testing.assert_allclose(again.current_mA, current_mA, atol=0.51 * of.current_step_mA, rtol=1e-4)
    np.testing.assert_allclose(again.time_s, trace.time_s, atol=0.51 * of.time_step_s, rtol=1e-9)
    assert (again.voltage_V is not None) == of.voltage
    if again.voltage_V is not None:
        np.testing.assert_allclose(again.voltage_V, volts, atol=0.0051)
    assert (again.active is not None) == of.pin
    if again.active is not None:
        np.testing.assert_array_equal(again.active, active)


@every_format
def test_windows_and_charges_are_those_known(tmp_path: Path, name: str) -> None:
    """To 1 %: one sampling interval of the shortest window; the noise averages out."""
    of = FORMATS[name]
    trace = _read(tmp_path, of, record(WINDOWS_S, 1.2, noise_mA=0.2))
    windows = measure_windows(trace, locate_windows(trace, THRESHOLDS))
    assert [window.start_s for window in windows] == pytest.approx([a for a, _ in WINDOWS_S], abs=1e-3)
    for window, (start_s, end_s) in zip(windows, WINDOWS_S, strict=True):
        assert window.duration_s == pytest.approx(end_s - start_s, abs=1e-3)
        charge_mC = 44.0 * (end_s - start_s)
        assert window.charge_mC == pytest.approx(charge_mC, rel=0.01)
        if of.voltage:
            assert window.energy_mJ == pytest.approx(charge_mC * SUPPLY_V, rel=0.01)
        else:
            assert window.energy_mJ is None


@pytest.mark.parametrize(
    ("header", "value", "expected_mA"),
    [("current_A", "0.0364", 36.4), ("current_uA", "36400.3", 36.4003), ("current_nA", "7", 7e-6)],
)
def test_units_are_converted_exactly(tmp_path: Path, header: str, value: str, expected_mA: float) -> None:
    rows = "".join(f"{number},{value}\n" for number in range(100))
    trace = _read_text(tmp_path, f"time_ms,{header}\n{rows}")
    assert trace.current_mA[0] == expected_mA
    np.testing.assert_array_equal(trace.time_s, [float(f"{number}e-3") for number in range(100)])


@pytest.mark.parametrize(
    "name", [name for name in FORMATS if name != "Rigol DS1000Z"]
)  # counts, has no clock
def test_missing_samples_are_refused(tmp_path: Path, name: str) -> None:
    present = np.random.default_rng(1).random(1200) > 0.05
    with pytest.raises(UserError, match=r"recording\.csv: .*samples are missing"):
        _read(tmp_path, FORMATS[name], keep(record(WINDOWS_S, 1.2, noise_mA=0.2), present))


@every_format
def test_a_ceiling_is_noticed_without_being_told(tmp_path: Path, name: str) -> None:
    of = FORMATS[name]
    trace = record(WINDOWS_S, 1.2, noise_mA=0.5, ceiling_mA=43.5)
    if of.stated == TraceColumns() and name.startswith(("PPK2", "Joulescope,")):
        # These change ranges by themselves, and saturate at currents that are known.
        trace = replace(trace, current_mA=np.minimum(trace.current_mA * 1e3, 10_000))
    with pytest.raises(UserError, match=r"saturated at \d+(\.\d+)? mA, [\d.]+ s; .*full_scale_mA"):
        _read(tmp_path, of, trace)


def test_a_ceiling_that_cannot_be_judged_is_noted(tmp_path: Path) -> None:
    """The noise is below the converter's step, so a clipped current looks like a calm one."""
    calm, of = record(WINDOWS_S, 1.2, noise_mA=0.05, step_mA=1.0), FORMATS["ours"]
    calm.current_mA[::7] += 1.0
    assert _read(tmp_path, of, calm).notes == ()
    clipped = replace(calm, current_mA=np.minimum(calm.current_mA, 44.0))
    assert _read(tmp_path, of, clipped).notes == ("saturation cannot be judged; state full_scale_mA",)
    assert _read(tmp_path, of, clipped, TraceColumns(full_scale_mA=400)).notes == ()


def test_a_stated_full_scale_is_the_ceiling(tmp_path: Path) -> None:
    cut, of = record(WINDOWS_S, 1.2, noise_mA=0.5, ceiling_mA=43.5), FORMATS["ours"]
    with pytest.raises(UserError, match=r"saturated at 43\.5 mA"):
        _read(tmp_path, of, cut, TraceColumns(full_scale_mA=43.5))
    assert len(_read(tmp_path, of, cut, TraceColumns(full_scale_mA=400)).time_s) == 1200


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    noise_mA=st.floats(0, 2), step_mA=st.sampled_from([0.0, 0.05, 0.1, 0.8]), seed=st.integers(0, 2**32 - 1)
)
def test_no_current_is_taken_for_a_ceiling(
    tmp_path: Path, noise_mA: float, step_mA: float, seed: int
) -> None:
    trace = record(WINDOWS_S, 1.2, noise_mA=noise_mA, step_mA=step_mA, seed=seed)
    assert len(_read(tmp_path, FORMATS["ours"], trace).time_s) == 1200


def test_a_clock_gap_is_noted_carried_to_the_evidence_and_costs_its_window(tmp_path: Path) -> None:
    windows_s = [(3.0, 3.4), (5.0, 5.4), (7.0, 7.4)]
    trace = record(windows_s, 30, noise_mA=0.1)
    present = np.ones(len(trace.time_s), bool)
    present[5100:5120] = False
    trace = _read(tmp_path, FORMATS["PPK2"], keep(trace, present))
    assert trace.notes == (
        "recorded by Nordic PPK2",
        "samples missing or lost: 20 missing",
        "clock gaps: 1, the longest 21 ms at 5.099 s",
    )
    metrics = trace_metrics(trace, BOARD, {"trace": "d" * 64})
    assert metrics["energy.trace.windows"].value == 2
    assert "recorded pin" in metrics["energy.trace.windows"].method
    assert metrics["energy.trace.energy"].method.endswith(
        "recorded by Nordic PPK2; samples missing or lost: 20 missing; clock gaps: 1, the longest 21 ms at 5.099 s"
    )


@every_format
@in_one_folder
@given(data=st.data())
def test_a_cut_file_gives_a_shorter_trace_or_a_user_error(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    of, trace = FORMATS[name], record(WINDOWS_S, 1.2, noise_mA=0.2)
    text = of.write(trace)
    try:
        again = _read_text(tmp_path, text[: data.draw(st.integers(0, len(text)))], of.stated)
    except UserError as error:
        assert "recording.csv" in str(error)
    else:
        length = len(again.time_s)
        np.testing.assert_allclose(again.current_mA, trace.current_mA[:length], atol=0.01, rtol=1e-4)


@every_format
@in_one_folder
@given(data=st.data())
def test_damage_gives_a_trace_or_a_user_error(tmp_path: Path, name: str, data: st.DataObject) -> None:
    of = FORMATS[name]
    text = of.write(keep(record(WINDOWS_S, 1.2), slice(150, 300))).encode()
    at = data.draw(st.integers(0, len(text)))
    damage = data.draw(
        st.binary(max_size=8)
        | st.sampled_from(
            [b",", b";", b"\t", b"\n", b'"', b"#", b"-", b"e", b"nan", b"inf", b"1e308", b"\xff"]
        )
    )
    try:
        trace = _read_text(
            tmp_path, text[:at] + damage + text[at + data.draw(st.integers(0, 40)) :], of.stated
        )
    except UserError as error:
        assert "recording.csv" in str(error)
    else:
        _is_valid(trace)


def _is_valid(trace: Trace) -> None:
    assert (np.diff(trace.time_s) > 0).all()
    assert np.isfinite(trace.time_s).all() and np.isfinite(trace.current_mA).all()
    assert trace.voltage_V is None or np.isfinite(trace.voltage_V).all()
    columns = [each for each in (trace.voltage_V, trace.active) if each is not None]
    assert {len(trace.time_s)} == {len(each) for each in (trace.current_mA, *columns)}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from(
        [*(of.write(record([], 0.001)) for of in FORMATS.values() if of.write.__name__ == "write"), ""]
    ),
    tail=st.binary(max_size=200) | st.text(alphabet="0123456789.,;\t\n-eX ", max_size=400).map(str.encode),
    stated=st.sampled_from([TraceColumns(), PROBE, TraceColumns(gpio="D0"), TraceColumns(voltage="CH2")]),
)
def test_garbage_gives_a_trace_or_a_user_error(
    tmp_path: Path, head: str, tail: bytes, stated: TraceColumns
) -> None:
    try:
        trace = _read_text(tmp_path, head.encode() + tail, stated)
    except UserError as error:
        assert "recording.csv" in str(error)
    else:
        _is_valid(trace)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("ours", ".", ",", "has 7 columns, the header 4"),
        ("PPK2", "44000.000,", "nan,", "without a number; the first is sample 81"),
        ("ours", "44.000,", "inf,", "without a number"),
        ("PPK2", "00100000", "0010000", "column D0-D7 holds no logic levels"),
        ("ours", ",1\n", ",on\n", "column gpio holds no logic levels"),
        ("ours", "time_s", "date", "header is not understood; the CSV exports of .*Nordic's PPK2"),
        ("ours", "current_mA", "current", "head it by name and unit, as current_mA"),
        ("Joulescope of 2019", "#time (s),current (A),voltage (V)\n", "", "header is not understood"),
        ("INA219, luca-bondi", "\n281,", "\n280,", "does not increase at sample 282"),
        ("Joulescope, statistics", "0.0010,", "20240101T120000Z,", "time as a number"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, name: str, old: str, new: str, says: str) -> None:
    of = FORMATS[name]
    text = of.write(record([(0.08, 0.3)], 0.4))
    assert old in text
    with pytest.raises(UserError, match=rf"recording\.csv: .*{says}"):
        _read_text(tmp_path, text.replace(old, new), of.stated)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.csv: cannot be read"):
        read_trace(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("name", "stated", "says"),
    [
        ("Rigol DS1000E", TraceColumns(), "open which column is the current; .* one of: CH1, CH2, CH3"),
        ("Rigol DS1000E", TraceColumns(current="CH1"), "CH1 is a voltage; state 'current_mA_per_V'"),
        (
            "Rigol DS1000E",
            TraceColumns(current="CH9"),
            "no column 'CH9'; 'current' can be one of: CH1, CH2, CH3",
        ),
        ("Keysight", TraceColumns(current_mA_per_V=10), "1 is in ampere already; remove"),
        ("ours", TraceColumns(voltage="CH2"), "no column 'CH2'; 'voltage' can be one of: voltage_V"),
        ("PPK2", TraceColumns(gpio="D3"), "channel D3 never changes"),
        ("PPK2", TraceColumns(gpio="D9"), "no column 'D9'; 'gpio' can be one of: none"),
        ("PPK2, separate", TraceColumns(gpio="D9"), "no column 'D9'; 'gpio' can be one of: D0, D1"),
        ("Rigol DS1000E", PROBE.model_copy(update={"gpio": "CH2", "voltage": None}), "CH2 never changes"),
    ],
)
def test_wiring_that_does_not_fit_is_refused(
    tmp_path: Path, name: str, stated: TraceColumns, says: str
) -> None:
    with pytest.raises(UserError, match=rf"recording\.csv: .*{says}"):
        _read(tmp_path, FORMATS[name], record(WINDOWS_S, 1.2), stated)


@pytest.mark.parametrize(
    "same", [{"voltage": "ch1"}, {"gpio": "CH1"}, {"current": "CH3", "voltage": "CH2", "gpio": "CH2"}]
)
def test_one_column_is_not_two_things(same: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="one column for two"):
        TraceColumns(**{"current": "CH1"} | same)


def test_the_voltage_of_shunt_or_pin_is_not_the_supplys(tmp_path: Path) -> None:
    rows = "".join(f"{number},{0.3 + number % 2},{3.3 * (number < 50)}\n" for number in range(100))
    shunt = TraceColumns(current="voltage_V", current_mA_per_V=100)
    trace = _read_text(tmp_path, f"time_ms,voltage_V,pin[V]\n{rows}", shunt)
    assert (trace.current_mA[0], trace.voltage_V) == (30, None)
    pin = TraceColumns(gpio="Vbus[V]")
    trace = _read_text(tmp_path, f"time_ms,current_mA,Vbus[V]\n{rows}", pin)
    assert trace.voltage_V is None and trace.active is not None and trace.active.sum() == 50


@pytest.mark.parametrize(
    ("names", "one"),
    [
        ("time_s,uptime_ms", 0),
        ("uptime_ms,timestamp_s", 1),
        ("time_s,timestamp_ms", 1),
        ("time_us,time_ms", 0),
        ("millis,micros", 1),
        ("micros,currentMillis", 0),
    ],
)
def test_the_clock_is_the_one_called_so_and_the_finer_of_a_pair(tmp_path: Path, names: str, one: int) -> None:
    unit_s = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "millis": 1e-3, "currentMillis": 1e-3, "micros": 1e-6}
    rows = "".join(f"{number},{2 * number},36\n" for number in range(100))
    trace = _read_text(tmp_path, f"{names},current_mA\n{rows}")
    step_s = (1 + one) * unit_s[names.split(",")[one].rpartition("_")[2]]
    assert np.diff(trace.time_s) == pytest.approx(step_s)


@pytest.mark.parametrize("names", ["elapsed_ms,latency_us", "time_s,millis"])
def test_one_of_several_clocks_has_to_be_called_time(tmp_path: Path, names: str) -> None:
    rows = "".join(f"{number},{2 * number},36\n" for number in range(100))
    with pytest.raises(UserError, match=rf"open which column is the time.*{names.replace(',', ', ')}"):
        _read_text(tmp_path, f"{names},current_mA\n{rows}")


def test_one_letter_at_a_names_end_is_a_unit_only_of_a_known_name(tmp_path: Path) -> None:
    rows = "".join(f"{number},1,2,3,4\n" for number in range(100))
    trace = _read_text(tmp_path, f"t_s,ch_a,phase_v,usb_current_A,bus_voltage_V\n{rows}")
    assert trace.current_mA[0] == 3000 and trace.voltage_V is not None and trace.voltage_V[0] == 4
    trace = _read_text(tmp_path, f"time[s],ch[a],x_s,y_s,z_v\n{rows}")
    assert (trace.current_mA[0], trace.voltage_V) == (1000, None)
    with pytest.raises(UserError, match="header is not understood"):
        _read_text(tmp_path, f"time_s,ch_a,phase_v,x,y\n{rows}")


def test_one_of_several_currents_has_to_be_named(tmp_path: Path) -> None:
    rows = "".join(f"{number},{number},{number + 1}\n" for number in range(100))
    text = f"time_ms,board_mA,usb_mA\n{rows}"
    with pytest.raises(UserError, match="one of: board_mA, usb_mA"):
        _read_text(tmp_path, text)
    assert _read_text(tmp_path, text, TraceColumns(current="usb_mA")).current_mA[0] == 1


@pytest.mark.parametrize("name", ["PPK2", "PPK2, separate"])
def test_one_of_several_channels_that_change_has_to_be_named(tmp_path: Path, name: str) -> None:
    text = FORMATS[name].write(record(WINDOWS_S, 1.2))
    pin = np.array([line.split(",")[2][2] == "1" for line in text.splitlines()[1:]])
    # In sample 6 D5 was both, as the application writes at reduced rates.
    text = text.replace("00100000", "00100100").replace("0,0,1,0,0,0", "0,0,1,0,0,1")
    text = text.replace("\n5.000,36000.000,00000000,0,0,0,0,0,0", "\n5.000,36000.000,00000X00,0,0,0,0,0,X")
    with pytest.raises(UserError, match="the channels D2, D5 change; name the one"):
        _read_text(tmp_path, text)
    for channel in ("D2", "D5"):
        np.testing.assert_array_equal(_read_text(tmp_path, text, TraceColumns(gpio=channel)).active, pin)


def test_a_pin_that_is_not_connected_is_noted(tmp_path: Path) -> None:
    trace = _read(tmp_path, FORMATS["PPK2"], record([], 1.2, noise_mA=0.1))
    assert trace.active is None
    assert trace.notes == ("recorded by Nordic PPK2", "no digital channel changes")


def test_laps_of_a_log_are_windows(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    log.write_text(
        "m-lap-us-272\r\nm-init-done\r\nm-ready\r\n"
        "m-warmup-start-1\r\nm-warmup-done\r\nm-infer-start-2\r\nm-lap-us-282555\r\nm-lap-us-775007\r\nm-infer-done\r\n"
        "~0002:02:m-infer-start-2:01234567\r\n~0002:03:m-lap-us-1282555:01234567\r\n"
        "~0002:04:m-lap-us-1775007:01234567\r\n~0002:05:m-infer-done:01234567\r\n"
    )
    assert read_laps(log) == ([(0.282555, 0.775007), (1.282555, 1.775007)], 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("m-lap-us-5\n", "no complete replies"),
        ("m-infer-start-1\nm-lap-us-5\nm-infer-done\n", "no complete replies"),
        ("m-infer-start-1\nm-lap-us-9\nm-lap-us-5\nm-infer-done\n", "clock goes back"),
        (
            "m-infer-start-1\nm-lap-us-5\nm-lap-us-9\nm-infer-done\n"
            "m-infer-start-50\nm-lap-us-15\nm-lap-us-19\nm-infer-done\n",
            "commands of 1 and of 50 inferences",
        ),
    ],
)
def test_logs_without_laps_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "serial.log").write_text(text)
    with pytest.raises(UserError, match=rf"serial\.log: .*{says}"):
        read_laps(tmp_path / "serial.log")


class TestJls:
    """Joulescope's binary files."""

    @staticmethod
    def _write(path: Path, trace: Trace, rate_Hz: int = 1000, lag_s: float = 0.0) -> None:
        """Write as the Joulescope UI does; the voltage at half the rate, the pin at full, begun ``lag_s`` later."""
        assert trace.voltage_V is not None and trace.active is not None
        second = pyjls.time64.SECOND
        late = round(lag_s * rate_Hz)
        signals: list[tuple[str, str, object, int, np.ndarray, float]] = [
            ("current", "A", pyjls.DataType.F32, rate_Hz, (trace.current_mA / 1e3).astype(np.float32), 0),
            ("voltage", "V", pyjls.DataType.F32, rate_Hz // 2, trace.voltage_V[::2].astype(np.float32), 0),
            ("gpi[0]", "", pyjls.DataType.U1, rate_Hz, trace.active[late:], lag_s),
        ]
        with pyjls.Writer(str(path)) as writer:
            writer.source_def(
                1, name="JS220-000123", vendor="Jetperch", model="JS220", version="1", serial_number="1"
            )
            for number, (name, units, kind, rate, _, _) in enumerate(signals, 1):
                writer.signal_def(number, 1, data_type=kind, sample_rate=rate, name=name, units=units)
            for number, (_, _, kind, rate, values, start_s) in enumerate(signals, 1):
                for sample in (0, len(values) - 1):
                    writer.utc(number, sample, round((300 + start_s + sample / rate) * second))
                packed = kind == pyjls.DataType.U1
                writer.fsr(number, 0, np.packbits(values, bitorder="little") if packed else values)

    @pytest.mark.parametrize("lag_s", [0.0, 0.05])
    def test_it_reads_back(self, tmp_path: Path, lag_s: float) -> None:
        trace = record(WINDOWS_S, 1.6, noise_mA=0.1)
        path = tmp_path / "recording.jls"
        self._write(path, trace, lag_s=lag_s)
        before = path.read_bytes()
        again = read_trace(path)
        assert path.read_bytes() == before
        assert again.notes == ("recorded by Joulescope",)
        np.testing.assert_allclose(again.current_mA, trace.current_mA, rtol=1e-6)
        np.testing.assert_allclose(again.time_s, trace.time_s, atol=1e-9)
        np.testing.assert_allclose(again.voltage_V, SUPPLY_V, rtol=1e-6)
        windows = locate_windows(again, THRESHOLDS)
        assert [window.start_s for window in windows] == pytest.approx([a for a, _ in WINDOWS_S], abs=1e-3)

    def test_missing_samples_are_holes(self, tmp_path: Path) -> None:
        trace = record(WINDOWS_S, 1.6, noise_mA=0.1)
        trace.current_mA[700:720] = np.nan
        self._write(tmp_path / "recording.jls", trace)
        with pytest.raises(UserError, match=r"recording\.jls: 1\.25% of the samples are missing"):
            read_trace(tmp_path / "recording.jls")

    @pytest.mark.parametrize("length", [16, 100, 1000, 6000])
    def test_a_cut_file_is_refused(self, tmp_path: Path, length: int) -> None:
        path = tmp_path / "recording.jls"
        self._write(path, record(WINDOWS_S, 1.6, noise_mA=0.1))
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(UserError, match=r"recording\.jls: "):
            read_trace(path)

    def test_a_file_that_was_never_closed_is_read(self, tmp_path: Path) -> None:
        trace = record(WINDOWS_S, 1.6, noise_mA=0.1)
        path = tmp_path / "recording.jls"
        self._write(path, trace)
        path.write_bytes(path.read_bytes()[:-30])
        again = read_trace(path)
        np.testing.assert_allclose(again.current_mA, trace.current_mA, rtol=1e-6)
        assert again.voltage_V is not None and again.active is not None

    def test_version_1_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "recording.jls"
        path.write_bytes(bytes.fromhex("d3746167666d74200d0a200a20201a1c") + bytes(100))
        with pytest.raises(UserError, match=r"recording\.jls: pyjls does not read it .*version 2"):
            read_trace(path)

    @pytest.mark.fuzz_doors
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damaged_bytes_give_a_trace_or_a_user_error(self, tmp_path: Path, data: st.DataObject) -> None:
        path = tmp_path / "recording.jls"
        self._write(path, record([(0.05, 0.1)], 0.2, noise_mA=0.1))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(32, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            _is_valid(read_trace(path))
        except UserError as error:
            assert "recording.jls" in str(error)
