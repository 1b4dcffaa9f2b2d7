"""Board families: what the code must know of a board's processor and a board's file does not say.

A new family is a line in :data:`FAMILIES` (docs/contributing/board.md). Light: the Snakefile reads it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """QEMU's cores that count a family's instructions."""

    scalar: str
    """For code of the base instruction set."""
    mac16: str
    """For code with MAC16 kernels."""


@dataclass(frozen=True)
class Family:
    """A processor. Every family takes part in the fit check; with ``cores`` a study can run on it too."""

    processor: str
    cores: Cores | None = None
    """None: no emulated core stands for it, so instructions cannot be counted."""

    def core(self, *, needs_mac16: bool) -> str:
        """Return the emulated core on which an engine's code is counted."""
        assert self.cores is not None  # load_board
        return self.cores.mac16 if needs_mac16 else self.cores.scalar


FAMILIES = {
    # The lx106 has what every Xtensa has; the de212 also MAC16, zero-overhead loops, MIN/MAX and CLAMPS. Together
    # they bracket the LX6.
    "esp32": Family("Xtensa LX6, two cores, MAC16", Cores(scalar="lx106", mac16="de212")),
    "esp32-s3": Family("Xtensa LX7, two cores, vector instructions"),
    "cortex-m0+": Family("Arm Cortex-M0+, no multiply-accumulate"),
    "cortex-m4f": Family("Arm Cortex-M4 with DSP instructions and floating point"),
    "cortex-m7": Family("Arm Cortex-M7 with DSP instructions, floating point and caches"),
}
"""By the value of a board file's key ``family``."""
