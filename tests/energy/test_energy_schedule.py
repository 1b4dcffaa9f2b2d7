"""The schedule's closed forms against an event-by-event simulation, against the deck, and what a year takes."""

import math
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paper2board.boards.board import Board, load_board
from paper2board.boards.chemistry import Chemistry
from paper2board.boards.figures import Fraction
from paper2board.core.evidence import Evidence, Kind
from paper2board.energy import battery
from paper2board.energy.metrics import energy_metrics
from paper2board.energy.schedule import Demand, Schedule, Step
from paper2board.energy.states import states, usable
from paper2board.energy.year import demand, schedule_curve, year_metrics
from paper2board.report.catalogue import read_catalogue

ROOT = Path(__file__).parents[2]
WROOM = load_board(ROOT / "config" / "boards" / "esp32-wroom.yaml")
CAM = load_board(ROOT / "config" / "boards" / "esp32-cam.yaml")
DECK = Evidence(value=0.32, unit="s", kind=Kind.CLAIMED, method="deck, slide 'Energy'")
BOOK = energy_metrics(WROOM, DECK, 60)
USABLE_Wh = usable(WROOM).value

STEPS = st.lists(st.builds(Step, st.floats(1, 1000), st.floats(1e-3, 10)), min_size=1, max_size=3)
DEMANDS = st.builds(lambda steps, rest_mW: Demand(tuple(steps), rest_mW), STEPS, st.floats(1e-3, 300))


def simulated_day(schedule: Schedule) -> tuple[float, int]:
    """Walk through a day event by event; return its energy (mJ) and inferences."""
    energies_mJ, number, now_s = [], 0, 0.0
    for index in range(round(schedule.per_day)):
        start_s = index * 3600 / schedule.per_hour
        energies_mJ.append((start_s - now_s) * schedule.demand.rest_mW)
        now_s = start_s
        for power_mW, duration_s in schedule.demand.steps:
            energies_mJ.append(power_mW * duration_s)
            now_s += duration_s
        number += 1
    energies_mJ.append((24 * 3600 - now_s) * schedule.demand.rest_mW)
    return math.fsum(energies_mJ), number


@given(DEMANDS, st.integers(0, 90), st.integers(0, 24))
def test_the_closed_form_is_the_day_event_by_event(needs: Demand, per_hour: int, active_h: int) -> None:
    assume(per_hour * needs.awake_s <= 3600)
    schedule = Schedule(needs, float(per_hour), float(active_h))
    energy_mJ, number = simulated_day(schedule)
    assert schedule.average_mW == pytest.approx(energy_mJ / (24 * 3600), rel=1e-9)
    assert schedule.inferences(24) == number


@given(
    DEMANDS,
    st.integers(1, 60),
    st.floats(0.1, 50),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.sampled_from([0.7, 1.0]),
    st.sampled_from([0.6, 0.9, 1.0]),
)
def test_a_battery_drained_day_by_day_lasts_as_long(
    needs: Demand, per_hour: int, stored_Wh: float, per_month: float, converter: float, discharge: float
) -> None:
    """All that is stored discharges itself, also what the discharge efficiency leaves in the end."""
    assume(per_hour * needs.awake_s <= 3600)
    schedule = Schedule(needs, float(per_hour))
    loss = battery.loss_per_h(per_month)
    life_h = schedule.life_h(battery.usable_Wh(1.0, stored_Wh, converter, discharge), loss, discharge)
    drawn_Wh = simulated_day(schedule)[0] / 3.6e6 / converter
    left_Wh, end_Wh, days = stored_Wh, (1 - discharge) * stored_Wh, 0
    while days < 400:
        # Half of a day's draw comes before, half after its self-discharge.
        next_Wh = (left_Wh - drawn_Wh / 2) * math.exp(-24 * loss) - drawn_Wh / 2
        if next_Wh <= end_Wh:
            part = (left_Wh - end_Wh) / (left_Wh - next_Wh)
            assert life_h / 24 == pytest.approx(days + part, rel=0.02, abs=0.1)
            return
        left_Wh, days = next_Wh, days + 1
    assert life_h / 24 > 400


