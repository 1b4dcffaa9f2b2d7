"""A recording of the study's board with the log of its serial line, where the study names one."""

from dataclasses import replace
from typing import NamedTuple

from paper2board.core.errors import UserError
from paper2board.core.files import digest
from paper2board.traces.columns import MeasuredTrace
from paper2board.traces.laps import read_laps
from paper2board.traces.timestamps import Timestamps
from paper2board.traces.trace import Trace, read_trace


class RecordedRun(NamedTuple):
    """What was recorded while the board inferred."""

    trace: Trace
    timestamps: Timestamps
    """By the device's clock; none without a log."""
    chain: dict[str, str]
    """Digests of the recording and of the log."""


def read_recording(recorded: MeasuredTrace) -> RecordedRun:
    """Read the recording and the log; what the log holds is noted in the trace.

    Raises:
        UserError: as :func:`read_trace` and :func:`read_laps`, or the log's commands are not of the study's number
        of
            inferences.
    """
    trace = read_trace(recorded.file, recorded.columns)
    chain = {"trace": digest(recorded.file)}
    if recorded.log is None:
        return RecordedRun(trace, [], chain)
    laps = read_laps(recorded.log)
    if laps.inferences != recorded.inferences:
        raise UserError(
            f"{recorded.log}: each 'infer' is of {laps.inferences} inferences, the study's 'inferences' is "
            f"{recorded.inferences}; correct the study, or name the log of this recording"
        )
    note = f"{laps.inferences} inferences to a window by the serial log"
    trace = replace(trace, notes=(*trace.notes, note))
    return RecordedRun(trace, laps.windows_s, chain | {"log": digest(recorded.log)})
