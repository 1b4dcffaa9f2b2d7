"""IntegerModel written as a ``.tflite`` flatbuffer with the schema classes that ``tflite-micro`` bundles."""

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.operators import OPERATORS, operator_of
from paper2board.convert.operators.registry import Constant, Operator
from paper2board.model.integer_model import IntegerModel

_ENUMERATIONS = {"padding": schema.Padding, "fusedActivationFunction": schema.ActivationFunctionType}
"""Fields of options tables that are enumerations."""


def write_flatbuffer(model: IntegerModel) -> bytes:
    """Return ``model`` as a ``.tflite`` file written with the schema classes alone, without TensorFlow.

    Same model, same bytes. A tensor has the name of the op that writes it, so the op's name survives.
    """
    kinds = sorted({op.type for op in model.ops})
    graph = schema.SubGraphT(name="main", tensors=[], operators=[])
    file = schema.ModelT(
        version=3,
        description=f"paper2board {model.name}",
        operatorCodes=[_operator_code(kind) for kind in kinds],
        subgraphs=[graph],
        buffers=[schema.BufferT()],
    )
    names = {model.input: "input"} | {op.output: op.name for op in model.ops}
    indices = {
        index: _add_tensor(graph, 0, name, model.tensors[index].shape, schema.TensorType.INT8,
                           _quantization([model.tensors[index].scale], model.tensors[index].zero_point))
        for index, name in names.items()
    }  # fmt: skip
    for op in model.ops:
        operator = operator_of(op)
        written = operator.write(model, op)
        constants = [_add_constant(file, op.name, constant) for constant in written.constants]
        graph.operators.append(
            schema.OperatorT(
                opcodeIndex=kinds.index(op.type),
                inputs=[indices[i] for i in op.inputs] + constants,
                outputs=[indices[op.output]],
                **_options(operator, written.options),
            )
        )
    graph.inputs, graph.outputs = [indices[model.input]], [indices[model.output]]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _operator_code(kind: str) -> schema.OperatorCodeT:
    code = getattr(schema.BuiltinOperator, kind)
    return schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=OPERATORS[kind].writes)


def _options(operator: Operator, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the type and content of an operator's options table, nothing if it has none."""
    if operator.options is None:
        return {}
    values = {
        key: getattr(_ENUMERATIONS[key], value) if key in _ENUMERATIONS else value
        for key, value in fields.items()
    }
    table = getattr(schema, f"{operator.options}T")(**values)
    number = getattr(schema.BuiltinOptions, operator.options)
    return {"builtinOptionsType": number, "builtinOptions": table}


def _quantization(scales, zero_point: int = 0, dimension: int = 0) -> schema.QuantizationParametersT:
    return schema.QuantizationParametersT(
        scale=np.asarray(scales, np.float32),
        zeroPoint=np.full(len(scales), zero_point, np.int64),
        quantizedDimension=dimension,
    )


def _add_constant(file: schema.ModelT, op_name: str, constant: Constant) -> int:
    values, scales = constant.values, constant.scales
    kind = schema.TensorType.INT8 if values.dtype == np.int8 else schema.TensorType.INT32
    data = np.frombuffer(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes(), np.uint8)
    file.buffers.append(schema.BufferT(data=data))
    quantization = None if scales is None else _quantization(scales, dimension=constant.dimension)
    name, buffer = f"{op_name}/{constant.name}", len(file.buffers) - 1
    return _add_tensor(file.subgraphs[0], buffer, name, values.shape, kind, quantization)


def _add_tensor(
    graph: schema.SubGraphT,
    buffer: int,
    name: str,
    shape: tuple[int, ...],
    kind: int,
    quantization: schema.QuantizationParametersT | None,
) -> int:
    """Append a tensor (an activation, in buffer 0, gets the batch axis) and return its index."""
    graph.tensors.append(
        schema.TensorT(
            shape=[*shape] if buffer else [1, *shape],
            type=kind,
            buffer=buffer,
            name=name,
            quantization=quantization,
        )
    )
    return len(graph.tensors) - 1
