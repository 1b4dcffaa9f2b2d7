"""Files of CIFAR-10's binary version, or of another set in that format, as arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paper2board.acquire.datasets.cifar10 import RECORD_BYTES
from paper2board.core.errors import UserError


def load_files(
    paths: Sequence[Path], limit: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the images of ``paths`` in order, only the first ``limit``, and no file beyond them.

    Returns images uint8 (n, 32, 32, 3) as height, width, RGB, and labels int64 (n,). Raise :class:`UserError` if a
    file is missing or damaged. Whether it is the one of the configuration was seen when it was delivered.
    """
    parts: list[NDArray[np.uint8]] = []
    for path in paths:
        parts.append(read_records(path))
        if limit is not None and sum(map(len, parts)) >= limit:
            break
    records = np.concatenate(parts)[:limit]
    # A view: most jobs take few of the images, and networks want planes.
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, records[:, 0].astype(np.int64)


def read_records(path: Path) -> NDArray[np.uint8]:
    """Return a file's records, uint8 (n, 1 + 3072): label, then planes; raise :class:`UserError` as above."""
    remedy = f"remove {path.parent} and run the workflow again"
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    if not content.size or content.size % RECORD_BYTES:
        raise UserError(f"{path} has {content.size} bytes, not {RECORD_BYTES} for each image; {remedy}")
    return content.reshape(-1, RECORD_BYTES)
