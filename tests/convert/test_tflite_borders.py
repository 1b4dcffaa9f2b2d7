"""Inputs and outputs of other types than int8, several of them, and what is known without them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_files import TfliteFile

from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.integer_model import IntegerModel, State
from paper2board.model.operators.binary import Add
from paper2board.model.operators.moving import AssignVariable, Concatenation, Constant, Move
from paper2board.model.port import Port
from paper2board.model.simulate import run
from paper2board.model.tensor import Tensor

SCALES = st.floats(2.0**-9, 2.0).map(lambda value: float(np.float32(value)))


def ports(draw, name: str, tensor: int) -> Port:
    dtype = draw(st.sampled_from(["int8", "uint8", "int16", "float32"]))
    if dtype in ("int8", "float32"):
        return Port(name, tensor, dtype)
    limits = np.iinfo(dtype)
    return Port(name, tensor, dtype, draw(SCALES), draw(st.integers(int(limits.min), int(limits.max))))


@st.composite
def models(draw) -> IntegerModel:
    """The sum of two inputs, and the first input beside it, at any borders."""
    tensors = tuple(Tensor(f"t{i}", (2, 3), draw(SCALES), draw(st.integers(-128, 127))) for i in range(3))
    return IntegerModel(
        "sum",
        tensors,
        (Add("add1", (0, 1), 2),),
        (ports(draw, "left", 0), ports(draw, "right", 1)),
        (ports(draw, "sum", 2),),
    )


def inputs_of(model: IntegerModel, count: int, seed: int) -> list[np.ndarray]:
    generator, inputs = np.random.default_rng(seed), []
    for port in model.inputs:
        tensor = model.tensors[port.tensor]
        shape = (count, *tensor.shape)
        if port.dtype == "float32":
            values = generator.normal(0, 90 * tensor.scale, shape)
            ties = (generator.integers(-130, 130, shape) + 0.5) * tensor.scale
            inputs.append(np.where(generator.random(shape) < 0.3, ties, values).astype(np.float32))
        else:
            limits = np.iinfo(port.dtype)
            inputs.append(generator.integers(limits.min, limits.max + 1, shape).astype(port.dtype))
    return inputs


@settings(max_examples=80, deadline=None)
@given(model=models(), seed=st.integers(0, 2**32 - 1))
def test_borders_equal_tflite_micro(model, seed):
    data = write_flatbuffer(model)
    again = read_tflite(data, "sum")
    assert [(p.dtype, np.float32(p.scale), p.zero_point) for p in (*again.inputs, *again.outputs)] == [
        (p.dtype, np.float32(p.scale), p.zero_point) for p in (*model.inputs, *model.outputs)
    ]
    inputs = inputs_of(model, 5, seed)
    for found, wanted in zip(run(again, inputs), reference.run_all(data, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_reals_beyond_int8_saturate_and_what_is_no_number_is_the_lowest():
    tensor, port = Tensor("t", (4,), 0.5, 10), Port("input", 0, "float32")
    values = np.array([np.inf, -np.inf, np.nan, 3e38], np.float32)
    assert port.quantized(tensor, values).tolist() == [127, -128, -128, 127]


def test_states_are_kept_from_call_to_call_and_begin_as_the_file_says():
    tensors = tuple(
        Tensor(f"t{i}", shape, 0.5, 3) for i, shape in enumerate([(1, 4), (2, 4), (3, 4), (2, 4)])
    )
    model = _buffer(tensors)
    data = write_flatbuffer(model)
    inputs = [np.arange(20, dtype=np.int8).reshape(5, 1, 4)]
    wanted = reference.run_all(data, inputs)[0]
    np.testing.assert_array_equal(run(model, inputs)[0], wanted)
    np.testing.assert_array_equal(run(read_tflite(data, "buffer"), inputs)[0], wanted)
    assert wanted[0].ravel().tolist() == [*range(8), 0, 1, 2, 3]
    assert wanted[4].ravel().tolist() == [*range(8, 20)]


def _buffer(tensors: tuple[Tensor, ...]) -> IntegerModel:
    return IntegerModel(
        "buffer",
        (*tensors, Tensor("kept", (2, 4), 0.5, 3)),
        (
            Concatenation("joined", (1, 0), 2, 0),
            Move("newest", (2,), 3, (8,), np.arange(4, 12, dtype=np.int32)),
            AssignVariable("kept", (3,), 4),
        ),
        (Port("input", 0),),
        (Port("output", 2),),
        {},
        (State(1, 4, np.arange(8, dtype=np.int8).reshape(2, 4)),),
    )


def test_shapes_of_an_open_batch_are_known():
    file = TfliteFile()
    source, flat = file.tensor((1, 2, 3)), file.tensor((1, 6))
    shape, first, packed = (file.tensor(size, np.int32, None) for size in ((3,), (), (2,)))
    cut = [file.constant([n]) for n in (0, 1, 1)]
    file.operator("SHAPE", [source], [shape], "ShapeOptions")
    file.operator("STRIDED_SLICE", [shape, *cut], [first], "StridedSliceOptions", shrinkAxisMask=1)
    file.operator("PACK", [first, file.constant(6)], [packed], "PackOptions", valuesCount=2, axis=0)
    file.operator("RESHAPE", [source, packed], [flat], "ReshapeOptions")
    data = file.bytes([source], [flat])
    model = read_tflite(data)
    assert [op.type for op in model.ops] == ["RESHAPE"]


def test_a_constant_operand_lies_in_the_file():
    file = TfliteFile()
    source, result = file.tensor((1, 4), scale=0.5), file.tensor((1, 4), scale=0.75)
    values = file.tensor((1, 4), scale=0.25, zero_point=7, values=np.array([[1, -9, 100, -128]]))
    file.operator("ADD", [source, values], [result], "AddOptions")
    data = file.bytes([source], [result])
    model = read_tflite(data)
    assert any(isinstance(op, Constant) for op in model.ops)
    inputs = [np.array([[5, 6, -7, 127], [-128, 0, 1, 2]], np.int8)]
    np.testing.assert_array_equal(run(model, inputs)[0], reference.run_all(data, inputs)[0])


@pytest.mark.parametrize("what", ["input", "output"])
def test_what_needs_one_int8_tensor_says_so(what):
    from messages import naming

    from paper2board.core.errors import UserError

    tensors = (Tensor("a", (4,), 0.5, 0), Tensor("b", (4,), 0.5, 0))
    given, taken = (
        Port(what, i, "float32" if what == name else "int8") for i, name in enumerate(("input", "output"))
    )
    model = IntegerModel("m", tensors, (Add("add", (0, 0), 1),), (given,), (taken,))
    with pytest.raises(UserError, match=naming("m", what, f"inference_{what}_type")):
        getattr(model, what)
