"""Splits of the training images: to train on, to validate on, to calibrate quantization with."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path

_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    zlib.error,
    zipfile.BadZipFile,
)
"""What numpy raises on a file that is damaged, or something else than an ``.npz``."""
NAMES = ("train", "validation", "calibration")


def make_splits(
    labels: NDArray[np.integer],
    validation_per_class: int,
    calibration: int,
    seed: int,
    limit: int | None = None,
) -> dict[str, NDArray[np.int32]]:
    """Draw ``train``, ``validation`` and ``calibration`` from the images that ``labels`` (n,) label.

    Returns int32 indices. ``train`` and ``validation`` share no image; ``validation`` has
    ``validation_per_class`` images of each class; ``calibration`` images are drawn from ``train``.
    ``limit`` keeps that many training images (default: all that validation leaves). Classes take turns in
    each array as long as they last, so every beginning of it is as balanced as the images allow. The same
    arguments give the same arrays. Raise :class:`UserError` if there are too few images, or one has no label (−1).
    """
    if (labels < 0).any():
        raise UserError(f"training image {labels.argmin()} shows no object; take it out of the data set")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)  # an image's place in the shuffled row of its class
    for label in np.unique(labels):
        members = order[labels[order] == label]
        if not 0 <= validation_per_class < len(members):
            raise UserError(
                f"validation_per_class is {validation_per_class}, but must be 0 … {len(members) - 1}, below "
                f"the {len(members)} images of class {label}"
            )
        rank[members] = np.arange(len(members))
    turns = np.lexsort((labels, rank)).astype(np.int32)
    held_out = rank[turns] < validation_per_class
    train = turns[~held_out]
    for key, count in (("limit", limit), ("calibration", calibration)):
        if count is not None and not 1 <= count <= len(train):
            raise UserError(f"{key} is {count}, but must be 1 … {len(train)}, the number of training images")
        train = train[:count] if key == "limit" else train
    return {"train": train, "validation": turns[held_out], "calibration": train[:calibration]}


def save_splits(path: str | Path, splits: dict[str, NDArray[np.int32]]) -> None:
    """Write splits atomically as ``.npz``; the same splits give the same bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            train=splits["train"],
            validation=splits["validation"],
            calibration=splits["calibration"],
        )


def load_splits(path: str | Path) -> dict[str, NDArray[np.int32]]:
    """Read splits; raise :class:`UserError` if ``path`` does not hold what :func:`make_splits` makes."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            splits = {name: archive[name] for name in NAMES}
        if any(array.dtype != np.int32 or array.ndim != 1 for array in splits.values()):
            raise ValueError("an array is not a list of int32 indices")
        if np.intersect1d(splits["train"], splits["validation"]).size:
            raise ValueError("train and validation share images")
        if np.setdiff1d(splits["calibration"], splits["train"]).size:
            raise ValueError("calibration has images that train lacks")
    except _BROKEN as error:
        raise UserError(
            f"{path} is not a splits file ({error}); delete it and run the workflow again"
        ) from error
    return splits
