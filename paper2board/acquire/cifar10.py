"""CIFAR-10's binary version as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.acquire.datasets.base import Split
from paper2board.acquire.datasets.cifar10 import RECORD_BYTES
from paper2board.core.errors import UserError

IMAGES_PER_FILE = 10_000
CLASSES = 10
FILES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)),
    "test": ("test_batch.bin",),
}


@dataclass(frozen=True)
class Cifar10:
    """The data set: images uint8 (n, 32, 32, 3) as height, width, RGB; labels int64 (n,), 0 … 9."""

    train_images: NDArray[np.uint8]
    """50,000 images."""
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    """10,000 images, for evaluation only."""
    test_labels: NDArray[np.int64]


def load(folder: str | Path) -> Cifar10:
    """Read the six files of ``folder``; raise :class:`UserError` if one is missing or malformed."""
    return Cifar10(*load_split(folder, "train"), *load_split(folder, "test"))


def load_split(folder: str | Path, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read images and labels (see :class:`Cifar10`) of one split of ``folder``."""
    return load_files([Path(folder) / name for name in FILES[split]])


def load_files(
    paths: Sequence[Path], limit: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read images and labels of ``paths`` in order, only the first ``limit``."""
    needed = paths if limit is None else paths[: max(1, -(-limit // IMAGES_PER_FILE))]
    records = np.concatenate([_records(path) for path in needed])[:limit]
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _records(path: Path) -> NDArray[np.uint8]:
    """Return a file's records, uint8 (IMAGES_PER_FILE, 1 + 3072)."""
    remedy = f"remove {path.parent} and run the workflow again"
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    if content.size != IMAGES_PER_FILE * RECORD_BYTES:
        raise UserError(
            f"{path} has {content.size} bytes instead of {IMAGES_PER_FILE * RECORD_BYTES}; {remedy}"
        )
    records = content.reshape(IMAGES_PER_FILE, RECORD_BYTES)
    if (highest := int(records[:, 0].max())) >= CLASSES:
        raise UserError(f"{path} has label {highest}, beyond the {CLASSES} classes; {remedy}")
    return records
