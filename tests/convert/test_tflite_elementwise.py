"""Element-wise operators of a file: read, and simulated as TFLite Micro runs them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from messages import naming
from tflite_files import TfliteFile

from paper2board.convert.c_code import generate
from paper2board.convert.c_layers import c_layer
from paper2board.convert.lowering import lower
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import (
    Add,
    Maximum,
    Minimum,
    Mul,
    Prelu,
    SquaredDifference,
    Sub,
)
from paper2board.model.operators.elementwise import (
    INT8_VALUES,
    Abs,
    Elu,
    FloatFunction,
    Gelu,
    HardSwish,
    LeakyRelu,
    Quantize,
    Relu,
    Relu6,
    Rsqrt,
    Tanh,
)
from paper2board.model.operators.moving import Constant
from paper2board.model.operators.operator import Op
from paper2board.model.port import Port
from paper2board.model.simulate import run
from paper2board.model.tensor import Tensor

EVERY_INPUT = INT8_VALUES.astype(np.int8).reshape(1, 256)
SCALES = st.floats(-9, 2).map(lambda exponent: float(np.float32(2.0**exponent)))
ZERO_POINTS = st.sampled_from([-128, 0, 127]) | st.integers(-128, 127)
ANY = st.tuples(SCALES, ZERO_POINTS)


def single(op: Op, source: tuple[float, int], target: tuple[float, int]) -> IntegerModel:
    """Return a model of one function over all 256 values; a combination that is refused is none of the test's."""
    tensors = Tensor("x", (256,), *source), Tensor("y", (256,), *target)
    try:
        return IntegerModel.single("single", tensors, (op,), 0, 1)
    except UserError:
        assume(False)
        raise


FUNCTIONS = {
    "TANH": lambda alpha: Tanh("y", (0,), 1),
    "HARD_SWISH": lambda alpha: HardSwish("y", (0,), 1),
    "RELU": lambda alpha: Relu("y", (0,), 1),
    "RELU6": lambda alpha: Relu6("y", (0,), 1),
    "LEAKY_RELU": lambda alpha: LeakyRelu("y", (0,), 1, alpha),
    "ELU": lambda alpha: Elu("y", (0,), 1),
    "ABS": lambda alpha: Abs("y", (0,), 1),
    "QUANTIZE": lambda alpha: Quantize("y", (0,), 1),
}
FIXED = {"TANH": (1 / 128, 0)}


@pytest.mark.parametrize("kind", FUNCTIONS)
@settings(max_examples=60, deadline=None)
@given(source=ANY, target=ANY, alpha=st.floats(0, 2), same=st.booleans())
def test_all_256_values_of_a_function_are_tflite_micros(kind, source, target, alpha, same):
    target = FIXED.get(kind, source if same or kind == "RELU6" else target)
    model = single(FUNCTIONS[kind](float(np.float32(alpha))), source, target)
    data = write_flatbuffer(model)
    expected = reference.run(data, EVERY_INPUT).reshape(256)
    np.testing.assert_array_equal(model.ops[0].table(model.tensors), expected)
    np.testing.assert_array_equal(run(read_tflite(data), [EVERY_INPUT])[0].reshape(256), expected)


@settings(max_examples=60, deadline=None)
@given(source=SCALES, target=ANY)
def test_rsqrt_is_tflite_micros_above_its_zero_point(source, target):
    model = single(Rsqrt("y", (0,), 1), (source, -128), target)
    table = model.ops[0].table(model.tensors)
    np.testing.assert_array_equal(
        table, reference.run(write_flatbuffer(model), EVERY_INPUT).reshape(256), str(model.tensors)
    )


def test_below_its_zero_point_rsqrt_gives_what_it_gives_for_zero():
    model = single(Rsqrt("y", (0,), 1), (0.1, 3), (0.1, -10))
    table = model.ops[0].table(model.tensors)
    assert set(table[INT8_VALUES <= 3]) == {127}


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_is_the_table_of_tensorflow_lite(approximate):
    import tensorflow as tf

    rng = np.random.default_rng(3)
    for _ in range(40):
        source = float(np.float32(2.0 ** rng.uniform(-8, -2))), int(rng.integers(-128, 128))
        target = float(np.float32(2.0 ** rng.uniform(-8, -2))), int(rng.integers(-128, 128))
        model = single(Gelu("y", (0,), 1, approximate), source, target)
        resolver = tf.lite.experimental.OpResolverType.BUILTIN_REF
        interpreter = tf.lite.Interpreter(
            model_content=write_flatbuffer(model), experimental_op_resolver_type=resolver
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], EVERY_INPUT)
        interpreter.invoke()
        expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_array_equal(model.ops[0].table(model.tensors), expected.reshape(256))


