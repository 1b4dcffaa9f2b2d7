"""Equal and nearly equal pictures: a score over pictures that were trained on says nothing.

Equal are pictures whose pixels are, as they are stored for networks. Nearly equal are those whose perceptual hashes
(64 bits, of the lowest frequencies of the grey picture) differ in at most ``NEAR_BITS`` bits, and whose thumbnails
differ by at most ``NEAR_DN`` on average: the hash alone calls flat or dark pictures alike. Copies that were scaled,
recompressed or lit a little differently are found; turned, mirrored or cut ones are not.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paper2board.acquire.findings import Findings

NEAR_BITS = 4
NEAR_DN = 6.0
"""Of 255."""
THUMBNAIL_PX = 16
_BANDS = NEAR_BITS + 1
"""Hashes that differ in fewer bits than there are bands are the same in one of them."""


def pixel_digests(images: NDArray[np.uint8]) -> list[bytes]:
    """Return a digest of each picture's pixels."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def equal_pairs(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return for each test picture that is a training picture the places of both: (training, test)."""
    known = {digest: index for index, digest in reversed(list(enumerate(pixel_digests(train))))}
    return [(known[d], index) for index, d in enumerate(pixel_digests(test)) if d in known]


def near_pairs(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return the same for test pictures that are nearly but not quite a training picture.

    Only pictures whose hashes agree in one of the bands are compared, so that tens of thousands take seconds.
    """
    ours, theirs = _hashes(train), _hashes(test)
    bits = 64 // _BANDS
    tables = []
    for band in range(_BANDS):
        keys = _band(ours, band, bits)
        order = np.argsort(keys, kind="stable")
        wanted = _band(theirs, band, bits)
        places = (np.searchsorted(keys[order], wanted, side) for side in ("left", "right"))
        tables.append((order, *places))
    pairs: list[tuple[int, int]] = []
    for index, value in enumerate(theirs):
        members = np.unique(np.concatenate([order[a[index] : b[index]] for order, a, b in tables]))
        close = members[np.bitwise_count(ours[members] ^ value) <= NEAR_BITS]
        alike = (i for i in close.tolist() if 0 < _difference(train[i], test[index]) <= NEAR_DN)
        pairs.extend((i, index) for i in list(alike)[:1])
    return pairs


Pictures = tuple[Sequence[Any], NDArray[np.uint8]]
"""Names and pixels."""


def tell_equal(train: Pictures, test: Pictures, findings: Findings) -> None:
    """Count test pictures that are equal to training pictures."""
    _tell(
        "test pictures that are equal to training pictures",
        equal_pairs(train[1], test[1]),
        train,
        test,
        findings,
    )


def tell_near(train: Pictures, test: Pictures, findings: Findings) -> None:
    """Count test pictures that are nearly equal to training pictures."""
    what = "test pictures that are nearly equal to training pictures"
    _tell(what, near_pairs(train[1], test[1]), train, test, findings)


def _tell(
    what: str, pairs: list[tuple[int, int]], train: Pictures, test: Pictures, findings: Findings
) -> None:
    remedy = "scores over them are too good; look at them, and keep what shows the same on one side"
    for ours, theirs in pairs:
        findings.add(what, remedy, f"{test[0][theirs]} as {train[0][ours]}")


def _band(hashes: NDArray[np.uint64], band: int, bits: int) -> NDArray[np.uint64]:
    return (hashes >> np.uint64(band * bits)) & np.uint64((1 << bits) - 1)


def _hashes(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.uint64]:
    packed = [np.packbits(imagehash.phash(Image.fromarray(image)).hash) for image in images]
    return np.stack(packed).view(">u8")[:, 0].astype(np.uint64)


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the mean difference of thumbnails, and 0 of equal pictures alone."""
    if np.array_equal(one, other):
        return 0.0
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [
        np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BOX), np.float32) for i in (one, other)
    ]
    return max(float(np.abs(small[0] - small[1]).mean()), 1e-6)
