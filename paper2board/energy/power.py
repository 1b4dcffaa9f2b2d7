"""Power and energy of an inference from currents (deck, slides 'Power Consumption' and 'Energy')."""

from dataclasses import dataclass


def power_mW(current_mA: float, supply_V: float) -> float:
    """Return the power that ``current_mA`` draws from ``supply_V``."""
    return current_mA * supply_V


@dataclass(frozen=True)
class EnergySplit:
    """Energy of one inference in mJ: what the board draws anyway, and what computing adds."""

    baseline_mJ: float
    computation_mJ: float

    @property
    def total_mJ(self) -> float:
        """Energy drawn from the supply during the inference."""
        return self.baseline_mJ + self.computation_mJ

    @property
    def baseline_percent(self) -> float:
        """Share of the total that idling would have drawn too."""
        return 100 * self.baseline_mJ / self.total_mJ

    @property
    def computation_percent(self) -> float:
        """Share of the total that computing adds."""
        return 100 * self.computation_mJ / self.total_mJ


def energy_split(latency_s: float, idle_mA: float, active_mA: float, supply_V: float) -> EnergySplit:
    """Split the energy of one inference: E = P_idle·τ + (P_active − P_idle)·τ."""
    return EnergySplit(
        baseline_mJ=power_mW(idle_mA, supply_V) * latency_s,
        computation_mJ=power_mW(active_mA - idle_mA, supply_V) * latency_s,
    )
