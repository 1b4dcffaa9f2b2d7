"""Equal and nearly equal pictures: a score over pictures that were trained on says nothing.

Equal are pictures whose pixels are, as they are stored for networks. Nearly equal are those whose perceptual hashes
(64 bits, of the lowest frequencies of the grey picture) differ in at most ``NEAR_BITS`` bits, and whose thumbnails
differ by at most ``NEAR_DN`` on average: the hash alone calls flat or dark pictures alike. Copies that were scaled,
recompressed or lit a little differently are found; turned, mirrored or cut ones are not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
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
_BLOCK = 256
"""Thumbnails that are compared at a time."""


def pixel_digests(images: NDArray[np.uint8]) -> list[bytes]:
    """Return a digest of each picture's pixels."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def equal_pairs(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return for each test picture that is a training picture the places of both: (training, test)."""
    known = {digest: index for index, digest in reversed(list(enumerate(pixel_digests(train))))}
    return [(known[d], index) for index, d in enumerate(pixel_digests(test)) if d in known]


def near_pairs(
    train: NDArray[np.uint8], test: NDArray[np.uint8], equal: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the same for test pictures that are nearly but not quite a training picture; the first one of each.

    ``equal``: their :func:`equal_pairs`.
    """
    ours, theirs = _Looks.of(train), _Looks.of(test)
    pairs = []
    for index in sorted(set(range(len(test))) - {index for _, index in equal}):
        # The cheapest comparison first: a set of flat or dark pictures has many whose hashes agree.
        close = np.flatnonzero(np.bitwise_count(ours.hashes ^ theirs.hashes[index]) <= NEAR_BITS)
        close = close[_distance(ours.colours[close], theirs.colours[index]) <= NEAR_DN]
        for start in range(0, len(close), _BLOCK):
            block = close[start : start + _BLOCK]
            near = block[_distance(ours.thumbnails[block], theirs.thumbnails[index]) <= NEAR_DN]
            if len(near):
                pairs.append((int(near[0]), index))
                break
    return pairs


@dataclass(frozen=True)
class _Looks:
    """What pictures look like."""

    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.int16]
    """(n, values)."""
    colours: NDArray[np.float64]
    """(n, channels): means of the thumbnails; they differ by no more than these do."""

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> "_Looks":
        hashes, thumbnails = [], []
        for image in map(Image.fromarray, images):
            hashes.append(np.packbits(imagehash.phash(image).hash).view(">u8")[0])
            thumbnails.append(np.asarray(image.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)))
        small = np.stack(thumbnails)
        flat = small.reshape(len(small), -1).astype(np.int16)
        return cls(np.array(hashes, np.uint64), flat, small.mean(axis=(1, 2)))


def _distance(many: NDArray[Any], one: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean absolute difference of each row from ``one``."""
    return np.abs(many - one).mean(axis=1)


Pictures = tuple[Sequence[Any], NDArray[np.uint8]]
"""Names and pixels."""


def tell_copies(
    train: Pictures, test: Pictures, equal: Sequence[tuple[int, int]], findings: Findings
) -> None:
    """Count test pictures that are ``equal`` or nearly equal to training pictures."""
    remedy = "scores over them are too good; look at them, and keep what shows the same on one side"
    for likeness, pairs in (("equal", equal), ("nearly equal", near_pairs(train[1], test[1], equal))):
        for ours, theirs in pairs:
            what = f"test pictures that are {likeness} to training pictures"
            findings.add(what, remedy, f"{test[0][theirs]} as {train[0][ours]}")
