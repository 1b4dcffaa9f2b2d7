import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import integer_models

from paper2board.core.errors import UserError
from paper2board.model.file import read, write
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add
from paper2board.model.operators.moving import Concatenation, Pad, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.reduction import ArgMax, Mean
from paper2board.model.operators.softmax import LogSoftmax, Softmax
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.port import Port, PortType
from paper2board.model.tensor import (
    Quantization,
    Tensor,
    activation_range,
    pad_before,
    quantize_multiplier,
)

positive = st.floats(min_value=0, exclude_min=True, max_value=2.0**30, allow_subnormal=True)


def exact_multiplier(real: float) -> tuple[int, int]:
    """gemmlowp's definition in exact fractions: real ≈ multiplier · 2^(shift − 31), halves away from zero."""
    shift = 0
    value = Fraction(real)
    while value >= 1:
        value, shift = value / 2, shift + 1
    while value < Fraction(1, 2):
        value, shift = value * 2, shift - 1
    multiplier = math.floor(value * 2**31 + Fraction(1, 2))
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (multiplier, shift) if shift >= -31 else (0, 0)


@given(positive)
def test_quantize_multiplier_is_gemmlowps(real):
    assert quantize_multiplier(real) == exact_multiplier(real)


@pytest.mark.parametrize("real", [math.nextafter(1.0, 0), 1.0, 0.5, 1 - 2.0**-33, 2.0**-32, 2.0**-33, 3.7])
def test_quantize_multiplier_at_powers_of_two(real):
    assert quantize_multiplier(real) == exact_multiplier(real)


@given(st.floats(2.0**-31, 2.0**30))
def test_quantize_multiplier_is_close(real):
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) / Fraction(real) - 1) <= Fraction(1, 2**31)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.sampled_from(["SAME", "VALID"]))
def test_padding_keeps_every_window_inside(size, kernel, stride, padding):
    if padding == "VALID" and kernel > size:
        return
    before, out = pad_before(size, kernel, stride, padding)
    starts = [i * stride - before for i in range(out)]
    after = max(0, starts[-1] + kernel - size)
    if padding == "VALID":
        assert before == after == 0
        assert starts[-1] + stride + kernel > size  # one more window would not fit
    else:
        assert out == math.ceil(size / stride)
        assert after - before in {0, 1}  # the odd element goes after
        assert all(start < size and start + kernel > 0 for start in starts)


def test_activation_range():
    tensor = Tensor("t", (1,), 0.05, -10)
    assert activation_range(tensor, "NONE") == (-128, 127)
    assert activation_range(tensor, "RELU") == (-10, 127)
    assert activation_range(tensor, "RELU6") == (-10, 110)
    assert activation_range(replace(tensor, scale=0.01), "RELU6") == (-10, 127)


