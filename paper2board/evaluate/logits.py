"""Outputs of networks over the test set on disk, and the test set itself. Nothing else touches the test images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paper2board.acquire.examples import load_examples
from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path
from paper2board.networks.pixels import fit_images


def load_test(files: Sequence[str | Path], limit: int | None, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the first ``limit`` (None: all) test images for a network of (C, H, W) input, uint8 N×H×W×C."""
    return fit_images(load_examples(files, limit).images, shape)


def write_logits(path: str | Path, logits: np.ndarray) -> None:
    """Write logits (float32, or int8 of an integer model) as ``.npy`` of N×K, atomically.

    K is the number of classes, or rows · columns · channels of an output N×rows×columns×channels, in that order.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, logits.reshape(len(logits), -1), allow_pickle=False)


def read_logits(path: str | Path) -> np.ndarray:
    """Read logits; raise :class:`UserError` if the file holds none."""
    try:
        logits = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} holds no logits ({error}); delete it and run the workflow again") from error
    if logits.ndim != 2:
        raise UserError(f"{path} has shape {logits.shape}, not N × outputs; delete it and run again")
    return logits
