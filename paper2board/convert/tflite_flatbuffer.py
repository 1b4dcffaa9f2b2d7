"""IntegerModel written as a ``.tflite`` flatbuffer with the schema classes that ``tflite-micro`` bundles."""

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.operators import OPERATORS, operator_of
from paper2board.convert.operators.registry import Constant
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.elementwise import FloatFunction
from paper2board.model.operators.moving import Constant as ConstantOp
from paper2board.model.operators.operator import Op
from paper2board.model.port import Port

_ENUMERATIONS = {"padding": schema.Padding, "fusedActivationFunction": schema.ActivationFunctionType}
"""Fields of options tables that are enumerations."""


def write_flatbuffer(model: IntegerModel) -> bytes:
    """Return ``model`` as a ``.tflite`` file written with the schema classes alone, without TensorFlow.

    Same model, same bytes. A tensor has the name of the op that writes it, so the op's name survives.
    """
    graph = schema.SubGraphT(name="main", tensors=[], operators=[])
    file = schema.ModelT(
        version=3,
        description=f"paper2board {model.name}",
        operatorCodes=[],
        subgraphs=[graph],
        buffers=[schema.BufferT()],
    )
    writer = _Writer(model, file, graph)
    graph.inputs = [writer.arriving(port) for port in model.inputs]
    writer.read_states()
    writer.prepare()
    for op in model.ops:
        writer.write(op)
    graph.outputs = [writer.leaving(port) for port in model.outputs]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


_CONSTANT_TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
}
_FLOAT_OPTIONS = {
    "ABS": "AbsOptions",
    "COS": "CosOptions",
    "EXP": "ExpOptions",
    "NEG": "NegOptions",
    "SQUARE": "SquareOptions",
}
"""Options of functions in float32, of those that have some."""
_PORT_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
}


