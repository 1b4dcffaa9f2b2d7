"""Energy of an inference cycle by phases: boot, camera, inference, then sleep; or idle instead of sleep.

Every phase's energy, where the board is supplied, is that of the board's overhead (regulator, USB bridge, LED: what
it draws while the chip sleeps) and that of the chip with camera and memory, which includes what a linear regulator
turns to heat of their current. What the converter between battery and board loses comes on top.
"""

from collections.abc import Mapping
from typing import NamedTuple

from paper2board.boards.board import Board
from paper2board.core.derive import derive
from paper2board.core.evidence import Evidence
from paper2board.energy.power import power_mW
from paper2board.energy.states import active, idle, longest, overhead, period, require_room, states, supply


class Recorded(NamedTuple):
    """What a recorded trace says of inference and idling."""

    windows: Mapping[str, Evidence]
    """``energy.trace.*``."""
    inferences: int
    """In one window."""


def phase_metrics(
    board: Board, tau: Evidence, period_s: float, recorded: Recorded | None = None
) -> dict[str, Evidence]:
    """Return ``energy.phase.<phase>.{power,duration,energy,chip,overhead,supply}``.

    Without sleep where the period has no room for boot, an image and one inference at their longest.

    Args:
        board: currents, supply, deep sleep, camera, battery.
        tau: latency of one inference, s.
        period_s: one cycle.
        recorded: a trace, for what inference and idling drew; ``board`` is then as it was recorded.

    Raises:
        UserError: the period has no room for one inference.
    """
    windows, inferences = recorded or Recorded({}, 1)
    deep = states(board)["deep-sleep"]
    running = derive(power_mW, "mW", "active current × supply voltage", active(board), supply(board))
    metrics = _awake(board, "boot", running, deep.wake)
    if deep.camera:
        current, time = deep.camera
        on = derive(power_mW, "mW", "current with the camera × supply voltage", current, supply(board))
        metrics |= _awake(board, "camera", on, time)
    if "energy.trace.energy" in windows:
        power, duration, energy = (
            windows["energy.trace.power.active"],
            _share(windows["energy.trace.duration"], inferences),
            _share(windows["energy.trace.energy"], inferences),
        )
        note = _unexpected(duration, tau)
        tau = _noted(duration, note)
        metrics |= _awake(board, "inference", _noted(power, note), tau, _noted(energy, note))
    else:
        metrics |= _awake(board, "inference", running, tau)
    require_room(longest(tau), "idle", period_s)
    whole = period(period_s)
    rest = derive(lambda p, t: p - t, "s", f"{period_s:g} s − inference, no sleep", whole, tau)
    if "energy.trace.power.idle" in windows:
        metrics |= _awake(board, "idle", windows["energy.trace.power.idle"], rest)
    else:
        waiting = derive(power_mW, "mW", "idle current × supply voltage", idle(board), supply(board))
        metrics |= _awake(board, "idle", waiting, rest)
    if deep.awake_s(tau) > period_s:
        return metrics
    asleep = derive(
        lambda p, *times: p - sum(times),
        "s",
        f"{period_s:g} s − all other phases, deep sleep",
        *(whole, tau, deep.wake, *deep.camera[1:]),
    )
    return metrics | _asleep(board, asleep)


def _unexpected(duration: Evidence, modelled: Evidence) -> str:
    """Return what to say of a measured duration outside the modelled latency's interval; else nothing."""
    if modelled.interval is None or modelled.interval[0] <= duration.value <= modelled.interval[1]:
        return ""
    low, high = modelled.interval
    return f"; outside the modelled latency of {low:.3g} to {high:.3g} s: another clock, or another network?"


def _noted(item: Evidence, note: str) -> Evidence:
    return item.model_copy(update={"method": item.method + note})


def _share(item: Evidence, inferences: int) -> Evidence:
    """Return what one of several inferences in a window takes."""
    if inferences == 1:
        return item
    return item.model_copy(
        update={
            "value": item.value / inferences,
            "interval": item.interval and (item.interval[0] / inferences, item.interval[1] / inferences),
            "method": f"{item.method}; / {inferences} inferences",
        }
    )


def _awake(
    board: Board, phase: str, power: Evidence, duration: Evidence, energy: Evidence | None = None
) -> dict[str, Evidence]:
    """Return a phase of which the power is known, or the energy as well."""
    rest = (overhead(board), supply(board), duration)
    method = "energy of the phase − that of the board's overhead"
    if energy is None:
        energy = derive(lambda p, t: p * t, "mJ", "power × duration", power, duration)
        chip = derive(lambda p, o, v, t: (p - power_mW(o, v)) * t, "mJ", method, power, *rest)
    else:
        chip = derive(lambda e, o, v, t: e - power_mW(o, v) * t, "mJ", method, energy, *rest)
    return _phase(board, phase, power, duration, energy, chip)


def _asleep(board: Board, duration: Evidence) -> dict[str, Evidence]:
    inputs = (states(board)["deep-sleep"].rest, supply(board))
    power = derive(power_mW, "mW", "sleeping board's current × supply voltage", *inputs)
    energy = derive(lambda p, t: p * t, "mJ", "power × duration", power, duration)
    chip = derive(
        lambda c, v, t: power_mW(c, v) * t,
        "mJ",
        "sleeping chip's current × supply voltage × duration",
        *(board.sleep.deep.chip_mA.evidence("mA"), supply(board), duration),
    )
    return _phase(board, "sleep", power, duration, energy, chip)


def _phase(
    board: Board, phase: str, power: Evidence, duration: Evidence, energy: Evidence, chip: Evidence
) -> dict[str, Evidence]:
    rest = derive(
        lambda o, v, t: power_mW(o, v) * t,
        "mJ",
        "regulator, USB bridge and LED: their current × supply voltage × duration",
        *(overhead(board), supply(board), duration),
    )
    lost = derive(
        lambda e, efficiency: e * (1 / efficiency - 1),
        "mJ",
        "what the converter loses: energy × (1 / converter efficiency − 1)",
        *(energy, board.battery.converter_efficiency.evidence("1")),
    )
    parts = {
        "power": power,
        "duration": duration,
        "energy": energy,
        "chip": chip,
        "overhead": rest,
        "supply": lost,
    }
    return {f"energy.phase.{phase}.{part}": item for part, item in parts.items()}
