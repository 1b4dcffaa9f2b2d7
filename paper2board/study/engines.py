"""The engines that a study puts on the device, by the name that files and metrics carry.

An engine is a back end (kernels), a memory plan, and the emulated core that its code runs on. Imported when the
workflow is parsed, so it imports nothing heavy.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceEngine:
    """``backend``: kernels (:class:`paper2board.convert.kernels.catalogue.Backend`). ``streaming``: rows flow
    through fused layers, or every layer runs by itself. ``split``: the deck's interior/boundary split.
    ``core``: QEMU's core; lx106 has the instructions that every Xtensa has, de212 the MAC16 option too, as the
    ESP32's LX6."""

    backend: str
    streaming: bool = True
    split: bool = True
    core: str = "lx106"


ENGINES = {
    "paper-nosplit": DeviceEngine("paper", streaming=False, split=False),
    "paper-split": DeviceEngine("paper", streaming=False),
    "portable": DeviceEngine("portable"),
    "mac16": DeviceEngine("mac16", core="de212"),
    "winograd": DeviceEngine("winograd-mac16", core="de212"),
}
"""The deck's kernels without and with its interior/boundary split; blocked C; MAC16 assembly; MAC16 with Winograd
convolutions where the planner finds them cheaper."""
