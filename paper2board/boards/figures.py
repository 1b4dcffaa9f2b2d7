"""The numbers of a board file: positive, with kind and source, like the evidence that is computed from them."""

from typing import Annotated

from pydantic import Field, model_validator

from paper2board.core.evidence import Evidence, Kind
from paper2board.core.strict import StrictModel

Positive = Annotated[float, Field(gt=0, strict=True)]


def require(condition: bool, message: str) -> None:
    """Refuse a section of a board file with ``message``."""
    if not condition:
        raise ValueError(message)


class Figure(StrictModel):
    """One positive number of a board; its unit is the suffix of its key."""

    value: Positive
    interval: tuple[Positive, Positive] | None = None
    """Range that the source states, same unit."""
    kind: Kind
    source: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _value_lies_in_its_interval(self) -> "Figure":
        if self.interval is not None:
            low, high = self.interval
            require(low <= self.value <= high, f"value {self.value} lies outside interval [{low}, {high}]")
        return self

    def evidence(self, unit: str) -> Evidence:
        """Return the figure as evidence in ``unit``, the unit of its key."""
        return Evidence(
            value=self.value,
            unit=unit,
            kind=self.kind,
            method=self.source,
            interval=self.interval,
            interval_method=None if self.interval is None else "range stated by the source",
        )


class Fraction(Figure):
    """A figure between 0 and 1."""

    @model_validator(mode="after")
    def _is_at_most_one(self) -> "Fraction":
        highest = max((self.value, *(self.interval or ())))
        require(highest <= 1, f"{highest} is above 1")
        return self
