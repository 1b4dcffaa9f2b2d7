"""When a device inferred, by its own clock: the laps in a log of its serial line (docs/protocol.md)."""

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from paper2board.core.errors import UserError


class Laps(NamedTuple):
    """What a log says of ``infer`` commands."""

    windows_s: list[tuple[float, float]]
    """Start and end of each, since the device's start."""
    inferences: int
    """Of each."""


def read_laps(path: str | Path) -> Laps:
    """Read the ``infer`` commands in a log, plain or framed.

    Raises:
        UserError: the file cannot be read, no command is complete, their numbers of inferences differ, or the clock
            went back, as it does when the device restarts and every 71 minutes.
    """
    try:
        text = Path(path).read_bytes().decode(errors="replace")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name an existing file") from error
    commands = re.findall(r"m-infer-start-(\d+)((?:(?!m-infer-start).)*?)m-infer-done", text, re.DOTALL)
    laps = [[int(lap) / 1e6 for lap in re.findall(r"m-lap-us-(\d+)", reply)] for _, reply in commands]
    if not laps or any(len(each) != 2 for each in laps):
        raise UserError(
            f"{path}: no complete replies to 'infer', from m-infer-start to m-infer-done with two m-lap-us; log "
            "the whole serial line"
        )
    times_s = [lap for each in laps for lap in each]
    if any(after <= before for before, after in pairwise(times_s)):
        raise UserError(f"{path}: the device's clock goes back; log one run of the device, under 71 minutes")
    inferences = sorted({int(number) for number, _ in commands})
    if len(inferences) > 1:
        raise UserError(
            f"{path}: it holds commands of {' and of '.join(map(str, inferences))} inferences; log those of one "
            "number alone"
        )
    return Laps([(start_s, end_s) for start_s, end_s in laps], inferences[0])
