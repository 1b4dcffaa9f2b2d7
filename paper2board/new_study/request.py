"""What ``paper2board new-study`` is called with."""

from dataclasses import dataclass
from pathlib import Path

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class Request:
    """The arguments of the command line."""

    name: str
    images: Path | None = None
    module: str | None = None
    """``FILE.py:CLASS``."""
    tflite: Path | None = None
    from_example: bool = False
    board: str = "esp32-wroom"
    input: Shape | None = None
    add: bool = False
