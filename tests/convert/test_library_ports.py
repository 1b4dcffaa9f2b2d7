"""Inputs, outputs and states of the libraries that `paper2board compile` writes."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from libraries import compile_c, compile_library, ran, sketch

from paper2board.bench.networks import build
from paper2board.convert.engine_sources import WARNINGS
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.evaluate.tflite_micro import run_all
from paper2board.model.integer_model import IntegerModel, State
from paper2board.model.operators.binary import Add, Mul
from paper2board.model.operators.moving import AssignVariable
from paper2board.model.operators.reduction import ArgMax
from paper2board.model.port import Port
from paper2board.model.tensor import Tensor

TYPES = {
    "float32": Port("", 0, "float32"),
    "uint8": Port("", 0, "uint8", 0.03, 77),
    "int16": Port("", 0, "int16", 0.002, -300),
}


def bordered(folder: Path, arriving: str, leaving: str) -> Path:
    """Write a file of one network whose input and output have other types; return its path."""
    model = build("oblong")
    source = replace(TYPES[arriving], name="given", tensor=model.input)
    target = replace(TYPES[leaving], name="taken", tensor=model.output)
    path = folder / "rows.tflite"
    path.write_bytes(write_flatbuffer(replace(model, inputs=(source,), outputs=(target,))))
    return path


@pytest.mark.parametrize("arena", ["static", "caller"])
@pytest.mark.parametrize(
    ("arriving", "leaving"), [*zip(TYPES, [*TYPES][::-1], strict=True), ("int16", "int16")]
)
def test_other_types_are_converted_at_the_border(
    tmp_path: Path, arriving: str, leaving: str, arena: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bordered(tmp_path, arriving, leaving)
    assert compile_library(path, "--backend", "portable", "--arena", arena, "--compare", "20") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 of ")
    folder, c_types = tmp_path / "c", {"float32": "float", "uint8": "uint8_t", "int16": "int16_t"}
    header = (folder / "src/rows.h").read_text()
    assert f"INPUT_TYPE {c_types[arriving]}\n" in header and f"OUTPUT_TYPE {c_types[leaving]}\n" in header
    # Real numbers need no scale, and no function that makes them.
    assert ("rows_quantize(" in header) == ("INPUT_SCALE" in header) == (arriving != "float32")
    assert ("rows_dequantize(" in header) == ("OUTPUT_SCALE" in header) == (leaving != "float32")
    ran([str(sketch(folder, "Minimal"))], folder)


def test_rows_of_another_type_are_converted_too(tmp_path: Path) -> None:
    path = bordered(tmp_path, "float32", "float32")
    assert compile_library(path, "--backend", "portable") == 0
    folder = tmp_path / "c"
    objects = compile_c(folder, tmp_path / "objects", "-fsanitize=address,undefined")
    (folder / "program.c").write_text("""
