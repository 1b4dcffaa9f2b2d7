"""A study's recorded trace on its way through the script: no workflow, a simulated PPK2."""

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from simulated_instruments import FORMATS, SUPPLY_V, record

from paper2board.boards.board import Board, load_board
from paper2board.boards.figures import Figure
from paper2board.core.evidence import Evidence, Kind, read_metrics, write_metrics
from paper2board.core.files import digest
from paper2board.traces.columns import MeasuredTrace, TraceColumns
from paper2board.traces.trace import read_trace

ROOT = Path(__file__).parents[2]
BOARD = load_board(ROOT / "config" / "boards" / "esp32-wroom.yaml")
WINDOWS_S = [(2.5 + 0.4 * number, 2.7 + 0.4 * number) for number in range(8)]
"""After the board's start-up, longer than its detector's shortest window."""
CLAIMED = {"value_s": 0.32, "interval_s": (0.29, 0.42), "source": "deck"}


def run(
    folder: Path,
    trace: MeasuredTrace | None,
    board: Board = BOARD,
    claimed: dict[str, Any] | None = CLAIMED,
) -> dict[str, Evidence]:
    """Run the script as the rule would; return its metrics."""
    latency = Evidence(
        value=25.0,
        unit="ms",
        kind=Kind.MODELLED,
        method="test",
        interval=(22.0, 28.0),
        interval_method="test",
        chain={"image": "a" * 64},
    )
    write_metrics(folder / "device.json", {"device.winograd.latency": latency})
    outputs = {
        "metrics": "energy.json",
        "trace": "trace.csv",
        "curve": "curve.csv",
        "schedule": "schedule.csv",
    }
    params: dict[str, Any] = {
        "board": board.model_dump(mode="json"),
        "claimed": claimed,
        "engine": "winograd",
        "memory_energy": False,
        "period_s": 60.0,
        "trace": trace and trace.model_dump(mode="json", exclude={"file", "log"}),
        "files": trace.model_dump(include={"file", "log"}, exclude_none=True) if trace else {},
    }
    snakemake = SimpleNamespace(
        rule="model_energy",
        log=[str(folder / "log.txt")],
        input=SimpleNamespace(device=str(folder / "device.json")),
        output=SimpleNamespace(**{key: str(folder / name) for key, name in outputs.items()}),
        params=SimpleNamespace(**params),
    )
    script = str(ROOT / "scripts" / "model_energy.py")
    runpy.run_path(script, init_globals={"snakemake": snakemake}, run_name="__main__")
    return read_metrics(folder / "energy.json")


def recording(folder: Path, name: str = "PPK2") -> str:
    path = folder / "recording.csv"
    path.write_text(FORMATS[name].write(record(WINDOWS_S, 6.0, noise_mA=0.05)))
    return str(path)


def serial_log(folder: Path, inferences: int = 1) -> str:
    path = folder / "serial.log"
    path.write_text(
        "".join(
            f"m-infer-start-{inferences}\nm-lap-us-{(start + 9) * 1e6:.0f}\nm-lap-us-{(end + 9) * 1e6:.0f}\n"
            "m-infer-done\n"
            for start, end in WINDOWS_S
        )
    )
    return str(path)


@pytest.mark.parametrize("inferences", [1, 8])
def test_a_ppk2s_recording_becomes_energy(tmp_path: Path, inferences: int) -> None:
    file = recording(tmp_path)
    metrics = run(tmp_path, MeasuredTrace(file=file, inferences=inferences))
    duration, window = metrics["energy.trace.duration"], metrics["energy.trace.energy"]
    assert duration.value == pytest.approx(0.2, rel=0.01)
    assert (duration.kind, duration.n, duration.chain) == (Kind.MEASURED, 8, {"trace": digest(file)})
    assert duration.interval_method == "order statistics of the median, 99.2 %"
    # A PPK2 knows no voltage: the board's, which the deck claims, is taken.
    assert window.value == pytest.approx(44 * BOARD.supply_V.value * 0.2, rel=0.01)
    assert (window.kind, window.n, window.chain) == (Kind.MODELLED, 8, {"trace": digest(file)})
    assert "recorded pin" in metrics["energy.trace.windows"].method
    energy = metrics["energy.phase.inference.energy"]
    assert energy.value == pytest.approx(window.value / inferences)
    assert metrics["energy.phase.inference.duration"].kind is Kind.MEASURED
    # 25 ms are what the model expects.
    assert ("outside the modelled latency" in energy.method) is (inferences == 1)
    assert metrics["energy.phase.idle.power"].value == pytest.approx(36 * BOARD.supply_V.value, rel=0.01)
    assert read_trace(tmp_path / "trace.csv").kind is Kind.MEASURED
    # What the deck claims, and what the board's file says, stay what they were.
    assert format(metrics["claimed.energy.per-inference"].value, ".1f") == "69.2"
    assert format(metrics["claimed.energy.phase.inference.energy"].value, ".1f") == "69.2"
    without = run(tmp_path, None)
    assert {name: item for name, item in metrics.items() if name.startswith("claimed.")} == {
        name: item for name, item in without.items() if name.startswith("claimed.")
    }


