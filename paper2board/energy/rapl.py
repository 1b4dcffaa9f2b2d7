"""Energy counters of Intel and AMD processors: RAPL through Linux' powercap files."""

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class NotMeasurableError(Exception):
    """This machine does not let its energy be read; the message says why."""


@dataclass(frozen=True)
class _Package:
    counter: Path
    range_uJ: int
    """Where the counter starts again from zero."""


class Rapl:
    """The package counters of all sockets: cores and uncore included, DRAM not."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        """Find the counters and try to read them.

        Raises:
            NotMeasurableError: there are none, or they may not be read.
        """
        try:
            self._packages = [
                _Package(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
                for zone in sorted(powercap.glob("intel-rapl:*"))
                if (zone / "name").read_text().startswith("package")
            ]
        except (OSError, ValueError) as error:
            raise NotMeasurableError(f"RAPL zones of {powercap} cannot be read ({error})") from error
        if not self._packages:
            raise NotMeasurableError(f"no RAPL package counter under {powercap}")
        self.read_uJ()

    def read_uJ(self) -> list[int]:
        """Return the counters' present values, one per socket.

        Raises:
            NotMeasurableError: they may not be read (Linux keeps them for root).
        """
        try:
            return [int(package.counter.read_text()) for package in self._packages]
        except PermissionError as error:
            raise NotMeasurableError(
                f"{error.filename} is readable by root only; allow it with chmod a+r or run as root"
            ) from error
        except (OSError, ValueError) as error:
            raise NotMeasurableError(f"a RAPL counter cannot be read ({error})") from error

    def spent_uJ(self, before: list[int], after: list[int]) -> int:
        """Return the energy between two readings, counters that wrapped around once included."""
        return sum(
            end - start if end >= start else end - start + package.range_uJ
            for package, start, end in zip(self._packages, before, after, strict=True)
        )
