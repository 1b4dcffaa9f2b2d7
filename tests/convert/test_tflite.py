import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import inputs_for, integer_models, is_written_as_it_is
from tflite_models import mobile_model, residual_model

from paper2board.convert import tflite
from paper2board.convert.tflite import Route, convert, difference, export, fake_quant_range
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Pad
from paper2board.model.operators.reduction import Mean
from paper2board.model.operators.softmax import Softmax
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.port import Port
from paper2board.model.simulate import run, simulate
from paper2board.model.tensor import Tensor


def with_op(model: IntegerModel, index: int, **changes) -> IntegerModel:
    ops = list(model.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(model, ops=tuple(ops))


# --- the direct writer --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(model=integer_models())
def test_written_then_read_computes_the_same(model):
    again = read_tflite(write_flatbuffer(model), model.name)
    inputs = [inputs_for(model, 3)]
    np.testing.assert_array_equal(*(run(one, inputs)[0].ravel() for one in (model, again)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(model=integer_models().filter(is_written_as_it_is))
def test_written_then_read_is_the_same_model(model):
    again = read_tflite(write_flatbuffer(model), model.name)
    assert difference(model, again) == ""
    assert difference(again, model) == ""
    assert [op.name for op in again.ops] == [op.name for op in model.ops]
    assert [type(op) for op in again.ops] == [type(op) for op in model.ops]


def test_writer_is_deterministic():
    model = residual_model()
    assert write_flatbuffer(model) == write_flatbuffer(model)


# --- TensorFlow's converter ---------------------------------------------------------------------------


@pytest.mark.parametrize("network", [residual_model, mobile_model])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_converter_keeps_every_integer(tmp_path, network, per_channel, seed):
    model = network(per_channel, seed)
    path = tmp_path / "network.tflite"
    result = export(model, path)
    assert result.route == Route.CONVERTER and result.reason == ""
    imported = read_tflite(path)
    assert imported.name == "network"
    assert difference(model, imported) == ""
    inputs = inputs_for(model, 20)
    wanted = simulate(model, inputs)
    assert len(np.unique(wanted)) > 20
    for source in (path, write_flatbuffer(model)):
        assert np.count_nonzero(reference.run(source, inputs) != wanted) == 0
    assert np.count_nonzero(simulate(imported, inputs) != wanted) == 0


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(model=integer_models(max_ops=4).filter(is_written_as_it_is))
def test_export_of_any_model_is_exact_whoever_wrote_it(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "m.tflite"
    result = export(model, path)
    assert (result.route == Route.CONVERTER) == (result.reason == "")
    assert difference(model, read_tflite(path)) == ""


def test_per_channel_product_through_the_converter():
    """Scales of max|w| / 127 are what the converter chooses by itself."""
    rng = np.random.default_rng(5)
    largest = rng.uniform(0.1, 2, 60).astype(np.float32)
    weights = rng.integers(-127, 128, (60, 30)).astype(np.int8)
    weights[:, 3] = np.where(rng.integers(0, 2, 60), 127, -127)
    tensors = (Tensor("input", (30,), 1 / 64, 0), Tensor("fc1", (60,), 0.5, 9))
    bias = rng.integers(-9999, 9999, 60).astype(np.int32)
    op = FullyConnected("fc1", (0,), 1, weights, bias, largest / np.float32(127))
    model = IntegerModel.single("fc", tensors, (op,), 0, 1)
    assert difference(model, read_tflite(convert(model))) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda op: {"weights": np.full_like(op.weights, -128)}, "conv1 has other weights"),
        (lambda op: {"bias": op.bias + np.int32(2**25 + 1)}, "conv1 has other bias"),
    ],
)
def test_what_the_converter_cannot_say_is_written_directly(tmp_path, change, reason):
    model = residual_model()
    model = with_op(model, 0, **change(model.ops[0]))
    path = tmp_path / "m.tflite"
    result = export(model, path)
    assert result.route == Route.DIRECT and result.reason == reason
    assert path.read_bytes() == write_flatbuffer(model)
    inputs = inputs_for(model, 5)
    assert np.array_equal(reference.run(path, inputs), simulate(model, inputs))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_mean_through_the_converter(tmp_path, kept, same):
    source = Tensor("input", (6, 7, 4), float(np.float32(0.05)), 3)
    quantization = (source.scale, source.zero_point) if same else (float(np.float32(0.03)), -7)
    target = Tensor("mean1", (1, 1, 4) if kept else (4,), *quantization)
    model = IntegerModel.single("mean", (source, target), (Mean("mean1", (0,), 1),), 0, 1)
    assert export(model, tmp_path / "m.tflite").route == Route.CONVERTER


def test_what_the_converter_makes_otherwise_is_written_directly(tmp_path):
    """A padding that amounts to SAME goes into the convolution behind it; a softmax has beta 1."""
    mobile = mobile_model()
    pad, depthwise = mobile.ops[0], mobile.ops[2]
    assert isinstance(pad, Pad) and isinstance(depthwise, DepthwiseConv2D)
    tensors = (
        Tensor("input", (6, 4, 4), 0.125, -128),
        Tensor("pad1", (7, 5, 4), 0.125, -128),
        Tensor("depthwise1", (3, 2, 4), 0.0625, -128),
        Tensor("softmax1", (3, 2, 4), 1 / 256, -128),
    )
    ops = (
        replace(pad, paddings=((0, 1), (0, 1), (0, 0))),
        replace(depthwise, inputs=(1,), output=2, stride=(2, 2), padding="VALID"),
        Softmax("softmax1", (2,), 3, 0.7),
    )
    model = IntegerModel.single("other", tensors, ops, 0, 3)
    result = export(model, tmp_path / "m.tflite")
    assert result.route == Route.DIRECT and result.reason
    inputs = inputs_for(model, 5)
    assert np.array_equal(reference.run(tmp_path / "m.tflite", inputs), simulate(model, inputs))
    without_beta = replace(model, ops=(*ops[:2], replace(ops[2], beta=1.0)))
    assert "became" in export(without_beta, tmp_path / "m.tflite").reason


def test_failing_converter_is_written_directly(tmp_path, monkeypatch):
    def failing(model):
        raise UserError("model residual: TensorFlow's converter failed (for a test)")

    monkeypatch.setattr(tflite, "convert", failing)
    result = export(residual_model(), tmp_path / "m.tflite")
    assert result.route == Route.DIRECT and "for a test" in result.reason


def test_a_file_that_is_not_the_model_is_never_left(tmp_path, monkeypatch):
    model = residual_model()
    other = with_op(model, 1, bias=model.ops[1].bias + np.int32(1))
    monkeypatch.setattr(tflite, "write_flatbuffer", lambda _: write_flatbuffer(other))
    with pytest.raises(
        UserError, match=r"m\.tflite: .tflite cannot express model residual \(conv2 has other bias"
    ):
        export(model, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


def test_converter_is_silent_and_gives_the_same_bytes_in_every_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tflite_models import residual_model;"
        "from paper2board.convert.tflite import export; export(residual_model(), Path(sys.argv[1]))"
    )
    paths = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for number, path in enumerate(paths):
        folders = os.pathsep.join(map(str, Path(__file__).parents[:2]))
        ran = subprocess.run(
            [sys.executable, "-c", code, path],
            env=os.environ | {"PYTHONPATH": folders, "PYTHONHASHSEED": str(number)},
            capture_output=True,
            check=True,
        )
        assert (ran.stdout, ran.stderr) == (b"", b"")
    assert paths[0].read_bytes() == paths[1].read_bytes()


@given(
    st.floats(-30, 10).map(lambda exponent: float(np.float32(2.0**exponent))),
    st.one_of(st.sampled_from([-128, 127]), st.integers(-128, 127)),
)
def test_fake_quant_range_gives_scale_and_zero_point_back(scale, zero_point):
    low, high = fake_quant_range(scale, zero_point, -128, 127)
    assert (low, high) == (float(np.float32(low)), float(np.float32(high)))
    step = (high - low) / 255
    assert np.float32(step) == np.float32(scale)
    assert round(-128 - low / step) == zero_point
    low, high = fake_quant_range(scale, 0, -127, 127)
    assert np.float32((high - low) / 254) == np.float32(scale)


# --- comparison ---------------------------------------------------------------------------------------


def with_tensor(model: IntegerModel, index: int, **changes) -> IntegerModel:
    tensors = list(model.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(model, tensors=tuple(tensors))


def swapped(model: IntegerModel) -> IntegerModel:
    return replace(model, ops=(model.ops[0], model.ops[2], model.ops[1], *model.ops[3:]))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: with_op(m, 0, name="other"), "ops conv1, conv2"),
        (swapped, "ops conv1, conv2"),
        (lambda m: with_op(m, 0, activation="NONE"), "conv1 has other activation"),
        (lambda m: with_op(m, 1, bias=m.ops[1].bias + np.int32(1)), "conv2 has other bias"),
        (lambda m: with_op(m, 1, weights=m.ops[1].weights ^ np.int8(1)), "conv2 has other weights"),
        (
            lambda m: with_op(m, 1, weight_scales=np.nextafter(m.ops[1].weight_scales, np.float32(1))),
            "conv2 has other weight scales",
        ),
        (lambda m: with_op(m, 4, type="AVERAGE_POOL_2D"), "pool1 is AVERAGE_POOL_2D for MAX_POOL_2D"),
        (lambda m: with_op(m, 3, inputs=(2, 3)), "add1 reads other tensors"),
        (lambda m: with_tensor(m, 1, zero_point=0), "conv1 has zero point 0 for -128"),
        (lambda m: with_tensor(m, 2, scale=0.25), "conv2 has scale 0.25 for"),
        (lambda m: with_tensor(m, 0, scale=0.25), "input has scale 0.25 for"),
        (lambda m: replace(m, outputs=(Port("output", m.output - 1),)), "output is another tensor"),
    ],
)
def test_difference_names_what_differs(change, expected):
    model = residual_model()
    assert difference(model, model) == ""
    assert difference(model, change(model)).startswith(expected)


