"""Hypothesis strategies that several test modules share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from paper2board.bench.random_networks import Style, draw_network
from paper2board.convert.reading.layout import tidied
from paper2board.model.integer_model import IntegerModel
from paper2board.model.tensor import INT8_MAX, INT8_MIN


class _HypothesisDraws:
    """Choices of hypothesis, which shrinks them: to small numbers, to False, to the first of several."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def uniform(self, low: float, high: float) -> float:
        return self.draw(st.floats(low, high))

    def chance(self, probability: float) -> bool:
        return self.draw(st.integers(0, 99)) >= 100 * (1 - probability)

    def pick(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))


@st.composite
def integer_models(draw: st.DrawFn, max_ops: int = 6) -> IntegerModel:
    """Return a random small IntegerModel of every operator (at least one computes), with any stride, padding,
    activation, scale and zero point. ``max_ops`` counts blocks, of which one may be a few ops.

    The output is the last op's; tensors may be read more than once, or never.
    """
    style = Style(side=8, channels=20, blocks=max(max_ops - 3, 1), earlier=0.4, redraw=False)
    return draw_network(_HypothesisDraws(draw), style, "random")


READ_AS_OTHERS = {"GATHER", "ASSIGN_VARIABLE", "CONSTANT", "SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
"""What a file holds in another form, so that it is read with views or names of its own."""


def is_written_as_it_is(model: IntegerModel) -> bool:
    """Return whether a file of the model is read as the same ops: nothing of it is read by nobody, either."""
    ops = list(model.ops)
    tidy = tidied(ops, list(model.tensors), {port.tensor for port in model.outputs})
    one_pixel = any(
        op.type == "FULLY_CONNECTED" and model.tensors[op.output].shape[:-1] == (1, 1) for op in ops
    )
    return tidy == ops and not one_pixel and not READ_AS_OTHERS.intersection(op.type for op in ops)


def inputs_for(model: IntegerModel, n: int, seed: int = 0) -> np.ndarray:
    """Return ``n`` random int8 inputs of a model, N × its input's shape, extremes among them."""
    shape = model.tensors[model.input].shape
    inputs = np.random.default_rng(seed).integers(-128, 128, (n, *shape)).astype(np.int8)
    inputs[0], inputs[-1] = INT8_MIN, INT8_MAX
    return inputs
