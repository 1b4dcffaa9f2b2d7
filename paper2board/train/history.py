"""Training histories as files."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from paper2board.core.files import atomic_path


def write_history(history: pd.DataFrame, path: str | Path, log: Callable[[str], None]) -> None:
    """Write a training history as CSV, scores in %, and log its last line."""
    table = history.copy()
    for column in ("train_score", "validation_score"):
        table[column] = (100 * table[column]).round(4)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
    log(f"{path}: validation score {table['validation_score'].iloc[-1]:.2f} %")
