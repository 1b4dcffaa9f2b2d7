"""Energy of an inference cycle by phases: boot, camera, inference, then sleep; or idle instead of sleep.

Every phase's energy, where the board is supplied, is that of the board's overhead (regulator, USB bridge, LED: what
it draws while the chip sleeps) and that of the chip with camera and memory, which includes what a linear regulator
turns to heat of their current. What the converter between battery and board loses comes on top.
"""

from collections.abc import Mapping

from paper2board.energy.board import Board
from paper2board.energy.derived import derive
from paper2board.energy.power import power_mW
from paper2board.energy.states import active, camera, idle, overhead, states, supply
from paper2board.evidence import Evidence


def phase_book(
    board: Board,
    tau: Evidence,
    period_s: float,
    trace: Mapping[str, Evidence] | None = None,
    inferences: int = 1,
) -> dict[str, Evidence]:
    """Return ``energy.phase.<phase>.{power,duration,energy,chip,overhead,supply}``.

    Args:
        board: currents, supply, deep sleep, camera, battery.
        tau: latency of one inference, s.
        period_s: one cycle; there is room for it.
        trace: ``energy.trace.*`` of a recorded trace, for what inference and idling drew.
        inferences: in one window of the trace.
    """
    trace = trace or {}
    wake, picture = states(board)["deep-sleep"].wake, camera(board)
    running = derive(power_mW, "mW", "active current × supply voltage", active(board), supply(board))
    waiting = trace.get("energy.trace.power.idle") or derive(
        power_mW, "mW", "idle current × supply voltage", idle(board), supply(board)
    )
    book = _awake(board, "boot", running, wake)
    if picture:
        current, time = picture
        on = derive(power_mW, "mW", "current with the camera × supply voltage", current, supply(board))
        book |= _awake(board, "camera", on, time)
    if "energy.trace.energy" in trace:
        power, tau, energy = (
            trace["energy.trace.power.active"],
            _share(trace["energy.trace.duration"], inferences),
            _share(trace["energy.trace.energy"], inferences),
        )
        book |= _awake(board, "inference", power, tau, energy)
    else:
        book |= _awake(board, "inference", running, tau)
    rest = derive(lambda t: period_s - t, "s", f"{period_s:g} s − inference, no sleep", tau)
    asleep = derive(
        lambda *times: period_s - sum(times),
        "s",
        f"{period_s:g} s − all other phases, deep sleep",
        *(tau, wake, *picture[1:]),
    )
    return book | _awake(board, "idle", waiting, rest) | _asleep(board, asleep)


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
