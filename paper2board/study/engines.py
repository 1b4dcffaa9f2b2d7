"""The engines that a study puts on the device, by the name that files and metrics carry.

An engine is a back end (kernels) and a memory plan. Light: the Snakefile reads it.
"""

from dataclasses import dataclass
from typing import Annotated

from paper2board.boards.backends import Backend
from paper2board.core.strict import OneOf


@dataclass(frozen=True)
class DeviceEngine:
    """``streaming``: rows flow through fused layers, or every layer runs by itself. ``split``: the deck's
    interior/boundary split."""

    backend: Backend
    streaming: bool = True
    split: bool = True

    @property
    def needs_mac16(self) -> bool:
        """Whether its instructions are those of MAC16 kernels."""
        return self.backend.needs_mac16


ENGINES = {
    "paper-nosplit": DeviceEngine(Backend.PAPER, streaming=False, split=False),
    "paper-split": DeviceEngine(Backend.PAPER, streaming=False),
    "portable": DeviceEngine(Backend.PORTABLE),
    "mac16": DeviceEngine(Backend.MAC16),
    "winograd": DeviceEngine(Backend.WINOGRAD_MAC16),
}
"""The deck's kernels without and with its interior/boundary split; blocked C; MAC16 assembly; MAC16 with Winograd
convolutions where the planner finds them cheaper."""
EngineName = Annotated[str, OneOf(ENGINES)]
