"""Any photo as an array of RGB pixels."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from paper2board.acquire.findings import Findings
from paper2board.core.errors import UserError

MAX_PIXELS = 128_000_000
"""Largest photo accepted: a 108-megapixel phone camera's fits; a decompression bomb does not."""
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
"""What Pillow may try: formats of pixels only, none that runs an interpreter (PostScript)."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation, what turns a stored image upright."""
_HIGH_BYTES = "the high byte of each value was taken; convert them to 8 bits yourself for another scale"


def decode(path: str | Path, upright: bool = True, findings: Findings | None = None) -> NDArray[np.uint8]:
    """Decode the photo at ``path`` to uint8 (height, width, 3), RGB.

    It is turned ``upright`` by its EXIF orientation, or its pixels come as they are stored. Of 16-bit values the
    high byte counts, transparent pixels are laid on white, of an animation or a file of several pages the first
    image counts: ``findings`` gets what was converted with loss. Raise :class:`UserError` naming the file if it is
    no image, is damaged, has pixels of an unknown range or more than ``MAX_PIXELS`` of them.
    """
    findings = findings or Findings()
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd tags, and of sizes by a limit of its own; ours is checked before it decodes.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"it has more than {MAX_PIXELS} pixels")
                # The file's layout is known until the pixels are read, which the EXIF tags of a PNG demand.
                wide, several = _is_wide(image), getattr(image, "n_frames", 1) > 1
                turn = _turn(image, path, findings) if upright else None
                flat = _flat(image, path, findings)
                if several and image.format != "MPO":  # a JPEG with its preview
                    remedy = "their first image was taken; save each image as a file to use them all"
                    findings.add("pictures with several frames or pages", remedy, path)
                if wide:
                    findings.add("pictures of 16 bits a value", _HIGH_BYTES, path)
                return np.array(flat if turn is None else flat.transpose(turn))
    # No list of what foreign decoders raise is complete, and all of it means the same.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be used as a photo ({reason}); choose another file") from error


def _turn(image: Image.Image, path: str | Path, findings: Findings) -> Image.Transpose | None:
    """Return what turns ``image`` upright. Only the orientation is read: the other tags may be wrong."""
    try:
        if raw := image.info.get("exif"):
            Image.Exif().load(raw)  # of a JPEG, Pillow has passed over what it could not read
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # as of a decoder; the pixels may be good
        remedy = "they were not turned; save them anew if they lie on their side"
        findings.add("pictures with EXIF tags that cannot be read", remedy, path)
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def _is_wide(image: Image.Image) -> bool:
    """Whether values have 16 bits in the file: Pillow keeps them for grey and cuts them for colour."""
    layouts = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return image.mode.startswith("I;16") or any("16" in layout for layout in layouts)


def _flat(image: Image.Image, path: str | Path, findings: Findings) -> Image.Image:
    """Return ``image`` as opaque 8-bit RGB."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.size and 0 < values.max() < 256:
            raise ValueError(
                "its 16-bit values end below 256, so that their high bytes are all 0; save it with 8 bits"
            )
        # Pillow would clip 16-bit grey at 255.
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels (mode {image.mode}) have no known range")
    if image.mode == "CMYK":
        findings.add(
            "CMYK pictures", "converted without their colour profile; save them as RGB for true colours", path
        )
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        opaque = image.convert("RGBA")
        if np.asarray(opaque)[..., 3].min() < 255:
            findings.add(
                "pictures with transparent pixels",
                "these were laid on white; flatten them yourself for another",
                path,
            )
        return Image.alpha_composite(white, opaque).convert("RGB")
    return image.convert("RGB")