@pytest.mark.parametrize(
    ("op", "source", "target", "words"),
    [
        (Relu6("y", (0,), 1), (0.1, 0), (0.2, 0), "different quantization"),
        (Tanh("y", (0,), 1), (0.1, 0), (0.1, 0), "output scale is not 1/128"),
        (LeakyRelu("y", (0,), 1, -0.1), (0.1, 0), (0.1, 0), "alpha is -0.1"),
        (HardSwish("y", (0,), 1), (1.0, 0), (1e-6, 0), "too far from one another"),
        (Quantize("y", (0,), 1), (1e3, 0), (1e-9, 0), "far below the input's"),
    ],
)
def test_what_tflite_micro_cannot_compute_is_refused(op, source, target, words):
    tensors = Tensor("x", (256,), *source), Tensor("y", (256,), *target)
    with pytest.raises(UserError, match=naming("single", op.type, words)):
        IntegerModel.single("single", tensors, (op,), 0, 1)


SIZES = st.integers(1, 5)
SHAPES = st.lists(SIZES, min_size=1, max_size=3).map(tuple)
ACTIVATIONS = st.sampled_from(["NONE", "RELU", "RELU6"])
BINARY = {
    "ADD": lambda activation: Add("y", (0, 1), 2, activation),
    "SUB": lambda activation: Sub("y", (0, 1), 2, activation),
    "MUL": lambda activation: Mul("y", (0, 1), 2, activation),
    "PRELU": lambda activation: Prelu("y", (0, 1), 2),
    "SQUARED_DIFFERENCE": lambda activation: SquaredDifference("y", (0, 1), 2),
    "MAXIMUM": lambda activation: Maximum("y", (0, 1), 2),
    "MINIMUM": lambda activation: Minimum("y", (0, 1), 2),
}


