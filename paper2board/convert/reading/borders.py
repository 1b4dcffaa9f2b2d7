"""Inputs and outputs of a file: int8 tensors, or what QUANTIZE and DEQUANTIZE make of them at the border."""

from dataclasses import dataclass, field

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.reading.file import TENSOR_TYPES, TfliteFile
from paper2board.model.port import Port, PortType

_PORT_TYPES: dict[int, PortType] = {
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.FLOAT32: "float32",
}


@dataclass
class Borders:
    """``inputs`` and ``outputs``: for each of the file's, (the tensor a caller sees, the int8 tensor behind it).
    ``casts``: the operators between the two, which are part of the border. ``same``: int8 tensors that hold the
    same as another, since two operators convert one input alike."""

    inputs: list[tuple[int, int]] = field(default_factory=list)
    outputs: list[tuple[int, int]] = field(default_factory=list)
    casts: set[int] = field(default_factory=set)
    same: dict[int, int] = field(default_factory=dict)


def find_borders(file: TfliteFile, kinds: list[str]) -> Borders:
    """Return a file's borders; what cannot be one stays as it is, for the reader to refuse."""
    graph, result = file.graph, Borders()
    readers: dict[int, list[int]] = {}
    writer: dict[int, int] = {}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        for i in range(operator.InputsLength()):
            readers.setdefault(int(operator.Inputs(i)), []).append(index)
        for i in range(operator.OutputsLength()):
            writer[int(operator.Outputs(i))] = index
    inputs, outputs = (_numbers(values) for values in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
    for seen in inputs:
        casts = readers.get(seen, [])
        inner = [_single(graph.Operators(index), "Outputs") for index in casts]
        converted = casts and all(kinds[index] == "QUANTIZE" for index in casts)
        if file.tensor(seen)[0].Type() == schema.TensorType.INT8 or not converted or not _alike(file, inner):
            result.inputs.append((seen, seen))
            continue
        result.inputs.append((seen, inner[0]))
        result.casts.update(casts)
        result.same.update(dict.fromkeys(inner[1:], inner[0]))
    for seen in outputs:
        cast = writer.get(seen, -1)
        kind = file.tensor(seen)[0].Type()
        if (
            kind == schema.TensorType.INT8
            or cast < 0
            or kinds[cast] not in ("QUANTIZE", "DEQUANTIZE")
            or readers.get(seen)
        ):
            result.outputs.append((seen, seen))
            continue
        inner_tensor = _single(graph.Operators(cast), "Inputs")
        if inner_tensor < 0 or inner_tensor in inputs:
            result.outputs.append((seen, seen))
            continue
        result.outputs.append((seen, inner_tensor))
        result.casts.add(cast)
    return result


def ports(file: TfliteFile, pairs: list[tuple[int, int]], what: str) -> tuple[Port, ...]:
    """Return the ports of inputs or outputs whose int8 tensors have been read."""
    names = _names(file, [seen for seen, _ in pairs], what)
    return tuple(_port(file, seen, inner, name) for (seen, inner), name in zip(pairs, names, strict=True))


def _port(file: TfliteFile, seen: int, inner: int, name: str) -> Port:
    tensor, text = file.tensor(seen)
    dtype = _PORT_TYPES.get(tensor.Type())
    if dtype is None:
        kind = TENSOR_TYPES.get(tensor.Type(), tensor.Type())
        file.refuse(f"{text} is {kind}", "convert with int8, uint8, int16 or float32 inputs and outputs")
    if dtype in ("int8", "int32", "float32"):
        return Port(name, file.index[inner], dtype)
    limits = np.iinfo(dtype)
    return Port(name, file.index[inner], dtype, *file.one_scale(tensor, text, (limits.min, limits.max)))


def _names(file: TfliteFile, tensors: list[int], what: str) -> list[str]:
    """Return the names of inputs or outputs: those of the file's signature, if it has one, else the tensors'."""
    names = [file.tensor(index)[1] for index in tensors]
    if len(tensors) == 1:
        return [what]
    if file.fb.SignatureDefsLength():
        signature = file.fb.SignatureDefs(0)
        count = getattr(signature, f"{what.capitalize()}sLength")()
        for i in range(min(count, len(tensors))):
            entry = getattr(signature, f"{what.capitalize()}s")(i)
            if entry.TensorIndex() in tensors and entry.Name():
                names[tensors.index(entry.TensorIndex())] = entry.Name()[:200].decode("utf-8", "replace")
    return names if len(set(names)) == len(names) else [f"{what}_{i}" for i in range(len(names))]


def _alike(file: TfliteFile, tensors: list[int]) -> bool:
    """Return whether all tensors are int8 of one scale and zero point."""
    kinds = set()
    for index in tensors:
        tensor = file.tensor(index)[0] if index >= 0 else None
        if tensor is None or tensor.Type() != schema.TensorType.INT8 or tensor.Quantization() is None:
            return False
        quantization = tensor.Quantization()
        kinds.add((str(quantization.ScaleAsNumpy()), str(quantization.ZeroPointAsNumpy())))
    return len(kinds) == 1


def _single(operator: schema.Operator, what: str) -> int:
    return int(getattr(operator, what)(0)) if getattr(operator, f"{what}Length")() == 1 else -1


def _numbers(numbers: object) -> list[int]:
    """Return a vector's values; the schema's classes return 0 for one that is missing."""
    return [int(n) for n in numbers] if isinstance(numbers, np.ndarray) else []
