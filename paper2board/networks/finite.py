"""Weights that are numbers: neither nan nor infinite, which would spread through all that is made of them."""

from collections.abc import Mapping
from pathlib import Path

import torch

from paper2board.core.errors import UserError


def not_finite(state: Mapping[str, torch.Tensor]) -> str | None:
    """Return the name of the first tensor of a state dict that holds nan or infinity, or None."""
    return next((name for name, value in state.items() if not torch.isfinite(value).all()), None)


def require_finite(state: Mapping[str, torch.Tensor], where: str | Path, remedy: str) -> None:
    """Raise :class:`UserError` if a tensor of the state dict from ``where`` holds nan or infinity."""
    if (name := not_finite(state)) is not None:
        raise UserError(f"{where}: {name} holds values that are not finite (nan or infinity); {remedy}")
