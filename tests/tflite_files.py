"""``.tflite`` files of single operators, written with the schema classes for tests of the reader."""

from typing import Any

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

_TYPES = {
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


class TfliteFile:
    """A file in the making: add tensors and operators, then take its bytes."""

    def __init__(self) -> None:
        self.graph = schema.SubGraphT(name="main", tensors=[], operators=[])
        self.file = schema.ModelT(
            version=3, operatorCodes=[], subgraphs=[self.graph], buffers=[schema.BufferT()]
        )

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: Any = np.int8,
        scale: float | None = 0.5,
        zero_point: int = 0,
        values: np.ndarray | None = None,
        name: str = "",
    ) -> int:
        """Add a tensor, a constant if it has ``values``; return its number. ``scale`` None: not quantized."""
        buffer = 0
        if values is not None:
            data = np.frombuffer(np.ascontiguousarray(values, dtype).tobytes(), np.uint8)
            self.file.buffers.append(schema.BufferT(data=data))
            buffer = len(self.file.buffers) - 1
        quantization = None
        if scale is not None:
            quantization = schema.QuantizationParametersT(
                scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point], np.int64)
            )
        number = len(self.graph.tensors)
        self.graph.tensors.append(
            schema.TensorT(
                shape=[*shape],
                type=_TYPES[np.dtype(dtype)],
                buffer=buffer,
                name=name or f"tensor{number}",
                quantization=quantization,
            )
        )
        return number

    def constant(self, values: Any, dtype: Any = np.int32) -> int:
        """Add a constant that is not quantized."""
        values = np.asarray(values, dtype)
        return self.tensor(values.shape, dtype, None, values=values)

    def operator(
        self,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        options: str | None = None,
        version: int = 1,
        **fields: Any,
    ) -> None:
        """Add an operator."""
        code = getattr(schema.BuiltinOperator, kind)
        self.file.operatorCodes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
        )
        table = {}
        if options:
            table["builtinOptions"] = getattr(schema, f"{options}T")(**fields)
            table["builtinOptionsType"] = getattr(schema.BuiltinOptions, options)
        index = len(self.file.operatorCodes) - 1
        self.graph.operators.append(
            schema.OperatorT(opcodeIndex=index, inputs=inputs, outputs=outputs, **table)
        )

    def bytes(self, inputs: list[int], outputs: list[int]) -> bytes:
        """Return the file."""
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1 << 12)
        builder.Finish(self.file.Pack(builder), b"TFL3")
        return bytes(builder.Output())
