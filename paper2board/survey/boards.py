"""The surveyed boards themselves: what there is to choose a platform by."""

from collections.abc import Mapping

from paper2board.boards.board import Platform
from paper2board.core.derive import derive
from paper2board.core.evidence import Evidence
from paper2board.energy.power import power_mW


def boards_metrics(platforms: Mapping[str, Platform]) -> dict[str, Evidence]:
    """Return ``survey.board.<name>.{clock,flash,sram,largest-block,psram}`` and ``.power.{idle,active,sleep}``.

    What a board's file does not state is left out. Power is that of the whole board where it is supplied; asleep,
    deeply so.
    """
    metrics: dict[str, Evidence] = {}
    for name, platform in platforms.items():
        figures = _memories(platform) | _powers(platform)
        metrics |= {f"survey.board.{name}.{quantity}": item for quantity, item in figures.items()}
    return metrics


def _memories(platform: Platform) -> dict[str, Evidence]:
    memory = platform.memory
    figures = {
        "clock": platform.cpu.clock_MHz.evidence("MHz"),
        "flash": memory.flash_B.evidence("B"),
        "sram": memory.dram_B.evidence("B"),
        "largest-block": (memory.largest_block_B or memory.dram_B).evidence("B"),
    }
    if memory.psram_B is not None:
        figures["psram"] = memory.psram_B.evidence("B")
    return figures


def _powers(platform: Platform) -> dict[str, Evidence]:
    if platform.supply_V is None or platform.currents is None:
        return {}
    voltage = platform.supply_V.evidence("V")
    states = {"idle": platform.currents.idle_mA, "active": platform.currents.active_mA}
    figures = {
        state: derive(power_mW, "mW", f"{state} current × supply voltage", current.evidence("mA"), voltage)
        for state, current in states.items()
    }
    if platform.sleep is not None:
        figures["sleep"] = derive(
            lambda chip, board, volts: power_mW(chip + board, volts),
            "mW",
            "(chip in deep sleep + board's overhead) × supply voltage",
            platform.sleep.deep.chip_mA.evidence("mA"),
            platform.sleep.board_overhead_mA.evidence("mA"),
            voltage,
        )
    return {f"power.{state}": item for state, item in figures.items()}
