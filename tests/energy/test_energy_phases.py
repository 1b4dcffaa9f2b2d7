"""Phases add up, follow the board's figures, and take what a recorded trace can tell."""

from pathlib import Path

import pytest
from simulated_instruments import SUPPLY_V, record

from paper2board.boards.board import ActiveWindowThresholds, load_board
from paper2board.boards.figures import Figure
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.energy.metrics import energy_metrics
from paper2board.energy.phases import Recorded, phase_metrics
from paper2board.energy.trace_metrics import trace_metrics
from paper2board.report.catalogue import read_catalogue

ROOT = Path(__file__).parents[2]
BOARDS = ROOT / "config" / "boards"
WROOM = load_board(BOARDS / "esp32-wroom.yaml").model_copy(
    update={
        "active_window": ActiveWindowThresholds(
            current_min_mA=40, current_max_mA=60, boot_s=0.1, min_duration_s=0.05
        )
    }
)
CAM = load_board(BOARDS / "esp32-cam.yaml")
TAU = Evidence(value=0.32, unit="s", kind=Kind.MODELLED, method="given")

PARTS = ("power", "duration", "energy", "chip", "overhead", "supply")


def phases(metrics: dict[str, Evidence]) -> set[str]:
    return {name.split(".")[2] for name in metrics}


@pytest.mark.parametrize("board", [WROOM, CAM], ids=["wroom", "cam"])
def test_chip_and_board_are_all_of_a_phase(board) -> None:
    metrics = phase_metrics(board, TAU, 60)
    for phase in phases(metrics):
        power, duration, energy, chip, overhead, lost = (
            metrics[f"energy.phase.{phase}.{part}"].value for part in PARTS
        )
        assert energy == pytest.approx(power * duration)
        assert chip + overhead == pytest.approx(energy)
        assert energy / (energy + lost) == pytest.approx(board.battery.converter_efficiency.value)
    for name, item in metrics.items():
        if item.interval:
            assert item.interval[0] <= item.value <= item.interval[1], name
            assert item.interval[0] >= 0, name


def test_a_cycle_with_deep_sleep_is_a_period() -> None:
    for board in (WROOM, CAM):
        metrics = phase_metrics(board, TAU, 60)
        cycle = phases(metrics) - {"idle"}
        assert sum(metrics[f"energy.phase.{phase}.duration"].value for phase in cycle) == pytest.approx(60)
        energy_mJ = sum(metrics[f"energy.phase.{phase}.energy"].value for phase in cycle)
        power_mW = energy_metrics(board, TAU, 60)["battery.deep-sleep.power"].value
        if board.camera is None:
            assert energy_mJ / 60 == pytest.approx(power_mW)
        else:
            assert energy_mJ / 60 > power_mW


def test_only_a_board_with_a_camera_has_its_phase() -> None:
    assert phases(phase_metrics(WROOM, TAU, 60)) == {"boot", "inference", "idle", "sleep"}
    assert phases(phase_metrics(CAM, TAU, 60)) == {"boot", "camera", "inference", "idle", "sleep"}


def test_inference_is_the_decks() -> None:
    metrics = phase_metrics(WROOM, TAU, 60)
    assert format(metrics["energy.phase.inference.energy"].value, ".1f") == "69.2"
    assert format(metrics["energy.phase.idle.power"].value, ".1f") == "183.1"


@pytest.mark.parametrize("period_s", [1, 5])
def test_a_period_without_room_for_the_camera_has_no_sleep(period_s: float) -> None:
    """An image takes up to 5 s; the deck's lives know no camera."""
    assert "sleep" in phases(phase_metrics(WROOM, TAU, period_s))
    metrics, long = energy_metrics(CAM, TAU, period_s), energy_metrics(CAM, TAU, 60)
    absent = {f"energy.phase.sleep.{part}" for part in PARTS}
    for mode in ("light-sleep", "deep-sleep", "light-sleep-module", "deep-sleep-module"):
        absent |= {f"battery.year.{mode}.life", f"battery.year.{mode}.capacity"}
    assert set(long) - set(metrics) == absent
    assert metrics["energy.phase.idle.duration"].value == pytest.approx(period_s - 0.32)
    assert metrics["battery.deep-sleep.life"].value < long["battery.deep-sleep.life"].value
    assert {"battery.year.idle.life", "battery.year.deep-sleep.rate"} <= set(metrics)


def test_every_metric_that_a_short_period_lacks_is_optional() -> None:
    catalogue = read_catalogue(ROOT / "reports" / "metrics")
    for name in set(energy_metrics(CAM, TAU, 60)) - set(energy_metrics(CAM, TAU, 1)):
        assert catalogue[name].optional, name


