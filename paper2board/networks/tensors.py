"""Images as torch tensors, normalised as the float networks see them."""

import numpy as np
import torch

from paper2board.networks.pixels import PIXEL_SCALE


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """Return uint8 N×C×H×W pixels as the float networks see them: ``(pixel − 128) / 64``, float32."""
    return pixels.to(torch.float32, memory_format=torch.channels_last, copy=True).sub_(128).mul_(PIXEL_SCALE)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Return uint8 N×H×W×C numpy pixels as a uint8 N×C×H×W tensor."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
