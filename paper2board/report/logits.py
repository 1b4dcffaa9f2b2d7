"""Logits of the test set on disk, and the test set itself. Nothing else touches the test images."""

from pathlib import Path

import numpy as np

from paper2board.acquire.cifar10 import load_split
from paper2board.errors import UserError
from paper2board.files import atomic_path


def load_test(data_folder: str | Path, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``limit`` (None: all) test images, uint8 N×H×W×C, and their labels."""
    images, labels = load_split(data_folder, "test")
    return images[:limit], labels[:limit]


def write_logits(path: str | Path, logits: np.ndarray) -> None:
    """Write N×classes logits (float32, or int8 of an integer model) as ``.npy``, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, logits, allow_pickle=False)


def read_logits(path: str | Path) -> np.ndarray:
    """Read logits; raise :class:`UserError` if the file holds none."""
    try:
        logits = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} holds no logits ({error}); delete it and run the workflow again") from error
    if logits.ndim != 2:
        raise UserError(f"{path} has shape {logits.shape}, not N × classes; delete it and run again")
    return logits
