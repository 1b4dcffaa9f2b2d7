"""Latency of a device from an instruction count: instructions × cycles per instruction / clock."""

from paper2board.energy.board import Board
from paper2board.energy.derived import derive
from paper2board.evidence import Evidence, Kind


def latency_ms(instructions: float, cycles_per_instruction: float, clock_MHz: float) -> float:
    """Return milliseconds."""
    return instructions * cycles_per_instruction / (clock_MHz * 1e3)


def device_latency(board: Board, instructions: Evidence) -> Evidence:
    """Return the modelled latency in ms of an emulated instruction count.

    Never better than ``modelled``, even where the board's cycles per instruction were measured: those
    belong to the code they were measured on.
    """
    cpu = board.cpu
    latency = derive(
        latency_ms,
        "ms",
        "instructions × cycles per instruction / clock, of the board configuration",
        instructions,
        cpu.cycles_per_instruction.evidence("1"),
        cpu.clock_MHz.evidence("MHz"),
    )
    return latency.model_copy(update={"kind": Kind.MODELLED})
