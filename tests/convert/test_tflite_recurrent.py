"""LSTM and SVDF layers of a file: read, and simulated as TFLite Micro runs them, with what they remember."""

import flatbuffers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import naming
from tflite_files import TfliteFile
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.integer_model import IntegerModel, State
from paper2board.model.operators.recurrent import Lstm, Svdf
from paper2board.model.port import Port
from paper2board.model.simulate import run
from paper2board.model.tensor import Tensor


def layer(seed: int, steps: int, inputs: int, units: int) -> IntegerModel:
    """Return a network of one layer, whose outputs vary."""
    rng = np.random.default_rng(seed)
    hidden = float(np.float32(2.0 ** rng.uniform(-10, -6))), int(rng.integers(-128, 128))
    power = int(rng.integers(-14, -7))
    tensors = (
        Tensor(
            "x", (steps, inputs), float(np.float32(2.0 ** rng.uniform(-7, 0))), int(rng.integers(-128, 128))
        ),
        Tensor("hidden", (units,), *hidden),
        Tensor("cell", (2 * units,), 2.0**power, 0),
        Tensor("y", (steps, units), *hidden),
    )

    def weights(inputs: int) -> np.ndarray:
        return rng.integers(-127, 128, (4, units, inputs)).astype(np.int8)

    op = Lstm(
        "lstm",
        (0, 1, 2),
        3,
        weights(inputs),
        weights(units),
        rng.integers(-3000, 3000, (4, units)).astype(np.int32),
        (2.0 ** rng.uniform(-10, -5, 4)).astype(np.float32),
        (2.0 ** rng.uniform(-9, -5, 4)).astype(np.float32),
        power,
        float(rng.choice([0.0, 0.0, 2.5])),
    )
    states = (
        State(1, 1, np.full((units,), hidden[1], np.int8)),
        State(2, 2, np.zeros((2 * units,), np.int8)),
    )
    return IntegerModel("lstm", tensors, (op,), (Port("x", 0),), (Port("y", 3),), {}, states)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 6),
    inputs=st.integers(1, 9),
    units=st.integers(1, 9),
)
def test_every_inference_goes_on_from_the_one_before(seed, steps, inputs, units):
    model = layer(seed, steps, inputs, units)
    data = write_flatbuffer(model)
    sequence = np.random.default_rng(seed).integers(-128, 128, (4, steps, inputs)).astype(np.int8)
    expected = reference.run_all(data, [sequence])[0]
    np.testing.assert_array_equal(run(model, [sequence])[0], expected)
    np.testing.assert_array_equal(run(read_tflite(data), [sequence])[0].reshape(expected.shape), expected)


def test_states_matter():
    model = layer(1, 2, 3, 4)
    sequence = np.random.default_rng(0).integers(-128, 128, (2, 2, 3)).astype(np.int8)
    together = run(model, [sequence])[0]
    assert (together[1] != run(model, [sequence[1:]])[0][0]).any()


def written(change: object = None, **options: object) -> bytes:
    """Return a file of one layer; ``change`` edits the numbers of its inputs."""
    file = TfliteFile()
    units, inputs = 3, 2
    x = file.tensor((1, 4, inputs), scale=0.1)
    weights = [
        file.tensor((units, n), values=np.ones((units, n), np.int8)) for n in [inputs] * 4 + [units] * 4
    ]
    bias = [file.tensor((units,), np.int32, values=np.ones(units, np.int32)) for _ in range(4)]
    states = [file.tensor((1, units), scale=1 / 128), file.tensor((1, units), np.int16, scale=2.0**-11)]
    for state in states:
        file.graph.tensors[state].isVariable = True
    numbers = [x, *weights, -1, -1, -1, *bias, -1, -1, *states, -1, -1, -1, -1]
    if callable(change):
        change(file, numbers)
    y = file.tensor((1, 4, units), scale=1 / 128)
    fields = {"fusedActivationFunction": 4} | options
    file.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", numbers, [y], "UnidirectionalSequenceLSTMOptions", **fields)
    return file.bytes([x], [y])


def test_the_file_of_these_tests_is_read():
    assert read_tflite(written()).ops[0].type == "UNIDIRECTIONAL_SEQUENCE_LSTM"


