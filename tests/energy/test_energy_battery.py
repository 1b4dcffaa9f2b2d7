"""Battery life against the deck's slide, and its arithmetic."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paper2board.energy import battery

USABLE = battery.usable_Wh(5.0, 1.0, 0.85, 0.90)
IDLE_MW, ACTIVE_MW = 36.4 * 5.03, 43.0 * 5.03
POWER = st.floats(0.01, 1000)


def test_usable_energy_as_printed() -> None:
    assert f"{USABLE:.2f}" == "3.83"


def test_continuous_operation_as_printed() -> None:
    life = battery.life_h(USABLE, ACTIVE_MW)
    assert f"{life:.1f}" == "17.7"
    assert battery.inferences(life, 0.32) == 198_952


def test_duty_cycled_operation_as_printed() -> None:
    power = battery.average_mW(60, 0.32, ACTIVE_MW, IDLE_MW)
    life = battery.life_h(USABLE, power)
    assert f"{power:.1f}" == "183.3"
    assert f"{life:.1f}" == "20.9"
    assert battery.inferences(life, 60) == 1_252


def test_waking_up_costs_active_power() -> None:
    assert battery.average_mW(10, 1, 100, 0, wake_s=1) == pytest.approx(20)


def test_a_period_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        battery.average_mW(1.0, 0.8, ACTIVE_MW, IDLE_MW, wake_s=0.25)


@given(st.floats(0, 1), st.floats(0, 1), POWER, POWER)
def test_life_falls_as_the_duty_cycle_rises(one: float, other: float, rest: float, extra: float) -> None:
    low, high = sorted((one, other))
    lives = [battery.life_h(USABLE, battery.average_mW(1, d, rest + extra, rest)) for d in (low, high)]
    assert lives[0] >= lives[1] * (1 - 1e-12)


@given(POWER, POWER, POWER, st.floats(0, 1))
def test_life_falls_as_current_rises(rest: float, more: float, extra: float, duty: float) -> None:
    active = rest + more + extra
    lives = [battery.life_h(USABLE, battery.average_mW(1, duty, active, r)) for r in (rest, rest + more)]
    assert lives[0] >= lives[1] * (1 - 1e-12)


@given(st.floats(0, 1), POWER, POWER)
def test_average_lies_between_rest_and_active(duty: float, rest: float, extra: float) -> None:
    average = battery.average_mW(1, duty, rest + extra, rest)
    assert rest * (1 - 1e-12) <= average <= (rest + extra) * (1 + 1e-12)


@given(st.floats(0.01, 100), POWER, st.floats(0.1, 1))
def test_without_self_discharge_life_is_the_decks(
    energy_Wh: float, power_mW: float, discharge_efficiency: float
) -> None:
    assert battery.life_h(energy_Wh, power_mW, 0.0, discharge_efficiency) == energy_Wh / (power_mW * 1e-3)


CELL = (st.floats(0.01, 100), POWER, st.floats(1e-4, 0.5), st.floats(0.3, 1), st.floats(0.1, 1))


@given(*CELL)
def test_life_ends_when_the_discharge_efficiencys_share_is_drawn(
    stored_Wh: float, power_mW: float, per_month: float, converter: float, discharge: float
) -> None:
    """S(t) = (S₀ + P'/k)·exp(−k·t) − P'/k solves dS/dt = −P' − k·S, P' before the converter."""
    loss = battery.loss_per_h(per_month)
    energy_Wh = battery.usable_Wh(1.0, stored_Wh, converter, discharge)
    life_h = battery.life_h(energy_Wh, power_mW, loss, discharge)
    drawn_W = power_mW * 1e-3 / converter
    left_Wh = (stored_Wh + drawn_W / loss) * math.exp(-loss * life_h) - drawn_W / loss
    assert left_Wh == pytest.approx((1 - discharge) * stored_Wh, abs=1e-9 * (stored_Wh + drawn_W / loss))
    assert life_h < battery.life_h(energy_Wh, power_mW)
    # Of both inverses little is left where the self-discharge takes nearly all.
    assume(power_mW * 1e-3 * life_h > 1e-3 * energy_Wh)
    assert battery.needed_Wh(power_mW, life_h, loss, discharge) == pytest.approx(energy_Wh)
    assert battery.sustained_mW(energy_Wh, life_h, loss, discharge) == pytest.approx(power_mW)


@given(*CELL, st.floats(1.01, 10))
def test_nothing_lasts_longer_than_the_self_discharge_lets_it(
    stored_Wh: float, power_mW: float, per_month: float, converter: float, discharge: float, factor: float
) -> None:
    assume(discharge < 0.99)
    loss = battery.loss_per_h(per_month)
    shelf_h = -math.log1p(-discharge) / loss
    energy_Wh = battery.usable_Wh(1.0, stored_Wh, converter, discharge)
    assert battery.life_h(energy_Wh, power_mW, loss, discharge) <= shelf_h
    assert battery.needed_Wh(power_mW, factor * shelf_h, loss, discharge) == math.inf
    assert battery.sustained_mW(energy_Wh, factor * shelf_h, loss, discharge) == 0
    assert battery.needed_Wh(power_mW, 0.9 * shelf_h, loss, discharge) < math.inf
    assert battery.sustained_mW(energy_Wh, 0.9 * shelf_h, loss, discharge) > 0


def test_self_discharge_of_a_month_alone() -> None:
    loss = battery.loss_per_h(0.15)
    assert math.exp(-loss * battery.MONTH_h) == pytest.approx(0.85)


def test_a_little_self_discharge_changes_little() -> None:
    life_h = battery.life_h(USABLE, IDLE_MW, battery.loss_per_h(1e-9))
    assert life_h == pytest.approx(battery.life_h(USABLE, IDLE_MW), rel=1e-9)