def test_a_measured_current_reaches_battery_life(tmp_path: Path) -> None:
    """40 mA are drawn where the board file has 44, 30 mA where it has 36; their spread is the life's."""
    path, trace = tmp_path / "recording.csv", record(WINDOWS_S, 6.0)
    own = np.cumsum(np.diff(trace.active, prepend=False)) * 0.01
    active_mA = np.where(trace.active, 42.0, 30.0) + own + np.random.default_rng(0).normal(0, 0.05, 6000)
    path.write_text(FORMATS["ours"].write(replace(trace, current_mA=active_mA)))
    metrics, without = run(tmp_path, MeasuredTrace(file=str(path))), run(tmp_path, None)
    for name, level_mA in (("active", 42.0), ("idle", 30.0)):
        current = metrics[f"power.current.{name}"]
        assert (current.kind, current.chain) == (Kind.MEASURED, {"trace": digest(path)})
        assert current.value == pytest.approx(level_mA + 0.09, abs=0.05)
        assert current.interval is not None and current.interval[0] < current.value < current.interval[1]
        assert metrics[f"energy.board.current.{name}"] == without[f"power.current.{name}"]
    usable_Wh = metrics["battery.usable"].value
    life = metrics["battery.continuous.life"]
    low_mA, high_mA = metrics["power.current.active"].interval
    assert life.value == pytest.approx(1e3 * usable_Wh / (metrics["power.current.active"].value * SUPPLY_V))
    assert life.interval == pytest.approx(
        (1e3 * usable_Wh / (high_mA * SUPPLY_V), 1e3 * usable_Wh / (low_mA * SUPPLY_V))
    )
    assert life.chain["trace"] == digest(path)
    idle = metrics["battery.year.idle.life"], without["battery.year.idle.life"]
    assert idle[0].value > 1.1 * idle[1].value
    assert not [name for name in without if name.startswith("energy.board.")]


def test_a_board_that_sleeps_in_its_pauses_idles_as_its_file_says(tmp_path: Path) -> None:
    path, trace = tmp_path / "recording.csv", record(WINDOWS_S, 6.0)
    slept = np.where(trace.active, 44.0, 0.0)
    path.write_text(FORMATS["ours"].write(replace(trace, current_mA=slept)))
    metrics = run(tmp_path, MeasuredTrace(file=str(path)))
    assert metrics["power.current.idle"] == metrics["energy.board.current.idle"]


def test_a_voltage_that_somebody_measured_makes_the_energy_measured(tmp_path: Path) -> None:
    supply = Figure(value=4.9, kind=Kind.MEASURED, source="multimeter at the 5 V pin while it inferred")
    metrics = run(tmp_path, MeasuredTrace(file=recording(tmp_path), supply_V=supply))
    energy = metrics["energy.phase.inference.energy"]
    assert (energy.kind, energy.value) == (Kind.MEASURED, pytest.approx(44 * 4.9 * 0.2, rel=0.01))
    assert (metrics["power.supply"].value, metrics["claimed.power.supply"].value) == (
        4.9,
        BOARD.supply_V.value,
    )
    overhead_mJ = BOARD.sleep.board_overhead_mA.value * 4.9 * metrics["energy.phase.inference.duration"].value
    assert metrics["energy.phase.inference.overhead"].value == pytest.approx(overhead_mJ)
    assert metrics["energy.phase.inference.chip"].value == pytest.approx(energy.value - overhead_mJ)


def test_a_voltage_beside_a_recorded_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supply = Figure(value=4.9, kind=Kind.MEASURED, source="multimeter")
    with pytest.raises(SystemExit):
        run(tmp_path, MeasuredTrace(file=recording(tmp_path, "ours"), supply_V=supply))
    assert "holds the supply voltage; remove 'supply_V'" in capsys.readouterr().err