def _peephole(file, numbers):
    numbers[9] = file.tensor((3,), values=np.ones(3, np.int8))


def _projection(file, numbers):
    numbers[16] = file.tensor((3, 3), values=np.ones((3, 3), np.int8))


def _no_cell(file, numbers):
    numbers[19] = -1


def _odd_scale(file, numbers):
    file.graph.tensors[numbers[19]].quantization.scale = np.array([0.003], np.float32)


def _plain_state(file, numbers):
    file.graph.tensors[numbers[18]].isVariable = False


def _small_gate(file, numbers):
    numbers[2] = file.tensor((2, 2), values=np.ones((2, 2), np.int8))


def _few(file, numbers):
    del numbers[20:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_peephole, "peepholes"),
        (_projection, "a projection"),
        (_no_cell, "lacks a state"),
        (_odd_scale, "no power of 2"),
        (_plain_state, "no state"),
        (_small_gate, "different shapes"),
        (_few, "20 inputs"),
    ],
)
def test_variants_are_refused_by_what_they_are(change, words):
    with pytest.raises(UserError, match=naming("UNIDIRECTIONAL_SEQUENCE_LSTM", words)):
        read_tflite(written(change))


def test_another_activation_is_refused():
    with pytest.raises(UserError, match=naming("UNIDIRECTIONAL_SEQUENCE_LSTM", "tanh")):
        read_tflite(written(fusedActivationFunction=1))


# --- SVDF ---------------------------------------------------------------------------------------------


def svdf(seed: int, wide: bool, sizes: tuple[int, int, int, int]) -> IntegerModel:
    """Return a network of one layer: ``sizes`` are inputs, units, rank and memory."""
    rng = np.random.default_rng(seed)
    inputs, units, rank, memory = sizes
    filters = units * rank
    scale = 2.0 ** (rng.uniform(-12, -8) if wide else rng.uniform(-4, 0))
    tensors = (
        Tensor("x", (inputs,), float(np.float32(2.0 ** rng.uniform(-7, -3))), int(rng.integers(-128, 128))),
        Tensor(
            "state",
            (filters * memory * (1 + wide),),
            float(np.float32(scale)),
            0 if wide else int(rng.integers(-128, 128)),
        ),
        Tensor("y", (units,), float(np.float32(2.0 ** rng.uniform(-4, 0))), int(rng.integers(-128, 128))),
    )
    # Sums of int16 that fit 32 bits, with a bias.
    most, dtype = (min(3000, (1 << 31) // (rank * memory + 1) >> 15), np.int16) if wide else (128, np.int8)
    time_scale = 2.0 ** (rng.uniform(-12, -9) if wide else rng.uniform(-8, -5))
    op = Svdf(
        "svdf",
        (0, 1),
        2,
        rng.integers(-127, 128, (filters, inputs)).astype(np.int8),
        rng.integers(-most, most, (filters, memory)).astype(dtype),
        rng.integers(-300, 300, units).astype(np.int32),
        float(np.float32(2.0 ** rng.uniform(-8, -5))),
        float(np.float32(time_scale)),
        rank,
    )
    first = np.full(tensors[1].shape, tensors[1].zero_point, np.int8)
    return IntegerModel("svdf", tensors, (op,), (Port("x", 0),), (Port("y", 2),), {}, (State(1, 1, first),))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), wide=st.booleans(), sizes=st.tuples(*[st.integers(1, 6)] * 4))
def test_svdf_remembers_the_last_inputs(seed, wide, sizes):
    model = svdf(seed, wide, sizes)
    data = write_flatbuffer(model)
    inputs = np.random.default_rng(seed).integers(-128, 128, (8, sizes[0])).astype(np.int8)
    expected = reference.run_all(data, [inputs])[0]
    np.testing.assert_array_equal(run(model, [inputs])[0], expected)
    np.testing.assert_array_equal(run(read_tflite(data), [inputs])[0], expected)


def test_svdf_without_a_bias_is_refused():
    data = bytearray(write_flatbuffer(svdf(0, False, (2, 2, 1, 2))))
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    file.subgraphs[0].operators[0].inputs[3] = -1
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(file.Pack(builder), b"TFL3")
    with pytest.raises(UserError, match=naming("SVDF", "has no bias")):
        read_tflite(bytes(builder.Output()))
