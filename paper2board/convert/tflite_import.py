"""Read an int8 ``.tflite`` file as an IntegerModel.

Whatever the file holds, the result is a valid model or a :class:`UserError` of one sentence. Source: the
TFLite schema (``schema.fbs``) and the 8-bit quantization specification.
"""

import contextlib
import re
from pathlib import Path

from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.operators import OPERATORS
from paper2board.convert.reading.blockers import (
    Blockers,
    blockers_of,
    has_quantized_activation,
    operator_kind,
    place_of,
)
from paper2board.convert.reading.borders import Borders, find_borders, ports
from paper2board.convert.reading.file import (
    DAMAGE,
    MAX_FILE_BYTES,
    MAX_ITEMS,
    RefusalError,
    TfliteFile,
    TfliteNode,
    TfliteOperator,
)
from paper2board.convert.reading.fold import fold
from paper2board.convert.reading.forms import FORMS
from paper2board.convert.reading.islands import KIND, find_islands, read_island
from paper2board.convert.reading.layout import tidied
from paper2board.convert.reading.states import KINDS, Variables
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
    reading = _Reading(file, blockers)
    try:
        reading.read()
    except DAMAGE:
        # What is known already says more, if it is not the damage itself.
        blockers.raise_all()
        raise
    blockers.raise_all()
    try:
        return reading.model(name)
    except UserError as error:
        prefix = "" if str(error).startswith(file.label) else f"{file.label}: "
        raise UserError(f"{prefix}{error}") from error


class _Reading:
    """A file on its way to a model: its ops so far, and in ``blockers`` whatever stands in the way."""

    def __init__(self, file: TfliteFile, blockers: Blockers) -> None:
        self.file, self.blockers = file, blockers
        self.ops: list[Op] = []
        self.variables = Variables(file)
        self.borders = Borders()
        self.islands: dict[int, list[int]] = {}

    def read(self) -> None:
        """Read all operators."""
        file, blockers = self.file, self.blockers
        if file.fb.SubgraphsLength() > 1 and not self._calls_once():
            blockers.add(
                f"has {file.fb.SubgraphsLength()} subgraphs, not 1",
                "convert the network for inference alone, without loops and branches",
            )
        kinds = self._kinds()
        file.where = ""
        self.borders = find_borders(file, kinds)
        for what, pairs in (("input", self.borders.inputs), ("output", self.borders.outputs)):
            if not pairs:
                blockers.add(f"has no {what}", f"convert a network with an {what}")
        self.islands, original = find_islands(file, kinds, self.borders.casts), list(kinds)
        for last, part in self.islands.items():
            for index in part:
                kinds[index] = KIND if index == last else ""
        told = self._tell(kinds)
        names = _op_names(file, [kind for kind in kinds])
        file.where = ""
        for seen, inner in self.borders.inputs:
            # The type of an input that the first operator converts is told already.
            with contextlib.suppress(RefusalError) if seen in told else blockers.collecting():
                file.activation(inner, "input")
        file.index |= {twin: file.index[one] for twin, one in self.borders.same.items() if one in file.index}
        for index, (kind, name) in enumerate(zip(kinds, names, strict=True)):
            if not kind:
                _accept_outputs(file, index)
            elif blockers and not _readable(file, index):
                file.where = f"operator {index} ({kind}): "
                with blockers.collecting(kind, index):
                    file.activation(int(file.graph.Operators(index).Outputs(0)), name)
            elif index not in self.borders.casts:
                with blockers.collecting(kind, index):
                    self._op(index, kind, name, original)
        file.where = ""
        for _, inner in self.borders.outputs:
            if inner not in file.index and not blockers:
                file.refuse("no operator computes its output")

    def model(self, name: str) -> IntegerModel:
        """Return the model of a file that nothing stands in the way of."""
        ops, states = self.variables.finish(self.ops)
        inputs, outputs = (
            ports(self.file, pairs, what)
            for what, pairs in (("input", self.borders.inputs), ("output", self.borders.outputs))
        )
        kept = {port.tensor for port in outputs} | {state.written for state in states}
        ops = tidied(ops, self.file.tensors, kept)
        return IntegerModel(name, tuple(self.file.tensors), tuple(ops), inputs, outputs, {}, states)

    def _calls_once(self) -> bool:
        graph = self.file.graph
        return any(operator_kind(self.file, i) == "CALL_ONCE" for i in range(graph.OperatorsLength()))

    def _kinds(self) -> list[str]:
        """Return the operators' types; empty where there is none."""
        kinds = []
        for index in range(self.file.graph.OperatorsLength()):
            self.file.where, kind = f"operator {index}: ", ""
            with self.blockers.collecting("", index):
                kind = operator_kind(self.file, index)
            kinds.append(kind)
        return kinds

    def _tell(self, kinds: list[str]) -> set[int]:
        """Empty the kind of each operator that cannot be read, with the reason among the blockers; return the
        tensors that they read."""
        file, told = self.file, set()
        supported = {*(kind for kind, row in OPERATORS.items() if row.reads), *FORMS, *KINDS}
        quantized = has_quantized_activation(file)
        for index, kind in enumerate(kinds):
            if not kind or index in self.borders.casts or index in self.islands:
                continue
            file.where = f"operator {index} ({kind}): "
            good = False
            with self.blockers.collecting(kind, index):
                if self._fold(index, kind):
                    kinds[index] = ""
                    continue
                file.where = f"operator {index} ({kind}{_written(file, index)}): "
                found = blockers_of(place_of(file, index, kind, quantized), supported)
                for what, remedy in found:
                    self.blockers.add(what, remedy, kind, index)
                file.where = f"operator {index} ({kind}): "
                if not found:
                    _check(file, index, kind)
                good = not found
            if not good:
                kinds[index] = ""
                told.update(_sources(file, index))
        return told

    def _fold(self, index: int, kind: str) -> bool:
        return fold(TfliteNode(self.file, self.file.graph.Operators(index), kind, "", []))

    def _op(self, index: int, kind: str, name: str, kinds: list[str]) -> None:
        file = self.file
        file.where = f"operator {index} ({kind} {name}): "
        node = TfliteNode(file, file.graph.Operators(index), kind, name, self.ops)
        if index in self.islands:
            read_island(file, node, self.islands[index], kinds)
        elif kind in KINDS:
            self.variables.read(node)
        elif kind in FORMS:
            FORMS[kind][1](node)
        else:
            _row_op(node)


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
    """Refuse an operator of a newer version than is read, or with what nothing reads."""
    operator = file.graph.Operators(index)
    version = file.fb.OperatorCodes(operator.OpcodeIndex()).Version()
    newest = 1 if kind in KINDS else FORMS[kind][0] if kind in FORMS else OPERATORS[kind].reads
    if not 1 <= version <= newest:
        file.refuse(f"has version {version}, not 1 to {newest}")
    if max(operator.InputsLength(), operator.OutputsLength()) > MAX_ITEMS:
        file.refuse("has too many inputs or outputs")
    if operator.OutputsLength() != 1 and kind not in (*FORMS, *KINDS):
        file.refuse(f"has {operator.OutputsLength()} outputs, not 1")
    if operator.BuiltinOptions2Type() or not operator.CustomOptionsIsNone():
        file.refuse("has options of another kind")