@pytest.mark.parametrize("inferences", [1, 4])
def test_a_recorded_trace_goes_before_the_boards_figures(inferences: int) -> None:
    """Seven windows of 0.1 s at 44 mA, 36 mA between, 5 V."""
    windows_s = [(0.3 * number, 0.3 * number + 0.1) for number in range(1, 8)]
    windows = trace_metrics(record(windows_s, 2.5, noise_mA=0.1), WROOM, {"trace": "d" * 64})
    modelled, metrics = (
        phase_metrics(WROOM, TAU, 60),
        phase_metrics(WROOM, TAU, 60, Recorded(windows, inferences)),
    )
    inference = {part: metrics[f"energy.phase.inference.{part}"] for part in ("power", "duration", "energy")}
    assert inference["power"].value == pytest.approx(44 * SUPPLY_V, rel=0.01)
    assert inference["duration"].value == pytest.approx(0.1 / inferences, abs=1e-3)
    assert inference["energy"].value == pytest.approx(44 * SUPPLY_V * 0.1 / inferences, rel=0.02)
    assert {(item.kind, item.n) for item in inference.values()} == {(Kind.MEASURED, 7)}
    assert inference["energy"].chain == {"trace": "d" * 64}
    idle = metrics["energy.phase.idle.power"]
    assert idle.value == pytest.approx(36 * SUPPLY_V, rel=0.01)
    assert (idle.kind, idle.n) == (Kind.MEASURED, 7)
    # The study's period is an assumption, so nothing that follows from it was measured.
    assert metrics["energy.phase.idle.duration"].value == pytest.approx(60 - 0.1 / inferences)
    for name, item in metrics.items():
        if name.startswith(("energy.phase.idle", "energy.phase.sleep")) and name != "energy.phase.idle.power":
            assert item.kind is Kind.MODELLED, name
    assert "worst case" not in str(metrics["energy.phase.idle.duration"].interval_method)
    # What no trace of a board that is awake can tell.
    assert metrics["energy.phase.boot.energy"] == modelled["energy.phase.boot.energy"]
    assert metrics["energy.phase.inference.chip"].kind is Kind.MODELLED


def _recorded(duration_s: float) -> dict[str, Evidence]:
    windows_s = [
        ((duration_s + 0.2) * number, (duration_s + 0.2) * number + duration_s) for number in range(1, 8)
    ]
    return trace_metrics(record(windows_s, 9 * (duration_s + 0.2)), WROOM, {"trace": "d" * 64})


def test_a_recorded_inference_needs_room_in_the_period() -> None:
    windows = _recorded(4.0)
    assert phase_metrics(WROOM, TAU, 4, Recorded(windows, 4))["energy.phase.sleep.duration"].value > 0
    # Room for the inference, but not for boot's 0.361 s at their longest.
    assert "sleep" not in phases(phase_metrics(WROOM, TAU, 4.2, Recorded(windows, 1)))
    with pytest.raises(UserError, match=r"a period of 3\.9 s has no room for 4 s awake .*longer period"):
        energy_metrics(WROOM, TAU, 3.9, recorded=Recorded(windows, 1))


def test_recorded_phases_are_at_the_voltage_that_was_recorded() -> None:
    bench = WROOM.model_copy(
        update={"supply_V": Figure(value=4.0, kind=Kind.MEASURED, source="multimeter at the 5 V pin")}
    )
    metrics = phase_metrics(bench, TAU, 60, Recorded(_recorded(0.1), 1))
    for phase in phases(metrics):
        power_mW = (
            metrics[f"energy.phase.{phase}.overhead"].value / metrics[f"energy.phase.{phase}.duration"].value
        )
        assert power_mW == pytest.approx(WROOM.sleep.board_overhead_mA.value * 4.0), phase


@pytest.mark.parametrize(("high_s", "noted"), [(0.11, False), (0.09, True)])
def test_a_duration_that_the_model_does_not_expect_is_noted(high_s: float, noted: bool) -> None:
    """A trace of the 40 MHz image, say, or of another network."""
    tau = TAU.model_copy(
        update={"value": 0.08, "interval": (0.07, high_s), "interval_method": "range of the model"}
    )
    metrics = phase_metrics(WROOM, tau, 60, Recorded(_recorded(0.1), 1))
    for part in ("power", "duration", "energy"):
        method = metrics[f"energy.phase.inference.{part}"].method
        assert (f"outside the modelled latency of 0.07 to {high_s:g} s" in method) is noted
