"""The evidence book of power, energy per inference and battery life, for any latency.

The same formulas serve the deck's own inputs (its 0.32 s: prefix ``deck.``) and ours (the modelled
latency of our engine, no prefix); currents, supply and battery are the board's.
"""

from collections.abc import Iterable

import pandas as pd

from paper2board.energy import battery
from paper2board.energy.board import Board
from paper2board.energy.derived import derive
from paper2board.energy.power import energy_split, power_mW
from paper2board.energy.units import in_unit
from paper2board.errors import UserError
from paper2board.evidence import Evidence, Kind

_NO_WAKE = Evidence(value=0.0, unit="s", kind=Kind.MODELLED, method="an idling board need not wake up")


def energy_book(board: Board, latency: Evidence, period_s: float, prefix: str = "") -> dict[str, Evidence]:
    """Return the metrics ``power.*``, ``energy.*`` and ``battery.*``, names led by ``prefix``.

    Args:
        board: currents, supply, sleep modes and battery.
        latency: of one inference, in s, ms or us.
        period_s: one inference per period in duty-cycled operation.
        prefix: of the scenario, for instance ``deck.``.

    Raises:
        UserError: the period has no room for waking up and one inference.
    """
    tau = in_unit(latency, "s")
    book = _power(board) | _energy(board, tau) | _battery(board, tau) | _duty_cycled(board, tau, period_s)
    return {prefix + name: item for name, item in book.items()}


def duty_cycle_curve(board: Board, latency: Evidence, periods_s: Iterable[float]) -> pd.DataFrame:
    """Return battery life over the duty cycle, one row per sleep state and period.

    Columns: sleep_state, period_s, duty_cycle (0 to 1), average_power_mW, life_h, inferences; power and
    life also with ``_low`` and ``_high``. A state has no row for periods in which it cannot wake up and infer.
    """
    tau = in_unit(latency, "s")
    rows = []
    for period_s in periods_s:
        for mode, (rest, wake) in _rest_modes(board).items():
            if _longest(tau) + _longest(wake) > period_s:
                continue
            power = _average_power(board, tau, rest, wake, period_s)
            life = _life(board, power)
            rows.append(
                {
                    "sleep_state": mode,
                    "period_s": period_s,
                    "duty_cycle": tau.value / period_s,
                    **_columns("average_power_mW", power),
                    **_columns("life_h", life),
                    "inferences": battery.inferences(life.value, period_s),
                }
            )
    return pd.DataFrame(rows)


def _columns(name: str, item: Evidence) -> dict[str, float]:
    low, high = item.interval or (item.value, item.value)
    return {name: item.value, f"{name}_low": low, f"{name}_high": high}


def _longest(time: Evidence) -> float:
    return max(time.value, *(time.interval or (0.0,)))


def _idle(board: Board) -> Evidence:
    return board.currents.idle_mA.evidence("mA")


def _active(board: Board) -> Evidence:
    return board.currents.active_mA.evidence("mA")


def _supply(board: Board) -> Evidence:
    return board.supply_V.evidence("V")


def _power(board: Board) -> dict[str, Evidence]:
    idle, active, supply = _idle(board), _active(board), _supply(board)
    return {
        "power.supply": supply,
        "power.current.idle": idle,
        "power.current.active": active,
        "power.current.increase": derive(lambda a, i: a - i, "mA", "active − idle current", active, idle),
        "power.idle": derive(power_mW, "mW", "idle current × supply voltage", idle, supply),
        "power.active": derive(power_mW, "mW", "active current × supply voltage", active, supply),
        "power.increase": derive(
            lambda a, i: 100 * (a / i - 1), "%", "active over idle power, minus 100 %", active, idle
        ),
    }


def _energy(board: Board, tau: Evidence) -> dict[str, Evidence]:
    inputs = (tau, _idle(board), _active(board), _supply(board))
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


def _usable(board: Board) -> Evidence:
    cell = board.battery
    return derive(
        battery.usable_Wh,
        "Wh",
        "voltage × capacity × converter efficiency × discharge efficiency",
        cell.voltage_V.evidence("V"),
        cell.capacity_Ah.evidence("Ah"),
        cell.converter_efficiency.evidence("1"),
        cell.discharge_efficiency.evidence("1"),
    )


