"""A distilled student's teacher: a network in the study format, or another that its task brings.

A task's own teachers are read by ``read_teacher(path, input_shape, output_shape)`` in its module ``teacher``, if it
has one.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from paper2board.networks.network import read_weights
from paper2board.tasks.loading import part


def read_teacher(
    task: str, path: str | Path, input_shape: Sequence[int], output_shape: Sequence[int]
) -> nn.Module:
    """Return the network whose weights are at ``path``; its output is as that of a student of those shapes."""
    if (own := part(task, "teacher")) is not None:
        network: nn.Module = own.read_teacher(path, tuple(input_shape), tuple(output_shape))
        return network
    return read_weights(path)
