"""Whether a network's constants and activations fit a board beside the application.

Imports nothing heavy. The survey asks for every network and board; a user asks when choosing a platform.
"""

from dataclasses import dataclass
from enum import StrEnum

from paper2board.boards.board import Platform


@dataclass(frozen=True)
class Room:
    """What a board has for a network, in bytes."""

    flash_B: int
    sram_B: int
    """In one piece: the arena is one array."""
    psram_B: int
    """0 where the board has none."""


class Fit(StrEnum):
    """What :func:`fits` found."""

    FITS = "fits"
    FITS_WITH_PSRAM = "fits with PSRAM"
    """The arena is too large for the SRAM, not for the external RAM, which is several times slower."""
    FLASH_TOO_SMALL = "flash too small"
    SRAM_TOO_SMALL = "SRAM too small"
    BOTH_TOO_SMALL = "flash and SRAM too small"

    @property
    def possible(self) -> bool:
        """Whether the network can run on the board at all."""
        return self in (Fit.FITS, Fit.FITS_WITH_PSRAM)


def room(platform: Platform) -> Room:
    """Return what the application leaves of a board's memories."""
    memory, application = platform.memory, platform.application
    return Room(
        flash_B=int(memory.flash_B.value - application.reserved_flash_B.value),
        sram_B=int(memory.block_B - application.reserved_sram_B.value),
        psram_B=int(memory.psram_B.value) if memory.psram_B is not None else 0,
    )


def fits(platform: Platform, flash_B: float, sram_B: float) -> Fit:
    """Return whether a network fits ``platform``.

    Args:
        platform: the board.
        flash_B: bytes of the network's weights and other constants, and of its code if that is counted.
        sram_B: bytes of its arena: activations and working memory that exist together.
    """
    has = room(platform)
    if flash_B > has.flash_B:
        return Fit.BOTH_TOO_SMALL if sram_B > max(has.sram_B, has.psram_B) else Fit.FLASH_TOO_SMALL
    if sram_B <= has.sram_B:
        return Fit.FITS
    return Fit.FITS_WITH_PSRAM if sram_B <= has.psram_B else Fit.SRAM_TOO_SMALL