def test_the_decks_continuous_operation_is_a_schedule() -> None:
    schedule = Schedule(demand(WROOM, "idle", 0.32), 3600 / 0.32)
    life_h = schedule.life_h(USABLE_Wh)
    assert life_h == pytest.approx(BOOK["battery.continuous.life"].value, rel=1e-12)
    assert schedule.inferences(life_h) == BOOK["battery.continuous.inferences"].value == 198_952


@pytest.mark.parametrize("state", ["idle", "light-sleep", "deep-sleep"])
def test_one_a_minute_is_a_schedule(state: str) -> None:
    schedule = Schedule(demand(WROOM, state, 0.32), 60)
    life_h = schedule.life_h(USABLE_Wh)
    assert schedule.average_mW == pytest.approx(BOOK[f"battery.{state}.power"].value, rel=1e-12)
    assert life_h == pytest.approx(BOOK[f"battery.{state}.life"].value, rel=1e-12)
    assert schedule.inferences(life_h) == BOOK[f"battery.{state}.inferences"].value


@pytest.mark.parametrize("board", [WROOM, CAM], ids=["wroom", "cam"])
@pytest.mark.parametrize("mode", ["light-sleep", "deep-sleep"])
def test_a_module_is_without_its_board_in_all_that_it_does(board: Board, mode: str) -> None:
    whole, alone = (demand(board, state, 0.066) for state in (mode, f"{mode}-module"))
    overhead_mW = board.sleep.board_overhead_mA.value * board.supply_V.value
    assert whole.rest_mW - alone.rest_mW == pytest.approx(overhead_mW)
    for with_board, without in zip(whole.steps, alone.steps, strict=True):
        assert with_board.power_mW - without.power_mW == pytest.approx(overhead_mW)
        assert with_board.duration_s == without.duration_s


def test_half_the_hours_are_half_the_inferences() -> None:
    all_day, half = (Schedule(demand(WROOM, "deep-sleep", 0.32), 60, hours) for hours in (24, 12))
    assert (all_day.per_day, half.per_day) == (1440, 720)
    rest_mW = all_day.demand.rest_mW
    assert half.average_mW - rest_mW == pytest.approx((all_day.average_mW - rest_mW) / 2)


@pytest.mark.parametrize(("per_hour", "active_h"), [(11_251, 24), (-1, 24), (1, 24.1), (1, -1)])
def test_what_cannot_be_scheduled_is_refused(per_hour: float, active_h: float) -> None:
    with pytest.raises(ValueError, match="has no"):
        Schedule(demand(WROOM, "idle", 0.32), per_hour, active_h)


def test_a_camera_starts_after_sleep_but_stays_on_while_idling() -> None:
    idle, asleep = (demand(CAM, state, 0.066) for state in ("idle", "deep-sleep"))
    assert idle.awake_s == pytest.approx(0.066)
    assert asleep.awake_s == pytest.approx(0.066 + 0.25 + 1.0)
    assert sum(p * t for p, t in asleep.steps) == pytest.approx(180 * 5 * 0.316 + 110 * 5 * 1.0)


@given(DEMANDS, st.floats(1e-3, 2000))
def test_the_most_inferences_keep_the_average_and_one_more_does_not(needs: Demand, average_mW: float) -> None:
    most = needs.most_per_hour(average_mW)
    back_to_back = 3600 / needs.awake_s
    assert 0 <= most <= back_to_back
    if 0 < most < back_to_back:
        assert Schedule(needs, most).average_mW == pytest.approx(average_mW, rel=1e-9)
    elif most == 0:
        assert needs.rest_mW >= average_mW
    else:
        assert Schedule(needs, most).average_mW <= average_mW * (1 + 1e-9)


@pytest.mark.parametrize("board", [WROOM, CAM], ids=["wroom", "cam"])
def test_a_year_at_the_rate_that_a_year_takes(board: Board) -> None:
    tau = DECK
    metrics = year_metrics(board, tau, 60)
    loss = battery.loss_per_h(0.02)
    assert metrics["battery.self-discharge"].value == pytest.approx(2)
    energy_Wh, discharge = usable(board).value, board.battery.discharge_efficiency.value
    for state in states(board):
        name = f"battery.year.{state}"
        rate, resting = metrics[f"{name}.rate"].value, metrics[f"{name}.rest-life"].value
        assert (rate == 0) == (resting <= battery.YEAR_h)
        if rate:
            schedule = Schedule(demand(board, state, tau.value), rate)
            assert schedule.life_h(energy_Wh, loss, discharge) == pytest.approx(battery.YEAR_h)
            assert metrics[f"{name}.duty-cycle"].value == pytest.approx(100 * rate * tau.value / 3600)
        schedule = Schedule(demand(board, state, tau.value), 60)
        assert schedule.life_h(energy_Wh, loss, discharge) == pytest.approx(metrics[f"{name}.life"].value)
        larger_Wh = energy_Wh * metrics[f"{name}.capacity"].value / board.battery.capacity_Ah.value
        assert schedule.life_h(larger_Wh, loss, discharge) == pytest.approx(battery.YEAR_h)
    for name, item in metrics.items():
        if item.interval:
            assert item.interval[0] <= item.value <= item.interval[1], name


