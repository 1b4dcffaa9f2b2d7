"""Images as tensors: normalisation and augmentation of a whole batch at once."""

import numpy as np
import torch

PIXEL_SCALE = 1 / 64
"""Real value of one grey level; with zero point 0 the int8 input is exactly ``pixel − 128``."""


def to_int8(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 pixels (any shape) as the integer networks see them: ``pixel − 128``, int8."""
    return (pixels ^ 0x80).view(np.int8)


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """Return uint8 N×C×H×W pixels as the float networks see them: ``(pixel − 128) / 64``, float32."""
    return (pixels.to(torch.float32) - 128).mul_(PIXEL_SCALE).contiguous(memory_format=torch.channels_last)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Return uint8 N×H×W×C numpy pixels as a uint8 N×C×H×W tensor."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def augment(pixels: torch.Tensor, crop_padding: int, flip: bool, generator: torch.Generator) -> torch.Tensor:
    """Return uint8 N×C×H×W pixels, each image shifted by up to ``crop_padding`` and mirrored at random.

    What a shift uncovers is 128, the grey that normalises to zero.
    """
    count, _, height, width = pixels.shape
    shift = torch.randint(-crop_padding, crop_padding + 1, (2, count, 1), generator=generator)
    rows = torch.arange(height) + shift[0]
    columns = torch.arange(width) + shift[1]
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows + crop_padding, columns + crop_padding
    padded = torch.nn.functional.pad(pixels, [crop_padding] * 4, value=128)
    images = torch.arange(count)
    return padded.permute(0, 2, 3, 1)[images[:, None, None], rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )
