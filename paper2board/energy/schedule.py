"""A day of a board that infers now and then: its average power, its battery's life, its inferences."""

from dataclasses import dataclass
from typing import NamedTuple

from paper2board.energy import battery

HOUR_s = 3600.0
DAY_h = 24.0


class Step(NamedTuple):
    """Something that a board does for an inference: wake up, take an image, infer."""

    power_mW: float
    duration_s: float


@dataclass(frozen=True)
class Demand:
    """What one inference takes of a board that rests otherwise."""

    steps: tuple[Step, ...]
    rest_mW: float

    @property
    def awake_s(self) -> float:
        """How long the board is awake."""
        return sum(step.duration_s for step in self.steps)

    @property
    def extra_mJ(self) -> float:
        """Energy above that of resting all the while."""
        return sum((step.power_mW - self.rest_mW) * step.duration_s for step in self.steps)

    def most_per_hour(self, average_mW: float) -> float:
        """Return how many inferences an hour keep the average power: 0 if resting alone exceeds it."""
        back_to_back = HOUR_s / self.awake_s
        spare_mW = average_mW - self.rest_mW
        if spare_mW <= 0:
            return 0.0
        if self.extra_mJ * back_to_back <= spare_mW * HOUR_s:
            return back_to_back
        return spare_mW * HOUR_s / self.extra_mJ


@dataclass(frozen=True)
class Schedule:
    """Evenly spaced inferences during some hours of every day; the board rests between them and otherwise.

    Raises:
        ValueError: the hour has no room for the inferences, or the day none for the hours.
    """

    demand: Demand
    per_hour: float
    active_h: float = DAY_h
    """Hours of a day."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 <= self.active_h <= DAY_h:
            raise ValueError(f"a day has no {self.active_h:g} active hours")
        # Back to back is the whole hour, but for rounding.
        if not 0 <= self.per_hour * self.demand.awake_s <= HOUR_s * (1 + 1e-9):
            raise ValueError(
                f"an hour has no room for {self.per_hour:g} inferences of {self.demand.awake_s:g} s awake"
            )

    @property
    def per_day(self) -> float:
        """Inferences a day."""
        return self.per_hour * self.active_h

    @property
    def average_mW(self) -> float:
        """Mean power over whole days."""
        return self.demand.rest_mW + self.demand.extra_mJ * self.per_day / (DAY_h * HOUR_s)

    def life_h(self, energy_Wh: float, loss: float = 0.0, discharge_efficiency: float = 1.0) -> float:
        """Return the life of a battery with ``energy_Wh`` usable and the self-discharge ``loss`` (1/h)."""
        return battery.life_h(energy_Wh, self.average_mW, loss, discharge_efficiency)

    def inferences(self, hours: float) -> int:
        """Return the number of inferences in ``hours``, to the nearest."""
        return round(hours * self.per_day / DAY_h)
