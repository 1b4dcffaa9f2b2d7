"""A figure's CSV file, checked."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paper2board.core.errors import UserError


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file; raise :class:`UserError` if it cannot be read or lacks one of ``columns``."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV ({error}); run its rule again") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path} lacks the column {missing[0]}; run its rule again")
    return table
