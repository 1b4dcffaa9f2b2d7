"""Back ends by name: the sets of kernels that a network's C is generated for, and what they ask of a processor.

Light, so that configuration can name them; their kernels are in :mod:`paper2board.convert.kernels`.
"""

from enum import StrEnum


class Backend(StrEnum):
    """A set of kernels. ``paper`` is the deck's loops; ``portable`` runs on any 32-bit processor, ``mac16`` on
    an Xtensa with the MAC16 option. The ``winograd-`` ones add Winograd F(4×4, 3×3) to either."""

    PAPER = "paper"
    PORTABLE = "portable"
    MAC16 = "mac16"
    WINOGRAD_PORTABLE = "winograd-portable"
    WINOGRAD_MAC16 = "winograd-mac16"

    @property
    def needs_mac16(self) -> bool:
        """Whether its code runs on a processor with the MAC16 option only."""
        return self in (Backend.MAC16, Backend.WINOGRAD_MAC16)
