"""How an instrument was connected, and where its recording lies. Imports nothing heavy: studies name it."""

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from paper2board.boards.figures import Figure, Positive
from paper2board.core.strict import StrictModel

Name = Annotated[str, Field(min_length=1)]


class TraceColumns(StrictModel):
    """What a file does not say: which column carries what, in which unit, and what stands before the instrument's
    input.

    Columns are named as in the file's header: ``CH1``, ``Current[mA]``; the PPK2's bit string has the columns
    ``D0`` to ``D7``. Where the header has no unit, it follows the name: ``amps in A``. In a file without a header
    columns are called ``1``, ``2``, … from the left.
    """

    time: Name | None = None
    """Column of the time: ``Timestamp in s``."""
    interval_s: Positive | None = None
    """Sampling interval, where no column is the time: samples are then as far apart as this."""
    current: Name | None = None
    """Column of the current, where the file has several, or a voltage that stands for it: ``amps in A``."""
    current_mA_per_V: Positive | None = None
    """Scale of a current probe, or 1000 / the shunt's resistance in ohm."""
    voltage: Name | None = None
    """Column of the supply voltage, where it is open which one is: ``vcc in mV``."""
    gpio: Name | None = None
    """Column of the pin that is high during an inference: an analog one, or where several digital ones change."""
    full_scale_mA: Positive | None = None
    """Current at which the instrument, as it was set, saturates."""

    def named(self) -> list[str]:
        """Return the columns that are named, with their units where stated."""
        return [name for name in (self.time, self.current, self.voltage, self.gpio) if name]

    @model_validator(mode="after")
    def _columns_differ(self) -> "TraceColumns":
        named = [name.casefold() for name in self.named()]
        if len(set(named)) < len(named):
            raise ValueError(
                "names one column for two of time, current, voltage and gpio; name another, or leave one out"
            )
        if self.time and self.interval_s:
            raise ValueError("has both 'time' and 'interval_s'; leave one out")
        return self


UNSTATED = TraceColumns()


class MeasuredTrace(StrictModel):
    """A recording of the study's board while it ran the study's network."""

    file: Name
    """Path of what the instrument wrote."""
    columns: TraceColumns = UNSTATED
    """What its header does not say."""
    log: Name | None = None
    """Path of the serial line's log: how many inferences a command took, and when, where no pin was recorded."""
    inferences: PositiveInt = 1
    """How many make one window: of one pulse of the pin, or of one ``infer`` command."""
    supply_V: Figure | None = None
    """Supply voltage while it was recorded, where the file does not hold it; None: the board's."""
