"""The layout of a network's outputs, from its file."""

from pathlib import Path

from paper2board.model.file import read
from paper2board.model.integer_model import IntegerModel
from paper2board.networks.stored_spec import read_spec
from paper2board.study.schemes import SCHEMES
from paper2board.tasks.outputs import OutputLayout


def integer_layout(model: IntegerModel) -> OutputLayout:
    """Return the layout of an integer model's int8 outputs."""
    output = model.tensors[model.output]
    # The integer model's order is (rows, columns, channels).
    shape = (output.shape[-1], *output.shape[:-1])
    return OutputLayout(model.image_shape, shape, output.scale, output.zero_point)


def output_layout(path: str | Path, scheme: str) -> OutputLayout:
    """Return the layout of a network in a file: float weights, or the integer model of another ``scheme``."""
    if not SCHEMES[scheme].is_float:
        return integer_layout(read(path))
    spec = read_spec(path)
    return OutputLayout(spec.input, spec.output)
