"""Operators that are a table of 256 values: LOGISTIC against TFLite Micro, and the kernel alone."""

from pathlib import Path

import numpy as np
import pytest
from kernel_calls import Call, Make

from paper2board.convert.c_code import generate
from paper2board.convert.tflite import Route, export
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.firmware.runner import Target
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.elementwise import INT8_VALUES, Logistic
from paper2board.model.simulate import simulate
from paper2board.model.tensor import Tensor

EVERY_INPUT = INT8_VALUES.astype(np.int8).reshape(1, 256)


def logistic(scale: float, zero_point: int = 0, shape: tuple[int, ...] = (256,)) -> IntegerModel:
    tensors = (
        Tensor("input", shape, float(np.float32(scale)), zero_point),
        Tensor("probability", shape, 1 / 256, -128),
    )
    return IntegerModel.single("logistic", tensors, (Logistic("probability", (0,), 1),), 0, 1)


def scales() -> list[tuple[float, int]]:
    """Return what networks have, and the whole range that is allowed, its ends first."""
    rng = np.random.default_rng(0)
    ends = [(2.0**-28, 0), (float(np.nextafter(np.float32(2.0**35), np.float32(0))), 1), (8.0, 0), (15.0, 0)]
    exponents = [*rng.uniform(-10, 3, 700), *rng.uniform(-28, 35, 300)]
    return ends + [(2.0**exponent, int(rng.integers(-128, 128))) for exponent in exponents]


def test_all_256_values_are_tflite_micros_at_a_thousand_scales() -> None:
    for scale, zero_point in scales():
        model = logistic(scale, zero_point)
        table = model.ops[0].table(model.tensors)
        outputs = reference.run(write_flatbuffer(model), EVERY_INPUT)
        np.testing.assert_array_equal(table, outputs.reshape(256), f"scale {scale}, zero point {zero_point}")
        np.testing.assert_array_equal(simulate(model, EVERY_INPUT).reshape(256), table)


@pytest.mark.parametrize("scale", [2.0**-28.5, 2.0**35])
def test_scales_that_tflite_micro_cannot_compute_with_are_refused(scale: float) -> None:
    with pytest.raises(UserError, match=r"LOGISTIC probability: input scale .* is not from 2\^-28 to 2\^35"):
        logistic(scale)


def test_another_output_quantization_is_refused() -> None:
    model = logistic(0.1)
    tensors = (model.tensors[0], Tensor("probability", (256,), 1 / 255, -128))
    with pytest.raises(UserError, match="output scale is not 1/256 or zero point not -128"):
        IntegerModel.single("x", tensors, model.ops, 0, 1)


def test_tensorflows_converter_writes_the_same_operator(tmp_path: Path) -> None:
    model = logistic(0.0625, 7, (3, 4, 5))
    assert export(model, tmp_path / "model.tflite").route is Route.CONVERTER
    (op,) = read_tflite(tmp_path / "model.tflite").ops
    assert op == model.ops[0]


@pytest.mark.parametrize("target", [Target.HOST_SANITIZED, Target.LX106])
def test_the_kernel_looks_every_value_up(target: Target, make_calls: Make) -> None:
    rng = np.random.default_rng(1)
    tables = [rng.integers(-128, 128, 256).astype(np.int8) for _ in range(3)]
    rows = [rng.permutation(EVERY_INPUT[0]), np.array([-128], np.int8), np.array([127, 0, -1, 5, 3], np.int8)]
    calls = [
        Call("p2b_table", "p2b_table_t", {"n": row.size, "table": table}, [row], row.size)
        for row, table in zip(rows, tables, strict=True)
    ]
    for row, table, output in zip(rows, tables, make_calls(calls, target), strict=True):
        np.testing.assert_array_equal(output[0], table[row.view(np.uint8)])


def test_the_generated_table_is_the_models(tmp_path: Path) -> None:
    model = logistic(0.0625, 7, (3, 4, 5))
    manifest = generate(model, tmp_path)
    assert [layer.kernel for layer in manifest.layers] == ["p2b_table"]
    assert manifest.weight_flash_bytes == 256
    text = (tmp_path / "model.c").read_text()
    assert "static const int8_t probability_table[]" in text and ".n = 20," in text
