"""Channels that no input changes are taken out, and no output changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paper2board.bench.networks import build
from paper2board.bench.random_networks import random_inputs, random_network
from paper2board.boards.backends import Backend
from paper2board.convert.dead_channels import without_dead_channels
from paper2board.convert.engine import plan_engine
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Reshape
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected, Weighted
from paper2board.model.simulate import activations, run
from paper2board.model.tensor import Padding, Tensor


def outputs(model: IntegerModel, inputs: np.ndarray) -> np.ndarray:
    return run(model, [inputs])[0]


def with_dead_channels(model: IntegerModel, seed: int) -> IntegerModel:
    """Return the model with half of its channels made dead: no weights, the bias as it was."""
    rng = np.random.default_rng(seed)
    ops = []
    for op in model.ops:
        if isinstance(op, Weighted):
            alive = rng.random(op.channels) < 0.5
            shape = np.ones(op.weights.ndim, int)
            shape[op.CHANNEL_AXIS] = -1
            op = replace(op, weights=op.weights * alive.astype(np.int8).reshape(shape))
        ops.append(op)
    return replace(model, ops=tuple(ops))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_outputs_stay(seed: int) -> None:
    model = with_dead_channels(random_network(seed), seed)
    found = without_dead_channels(model)
    inputs = random_inputs(model, 4, seed)
    np.testing.assert_array_equal(outputs(found, inputs), outputs(model, inputs))
    assert found.macs <= model.macs


def test_channels_go_from_many_networks() -> None:
    models = [with_dead_channels(random_network(seed), seed) for seed in range(40)]
    assert sum(without_dead_channels(model).macs < model.macs for model in models) >= 6


def test_a_network_without_dead_channels_stays_itself() -> None:
    model = build("deployed")
    assert without_dead_channels(model) is model


SCALE = 0.05


def chain(padding: Padding, constant: int) -> IntegerModel:
    """Two convolutions, a depthwise one and a pooling between them. Channels 0 to 4 of the first are ``constant``,
    as training leaves channels: tiny weights' scales and a huge bias."""
    rng = np.random.default_rng(1)
    scales = np.full(12, 0.002, np.float32)
    scales[:5] = 1e-7
    bias = rng.integers(-500, 500, 12).astype(np.int32)
    # The output's zero point is −128: a real number is (constant + 128) · SCALE.
    bias[:5] = round((constant + 128) * SCALE / (SCALE * 1e-7)) if constant > -128 else -(1 << 29)
    tensors = [
        Tensor("image", (8, 8, 4), SCALE, 0),
        *(Tensor(name, (8, 8, 12), SCALE, -128) for name in ("first", "depthwise")),
        Tensor("pooled", (4, 4, 12), SCALE, -128),
        Tensor("second", (4, 4, 3) if padding == "SAME" else (2, 2, 3), 2 * SCALE, 5),
    ]

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-127, 128, shape).astype(np.int8)

    wide = np.full(12, 0.004, np.float32)
    ops = (
        Conv2D("c1", (0,), 1, weights(12, 1, 1, 4), bias, scales, activation="RELU"),
        DepthwiseConv2D("d", (1,), 2, weights(3, 3, 12), np.full(12, 900, np.int32), wide, activation="RELU"),
        Pool2D("MAX_POOL_2D", "p", (2,), 3, (2, 2), (2, 2)),
        Conv2D("c2", (3,), 4, weights(3, 3, 3, 12), np.arange(3, dtype=np.int32), wide[:3], padding=padding),
    )
    return IntegerModel.single("chain", tuple(tensors), ops, 0, 4)


def test_dead_channels_go_through_depthwise_convolution_and_pooling() -> None:
    """Of five dead channels four go: kernels take channels by fours."""
    model = chain("VALID", -128)
    found = without_dead_channels(model)
    assert [tensor.shape[-1] for tensor in found.tensors] == [4, 8, 8, 8, 3]
    inputs = random_inputs(model, 20, 0)
    np.testing.assert_array_equal(outputs(found, inputs), outputs(model, inputs))


@pytest.mark.parametrize(("constant", "padding"), [(-128, "SAME"), (-120, "VALID"), (-120, "SAME")])
def test_a_constant_beside_padding_is_none(constant: int, padding: Padding) -> None:
    """A depthwise convolution that pads makes an edge of what is not the value of padding. Its bias may move the
    next layer's input off that value too."""
    model = chain(padding, constant)
    found = without_dead_channels(model)
    assert found is model
    inputs = random_inputs(model, 20, 0)
    values = activations(model, {model.input: inputs})[1]
    assert (values[..., :5] == constant).all()


def test_a_flattened_image_loses_the_channel_of_every_pixel() -> None:
    model = chain("VALID", -128)
    rng = np.random.default_rng(2)
    tensors = (*model.tensors[:4], Tensor("flat", (192,), SCALE, -128), Tensor("logits", (3,), SCALE, 0))
    ops = (
        *model.ops[:3],
        Reshape("flatten", (3,), 4),
        FullyConnected(
            "fc",
            (4,),
            5,
            rng.integers(-127, 128, (3, 192)).astype(np.int8),
            np.zeros(3, np.int32),
            np.full(1, 0.001, np.float32),
        ),
    )
    model = IntegerModel.single("flat", tensors, ops, 0, 5)
    found = without_dead_channels(model)
    assert found.tensors[4].shape == (128,)
    inputs = random_inputs(model, 20, 0)
    np.testing.assert_array_equal(outputs(found, inputs), outputs(model, inputs))


def test_the_decks_kernels_and_layer_by_layer_keep_all_channels() -> None:
    model = chain("VALID", -128)
    assert plan_engine(model, Backend.PAPER).model is model
    assert plan_engine(model, Backend.MAC16, streaming=False).model is model
    assert plan_engine(model, Backend.MAC16).model.macs < model.macs