class _Writer:
    """A file in the making."""

    def __init__(self, model: IntegerModel, file: schema.ModelT, graph: schema.SubGraphT) -> None:
        self.model, self.file, self.graph = model, file, graph
        self.indices: dict[int, int] = {}
        """The model's tensor → the file's."""
        self.handles: dict[int, int] = {}
        """Tensor that a state's assignment writes → the file's tensor of the variable's handle."""

    def arriving(self, port: Port) -> int:
        """Write an input, converted to int8 where a caller gives another type; return what the caller sees."""
        self._activation(port.tensor, port.name if port.dtype == "int8" else f"{port.name}/int8")
        return self._cast(port, "QUANTIZE", arrives=True)

    def leaving(self, port: Port) -> int:
        """Write an output, converted where a caller gets another type; return what the caller sees."""
        kind = "DEQUANTIZE" if port.dtype == "float32" else "QUANTIZE"
        return self._cast(port, kind, arrives=False)

    def _cast(self, port: Port, kind: str, *, arrives: bool) -> int:
        inner = self.indices[port.tensor]
        if port.dtype in ("int8", "int32"):
            return inner
        quantization = None if port.dtype == "float32" else _quantization([port.scale], port.zero_point)
        shape = self.model.tensors[port.tensor].shape
        seen = _add_tensor(self.graph, 0, port.name, shape, _PORT_TYPES[port.dtype], quantization)
        options = {"QUANTIZE": "QuantizeOptions", "DEQUANTIZE": "DequantizeOptions"}[kind]
        self._operator(kind, 1, [seen] if arrives else [inner], [inner] if arrives else [seen], options, {})
        return seen

    def read_states(self) -> None:
        """Write the reading of all variables, and the subgraph that gives them their first content."""
        variables = []
        for number, state in enumerate(self.model.states):
            if state.read == state.written:
                # Of an operator that changes it in place.
                self._activation(state.read, f"state{number}")
            else:
                variables.append((number, state))
        if not variables:
            return
        first = schema.SubGraphT(name="initialise", tensors=[], operators=[], inputs=[], outputs=[])
        self.file.subgraphs.append(first)
        self._operator("CALL_ONCE", 1, [], [], "CallOnceOptions", {"initSubgraphIndex": 1})
        for number, state in variables:
            inner = self._handle(first, number)
            values = _add_constant(self.file, f"state{number}", Constant("first", state.initial), first)
            tensor = self.model.tensors[state.read]
            first.tensors[values].quantization = _quantization([tensor.scale], tensor.zero_point)
            first.tensors[values].shape = [1, *tensor.shape]
            self._operator("ASSIGN_VARIABLE", 1, [inner, values], [], "AssignVariableOptions", {}, first)
            handle = self._handle(self.graph, number)
            self._activation(state.read, f"state{number}")
            self._operator(
                "READ_VARIABLE", 1, [handle], [self.indices[state.read]], "ReadVariableOptions", {}
            )
            self.handles[state.written] = handle

    def _variable(self, index: int, scale: float | None) -> None:
        """Make a state's tensor one that its operator changes; with ``scale`` of int16, two bytes each."""
        tensor = self.graph.tensors[index]
        tensor.isVariable = True
        if scale is not None:
            tensor.type, tensor.shape = schema.TensorType.INT16, [1, tensor.shape[-1] // 2]
            tensor.quantization = _quantization([scale], 0)

    def _handle(self, graph: schema.SubGraphT, number: int) -> int:
        graph.tensors.append(
            schema.TensorT(shape=[], type=schema.TensorType.RESOURCE, buffer=0, name=f"handle{number}")
        )
        handle = len(graph.tensors) - 1
        fields = {"container": "", "sharedName": f"state{number}"}
        self._operator("VAR_HANDLE", 1, [], [handle], "VarHandleOptions", fields, graph)
        return handle

    def prepare(self) -> None:
        """Write what comes first in a file: operator codes in their names' order, and all activations."""
        ops = [op for op in self.model.ops if not isinstance(op, ConstantOp)]
        for kind in sorted({op.type for op in ops if not isinstance(op, FloatFunction)}):
            self._code(kind, OPERATORS[kind].writes)
        for op in ops:
            if op.output not in self.handles:
                self._activation(op.output, op.name)

    def write(self, op: Op) -> None:
        """Write an op with its constants and its output."""
        if isinstance(op, ConstantOp):
            tensor = self.model.tensors[op.output]
            index = _add_constant(self.file, op.name, Constant("values", op.values))
            self.graph.tensors[index].shape = [1, *tensor.shape]
            self.graph.tensors[index].quantization = _quantization([tensor.scale], tensor.zero_point)
            self.indices[op.output] = index
            return
        inputs = [self.indices[i] for i in op.inputs]
        if isinstance(op, FloatFunction):
            self._island(op)
            return
        if op.output in self.handles:
            handle = self.handles[op.output]
            self._operator("ASSIGN_VARIABLE", 1, [handle, *inputs], [], "AssignVariableOptions", {})
            return
        operator = operator_of(op)
        written = operator.write(self.model, op)
        for number, scale in written.states:
            self._variable(inputs[number], scale)
        inputs += [_add_constant(self.file, op.name, constant) for constant in written.constants]
        if written.places:
            inputs = [-1 if place < 0 else inputs[place] for place in written.places]
        output = self.indices[op.output]
        if written.indices:
            tensor = self.graph.tensors[output]
            tensor.type, tensor.shape, tensor.quantization = schema.TensorType.INT32, [*written.indices], None
        if written.flat:
            inputs[0], output = self._flat(op, inputs[0])
        self._operator(op.type, operator.writes, inputs, [output], operator.options, written.options)
        if written.flat:
            self._reshape(op, output, self.indices[op.output], [1, *self.model.tensors[op.output].shape])

    def _island(self, op: FloatFunction) -> None:
        """Write a function in float32 between DEQUANTIZE and QUANTIZE."""
        source, shape = self.indices[op.inputs[0]], self.model.tensors[op.output].shape
        kinds: list[tuple[str, str | None]] = [("DEQUANTIZE", "DequantizeOptions")]
        kinds += [(function, _FLOAT_OPTIONS.get(function)) for function in op.functions]
        for number, (kind, options) in enumerate(kinds):
            name = f"{op.name}/float{number}"
            target = _add_tensor(self.graph, 0, name, shape, schema.TensorType.FLOAT32, None)
            self._operator(kind, 1, [source], [target], options, {})
            source = target
        self._operator("QUANTIZE", 1, [source], [self.indices[op.output]], "QuantizeOptions", {})

    def _flat(self, op: Op, source: int) -> tuple[int, int]:
        """Write the input in one dimension; return that and an output in one dimension."""
        flat: list[int] = []
        for index in (op.inputs[0], op.output):
            tensor = self.model.tensors[index]
            quantization = _quantization([tensor.scale], tensor.zero_point)
            name = f"{op.name}/flat{len(flat)}"
            flat.append(_add_tensor(self.graph, 0, name, (), schema.TensorType.INT8, quantization))
            self.graph.tensors[flat[-1]].shape = [tensor.size]
        self._reshape(op, source, flat[0], self.graph.tensors[flat[0]].shape)
        return flat[0], flat[1]

    def _reshape(self, op: Op, source: int, target: int, shape: list[int]) -> None:
        values = _add_constant(self.file, op.name, Constant("shape", np.array(shape, np.int32)))
        self._operator("RESHAPE", 1, [source, values], [target], "ReshapeOptions", {"newShape": shape})

    def _activation(self, index: int, name: str) -> int:
        tensor = self.model.tensors[index]
        quantization = _quantization([tensor.scale], tensor.zero_point)
        self.indices[index] = _add_tensor(
            self.graph, 0, name, tensor.shape, schema.TensorType.INT8, quantization
        )
        return self.indices[index]

    def _operator(
        self,
        kind: str,
        version: int,
        inputs: list[int],
        outputs: list[int],
        options: str | None,
        fields: Mapping[str, Any],
        graph: schema.SubGraphT | None = None,
    ) -> None:
        (graph or self.graph).operators.append(
            schema.OperatorT(
                opcodeIndex=self._code(kind, version),
                inputs=inputs,
                outputs=outputs,
                **_options(options, fields),
            )
        )

    def _code(self, kind: str, version: int) -> int:
        code = getattr(schema.BuiltinOperator, kind)
        for index, known in enumerate(self.file.operatorCodes):
            if (known.builtinCode, known.version) == (code, version):
                return index
        self.file.operatorCodes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
        )
        return len(self.file.operatorCodes) - 1