def _life(board: Board, power: Evidence) -> Evidence:
    return derive(battery.life_h, "h", "usable energy / average power", _usable(board), power)


def _inferences(life: Evidence, period: Evidence) -> Evidence:
    return derive(battery.inferences, "1", "operating time / period", life, period)


def _battery(board: Board, tau: Evidence) -> dict[str, Evidence]:
    voltage = board.battery.voltage_V.evidence("V")
    capacity = board.battery.capacity_Ah.evidence("Ah")
    life = _life(board, derive(power_mW, "mW", "active power", _active(board), _supply(board)))
    return {
        "battery.voltage": voltage,
        "battery.capacity": capacity,
        "battery.energy": derive(lambda v, c: v * c, "Wh", "voltage × capacity", voltage, capacity),
        "battery.usable": _usable(board),
        "battery.continuous.life": life,
        "battery.continuous.inferences": _inferences(life, tau),
        "battery.continuous.rate": derive(lambda t: 1 / t, "Hz", "1 / latency", tau),
    }


def _rest_modes(board: Board) -> dict[str, tuple[Evidence, Evidence]]:
    """Return per rest mode the current between inferences (mA) and the wake-up time (s)."""
    modes = {"idle": (_idle(board), _NO_WAKE)}
    overhead = board.sleep.board_overhead_mA.evidence("mA")
    for name, sleep in (("light-sleep", board.sleep.light), ("deep-sleep", board.sleep.deep)):
        chip, wake = sleep.chip_mA.evidence("mA"), in_unit(sleep.wake_ms.evidence("ms"), "s")
        on_board = derive(
            lambda c, o: c + o, "mA", "sleeping chip + regulator, USB bridge and LED", chip, overhead
        )
        modes[name] = (on_board, wake)
        modes[f"{name}-module"] = (chip, wake)
    return modes


def _average_power(board: Board, tau: Evidence, rest: Evidence, wake: Evidence, period_s: float) -> Evidence:
    return derive(
        lambda t, a, r, v, w: battery.average_mW(period_s, t, power_mW(a, v), power_mW(r, v), w),
        "mW",
        f"(active power × (latency + wake-up) + rest power × remainder) / {period_s:g} s",
        tau,
        _active(board),
        rest,
        _supply(board),
        wake,
    )


def _duty_cycled(board: Board, tau: Evidence, period_s: float) -> dict[str, Evidence]:
    period = Evidence(
        value=period_s, unit="s", kind=Kind.CLAIMED, method="study configuration: one inference per period"
    )
    book = {
        "battery.period": period,
        "battery.duty-cycle": derive(lambda t: 100 * t / period_s, "%", "latency / period", tau),
    }
    for mode, (rest, wake) in _rest_modes(board).items():
        awake_s = _longest(tau) + _longest(wake)
        if awake_s > period_s:
            raise UserError(
                f"energy: a period of {period_s:g} s has no room for {awake_s:g} s awake (mode {mode}); "
                "choose a longer period in the study configuration"
            )
        name = f"battery.{mode}"
        power = _average_power(board, tau, rest, wake, period_s)
        life = _life(board, power)
        book |= {
            f"{name}.current": rest,
            f"{name}.power": power,
            f"{name}.life": life,
            f"{name}.inferences": _inferences(life, period),
        }
        if mode != "idle":
            book |= {
                f"{name}.life-gain": _life_gain(board, tau, rest, wake, period_s),
                f"{name}.wake-time": in_unit(wake, "ms"),
                f"{name}.wake-energy": derive(
                    lambda w, a, v: power_mW(a, v) * w,
                    "mJ",
                    "active power × wake-up time",
                    wake,
                    _active(board),
                    _supply(board),
                ),
            }
    return book


def _life_gain(board: Board, tau: Evidence, rest: Evidence, wake: Evidence, period_s: float) -> Evidence:
    return derive(
        # Supply voltage and usable energy cancel.
        lambda t, a, i, r, w: (
            battery.average_mW(period_s, t, a, i) / battery.average_mW(period_s, t, a, r, w)
        ),
        "1",
        "life in this mode / life when idling between inferences",
        tau,
        _active(board),
        _idle(board),
        rest,
        wake,
    )
