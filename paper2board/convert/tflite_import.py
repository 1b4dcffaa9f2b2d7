"""Read an int8 ``.tflite`` file as an IntegerModel.

Whatever the file holds, the result is a valid model or a :class:`UserError` of one sentence. Source: the
TFLite schema (``schema.fbs``) and the 8-bit quantization specification.
"""

import re
from pathlib import Path

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.operators import OPERATORS
from paper2board.convert.tflite_file import DAMAGE, MAX_FILE_BYTES, OPERATOR_NAMES, TfliteFile, TfliteOperator
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op


def read_tflite(source: str | Path | bytes, name: str = "") -> IntegerModel:
    """Return the IntegerModel of an int8 ``.tflite`` file.

    ``source`` is a path or the file's bytes; ``name`` names the model (default: the file's stem). An op takes
    the first part of its output tensor's name (``conv1`` of ``conv1/Relu;conv1/BiasAdd``) if those are distinct
    plain words; otherwise ops are named by kind and number: ``conv1``, ``conv2``, ``fc1``, ``pool1``. An
    activation tensor has the name of the op that writes it.

    Raises UserError for a file that is missing, damaged, truncated, or that says anything an IntegerModel
    cannot: other operators, types, versions, quantization, several subgraphs, a batch other than 1.
    """
    if isinstance(source, bytes):
        label, data = name or "the .tflite file", source
    else:
        label, data = str(source), read_bytes(source)
        name = name or Path(source).stem
    # A file's name may hold anything; a model's goes into C, CMake and reports.
    name = "".join(c if c.isprintable() else "?" for c in name.encode("utf-8", "replace").decode())
    if len(data) > MAX_FILE_BYTES:
        raise UserError(
            f"{label} has {len(data)} bytes, above the limit of {MAX_FILE_BYTES}; choose a smaller network"
        )
    if len(data) < 8 or not schema.Model.ModelBufferHasIdentifier(data, 0):
        raise UserError(f"{label} is not a .tflite file (no TFL3 identifier); convert the network again")
    try:
        return _model(TfliteFile(label, data), name or "model")
    except DAMAGE as error:
        raise UserError(
            f"{label} is damaged or truncated ({type(error).__name__} while reading); convert the network again"
        ) from error


def read_bytes(path: str | Path) -> bytes:
    """Return a file's bytes, one more than :data:`MAX_FILE_BYTES` at most; raise :class:`UserError` if there is
    none."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); convert the network first") from error


def _model(file: TfliteFile, name: str) -> IntegerModel:
    source, target = file.graph.InputsAsNumpy(), file.graph.OutputsAsNumpy()
    for what, indices in (("input", source), ("output", target)):
        if np.size(indices) != 1 or np.ndim(indices) != 1:
            file.refuse(f"does not have exactly one {what}", "convert a network with one input and output")
    kinds = [_kind(file, i) for i in range(file.graph.OperatorsLength())]
    names = _op_names(file, kinds)
    file.where = ""
    file.activation(int(source[0]), "input")
    ops = [_op(file, i, kind, op_name) for i, (kind, op_name) in enumerate(zip(kinds, names, strict=True))]
    file.where = ""
    if int(target[0]) not in file.index:
        file.refuse("no operator computes its output")
    try:
        return IntegerModel(
            name, tuple(file.tensors), tuple(ops), file.index[int(source[0])], file.index[int(target[0])]
        )
    except UserError as error:
        raise UserError(f"{file.label}: {error}") from error


def _kind(file: TfliteFile, index: int) -> str:
    """Return an operator's type, checked with its version and number of inputs and outputs."""
    file.where = f"operator {index}: "
    operator = file.graph.Operators(index)
    if not 0 <= operator.OpcodeIndex() < file.fb.OperatorCodesLength():
        file.refuse("has no operator code")
    code = file.fb.OperatorCodes(operator.OpcodeIndex())
    # Files from before code 127 existed hold the code in the deprecated field alone.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = OPERATOR_NAMES.get(number, str(number))
    file.where = f"operator {index} ({kind}): "
    if kind not in OPERATORS:
        if operator.OutputsLength():
            file.where = (
                f"operator {index} ({kind}, which writes {file.tensor(int(operator.Outputs(0)))[1]}): "
            )
        file.refuse("is not supported", f"use a network made of {', '.join(OPERATORS)}")
    row = OPERATORS[kind]
    if not 1 <= code.Version() <= row.reads:
        file.refuse(f"has version {code.Version()}, not 1 to {row.reads}")
    if operator.OutputsLength() != 1:
        file.refuse(f"has {operator.OutputsLength()} outputs, not 1")
    if operator.BuiltinOptions2Type() or not operator.CustomOptionsIsNone():
        file.refuse("has options of another kind")
    if operator.IntermediatesLength() or operator.MutatingVariableInputsLength():
        file.refuse("has intermediate or variable tensors")
    return kind


def _op_names(file: TfliteFile, kinds: list[str]) -> list[str]:
    names = []
    for i in range(len(kinds)):
        full = file.tensor(int(file.graph.Operators(i).Outputs(0)))[1]
        names.append(re.split("[;/]", full)[0])
    if len(set(names)) == len(names) and all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,39}", n) for n in names):
        return names
    stems = [OPERATORS[kind].stem for kind in kinds]
    return [f"{stem}{stems[:i].count(stem) + 1}" for i, stem in enumerate(stems)]


def _op(file: TfliteFile, index: int, kind: str, name: str) -> Op:
    file.where = f"operator {index} ({kind} {name}): "
    operator, row = file.graph.Operators(index), OPERATORS[kind]
    least, most = (a + b for a, b in zip(row.op.INPUTS, row.constants, strict=True))
    wanted = f"{least}" if least == most else f"{least} to {most}"
    if not least <= operator.InputsLength() <= most:
        file.refuse(f"has {operator.InputsLength()} inputs, not {wanted}")
    indices = [int(operator.Inputs(i)) for i in range(operator.InputsLength())]
    sources = indices[: row.op.INPUTS[1]]
    for source in sources:
        if source not in file.index:
            file.refuse(f"reads {file.tensor(source)[1]}, which nothing has computed")
    target = int(operator.Outputs(0))
    if target in file.index:
        file.refuse(f"writes {file.tensor(target)[1]} a second time")
    inputs, output = tuple(file.index[source] for source in sources), file.activation(target, name)
    reading = TfliteOperator(file, operator, row.options, inputs, output, indices[len(sources) :])
    return row.op(name=name, inputs=inputs, output=output, **row.read(reading))  # type: ignore[call-arg]
