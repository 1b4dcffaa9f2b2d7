"""Any photo as an array of RGB pixels."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from paper2board.core.errors import UserError

MAX_PIXELS = 128_000_000
"""Largest photo accepted: a 108-megapixel phone camera's fits; a decompression bomb does not."""
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
"""What Pillow may try: formats of pixels only, none that runs an interpreter (PostScript)."""


def decode(path: str | Path, upright: bool = True) -> NDArray[np.uint8]:
    """Decode the photo at ``path`` to uint8 (height, width, 3), RGB.

    It is turned ``upright`` by its EXIF orientation, or its pixels come as they are stored. Transparent pixels are
    laid on white; of an animation the first frame counts. Raise :class:`UserError` if it is no image, is damaged,
    or has more than ``MAX_PIXELS`` pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns (or refuses) by a limit of its own; ours is checked before a pixel is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has more than {MAX_PIXELS} pixels")
            return np.array(_flat(ImageOps.exif_transpose(image) if upright else image))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be used as a photo ({error}); choose another file") from error


def _flat(image: Image.Image) -> Image.Image:
    """Return ``image`` as opaque 8-bit RGB."""
    if image.mode.startswith("I;16"):
        # Pillow would clip 16-bit grey at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels (mode {image.mode}) have no known range")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
