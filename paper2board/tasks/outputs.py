"""What a network's stored outputs mean. Imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OutputLayout:
    """Shapes and quantization of a network's outputs.

    Stored outputs are N×K, K values an image in the order row, column, channel of an output of cells. float32
    values are real; int8 values stand for ``scale · (q − zero_point)``.
    """

    input: tuple[int, ...]
    """(channels, height, width)."""
    output: tuple[int, ...]
    """(values,) or (channels, rows, columns)."""
    scale: float | None = None
    """None for float32 outputs."""
    zero_point: int = 0