@pytest.mark.parametrize(
    ("index", "change", "expected"),
    [
        (0, {"paddings": ((1, 1), (1, 0), (0, 0))}, "pad1 has other paddings"),
        (2, {"activation": "RELU"}, "depthwise1 has other activation"),
        (4, {"inputs": (4, 3)}, "concat1 reads other tensors"),
        (8, {"beta": 0.5}, "softmax1 has other beta"),
    ],
)
def test_difference_of_mobile_networks(index, change, expected):
    model = mobile_model()
    assert difference(model, model) == ""
    assert difference(model, with_op(model, index, **change)) == expected


def test_a_beta_between_two_float32_is_the_nearer():
    model = with_op(mobile_model(), 8, beta=0.1)
    assert difference(model, read_tflite(write_flatbuffer(model))) == ""


def test_one_scale_for_all_channels_is_the_same_in_a_convolution_only():
    model = residual_model(per_channel=False)
    conv, product = model.ops[0], model.ops[7]
    assert isinstance(conv, Conv2D) and isinstance(product, FullyConnected)
    repeated = with_op(model, 0, weight_scales=np.repeat(conv.weight_scales, 4))
    assert difference(model, repeated) == ""
    # TFLite Micro multiplies scales in float32 for one of these and in double for the other.
    repeated = with_op(model, 7, weight_scales=np.repeat(product.weight_scales, 7))
    assert difference(model, repeated) == "fc1 has other weight scales"