@st.composite
def pairs(draw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw two shapes that go together: alike, or with axes of one value or missing in either."""
    shape = draw(SHAPES)
    others = []
    for _ in range(2):
        kept = tuple(n if draw(st.booleans()) else 1 for n in shape)
        others.append(draw(st.sampled_from([shape, kept, kept[draw(st.integers(0, len(shape) - 1)) :]])))
    return others[0], others[1]


def both(kind, activation, shapes, quantizations, constant: np.ndarray | None = None) -> IntegerModel:
    """Return a model of an operator over two inputs, or over one and a constant."""
    if kind in ("MAXIMUM", "MINIMUM"):
        quantizations = [quantizations[0]] * 3
    target = np.broadcast_shapes(*shapes)
    tensors = tuple(
        Tensor(name, shape, *quantization)
        for name, shape, quantization in zip("abc", (*shapes, target), quantizations, strict=True)
    )
    ops: tuple[Op, ...] = (BINARY[kind](activation),)
    try:
        if constant is not None:
            ops = (Constant("constant", (), 1, constant), *ops)
            return IntegerModel.single("both", tensors, ops, 0, 2)
        return two_inputs(tensors, ops)
    except UserError:
        assume(False)
        raise


def two_inputs(tensors: tuple[Tensor, ...], ops: tuple[Op, ...]) -> IntegerModel:
    return IntegerModel("both", tensors, ops, (Port("a", 0), Port("b", 1)), (Port("c", 2),))


@pytest.mark.parametrize("kind", BINARY)
@settings(max_examples=60, deadline=None)
@given(
    shapes=pairs(),
    quantizations=st.tuples(ANY, ANY, ANY),
    activation=ACTIVATIONS,
    seed=st.integers(0, 2**32 - 1),
)
def test_two_tensors_are_combined_as_in_tflite_micro(kind, shapes, quantizations, activation, seed):
    model = both(kind, activation, shapes, quantizations)
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(-128, 128, (4, *shape)).astype(np.int8) for shape in shapes]
    data = write_flatbuffer(model)
    expected = reference.run_all(data, inputs)[0]
    np.testing.assert_array_equal(run(model, inputs)[0], expected)
    np.testing.assert_array_equal(run(read_tflite(data), inputs)[0].reshape(expected.shape), expected)


@pytest.mark.parametrize("kind", BINARY)
@settings(max_examples=30, deadline=None)
@given(
    shape=SHAPES,
    quantizations=st.tuples(ANY, ANY, ANY),
    activation=ACTIVATIONS,
    single=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_constant_may_be_the_second_one(kind, shape, quantizations, activation, single, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-128, 128, (1,) if single else shape[-1:]).astype(np.int8)
    model = both(kind, activation, (shape, values.shape), quantizations, values)
    inputs = rng.integers(-128, 128, (4, *shape)).astype(np.int8)
    expected = reference.run_all(write_flatbuffer(model), [inputs])[0]
    np.testing.assert_array_equal(run(model, [inputs])[0], expected)
    layer = c_layer(model, lower(model, fuse=False)[-1], None)
    if values.size == 1:
        # A function of one int8, whatever it is.
        assert layer.kernel == "p2b_table"
        np.testing.assert_array_equal(layer.arrays["table"][inputs.view(np.uint8)], expected)
    else:
        assert layer.kernel != "p2b_table"


@pytest.mark.parametrize(
    ("shapes", "target", "words"),
    [
        (((2, 3), (3, 2)), (2, 3), "do not give its output's"),
        (((2, 3), (3,)), (3, 2), "do not give its output's"),
        (((2, 2, 2, 2), (2,)), (2, 2, 2, 2), "differ in more than 3 axes"),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(shapes, target, words):
    tensors = tuple(Tensor(name, shape, 0.5, 0) for name, shape in zip("abc", (*shapes, target), strict=True))
    with pytest.raises(UserError, match=naming("both", "ADD", words)):
        two_inputs(tensors, (Add("y", (0, 1), 2),))


def test_a_constant_that_nothing_reads_takes_no_flash(tmp_path):
    model = both("MUL", "NONE", ((4,), (1,)), ((0.5, 0), (0.5, 0), (20.0, 0)), np.array([3], np.int8))
    generate(model, tmp_path)
    assert "constant_" not in (tmp_path / "model.c").read_text()


def test_an_average_of_two_is_a_sum_and_a_table():
    """Keras's Average layer: ADD, then MUL by a constant."""
    file = TfliteFile()
    a, b = (file.tensor((1, 3, 3, 2), scale=0.1, zero_point=z) for z in (3, -5))
    total = file.tensor((1, 3, 3, 2), scale=0.2, zero_point=1)
    half = file.tensor((), scale=0.5 / 127, values=np.array(127, np.int8))
    mean = file.tensor((1, 3, 3, 2), scale=0.1, zero_point=0)
    file.operator("ADD", [a, b], [total], "AddOptions", 2)
    file.operator("MUL", [total, half], [mean], "MulOptions", 2)
    data = file.bytes([a, b], [mean])
    model, rng = read_tflite(data), np.random.default_rng(0)
    inputs = [rng.integers(-128, 128, (5, 3, 3, 2)).astype(np.int8) for _ in range(2)]
    np.testing.assert_array_equal(run(model, inputs)[0], reference.run_all(data, inputs)[0])
    steps = [step for step in lower(model, fuse=True) if step.op]
    assert [c_layer(model, step, None).kernel for step in steps] == ["p2b_add", "p2b_table"]


# --- functions in float32 -----------------------------------------------------------------------------

FLOATS = st.lists(
    st.sampled_from(["ABS", "COS", "ELU", "EXP", "LOGISTIC", "NEG", "RELU", "SIN", "SQUARE"]),
    min_size=1,
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(functions=FLOATS, source=ANY, target=ANY)
def test_functions_in_float32_are_one_table(functions, source, target):
    assume(source[0] < 0.05)  # beyond, EXP and SQUARE leave what int32 holds, which C does not define
    model = single(FloatFunction("y", (0,), 1, tuple(functions)), source, target)
    data = write_flatbuffer(model)
    expected = reference.run(data, EVERY_INPUT).reshape(256)
    np.testing.assert_array_equal(model.ops[0].table(model.tensors), expected)
    again = read_tflite(data)
    assert again.ops == model.ops
    assert [c_layer(again, step, None).kernel for step in lower(again, fuse=True)[1:]] == ["p2b_table"]


def test_a_function_that_is_not_finite_everywhere_is_refused():
    tensors = Tensor("x", (256,), 0.1, 0), Tensor("y", (256,), 0.1, 0)
    with pytest.raises(UserError, match=naming("single", "FLOAT_FUNCTION", "no numbers")):
        IntegerModel.single("single", tensors, (FloatFunction("y", (0,), 1, ("LOG",)),), 0, 1)


def island(*functions: str, shared: bool = False, leaves: bool = False) -> bytes:
    """Return a file: RELU, then functions in float32, then RELU; what is in between may have a second reader."""
    file = TfliteFile()
    x, a, c, y = (file.tensor((1, 7), scale=0.1) for _ in range(4))
    file.operator("RELU", [x], [a], version=2)
    inner = file.tensor((1, 7), np.float32, None)
    file.operator("DEQUANTIZE", [a], [inner], "DequantizeOptions")
    for kind in functions:
        after = file.tensor((1, 7), np.float32, None)
        file.operator(kind, [inner], [after])
        inner = after
    file.operator("QUANTIZE", [inner], [c], "QuantizeOptions")
    file.operator("RELU", [c], [y], version=2)
    outputs = [y]
    if shared:
        other = file.tensor((1, 7), scale=0.2)
        file.operator("QUANTIZE", [inner], [other], "QuantizeOptions")
        outputs.append(other)
    if leaves:
        outputs.append(inner)
    return file.bytes([x], outputs)


def test_an_island_of_a_file_is_read():
    data = island("SIN", "COS")
    model = read_tflite(data)
    assert [op.type for op in model.ops] == ["RELU", "FLOAT_FUNCTION", "RELU"]
    inputs = np.arange(-128, 124, dtype=np.int8).reshape(36, 7)
    np.testing.assert_array_equal(run(model, [inputs])[0], reference.run_all(data, [inputs])[0])


@pytest.mark.parametrize(
    "data",
    [island(), island("FLOOR"), island("SIN", shared=True), island("SIN", leaves=True)],
    ids=["nothing", "a function that is not known", "two readers", "an output in between"],
)
def test_what_is_no_island_computes_in_float32(data):
    with pytest.raises(UserError, match=naming("DEQUANTIZE", "begins a part that computes in float32")):
        read_tflite(data, "net")
