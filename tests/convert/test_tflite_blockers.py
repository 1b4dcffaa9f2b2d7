"""Files as users convert them, and what they are told: every blocker, with the remedy of its place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import naming
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
from tflite_models import edited, mobile_model, residual_model

from paper2board.convert.operators import OPERATORS
from paper2board.convert.reading.blockers import REMEDIES
from paper2board.convert.reading.file import OPERATOR_NAMES
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError

TYPE, OPERATOR = schema.TensorType, schema.BuiltinOperator
FULL = ("representative_dataset", "TFLITE_BUILTINS_INT8")
Change = Callable[[Any, Any, dict[str, Any], dict[str, Any]], None]


def add_operator(
    file: Any, graph: Any, at: int, kind: str, inputs: list[int], outputs: list[int], custom: str = ""
) -> None:
    file.operatorCodes.append(
        schema.OperatorCodeT(
            builtinCode=getattr(OPERATOR, kind),
            deprecatedBuiltinCode=min(getattr(OPERATOR, kind), 127),
            version=1,
            customCode=custom or None,
        )
    )
    code = len(file.operatorCodes) - 1
    graph.operators.insert(at, schema.OperatorT(opcodeIndex=code, inputs=inputs, outputs=outputs))


def add_tensor(graph: Any, name: str, type_: int, shape: list[int]) -> int:
    graph.tensors.append(schema.TensorT(name=name, type=type_, shape=shape, buffer=0))
    return len(graph.tensors) - 1


def float_tail(file: Any, graph: Any, *_: Any) -> None:
    """The network ends in a function of float32."""
    target = int(graph.outputs[0])
    shape = graph.tensors[target].shape
    real, last = (add_tensor(graph, name, TYPE.FLOAT32, shape) for name in ("real", "Identity"))
    add_operator(file, graph, len(graph.operators), "DEQUANTIZE", [target], [real])
    add_operator(file, graph, len(graph.operators), "LOGISTIC", [real], [last])
    graph.outputs = [last]


def types(activation: int, weights: int | None = None) -> Change:
    """All activations, and perhaps all weights, have another type."""

    def change(file: Any, graph: Any, tensors: dict[str, Any], operators: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if name.endswith("/weights") and weights is not None:
                tensor.type = weights
            if "/" not in name:
                tensor.type = activation

    return change


def custom(name: str) -> Change:
    def change(file: Any, graph: Any, *_: Any) -> None:
        last = add_tensor(graph, "boxes", TYPE.INT8, [1, 4])
        add_operator(file, graph, len(graph.operators), "CUSTOM", [int(graph.outputs[0])], [last], name)
        graph.outputs = [last]

    return change


def everything(*changes: Change) -> Change:
    def change(file: Any, graph: Any, tensors: dict[str, Any], operators: dict[str, Any]) -> None:
        for each in changes:
            each(file, graph, tensors, operators)

    return change


def two_subgraphs(file: Any, *_: Any) -> None:
    file.subgraphs.append(file.subgraphs[0])


def squashed(file: Any, graph: Any, tensors: dict[str, Any], operators: dict[str, Any]) -> None:
    for name in ("conv1", "conv2"):
        operators[name].builtinOptions.fusedActivationFunction = 4  # TANH


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (float_tail, ("DEQUANTIZE", "begins a part that computes in float32", "leave that part out")),
        (types(TYPE.FLOAT32, TYPE.FLOAT32), ("CONV_2D", "3 times", "operator 0", "not quantized", *FULL)),
        (types(TYPE.FLOAT32), ("dynamic-range", "CONV_2D", *FULL)),
        (types(TYPE.INT16), ("int16 activations", "CONV_2D", "TFLITE_BUILTINS_INT8")),
        (types(TYPE.UINT8, TYPE.UINT8), ("uint8 activations", "TensorFlow 2")),
        (custom("FlexRoll"), ("FlexRoll", "SELECT_TF_OPS", "boxes")),
        (custom("TFLite_Detection_PostProcess"), ("TFLite_Detection_PostProcess", "custom", "cut the network")),
        (two_subgraphs, ("2 subgraphs", "loops and branches")),
        (squashed, ("CONV_2D has a fused activation", "twice", "conv1", "use ReLU or ReLU6")),
        (
            everything(custom("FlexRoll"), two_subgraphs, squashed),
            ("(1)", "(3)", "2 subgraphs", "FlexRoll", "fused activation", "conv1"),
        ),
    ],
)  # fmt: skip
def test_all_blockers_are_told_at_once_with_the_remedy_of_their_place(
    change: Change, parts: tuple[str, ...]
) -> None:
    content = edited(write_flatbuffer(residual_model()), change)
    with pytest.raises(UserError, match=naming("net", *parts)) as caught:
        read_tflite(content, "net")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", sorted(set(REMEDIES) - set(OPERATORS)))
def test_an_operator_that_is_not_supported_has_its_own_remedy(kind: str) -> None:
    def change(file: Any, graph: Any, tensors: dict[str, Any], operators: dict[str, Any]) -> None:
        last = add_tensor(graph, "last", TYPE.INT8, [1, 7])
        for _ in range(2):
            add_operator(file, graph, len(graph.operators), kind, [int(graph.outputs[0])], [last])
        graph.outputs = [last]

    content = edited(write_flatbuffer(mobile_model()), change)
    with pytest.raises(UserError, match=naming("net", kind, "twice", "last", REMEDIES[kind])):
        read_tflite(content, "net")


def test_remedies_are_for_operators_of_tflite() -> None:
    assert set(REMEDIES) <= set(OPERATOR_NAMES.values())


def test_blockers_of_a_damaged_file_are_listed_in_bounds() -> None:
    rng = np.random.default_rng(1)

    def change(file: Any, graph: Any, tensors: dict[str, Any], operators: dict[str, Any]) -> None:
        for code in file.operatorCodes:
            code.builtinCode = code.deprecatedBuiltinCode = int(rng.integers(0, 120))
        graph.operators = graph.operators * 400
        for tensor in graph.tensors:
            tensor.name = "x" * 5000

    with pytest.raises(UserError) as caught:
        read_tflite(edited(write_flatbuffer(mobile_model()), change), "net")
    assert len(str(caught.value)) < 8000
