"""The deck's ``.h`` → ``.bin`` compression: the same numbers as C source text and as bytes (slides "Input
Compression" and "Weight Compression")."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paper2board.convert.manifest import Manifest
from paper2board.core.files import write_bytes, write_text


@dataclass(frozen=True)
class Compression:
    """Bytes of the text form and of the binary form."""

    h_bytes: int
    bin_bytes: int

    @property
    def ratio(self) -> float:
        """Bytes of text per byte of binary."""
        return self.h_bytes / self.bin_bytes


def weight_compression(manifest: Manifest) -> Compression:
    """Return the compression of all weights and biases (deck: 96 KB → 28 KB, 3.43×)."""
    return Compression(manifest.files["weights.h"].bytes, manifest.files["weights.bin"].bytes)


def compress_input(image: np.ndarray, folder: str | Path) -> Compression:
    """Write ``image.h`` and ``image.bin`` for one network input (int8, H × W × C) and return their sizes.

    The deck's slide "Input Compression" (11 KB → 3 KB, 3.647×), in the network's HWC order so that image.bin
    is just what the device takes.
    """
    folder = Path(folder)
    write_text(folder / "image.h", f"int8_t image[]={{{plain_values(image)}}};\n")
    write_bytes(folder / "image.bin", image.tobytes())
    return Compression((folder / "image.h").stat().st_size, (folder / "image.bin").stat().st_size)


def plain_values(array: np.ndarray) -> str:
    """Return the elements as the deck's .h files have them: comma separated, no spaces."""
    return ",".join(map(str, array.ravel().tolist()))