def _op_names(file: TfliteFile, kinds: list[str]) -> list[str]:
    """Return the operators' names; an operator without a kind has none."""
    names = []
    for i in range(len(kinds)):
        outputs = file.graph.Operators(i).OutputsLength()
        full = file.tensor(int(file.graph.Operators(i).Outputs(0)))[1] if outputs else ""
        names.append(re.split("[;/]", full)[0])
    used = [name for name, kind in zip(names, kinds, strict=True) if kind]
    if len(set(used)) == len(used) and all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,39}", n) for n in used):
        return names
    stems = [OPERATORS[kind].stem if kind in OPERATORS else kind.lower() for kind in kinds]
    return [f"{stem}{stems[:i].count(stem) + 1}" for i, stem in enumerate(stems)]


def _row_op(node: TfliteNode) -> None:
    """Emit the op of an operator that its row in the registry reads."""
    row = OPERATORS[node.kind]
    least, most = (a + b for a, b in zip(row.op.INPUTS, row.constants, strict=True))
    wanted = f"{least}" if least == most else f"{least} to {most}"
    if not least <= len(node.sources) <= most:
        node.refuse(f"has {len(node.sources)} inputs, not {wanted}")
    if node.operator.IntermediatesLength() or node.operator.MutatingVariableInputsLength():
        node.refuse("has intermediate or variable tensors")
    count = min(row.op.INPUTS[1], len(node.sources))
    inputs = tuple(node.source(i) for i in range(count))
    output = node.target()
    reading = TfliteOperator(node.file, node.operator, row.options, inputs, output, node.sources[count:])
    node.emit(row.op, inputs, output, **row.read(reading))