#include <stdio.h>
#include "rows.h"
static float input[ROWS_INPUT_SIZE], output[ROWS_OUTPUT_SIZE];
static void read_row(void *context, int32_t row, float *destination)
{
    (void)context;
    for (int i = 0; i < ROWS_INPUT_W * ROWS_INPUT_C; ++i)
        destination[i] = input[row * ROWS_INPUT_W * ROWS_INPUT_C + i];
}
int main(void)
{
    if (fread(input, sizeof *input, ROWS_INPUT_SIZE, stdin) != ROWS_INPUT_SIZE)
        return 1;
    rows_run_rows(read_row, NULL, output);
    for (int i = 0; i < ROWS_OUTPUT_SIZE; ++i)
        printf("%.9g\\n", (double)output[i]);
    return 0;
}
""")
    command = ["gcc", "-std=c11", *WARNINGS, "-fsanitize=address,undefined", "-Isrc", "program.c"]
    ran([*command, *objects, "-o", "program"], folder)
    model = read_tflite(path)
    shape = model.tensors[model.inputs[0].tensor].shape
    reals = np.random.default_rng(3).normal(0, 2, (1, *shape)).astype(np.float32)
    lines = ran(["./program"], folder, reals.tobytes()).split()
    np.testing.assert_array_equal(np.array(lines, np.float32), run_all(path, [reals])[0].ravel())


def test_several_inputs_and_outputs_have_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = tuple(Tensor(name, (4, 5, 3), 0.1, 3) for name in ("left", "right", "sum", "product"))
    tensors = (*tensors[:3], replace(tensors[3], scale=0.5))
    ops = (Add("sum", (0, 1), 2), Mul("product", (0, 1), 3))
    inputs = Port("left", 0), Port("2nd one", 1, "float32")
    outputs = Port("sum", 2), Port("product", 3, "float32")
    path = tmp_path / "two.tflite"
    path.write_bytes(write_flatbuffer(IntegerModel("two", tensors, ops, inputs, outputs)))
    assert compile_library(path, "--backend", "portable", "--compare", "10") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 of 1,200 values differ")
    folder = tmp_path / "c"
    header = (folder / "src/two.h").read_text()
    parameters = (
        "void two_run(const int8_t input_left[TWO_INPUT_LEFT_SIZE],"
        " const float input_n_2nd_one[TWO_INPUT_N_2ND_ONE_SIZE], int8_t output_sum[TWO_OUTPUT_SUM_SIZE],"
        " float output_product[TWO_OUTPUT_PRODUCT_SIZE]);"
    )
    assert re.sub(r"\s+", " ", header).count(parameters) == 1
    assert "two_run_rows" not in header and "two_quantize_left(" in header
    # The example reads the inputs one after the other.
    ran(["cmake", "-B", "build"], folder)
    ran(["cmake", "--build", "build", "--target", "two_example"], folder)
    left = np.arange(60, dtype=np.int8)
    printed = ran(["build/two_example"], folder, left.tobytes() + np.zeros(60, np.float32).tobytes())
    assert printed.startswith("59 ")


REMEMBERING = """
#include <stdio.h>
#include "memory.h"
static int8_t input[MEMORY_INPUT_SIZE], output[MEMORY_OUTPUT_SIZE];
#ifdef MEMORY_OK
static int8_t arena[MEMORY_ARENA_BYTES] __attribute__((aligned(MEMORY_ARENA_ALIGNMENT)));
#endif
int main(void)
{
#ifdef MEMORY_OK
    memory_reset(); /* without an arena there is nothing to forget */
    if (memory_set_arena(arena, sizeof arena) != MEMORY_OK)
        return 1;
#endif
    if (fread(input, 1, sizeof input, stdin) != sizeof input)
        return 1;
    for (int i = 0; i < 3; ++i) {
        if (i == 2)
            memory_reset();
        (void)memory_run(input, output);
        for (int j = 0; j < MEMORY_OUTPUT_SIZE; ++j)
            printf("%d ", output[j]);
    }
    return 0;
}
"""


@pytest.mark.parametrize("arena", ["static", "caller"])
def test_states_are_kept_until_a_reset(tmp_path: Path, arena: str) -> None:
    """A network that gives the sum of this input and the last one."""
    tensors = tuple(Tensor(name, (2, 3, 4), 0.1, 3) for name in ("input", "last", "sum", "kept"))
    ops = (Add("sum", (0, 1), 2), AssignVariable("kept", (0,), 3))
    first = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    model = IntegerModel(
        "memory", tensors, ops, (Port("input", 0),), (Port("output", 2),), {}, (State(1, 3, first),)
    )
    path = tmp_path / "memory.tflite"
    path.write_bytes(write_flatbuffer(model))
    assert compile_library(path, "--backend", "portable", "--arena", arena) == 0
    folder = tmp_path / "c"
    assert "memory_reset()" in (folder / "README.md").read_text()
    (folder / "program.c").write_text(REMEMBERING)
    objects = compile_c(folder, tmp_path / "objects", "-fsanitize=address,undefined")
    command = ["gcc", "-std=c11", *WARNINGS, "-fsanitize=address,undefined", "-Isrc", "program.c"]
    ran([*command, *objects, "-o", "program"], folder)
    image = np.random.default_rng(0).integers(-60, 60, (1, 2, 3, 4)).astype(np.int8)
    once, twice = run_all(path, [image.repeat(2, 0)])[0].reshape(2, -1).tolist()
    assert once != twice
    assert list(map(int, ran(["./program"], folder, image.tobytes()).split())) == [*once, *twice, *once]


def test_indices_are_int32(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build("oblong")
    shape = model.tensors[model.output].shape
    tensors = (*model.tensors, Tensor("best", (*shape[:-1],) or (1,), 1.0, -128))
    op = ArgMax("best", (model.output,), len(model.tensors), (len(shape) - 1,))
    output = (Port("output", op.output, "int32"),)
    path = tmp_path / "best.tflite"
    path.write_bytes(write_flatbuffer(replace(model, tensors=tensors, ops=(*model.ops, op), outputs=output)))
    assert compile_library(path, "--backend", "portable", "--compare", "20") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 of ")
    assert "OUTPUT_TYPE int32_t\n" in (tmp_path / "c/src/best.h").read_text()
    ran([str(sketch(tmp_path / "c", "Minimal"))], tmp_path)