@settings(max_examples=60, deadline=None)
@given(model=integer_models())
def test_file_round_trip(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.npz"
    write(model, path)
    again = read(path)
    assert (again.name, again.tensors, again.input, again.output) == (
        model.name,
        model.tensors,
        model.input,
        model.output,
    )
    for op, twin in zip(model.ops, again.ops, strict=True):
        assert type(op) is type(twin)
        for key, value in vars(op).items():
            other = getattr(twin, key)
            assert np.array_equal(value, other) and type(value) is type(other)
            if isinstance(value, np.ndarray):
                assert value.dtype == other.dtype


def small_model() -> IntegerModel:
    """conv1 → pool1 → flatten → fc1, and conv1 + conv1 → add1 beside them."""
    tensors = (
        Tensor("input", (4, 4, 2), 1 / 64, 0),
        Tensor("conv1", (4, 4, 3), 0.5, -128),
        Tensor("pool1", (2, 2, 3), 0.5, -128),
        Tensor("flatten", (12,), 0.5, -128),
        Tensor("fc1", (5,), 1.0, 3),
        Tensor("add1", (4, 4, 3), 1.0, 0),
    )
    scales = np.full(3, 0.01, np.float32)
    ops = (
        Conv2D("conv1", (0,), 1, np.ones((3, 3, 3, 2), np.int8), np.zeros(3, np.int32), scales),
        Pool2D("MAX_POOL_2D", "pool1", (1,), 2, (2, 2), (2, 2)),
        Reshape("flatten", (2,), 3),
        FullyConnected("fc1", (3,), 4, np.ones((5, 12), np.int8), np.zeros(5, np.int32), scales[:1]),
        Add("add1", (1, 1), 5),
    )
    return IntegerModel.single("small", tensors, ops, 0, 4)


def test_macs():
    model = small_model()
    assert [op.macs(model.tensors) for op in model.ops] == [4 * 4 * 3 * 18, 0, 0, 60, 0]


def mobile_model() -> IntegerModel:
    """depth1 (2 channels to 6) → pad1 → concat1 with itself → mean1 → soft1."""
    tensors = (
        Tensor("input", (4, 5, 2), 1 / 64, 0),
        Tensor("depth1", (2, 3, 6), 0.5, -128),
        Tensor("pad1", (3, 3, 7), 0.5, -128),
        Tensor("concat1", (3, 6, 7), 0.5, -128),
        Tensor("mean1", (7,), 0.25, 3),
        Tensor("soft1", (7,), 1 / 256, -128),
    )
    weights, scales = np.ones((3, 2, 6), np.int8), np.full(6, 0.01, np.float32)
    ops: tuple[Op, ...] = (
        DepthwiseConv2D("depth1", (0,), 1, weights, np.zeros(6, np.int32), scales, stride=(2, 2)),
        Pad("pad1", (1,), 2, ((0, 1), (0, 0), (1, 0))),
        Concatenation("concat1", (2, 2), 3, 1),
        Mean("mean1", (3,), 4),
        Softmax("soft1", (4,), 5, 2.0),
    )
    return IntegerModel.single("mobile", tensors, ops, 0, 5)


def test_integers_of_a_mobile_network():
    model = mobile_model()
    depth, _, _, mean, soft = model.ops
    assert isinstance(depth, DepthwiseConv2D) and isinstance(mean, Mean) and isinstance(soft, Softmax)
    assert [op.macs(model.tensors) for op in model.ops] == [2 * 3 * 6 * 3 * 2, 0, 0, 0, 0]
    assert (depth.depth_multiplier(model.tensors), depth.window) == (3, (3, 2))
    # Twice over 18 elements: 2^30 · 2^(2 − 31) · 16 / 18, four bits of the division kept in the multiplier.
    assert mean.multiplier(model.tensors) == ((1 << 34) // 18, -2)
    # A step of 1/4 · 2 is 2^25 of 2^26; 31 in steps of 1/2 are 62.
    assert soft.parameters(model.tensors) == (1 << 30, 26, -31 * 2**26 // 2**26)


def with_op(model: IntegerModel, index: int, **changes) -> IntegerModel:
    ops = list(model.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(model, ops=tuple(ops))


def with_tensor(model: IntegerModel, index: int, **changes) -> IntegerModel:
    tensors = list(model.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(model, tensors=tuple(tensors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: with_op(m, 0, inputs=(9,)), "conv1: no such tensor"),
        (lambda m: with_op(m, 0, inputs=(4,)), "nothing has written"),
        (lambda m: with_op(m, 0, inputs=()), "conv1: has 0 inputs, not 1"),
        (lambda m: with_op(m, 4, inputs=(1,)), "add1: has 1 inputs, not 2"),
        (lambda m: with_op(m, 1, output=1), "writes a tensor twice"),
        (lambda m: with_op(m, 0, weights=np.ones((3, 3, 3, 2), np.int16)), "weights int8"),
        (lambda m: with_op(m, 0, weights=np.ones((3, 3, 3, 1), np.int8)), "input channels differ"),
        (lambda m: with_op(m, 0, bias=np.zeros(2, np.int32)), "one bias an output channel"),
        (lambda m: with_op(m, 0, weight_scales=np.ones(3)), "float32"),
        (lambda m: with_op(m, 0, weight_scales=np.ones(2, np.float32)), "per tensor or per channel"),
        (lambda m: with_op(m, 0, weight_scales=np.zeros(3, np.float32)), "scale not positive"),
        (lambda m: with_op(m, 0, stride=(2, 2)), r"output shape is not \(2, 2, 3\)"),
        (lambda m: with_op(m, 0, bias=np.full(3, 2**31 - 1, np.int32)), "do not fit 32 bits"),
        (lambda m: with_op(m, 1, kernel=(5, 5)), "kernel is larger"),
        (lambda m: with_op(m, 3, weights=np.ones((5, 11), np.int8)), "input size differs"),
        (lambda m: with_tensor(m, 4, shape=(6,)), "output size differs"),
        (lambda m: with_tensor(m, 2, scale=0.25), "different quantization"),
        (lambda m: with_tensor(m, 3, shape=(11,)), "element counts differ"),
        (lambda m: with_tensor(m, 5, shape=(3, 4, 4)), "do not give its output's"),
        (lambda m: with_tensor(m, 5, scale=2.0**-21), "far below the inputs'"),
        (
            lambda m: with_tensor(
                with_op(m, 3, weights=np.zeros((5, 12), np.int8), activation="RELU6"), 4, scale=1e-40
            ),
            "too small for RELU6",
        ),
        (lambda m: with_tensor(m, 0, scale=math.nan), "tensor input has scale nan"),
        (lambda m: with_tensor(m, 0, zero_point=128), "zero point 128"),
        (lambda m: with_tensor(m, 0, shape=()), "not an int8 activation"),
        (lambda m: replace(m, ops=()), "nothing computes its output"),
    ],
)
def test_meaningless_models_are_refused(change, message):
    refuses(small_model(), change, message)


def refuses(model: IntegerModel, change, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        change(model)
    assert "\n" not in str(caught.value) and "again" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: with_op(m, 0, weights=np.ones((1, 3, 2, 6), np.int8)), "do not have 3 dimensions"),
        (lambda m: with_op(m, 0, weights=np.ones((3, 2, 5), np.int8)), "one bias an output channel"),
        (lambda m: with_tensor(m, 0, shape=(4, 5, 4)), "no multiple of the input's"),
        (lambda m: with_tensor(m, 0, shape=(40,)), "depth1: input is not H, W, C"),
        (lambda m: with_op(m, 0, stride=(1, 2)), r"output shape is not \(4, 3, 6\)"),
        (lambda m: with_op(m, 0, bias=np.full(6, 2**31 - 1, np.int32)), "do not fit 32 bits"),
        (lambda m: with_op(m, 1, paddings=((0, 1), (0, 0))), "paddings are not H, W, C"),
        (lambda m: with_op(m, 1, paddings=((0, 1), (0, 0), (2, -1))), "pad1: a padding is not"),
        (lambda m: with_op(m, 1, paddings=((0, 1), (0,), (1, 0))), "pad1: a padding is not"),
        (lambda m: with_op(m, 1, paddings=((1, 1), (0, 0), (1, 0))), r"output shape is not \(4, 3, 7\)"),
        (lambda m: with_tensor(m, 2, zero_point=0), "pad1: input and output have different quantization"),
        (lambda m: with_op(m, 2, inputs=(2,)), "has 1 inputs, not 2 to 10"),
        (lambda m: with_op(m, 2, inputs=(2,) * 11), "has 11 inputs"),
        (lambda m: with_op(m, 2, inputs=(2, 0)), "concat1: input and output have different quantization"),
        (lambda m: with_op(m, 2, inputs=(2, 1)), "shapes do not add up"),
        (lambda m: with_op(m, 2, axis=0), "shapes do not add up"),
        (lambda m: with_op(m, 2, axis=3), "axis 3 does not exist"),
        (lambda m: with_op(m, 2, axis=-1), "axis -1 does not exist"),
        (lambda m: with_tensor(m, 3, shape=(126,)), "axis 1 does not exist"),
        (lambda m: with_tensor(with_op(m, 2, axis=0), 3, shape=(126,)), "shapes do not add up"),
        (lambda m: with_tensor(m, 4, shape=(1, 7)), r"output shape is not \(7,\)"),
        (lambda m: with_tensor(m, 4, scale=2.0**-26), "mean1: its sum does not fit 32 bits"),
        (lambda m: with_op(m, 3, inputs=(4,), output=5), "reads a tensor that nothing has written"),
        (lambda m: with_tensor(m, 5, scale=1 / 255), "output scale is not 1/256"),
        (lambda m: with_tensor(m, 5, zero_point=0), "zero point not -128"),
        (lambda m: with_tensor(m, 5, shape=(1, 1, 7)), "soft1: shapes differ"),
        (lambda m: with_op(m, 4, beta=0.0), "beta 0.0 is not a positive number"),
        (lambda m: with_op(m, 4, beta=-1.0), "beta -1.0 is not"),
        (lambda m: with_op(m, 4, beta=math.nan), "beta nan is not"),
        (lambda m: with_op(m, 4, beta=math.inf), "beta inf is not"),
        (lambda m: with_op(m, 4, beta=2.0**-24), "beta times input scale is too small"),
        (lambda m: with_tensor(m, 0, scale=1e-60), "tensor input has scale 1e-60"),
        (lambda m: with_tensor(m, 0, scale=1e60), "tensor input has scale 1e"),
    ],
)
def test_meaningless_mobile_models_are_refused(change, message):
    refuses(mobile_model(), change, message)


def test_log_softmax_is_no_longer_than_its_sum_can_hold():
    def model(depth: int) -> IntegerModel:
        tensors = (Tensor("input", (depth,), 0.1, 0), Tensor("log1", (depth,), 1 / 16, 127))
        return IntegerModel.single("long", tensors, (LogSoftmax("log1", (0,), 1),), 0, 1)

    assert model(4095)
    with pytest.raises(UserError, match="more than 4095 elements"):
        model(4096)


def test_indices_are_those_of_an_int8_and_an_output_s():
    def model(
        count: int, dtype: PortType = "int32", quantization: Quantization = (1.0, -128)
    ) -> IntegerModel:
        tensors = (Tensor("input", (count,), 0.1, 0), Tensor("arg1", (1,), *quantization))
        ports = (Port("input", 0),), (Port("output", 1, dtype),)
        return IntegerModel("arg", tensors, (ArgMax("arg1", (0,), 1, (0,)),), *ports, {}, ())

    assert model(256)
    with pytest.raises(UserError, match="more than 256 elements"):
        model(257)
    with pytest.raises(UserError, match="output scale is not 1"):
        model(4, quantization=(0.5, -128))
    with pytest.raises(UserError, match="no output of ARG_MAX"):
        replace(model(4), inputs=(Port("input", 0, "int32"),))


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "m.npz"
    write(small_model(), path)
    content = path.read_bytes()
    for end in (*range(0, len(content), 97), len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"m\.npz is not an IntegerModel"):
            read(path)
    with pytest.raises(UserError, match=r"missing\.npz"):
        read(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"[[0, 1], [0, 0], [1, 0]]", b"[[0, 1], [0, 0], 77777]"),
        (b'"beta": 2.0', b'"beta": " "'),
        (b'"axis": 1', b'"axis":[]'),
    ],
)
def test_a_file_with_a_field_of_another_type_is_refused(tmp_path, old, new):
    path = tmp_path / "m.npz"
    write(mobile_model(), path)
    old, new = (text.replace(b'"', b'\\"') for text in (old, new))  # the graph is JSON within JSON
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new + b" " * (len(old) - len(new))))
    with pytest.raises(UserError, match=r"m\.npz is not an IntegerModel"):
        read(path)
