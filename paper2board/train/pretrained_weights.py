"""Published weights as they lie in ``data/pretrained``.

Apart from how they are fetched, so that an edit of that trains nothing again.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from paper2board.core.errors import UserError
from paper2board.networks.finite import require_finite


def read_pretrained(path: str | Path) -> dict[str, torch.Tensor]:
    """Read weights that ``fetch_pretrained`` wrote: torchvision's name → float32 tensor, all finite."""
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} holds no weights ({error}); delete it and run again") from error
    require_finite(state, path, "delete it and run again, or name other weights in config/pretrained")
    return state