def test_the_voltage_of_the_recording_goes_before_the_boards(tmp_path: Path) -> None:
    metrics = run(tmp_path, MeasuredTrace(file=recording(tmp_path, "Joulescope, visible")))
    assert metrics["energy.phase.inference.energy"].value == pytest.approx(44 * SUPPLY_V * 0.2, rel=0.01)
    overhead_mJ = BOARD.sleep.board_overhead_mA.value * SUPPLY_V * 0.2
    assert metrics["energy.phase.inference.overhead"].value == pytest.approx(overhead_mJ, rel=0.01)


def test_a_recording_without_a_supply_voltage_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recording.csv"
    swapped = replace(record(WINDOWS_S, 6.0, noise_mA=0.05), voltage_V=np.full(6000, -SUPPLY_V))
    path.write_text(FORMATS["ours"].write(swapped))
    with pytest.raises(SystemExit):
        run(tmp_path, MeasuredTrace(file=str(path)))
    assert "its supply voltage is -5 V; swap the terminals" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "finder"), [("INA219, luca-bondi", "device's timestamps"), ("PPK2", "recorded pin")]
)
def test_laps_of_the_serial_line_find_the_windows_unless_a_pin_does(
    tmp_path: Path, name: str, finder: str
) -> None:
    """Either way the log tells how many inferences make one."""
    file, log = recording(tmp_path, name), serial_log(tmp_path, 5)
    metrics = run(tmp_path, MeasuredTrace(file=file, log=log, inferences=5))
    assert finder in metrics["energy.trace.windows"].method
    energy = metrics["energy.trace.energy"]
    assert energy.chain == {"trace": digest(file), "log": digest(log)}
    assert "5 inferences to a window by the serial log" in energy.method


@pytest.mark.parametrize("name", ["INA219, luca-bondi", "PPK2"])
def test_a_log_of_another_number_of_inferences_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, MeasuredTrace(file=recording(tmp_path, name), log=serial_log(tmp_path, 50)))
    assert (
        "serial.log: each 'infer' is of 50 inferences, the study's 'inferences' is 1"
        in capsys.readouterr().err
    )


def test_wiring_is_passed_on(tmp_path: Path) -> None:
    stated = FORMATS["Rigol DS1000E"].stated
    trace = MeasuredTrace(file=recording(tmp_path, "Rigol DS1000E"), columns=stated)
    assert run(tmp_path, trace)["energy.trace.windows"].value == len(WINDOWS_S)


def test_without_a_recording_the_trace_is_synthetic(tmp_path: Path) -> None:
    metrics = run(tmp_path, None)
    assert metrics["energy.trace.windows"].value == 20
    assert metrics["energy.trace.energy"].kind is Kind.MODELLED
    assert metrics["energy.phase.inference.duration"].value == pytest.approx(0.025)
    curves = {
        name: (tmp_path / f"{name}.csv").read_text().partition("\n")[0] for name in ("curve", "schedule")
    }
    assert curves["curve"].startswith("sleep_state,period_s,duty_cycle,")
    assert curves["schedule"].startswith("sleep_state,inferences_per_hour,")


@pytest.mark.parametrize(
    "claimed", [CLAIMED, CLAIMED | {"value_s": 0.066, "interval_s": (0.0655, 0.0665)}, None]
)
@pytest.mark.parametrize("board", ["esp32-wroom", "esp32-cam"])
def test_every_studys_stand_in_has_all_its_windows(
    tmp_path: Path, board: str, claimed: dict[str, Any] | None
) -> None:
    metrics = run(tmp_path, None, load_board(ROOT / "config" / "boards" / f"{board}.yaml"), claimed)
    assert metrics["energy.trace.windows"].value == 20
    assert {item.kind for name, item in metrics.items() if name.startswith("energy.trace")} == {Kind.MODELLED}


def test_a_trace_that_cannot_be_used_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, MeasuredTrace(file=recording(tmp_path), columns=TraceColumns(gpio="D7")))
    assert "channel D7 never changes" in capsys.readouterr().err


def test_a_study_names_its_trace_without_anything_heavy() -> None:
    code = (
        "import sys, paper2board.study.schema as s;"
        "t = s.Study.model_fields['trace'].annotation;"
        "assert 'MeasuredTrace' in str(t), t;"
        "sys.exit(bool({'numpy','pandas','scipy','torch','tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