def test_only_a_sleeping_module_lasts_a_year_on_the_decks_battery() -> None:
    rates = {state: BOOK[f"battery.year.{state}.rate"].value for state in states(WROOM)}
    assert [state for state, rate in rates.items() if rate > 0] == ["deep-sleep-module"]


def test_without_self_discharge_lives_are_the_decks() -> None:
    cell = WROOM.battery.model_copy(update={"chemistry": None})
    metrics = year_metrics(WROOM.model_copy(update={"battery": cell}), DECK, 60)
    assert metrics["battery.self-discharge"].value == 0
    for state in ("idle", "light-sleep", "deep-sleep"):
        life_h = metrics[f"battery.year.{state}.life"].value
        assert life_h == pytest.approx(BOOK[f"battery.{state}.life"].value, rel=1e-12)


@pytest.mark.parametrize(("chemistry", "possible"), [("li-ion", True), ("nimh", False)])
def test_a_year_that_no_battery_lasts(chemistry: str, possible: bool) -> None:
    """NiMH loses up to 30 % a month: 1.4 % are left of any capacity, less than the 10 % that stay in it."""
    cell = WROOM.battery.model_copy(update={"chemistry": Chemistry(chemistry)})
    metrics = year_metrics(WROOM.model_copy(update={"battery": cell}), DECK, 60)
    assert {name.rpartition(".")[2] for name in metrics if name.startswith("battery.year.idle")} == {
        "life",
        "rest-life",
        "rate",
        "duty-cycle",
        *(["capacity"] if possible else []),
    }
    assert (min(metrics["battery.year.power"].interval or ()) > 0) is possible


def test_a_year_that_the_self_discharge_alone_does_not_leave() -> None:
    loss = Fraction(value=0.3, kind=Kind.MEASURED, source="a cell from the drawer")
    cell = WROOM.battery.model_copy(update={"self_discharge_per_month": loss})
    metrics = year_metrics(WROOM.model_copy(update={"battery": cell}), DECK, 60)
    assert metrics["battery.year.power"].value == 0
    for state in states(WROOM):
        assert (
            metrics[f"battery.year.{state}.rate"].value
            == metrics[f"battery.year.{state}.duty-cycle"].value
            == 0
        )
        assert 0 < metrics[f"battery.year.{state}.rest-life"].value < battery.YEAR_h
        assert f"battery.year.{state}.capacity" not in metrics


def test_the_curve_passes_through_the_book_and_leaves_out_what_has_no_room() -> None:
    curve = schedule_curve(WROOM, DECK, [0.1, 60.0, 9000.0])
    rows = curve.set_index(["inferences_per_hour", "sleep_state"])
    assert rows.loc[(60.0, "deep-sleep"), "life_h"] == pytest.approx(
        BOOK["battery.year.deep-sleep.life"].value
    )
    assert set(curve.query("inferences_per_hour == 9000")["sleep_state"]) == {
        "idle",
        "light-sleep",
        "light-sleep-module",
    }
    assert ((curve["life_h_low"] <= curve["life_h"]) & (curve["life_h"] <= curve["life_h_high"])).all()
    for _, lives in curve.groupby("sleep_state"):
        assert lives["life_h"].is_monotonic_decreasing


def test_metrics_are_catalogued_in_their_units() -> None:
    catalogue = read_catalogue(ROOT / "reports" / "metrics")
    for board in (WROOM, CAM):
        for name, item in energy_metrics(board, DECK, 60, "claimed.").items():
            if name.startswith(("claimed.battery.year", "claimed.battery.self", "claimed.energy.phase")):
                assert catalogue[name].unit == item.unit, name
