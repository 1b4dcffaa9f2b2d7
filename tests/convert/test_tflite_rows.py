"""Operators along the last axis, of tensors of any rank: simulated as TFLite Micro runs them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_files import TfliteFile

from paper2board.convert.tflite_import import read_tflite
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.fixed_point import inverse_square_root
from paper2board.model.simulate import run

LEAD = st.lists(st.integers(1, 3), min_size=0, max_size=2).map(tuple)
KINDS = {
    "SOFTMAX": ("SoftmaxOptions", {"beta": 1.0}, 1 / 256, -128),
    "LOG_SOFTMAX": ("LogSoftmaxOptions", {}, 1 / 16, 127),
    "L2_NORMALIZATION": ("L2NormOptions", {}, 1 / 128, 0),
}


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    lead=LEAD,
    depth=st.integers(1, 40),
    zero_point=st.integers(-128, 127),
    spread=st.sampled_from([1, 3, 20, 255]),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_of_any_rank(kind, lead, depth, zero_point, spread, seed):
    """Also rows whose values are all alike, or all zero."""
    options, fields, scale, output_zero_point = KINDS[kind]
    file = TfliteFile()
    shape = (1, *lead, depth)
    source = file.tensor(shape, scale=0.05, zero_point=zero_point)
    target = file.tensor(shape, scale=scale, zero_point=output_zero_point)
    file.operator(kind, [source], [target], options, 2, **fields)
    data = file.bytes([source], [target])
    model, rng = read_tflite(data), np.random.default_rng(seed)
    offsets = rng.integers(0, spread, (4, *model.tensors[0].shape)) - spread // 2
    offsets[0] = 0
    inputs = [(zero_point + offsets).clip(-128, 127).astype(np.int8)]
    for found, wanted in zip(run(model, inputs), reference.run_all(data, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("x", [1, 2, 3, 1 << 27, (1 << 29) - 1, 1 << 29, (1 << 31) - 1])
def test_the_inverse_square_root_is_one(x):
    multiplier, shift = inverse_square_root(np.array([x]))
    np.testing.assert_allclose(multiplier / 2.0 ** (31 + shift), x**-0.5, rtol=1e-3)
