import numpy as np
import pytest
from messages import naming
from strategies import inputs_for
from tflite_models import edited, residual_model

from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.simulate import simulate

MODEL = residual_model()
CONTENT = write_flatbuffer(MODEL)


def test_runs_a_file_or_its_bytes_with_progress(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(CONTENT)
    inputs = inputs_for(MODEL, 6)
    seen = []

    def progress(indices):
        for index in indices:
            seen.append(index)
            yield index

    outputs = reference.run(path, inputs, progress)
    assert seen == list(range(6))
    assert outputs.dtype == np.int8 and outputs.shape == (6, 10)
    assert np.array_equal(outputs, reference.run(CONTENT, inputs))
    assert np.array_equal(outputs, simulate(MODEL, inputs))


def test_layers_without_bias():
    def change(file, graph, tensors, operators):
        for name in ("conv1", "fc2"):
            operators[name].inputs = [*operators[name].inputs[:2], -1]

    content = edited(CONTENT, change)
    inputs = inputs_for(MODEL, 6)
    assert np.array_equal(reference.run(content, inputs), simulate(read_tflite(content), inputs))


def test_no_inputs_no_outputs():
    assert reference.run(CONTENT, inputs_for(MODEL, 2)[:0]).shape == (0, 10)


def test_arena_is_parsed_and_prints_nothing(capfd):
    arena = reference.arena(CONTENT)
    assert arena.total == arena.head + arena.tail
    assert arena.head >= sum(tensor.size for tensor in MODEL.tensors[:2])  # input and conv1 live together
    assert arena.sections["NodeAndRegistration struct"] > 0
    assert sum(arena.sections.values()) <= arena.tail + arena.head
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("wrong", ["dtype", "shape"])
def test_wrong_inputs_are_our_defect(wrong):
    inputs = inputs_for(MODEL, 2)
    with pytest.raises(ValueError, match="not int8"):
        reference.run(CONTENT, inputs.astype(np.int16) if wrong == "dtype" else inputs[:, 1:])


def test_damaged_file_never_reaches_the_interpreter(tmp_path):
    path = tmp_path / "half.tflite"
    path.write_bytes(CONTENT[: len(CONTENT) // 2])
    with pytest.raises(UserError, match=naming("half.tflite")):
        reference.run(path, inputs_for(MODEL, 1))


def test_what_the_interpreter_refuses_is_one_sentence():
    """Damage in a field that the import has no use for."""

    def change(file, graph, tensors, operators):
        tensors["conv1"].shapeSignature = [0x01020304]

    whole = edited(CONTENT, change)
    assert np.array_equal(reference.run(whole, inputs_for(MODEL, 2)), simulate(MODEL, inputs_for(MODEL, 2)))
    vector = bytes([1, 0, 0, 0, 4, 3, 2, 1])
    assert whole.count(vector) == 1
    damaged = whole.replace(vector, bytes([255, 255, 255, 127, 4, 3, 2, 1]))
    read_tflite(damaged)
    with pytest.raises(UserError, match=naming("TFLite Micro", "convert the network again")) as caught:
        reference.run(damaged, inputs_for(MODEL, 2))
    assert "\n" not in str(caught.value)
