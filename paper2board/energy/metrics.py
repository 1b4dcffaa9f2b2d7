"""The metrics file of power, energy per inference and battery life, for any latency.

The same formulas serve the latency that the paper claims (prefix ``claimed.``) and ours (the modelled
latency of our engine, no prefix); currents, supply and battery are the board's, or those that a trace
puts in their place (:func:`paper2board.energy.study_energy.recorded_metrics`).
"""

from collections.abc import Iterable

import pandas as pd

from paper2board.boards.board import Board
from paper2board.core.derive import columns, derive
from paper2board.core.evidence import Evidence
from paper2board.core.units import in_unit
from paper2board.energy import battery
from paper2board.energy.phases import Recorded, phase_metrics
from paper2board.energy.power import energy_split, power_mW
from paper2board.energy.states import active, idle, longest, period, require_room, states, supply, usable
from paper2board.energy.year import year_metrics


def energy_metrics(
    board: Board,
    latency: Evidence,
    period_s: float,
    prefix: str = "",
    recorded: Recorded | None = None,
) -> dict[str, Evidence]:
    """Return the metrics ``power.*``, ``energy.*`` and ``battery.*``, names led by ``prefix``.

    Args:
        board: currents, supply, sleep modes, camera and battery.
        latency: of one inference, in s, ms or us.
        period_s: one inference per period in duty-cycled operation.
        prefix: of the scenario, for instance ``claimed.``.
        recorded: a trace; inference and idling among the phases are then its, and ``board`` is as it was recorded.

    Raises:
        UserError: the period has no room for waking up and one inference, or for the recorded one.
    """
    tau = in_unit(latency, "s")
    metrics = _power(board) | _energy(board, tau) | _battery(board, tau) | _duty_cycled(board, tau, period_s)
    metrics |= phase_metrics(board, tau, period_s, recorded) | year_metrics(board, tau, period_s)
    return {prefix + name: item for name, item in metrics.items()}


def duty_cycle_curve(board: Board, latency: Evidence, periods_s: Iterable[float]) -> pd.DataFrame:
    """Return battery life over the duty cycle, one row per sleep state and period.

    Columns: sleep_state, period_s, duty_cycle (0 to 1), average_power_mW, life_h, inferences; power and
    life also with ``_low`` and ``_high``. A state has no row for periods in which it cannot wake up and infer.
    """
    tau = in_unit(latency, "s")
    rows = []
    for period_s in periods_s:
        for mode, state in states(board).items():
            if longest(tau) + longest(state.wake) > period_s:
                continue
            power = _average_power(board, tau, state.rest, state.wake, period_s)
            life = _life(board, power)
            rows.append(
                {
                    "sleep_state": mode,
                    "period_s": period_s,
                    "duty_cycle": tau.value / period_s,
                    **columns("average_power_mW", power),
                    **columns("life_h", life),
                    "inferences": battery.inferences(life.value, period_s),
                }
            )
    return pd.DataFrame(rows)


def _power(board: Board) -> dict[str, Evidence]:
    waiting, running, voltage = idle(board), active(board), supply(board)
    return {
        "power.supply": voltage,
        "power.current.idle": waiting,
        "power.current.active": running,
        "power.current.increase": derive(lambda a, i: a - i, "mA", "active − idle current", running, waiting),
        "power.idle": derive(power_mW, "mW", "idle current × supply voltage", waiting, voltage),
        "power.active": derive(power_mW, "mW", "active current × supply voltage", running, voltage),
        "power.increase": derive(
            lambda a, i: 100 * (a / i - 1), "%", "active over idle power, minus 100 %", running, waiting
        ),
    }


def _energy(board: Board, tau: Evidence) -> dict[str, Evidence]:
    inputs = (tau, idle(board), active(board), supply(board))
    parts = {
        "per-inference": ("total_mJ", "mJ", "active power × latency"),
        "baseline": ("baseline_mJ", "mJ", "idle power × latency"),
        "computation": ("computation_mJ", "mJ", "(active − idle power) × latency"),
        "baseline-share": ("baseline_percent", "%", "baseline / energy per inference"),
        "computation-share": ("computation_percent", "%", "computation / energy per inference"),
    }
    return {"energy.latency": tau} | {
        f"energy.{name}": derive(lambda *x, part=part: getattr(energy_split(*x), part), unit, method, *inputs)
        for name, (part, unit, method) in parts.items()
    }


def _life(board: Board, power: Evidence) -> Evidence:
    return derive(battery.life_h, "h", "usable energy / average power", usable(board), power)


def _inferences(life: Evidence, every: Evidence) -> Evidence:
    return derive(battery.inferences, "1", "operating time / period", life, every)


def _battery(board: Board, tau: Evidence) -> dict[str, Evidence]:
    voltage = board.battery.voltage_V.evidence("V")
    capacity = board.battery.capacity_Ah.evidence("Ah")
    life = _life(board, derive(power_mW, "mW", "active power", active(board), supply(board)))
    return {
        "battery.voltage": voltage,
        "battery.capacity": capacity,
        "battery.energy": derive(lambda v, c: v * c, "Wh", "voltage × capacity", voltage, capacity),
        "battery.usable": usable(board),
        "battery.continuous.life": life,
        "battery.continuous.inferences": _inferences(life, tau),
        "battery.continuous.rate": derive(lambda t: 1 / t, "Hz", "1 / latency", tau),
    }


def _average_power(board: Board, tau: Evidence, rest: Evidence, wake: Evidence, period_s: float) -> Evidence:
    return derive(
        lambda t, a, r, v, w: battery.average_mW(period_s, t, power_mW(a, v), power_mW(r, v), w),
        "mW",
        f"(active power × (latency + wake-up) + rest power × remainder) / {period_s:g} s",
        tau,
        active(board),
        rest,
        supply(board),
        wake,
    )


def _duty_cycled(board: Board, tau: Evidence, period_s: float) -> dict[str, Evidence]:
    metrics = {
        "battery.period": period(period_s),
        "battery.duty-cycle": derive(lambda t: 100 * t / period_s, "%", "latency / period", tau),
    }
    for mode, state in states(board).items():
        rest, wake = state.rest, state.wake
        # The deck's lives know no camera.
        require_room(longest(tau) + longest(wake), mode, period_s)
        name = f"battery.{mode}"
        power = _average_power(board, tau, rest, wake, period_s)
        life = _life(board, power)
        metrics |= {
            f"{name}.current": rest,
            f"{name}.power": power,
            f"{name}.life": life,
            f"{name}.inferences": _inferences(life, period(period_s)),
        }
        if mode != "idle":
            metrics |= {
                f"{name}.life-gain": _life_gain(board, tau, rest, wake, period_s),
                f"{name}.wake-time": in_unit(wake, "ms"),
                f"{name}.wake-energy": derive(
                    lambda w, a, v: power_mW(a, v) * w,
                    "mJ",
                    "active power × wake-up time",
                    wake,
                    active(board),
                    supply(board),
                ),
            }
    return metrics


def _life_gain(board: Board, tau: Evidence, rest: Evidence, wake: Evidence, period_s: float) -> Evidence:
    return derive(
        # Supply voltage and usable energy cancel.
        lambda t, a, i, r, w: (
            battery.average_mW(period_s, t, a, i) / battery.average_mW(period_s, t, a, r, w)
        ),
        "1",
        "life in this mode / life when idling between inferences",
        tau,
        active(board),
        idle(board),
        rest,
        wake,
    )