def _options(name: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the type and content of an operator's options table, nothing if it has none."""
    if name is None:
        return {}
    values = {
        key: getattr(_ENUMERATIONS[key], value) if key in _ENUMERATIONS else value
        for key, value in fields.items()
    }
    table = getattr(schema, f"{name}T")(**values)
    number = getattr(schema.BuiltinOptions, name)
    return {"builtinOptionsType": number, "builtinOptions": table}


def _quantization(scales, zero_point: int = 0, dimension: int = 0) -> schema.QuantizationParametersT:
    return schema.QuantizationParametersT(
        scale=np.asarray(scales, np.float32),
        zeroPoint=np.full(len(scales), zero_point, np.int64),
        quantizedDimension=dimension,
    )


def _add_constant(
    file: schema.ModelT, op_name: str, constant: Constant, graph: schema.SubGraphT | None = None
) -> int:
    values, scales = constant.values, constant.scales
    kind = _CONSTANT_TYPES[values.dtype.name]
    data = np.frombuffer(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes(), np.uint8)
    file.buffers.append(schema.BufferT(data=data))
    quantization = None
    if scales is not None:
        quantization = _quantization(scales, constant.zero_point, constant.dimension)
    name, buffer = f"{op_name}/{constant.name}", len(file.buffers) - 1
    return _add_tensor(graph or file.subgraphs[0], buffer, name, values.shape, kind, quantization)


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
