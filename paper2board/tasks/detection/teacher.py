"""A detector's teacher: another grid detector, or torchvision's SSD."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from paper2board.networks.network import read_weights
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.ssd import is_ssd, read_ssd


def read_teacher(path: str | Path, input_shape: Sequence[int], output_shape: Sequence[int]) -> nn.Module:
    """Return the network whose weights are at ``path``; an SSD's output is on its student's grid."""
    if is_ssd(path):
        return read_ssd(path).as_grid(Grid.of(input_shape, output_shape)).eval()
    return read_weights(path)
