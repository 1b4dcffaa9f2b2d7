"""How an instrument was connected, and where its recording lies. Imports nothing heavy: studies name it."""

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from paper2board.boards.figures import Figure, Positive
from paper2board.core.strict import StrictModel

Name = Annotated[str, Field(min_length=1)]


class TraceColumns(StrictModel):
    """What a file does not say: which column carries what, and what stands before the instrument's input.

    Columns are named as in the file's header: ``CH1``, ``Current[mA]``; the PPK2's bit string has the columns
    ``D0`` to ``D7``.
    """

    current: Name | None = None
    """Column of the current, where the file has several, or a voltage that stands for it."""
    current_mA_per_V: Positive | None = None
    """Scale of a current probe, or 1000 / the shunt's resistance in ohm."""
    voltage: Name | None = None
    """Column of the supply voltage, where its name does not say so."""
    gpio: Name | None = None
    """Column of the pin that is high during an inference: an analog one, or where several digital ones change."""
    full_scale_mA: Positive | None = None
    """Current at which the instrument, as it was set, saturates."""

    @model_validator(mode="after")
    def _columns_differ(self) -> "TraceColumns":
        named = [name.casefold() for name in (self.current, self.voltage, self.gpio) if name]
        if len(set(named)) < len(named):
            raise ValueError(
                "names one column for two of current, voltage and gpio; name another, or leave one out"
            )
        return self


UNSTATED = TraceColumns()


class MeasuredTrace(TraceColumns):
    """A recording of the study's board while it ran the study's network."""

    file: Name
    """Path of what the instrument wrote."""
    log: Name | None = None
    """Path of the serial line's log: how many inferences a command took, and when, where no pin was recorded."""
    inferences: PositiveInt = 1
    """How many make one window: of one pulse of the pin, or of one ``infer`` command."""
    supply_V: Figure | None = None
    """Supply voltage while it was recorded, where the file does not hold it; None: the board's."""
