"""Figures of a board and of how it is used as evidence: currents, supply, battery, period, and rest states."""

from typing import NamedTuple

from paper2board.boards.board import Board
from paper2board.boards.figures import Figure
from paper2board.core.derive import derive
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, counted
from paper2board.core.units import in_unit
from paper2board.energy import battery

_NO_WAKE = counted(0.0, "s", "an idling board need not wake up")
_NO_LOSS = counted(0.0, "1", "the board's battery states none")


class RecordedFigure(Figure):
    """A figure of a board that a recorded trace gives, with its evidence."""

    recorded: Evidence

    def evidence(self, unit: str) -> Evidence:
        """Return what was recorded."""
        return self.recorded


def idle(board: Board) -> Evidence:
    """Return the current (mA) of the board awake and waiting."""
    return board.currents.idle_mA.evidence("mA")


def active(board: Board) -> Evidence:
    """Return the current (mA) of the board during inference."""
    return board.currents.active_mA.evidence("mA")


def supply(board: Board) -> Evidence:
    """Return the voltage (V) where currents are measured."""
    return board.supply_V.evidence("V")


def overhead(board: Board) -> Evidence:
    """Return the current (mA) of what on the board is not the chip."""
    return board.sleep.board_overhead_mA.evidence("mA")


def usable(board: Board) -> Evidence:
    """Return the energy (Wh) of the battery that reaches the board."""
    method = "voltage × capacity × converter efficiency × discharge efficiency"
    return derive(battery.usable_Wh, "Wh", method, *cell(board))


def cell(board: Board) -> tuple[Evidence, Evidence, Evidence, Evidence]:
    """Return the battery's voltage (V), capacity (Ah), converter and discharge efficiency."""
    figures = board.battery
    return (
        figures.voltage_V.evidence("V"),
        figures.capacity_Ah.evidence("Ah"),
        figures.converter_efficiency.evidence("1"),
        figures.discharge_efficiency.evidence("1"),
    )


def self_discharge(board: Board) -> Evidence:
    """Return the share of what is left in the battery that a month takes; 0 where the board states none."""
    loss = board.battery.loss
    return _NO_LOSS if loss is None else loss.evidence("1")


class State(NamedTuple):
    """What a board does between inferences, and what it takes to infer again."""

    rest: Evidence
    """Current, mA."""
    wake: Evidence
    """Time, s."""
    active: Evidence
    """Current (mA) while it wakes up and infers; the deck's lives take the board's in every state."""
    camera: tuple[Evidence, ...] = ()
    """Current (mA) and time (s) until the image is there; none if the camera stays on, or there is none."""

    def awake_s(self, tau: Evidence) -> float:
        """Return the longest that the board can be awake for an inference of duration ``tau``."""
        return longest(tau) + longest(self.wake) + sum(map(longest, self.camera[1:]))


def states(board: Board) -> dict[str, State]:
    """Return the rest states: idle, light and deep sleep of the board, and of the module alone.

    The module is alone while it infers and takes an image, too: what the board around it draws is taken off.
    """
    found = {"idle": State(idle(board), _NO_WAKE, active(board))}
    on_board = _camera(board)
    alone = tuple(_without_board(board, current) for current in on_board[:1]) + on_board[1:]
    for name, sleep in (("light-sleep", board.sleep.light), ("deep-sleep", board.sleep.deep)):
        chip, wake = sleep.chip_mA.evidence("mA"), in_unit(sleep.wake_ms.evidence("ms"), "s")
        rest = derive(
            lambda c, o: c + o, "mA", "sleeping chip + regulator, USB bridge and LED", chip, overhead(board)
        )
        found[name] = State(rest, wake, active(board), on_board)
        found[f"{name}-module"] = State(chip, wake, _without_board(board, active(board)), alone)
    return found


def _without_board(board: Board, current: Evidence) -> Evidence:
    return derive(
        lambda c, o: c - o, "mA", "board's current − regulator, USB bridge and LED", current, overhead(board)
    )


def period(period_s: float) -> Evidence:
    """Return the study's period (s), an assumption."""
    return counted(period_s, "s", "study configuration: one inference per period", Kind.CLAIMED)


def _camera(board: Board) -> tuple[Evidence, ...]:
    """Return current (mA) and time (s) of an image after sleep; nothing for a board without a camera."""
    if board.camera is None:
        return ()
    return board.camera.current_mA.evidence("mA"), in_unit(board.camera.image_ms.evidence("ms"), "s")


def require_room(awake_s: float, mode: str, period_s: float) -> None:
    """Raise UserError if a period has no room for being awake so long; ``mode`` is the state's name."""
    if awake_s > period_s:
        raise UserError(
            f"energy: a period of {period_s:g} s has no room for {awake_s:g} s awake (mode {mode}); "
            "choose a longer period in the study configuration"
        )


def longest(time: Evidence) -> float:
    """Return the largest value that a time may have."""
    return max(time.value, *(time.interval or (0.0,)))
