"""What it would take to last a year: inferences an hour, or capacity, for every state between inferences.

Unlike the deck's lives, these count the battery's self-discharge and, after sleep, the camera's start; and a module
without its board is without it while it infers, too.
"""

import math
from collections.abc import Iterable

import pandas as pd

from paper2board.boards.board import Board
from paper2board.core.derive import columns, derive
from paper2board.core.evidence import Evidence
from paper2board.core.units import in_unit
from paper2board.energy import battery
from paper2board.energy.power import power_mW
from paper2board.energy.schedule import Demand, HOUR_s, Schedule, Step
from paper2board.energy.states import State, cell, self_discharge, states, supply


def demand(board: Board, state: str, latency_s: float) -> Demand:
    """Return what an inference takes of a board that rests in ``state``, for a :class:`Schedule`."""
    inputs = _inputs(board, states(board)[state])
    return _demand(latency_s, *(item.value for item in inputs))


def year_metrics(board: Board, tau: Evidence, period_s: float) -> dict[str, Evidence]:
    """Return ``battery.self-discharge``, ``battery.year.power`` and ``battery.year.<state>.*`` of every rest state.

    Without ``life`` and ``capacity`` of a state where the period has no room for wake-up, image and inference at
    their longest; without ``capacity`` where, at the end of its range, self-discharge empties any battery sooner.

    Args:
        board: currents, supply, sleep modes, camera and battery.
        tau: latency of one inference, s.
        period_s: one inference per period, for life and capacity.
    """
    loss, figures = self_discharge(board), cell(board)
    voltage, _, converter, discharge = figures
    budget = derive(
        lambda share, *cell: battery.sustained_mW(
            battery.usable_Wh(*cell), battery.YEAR_h, battery.loss_per_h(share), cell[-1]
        ),
        "mW",
        f"average power that empties the battery in {battery.YEAR_h:g} h, self-discharge counted",
        loss,
        *figures,
    )
    fastest = battery.loss_per_h(max(loss.value, *(loss.interval or (0.0,))))
    smallest = min(discharge.value, *(discharge.interval or (1.0,)))
    possible = math.isfinite(battery.needed_Wh(1.0, battery.YEAR_h, fastest, smallest))
    metrics = {
        "battery.self-discharge": derive(lambda share: 100 * share, "%", loss.method, loss),
        "battery.year.power": budget,
    }
    for name, state in states(board).items():
        inputs = (tau, *_inputs(board, state))
        resting = derive(power_mW, "mW", "rest current × supply voltage", state.rest, supply(board))
        metrics |= {
            f"battery.year.{name}.rest-life": _life(board, resting),
            f"battery.year.{name}.rate": derive(
                lambda average, *values: _demand(*values).most_per_hour(average),
                "1/h",
                "(average power that lasts a year − rest power) / energy of an inference above rest",
                budget,
                *inputs,
            ),
            f"battery.year.{name}.duty-cycle": derive(
                lambda average, *values: 100 * _demand(*values).most_per_hour(average) * values[0] / HOUR_s,
                "%",
                "share of the year spent on inference at that rate",
                budget,
                *inputs,
            ),
        }
        if state.awake_s(tau) > period_s:
            continue
        power = _power(board, tau, state, HOUR_s / period_s)
        metrics[f"battery.year.{name}.life"] = _life(board, power)
        if possible:
            metrics[f"battery.year.{name}.capacity"] = derive(
                lambda average, share, voltage_V, converter, discharge: (
                    battery.needed_Wh(average, battery.YEAR_h, battery.loss_per_h(share), discharge)
                    / battery.usable_Wh(voltage_V, 1.0, converter, discharge)
                ),
                "Ah",
                f"capacity that lasts a year at one inference per {period_s:g} s",
                power,
                loss,
                *(voltage, converter, discharge),
            )
    return metrics


def schedule_curve(board: Board, latency: Evidence, rates_per_h: Iterable[float]) -> pd.DataFrame:
    """Return battery life over inferences per hour, one row per sleep state and rate that leaves room for it.

    Columns: sleep_state, inferences_per_hour, average_power_mW, life_h; the last two also with ``_low`` and
    ``_high``.
    """
    tau = in_unit(latency, "s")
    rows = []
    for rate in rates_per_h:
        for name, state in states(board).items():
            if state.awake_s(tau) * rate > HOUR_s:
                continue
            power = _power(board, tau, state, rate)
            rows.append(
                {
                    "sleep_state": name,
                    "inferences_per_hour": rate,
                    **columns("average_power_mW", power),
                    **columns("life_h", _life(board, power)),
                }
            )
    return pd.DataFrame(rows)


def _inputs(board: Board, state: State) -> tuple[Evidence, ...]:
    """Return what :func:`_demand` takes after the latency."""
    return (state.active, state.rest, supply(board), state.wake, *state.camera)


def _demand(
    latency_s: float, active_mA: float, rest_mA: float, supply_V: float, wake_s: float, *camera: float
) -> Demand:
    """Return the demand from plain figures; ``camera`` is current (mA) and time (s), or nothing."""
    steps = [Step(power_mW(active_mA, supply_V), wake_s + latency_s)]
    if camera:
        current_mA, image_s = camera
        steps.append(Step(power_mW(current_mA, supply_V), image_s))
    return Demand(tuple(steps), power_mW(rest_mA, supply_V))


def _power(board: Board, tau: Evidence, state: State, per_hour: float) -> Evidence:
    return derive(
        lambda *values: Schedule(_demand(*values), per_hour).average_mW,
        "mW",
        f"average over {per_hour:g} inferences an hour, rest between"
        + (", camera's start counted" if state.camera else ""),
        tau,
        *_inputs(board, state),
    )


def _life(board: Board, power: Evidence) -> Evidence:
    return derive(
        lambda average, share, *cell: battery.life_h(
            battery.usable_Wh(*cell), average, battery.loss_per_h(share), cell[-1]
        ),
        "h",
        "ln(1 + k·E / (P + k·E·(1 − u) / u)) / k: usable energy E, average power P, self-discharge k, discharge "
        "efficiency u",
        power,
        self_discharge(board),
        *cell(board),
    )
