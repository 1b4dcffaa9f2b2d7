"""The registry of operators: complete, consistent with the model, the C header and the documentation."""

from pathlib import Path

import numpy as np
import pytest
from strategies import is_written_as_it_is
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.bench.random_networks import random_inputs, random_network
from paper2board.convert.engine_sources import ENGINE, kernel_names
from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights
from paper2board.convert.operators import OPERATORS
from paper2board.convert.operators.table import forms, kernels_of, table
from paper2board.convert.tflite import difference
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.model import operators
from paper2board.model.file import read, write
from paper2board.model.simulate import run

ROWS = [row for row in OPERATORS.values() if row.reads]
"""Without what is no single operator of a file: a constant, a function in float32."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "engine.md"


UNDRAWN = {"GELU", "RSQRT"}
"""TFLite Micro lacks the first; the second needs an input without negative numbers."""


def test_every_operator_of_the_model_has_its_row() -> None:
    assert {name: row.op for name, row in OPERATORS.items()} == operators.OPERATORS


@pytest.mark.parametrize("row", ROWS, ids=[row.type for row in ROWS])
def test_a_row_names_what_the_schema_has(row) -> None:
    assert hasattr(schema.BuiltinOperator, row.type)
    assert row.options is None or hasattr(schema.BuiltinOptions, row.options)
    assert 1 <= row.writes <= row.reads


@pytest.mark.parametrize("row", ROWS, ids=[row.type for row in ROWS])
def test_a_row_that_is_no_view_has_a_kernel_and_its_constants(row) -> None:
    header = (ENGINE / "p2b_kernels.h").read_text()
    assert bool(kernels_of(row)) == bool(row.fields) == (not row.view)
    assert set(kernels_of(row)) <= set(kernel_names())
    structures = [Convolution.STRUCTURE, FullyConnectedWeights.STRUCTURE] if row.weighted else [row.structure]
    assert row.view or all(f"}} {structure};" in header for structure in structures)


def test_every_kernel_is_an_operators() -> None:
    assert {name for row in OPERATORS.values() for name in kernels_of(row)} == set(kernel_names())


def test_the_documents_table_is_the_registrys() -> None:
    text = DOCUMENT.read_text()
    assert table() in text and forms() in text, "run python -m paper2board.convert.operators.table"


def test_every_operator_survives_both_files(tmp_path: Path) -> None:
    seen = set()
    for seed in range(150):
        model = random_network(seed)
        write(model, tmp_path / "model")
        content = write_flatbuffer(model)
        again, foreign = read(tmp_path / "model"), read_tflite(content, model.name)
        assert write_flatbuffer(again) == content
        types = {op.type for op in model.ops}
        if is_written_as_it_is(model):
            assert write_flatbuffer(foreign) == content
            if model.outputs[0].dtype == "int8":
                assert not difference(model, again) and not difference(model, foreign)
        inputs = [random_inputs(model, 2, seed)]
        np.testing.assert_array_equal(*(run(one, inputs)[0].ravel() for one in (model, foreign)))
        seen |= types
    assert seen | UNDRAWN == set(OPERATORS)
