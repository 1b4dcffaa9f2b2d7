"""Read an int8 ``.tflite`` file as an IntegerModel.

Whatever the file holds, the result is a valid model or a :class:`UserError` of one sentence. Source: the
TFLite schema (``schema.fbs``) and the 8-bit quantization specification.
"""

import contextlib
import re
from pathlib import Path

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.operators import OPERATORS
from paper2board.convert.tflite_blockers import (
    Blockers,
    blockers_of,
    has_quantized_activation,
    operator_kind,
    place_of,
)
from paper2board.convert.tflite_file import (
    DAMAGE,
    MAX_FILE_BYTES,
    MAX_ITEMS,
    RefusalError,
    TfliteFile,
    TfliteOperator,
)
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
    cannot: other operators, types, versions, quantization, several subgraphs, a batch other than 1. The sentence
    lists all that stands in the way, with a remedy for each.
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
    blockers = Blockers(file)
    ops: list[Op] = []
    try:
        _read(file, blockers, ops)
    except DAMAGE:
        # What is known already says more, if it is not the damage itself.
        blockers.raise_all()
        raise
    blockers.raise_all()
    source, target = (
        int(numbers[0]) for numbers in (file.graph.InputsAsNumpy(), file.graph.OutputsAsNumpy())
    )
    try:
        return IntegerModel(name, tuple(file.tensors), tuple(ops), file.index[source], file.index[target])
    except UserError as error:
        raise UserError(f"{file.label}: {error}") from error


def _read(file: TfliteFile, blockers: Blockers, ops: list[Op]) -> None:
    """Append the file's ops to ``ops``, and whatever stands in the way to ``blockers``."""
    graph, supported = file.graph, tuple(OPERATORS)
    if file.fb.SubgraphsLength() != 1:
        blockers.add(
            f"has {file.fb.SubgraphsLength()} subgraphs, not 1",
            "convert the network for inference alone, without state, loops and branches",
        )
    for what, numbers in (("input", graph.InputsAsNumpy()), ("output", graph.OutputsAsNumpy())):
        if np.size(numbers) != 1 or np.ndim(numbers) != 1:
            count = np.size(numbers) if np.ndim(numbers) else 0
            blockers.add(
                f"does not have exactly one {what} but {count}", f"convert a network with one {what}"
            )
    quantized = has_quantized_activation(file)
    kinds: list[str] = []
    """Empty: nothing more is to be said against the operator."""
    told: set[int] = set()
    """The tensors that the others read."""
    for index in range(graph.OperatorsLength()):
        file.where, kind, good = f"operator {index}: ", "", False
        with blockers.collecting("", index):
            kind = operator_kind(file, index)
            file.where = f"operator {index} ({kind}{_written(file, index)}): "
            found = blockers_of(place_of(file, index, kind, quantized), supported)
            for what, remedy in found:
                blockers.add(what, remedy, kind, index)
            good = not found
        if good:
            file.where, good = f"operator {index} ({kind}): ", False
            with blockers.collecting(kind, index):
                _check(file, index, kind)
                good = True
        else:
            told.update(_sources(file, index))
        kinds.append(kind if good else "")
    names = _op_names(file, kinds)
    file.where = ""
    for source in map(int, np.atleast_1d(graph.InputsAsNumpy())):
        # The type of an input that the first operator converts is told already.
        with contextlib.suppress(RefusalError) if source in told else blockers.collecting():
            file.activation(source, "input")
    for index, (kind, name) in enumerate(zip(kinds, names, strict=True)):
        if not kind:
            _accept_outputs(file, index)
        elif blockers and not _readable(file, index):
            file.where = f"operator {index} ({kind}): "
            with blockers.collecting(kind, index):
                file.activation(int(graph.Operators(index).Outputs(0)), name)
        else:
            with blockers.collecting(kind, index):
                ops.append(_op(file, index, kind, name))
    file.where = ""
    for target in np.atleast_1d(graph.OutputsAsNumpy()):
        if int(target) not in file.index and not blockers:
            file.refuse("no operator computes its output")


def _written(file: TfliteFile, index: int) -> str:
    """Return which tensor an operator writes, for a message."""
    operator = file.graph.Operators(index)
    return f", which writes {file.tensor(int(operator.Outputs(0)))[1]}" if operator.OutputsLength() else ""


def _readable(file: TfliteFile, index: int) -> bool:
    """Return whether the operator's computed inputs were read; if not, the reason is told already."""
    return all(n in file.index or file.is_constant(file.graph.Tensors(n)) for n in _sources(file, index))


def _sources(file: TfliteFile, index: int) -> list[int]:
    """Return the tensors that an operator reads and that exist."""
    operator = file.graph.Operators(index)
    numbers = (int(operator.Inputs(i)) for i in range(operator.InputsLength()))
    return [n for n in numbers if 0 <= n < file.graph.TensorsLength()]


def _accept_outputs(file: TfliteFile, index: int) -> None:
    """Read an operator's outputs, so that those after it are read too."""
    operator = file.graph.Operators(index)
    for i in range(min(operator.OutputsLength(), MAX_ITEMS)):
        if int(operator.Outputs(i)) not in file.index:
            with contextlib.suppress(RefusalError):
                file.activation(int(operator.Outputs(i)), "")


def _check(file: TfliteFile, index: int, kind: str) -> None:
    """Refuse an operator with another version or number of outputs than its row, or with what no row reads."""
    operator, row = file.graph.Operators(index), OPERATORS[kind]
    version = file.fb.OperatorCodes(operator.OpcodeIndex()).Version()
    if not 1 <= version <= row.reads:
        file.refuse(f"has version {version}, not 1 to {row.reads}")
    if operator.OutputsLength() != 1:
        file.refuse(f"has {operator.OutputsLength()} outputs, not 1")
    if operator.BuiltinOptions2Type() or not operator.CustomOptionsIsNone():
        file.refuse("has options of another kind")
    if operator.IntermediatesLength() or operator.MutatingVariableInputsLength():
        file.refuse("has intermediate or variable tensors")


def _op_names(file: TfliteFile, kinds: list[str]) -> list[str]:
    if not all(kinds):
        return ["" for _ in kinds]
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
        if source not in file.index and file.is_constant(file.tensor(source)[0]):
            file.refuse(
                f"reads {file.tensor(source)[1]}, a constant, in place of an activation",
                "use a network whose only constants are weights and biases",
            )
        if source not in file.index:
            file.refuse(f"reads {file.tensor(source)[1]}, which nothing has computed")
    target = int(operator.Outputs(0))
    if target in file.index:
        file.refuse(f"writes {file.tensor(target)[1]} a second time")
    inputs, output = tuple(file.index[source] for source in sources), file.activation(target, name)
    reading = TfliteOperator(file, operator, row.options, inputs, output, indices[len(sources) :])
    return row.op(name=name, inputs=inputs, output=output, **row.read(reading))  # type: ignore[call-arg]
