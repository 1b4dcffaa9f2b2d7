"""Why a ``.tflite`` file cannot be converted: every blocker at once, each with the remedy that fits its place.

:data:`PLACES`, :data:`TYPES` and :data:`REMEDIES` are the whole knowledge. Remove a row when what it names is
supported.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.reading.file import OPERATOR_NAMES, TENSOR_TYPES, RefusalError, TfliteFile
from paper2board.core.errors import UserError

_BORDER = "set inference_input_type = tf.int8 and inference_output_type = tf.int8 when you convert"
_ALL_INT8 = (
    "quantize the whole network: optimizations = [tf.lite.Optimize.DEFAULT], a representative_dataset, and"
    " target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8] when you convert"
)
_OPEN_BATCH = (
    "the network was converted with an open batch: give Input(batch_size=1), or convert a concrete function"
)
_ON_THE_HOST = "leave it out of the network and compute it from the outputs"
_ACTIVATION = "use ReLU, ReLU6, tanh or sigmoid as the activation, and train again"
_RECURRENT = "use convolutions over time in place of the recurrent layer, and train again"
_ONE_BRANCH = "a network here has no branches and loops: convert it without, for inference alone"
_LISTED = 40
"""Kinds of blockers that a message lists at most; a damaged file may have hundreds."""


@dataclass(frozen=True)
class Place:
    """Where an operator stands: the types of what it reads and writes, and whether that is the network's."""

    kind: str
    custom: str
    sources: tuple[str, ...]
    """Types of the inputs that are computed, the network's input among them; without an operator's own state."""
    constants: tuple[str, ...]
    """Types of the constant inputs."""
    targets: tuple[str, ...]
    reads_input: bool
    writes_output: bool
    float_file: bool
    """Whether the file has no quantized activation at all."""

    @property
    def casts(self) -> bool:
        """Whether it changes the type alone."""
        return self.kind in ("QUANTIZE", "DEQUANTIZE", "CAST") and {"INT8"} != {*self.sources, *self.targets}

    @property
    def computes_shape(self) -> bool:
        """Whether it computes with integers that are a shape."""
        whole = {"INT32", "INT64"}
        return self.kind == "SHAPE" or (
            bool(whole.intersection(self.targets)) and whole.issuperset(self.sources)
        )

    @property
    def types(self) -> str:
        """From which type to which."""
        return f"{'/'.join(self.sources + self.constants) or '?'} to {'/'.join(self.targets) or '?'}"


_Rows = tuple[tuple[Callable[[Place], bool], str, str], ...]

PLACES: _Rows = (
    # What the place says about the operator; the first that holds decides. {}: fields of the place.
    (lambda p: p.casts and "FLOAT16" in p.constants, "holds float16 weights", _ALL_INT8),
    (
        lambda p: p.kind == "DEQUANTIZE" and not p.sources and bool(p.constants),
        "holds int8 weights that are used as float32 (dynamic-range quantization)",
        _ALL_INT8,
    ),
    (lambda p: p.casts and p.reads_input, "converts the input, {p.types}", _BORDER),
    (lambda p: p.casts and p.writes_output, "converts the output, {p.types}", _BORDER),
    (
        lambda p: p.casts and "FLOAT32" in p.targets,
        "begins a part that computes in float32",
        "leave that part out of the network and compute it from the outputs, or " + _ALL_INT8,
    ),
    (lambda p: p.casts and "FLOAT32" in p.sources, "ends a part that computes in float32", _ALL_INT8),
    (
        lambda p: p.casts and p.kind == "QUANTIZE",
        "changes types inside the network, {p.types}",
        _ALL_INT8,
    ),
    (lambda p: p.computes_shape, "computes a shape", _OPEN_BATCH),
    (
        lambda p: p.kind == "CUSTOM" and p.custom.startswith("Flex"),
        "is TensorFlow's own operator {p.custom} (SELECT_TF_OPS)",
        "use layers that TFLite has itself, and convert with target_spec.supported_ops ="
        " [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]",
    ),
    (
        lambda p: p.kind == "CUSTOM",
        "is the custom operator {p.custom}",
        "cut the network before it and compute it from the outputs",
    ),
)
TYPES: _Rows = (
    # What is wrong with the types; that the operator is not supported either is told too.
    (
        lambda p: "FLOAT32" in p.sources and "INT8" in p.constants and "FLOAT32" in p.targets,
        "has int8 weights and float32 activations (dynamic-range quantization)",
        _ALL_INT8,
    ),
    (
        lambda p: p.float_file and "FLOAT32" in p.sources + p.targets,
        "computes in float32: the network is not quantized",
        _ALL_INT8,
    ),
    (
        lambda p: "INT16" in p.sources + p.targets,
        "has int16 activations",
        "convert with tf.lite.OpsSet.TFLITE_BUILTINS_INT8, not ..._ACTIVATIONS_INT16_WEIGHTS_INT8",
    ),
    (
        lambda p: "UINT8" in p.sources + p.targets,
        "has uint8 activations (the quantization of TensorFlow 1)",
        "convert the network again with TensorFlow 2, which quantizes to int8",
    ),
    (lambda p: "INT4" in p.constants, "has int4 weights", "convert with int8 weights"),
)

REMEDIES: dict[str, str] = {
    **dict.fromkeys(
        (
            "BIDIRECTIONAL_SEQUENCE_LSTM",
            "UNIDIRECTIONAL_SEQUENCE_RNN",
            "BIDIRECTIONAL_SEQUENCE_RNN",
            "LSTM",
            "RNN",
        ),
        _RECURRENT,
    ),
    **dict.fromkeys(("WHILE", "IF", "CALL", "STABLEHLO_WHILE"), _ONE_BRANCH),
    **dict.fromkeys(("RELU_N1_TO_1", "RELU_0_TO_1", "EXP"), _ACTIVATION),
    **dict.fromkeys(
        ("TOPK_V2", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"),
        _ON_THE_HOST,
    ),
}  # fmt: skip
"""What to do about an operator that is not supported, wherever it stands."""


@dataclass
class _Blocker:
    where: str
    what: str
    remedy: str
    first: str
    kind: str
    count: int = 1


@dataclass
class Blockers:
    """The blockers of one file, alike ones counted."""

    file: TfliteFile
    _found: dict[tuple[str, str, str], _Blocker] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._found)

    @contextmanager
    def collecting(self, kind: str = "", index: int | None = None) -> Iterator[None]:
        """Count a :class:`RefusalError` of the block, of operator ``index``, and go on."""
        try:
            yield
        except RefusalError as error:
            self.add(error.what, error.remedy, kind, index)

    def add(self, what: str, remedy: str, kind: str = "", index: int | None = None) -> None:
        """Count a blocker, of operator ``index``."""
        place = "" if index is None else f"operator {index}{self._written(index)}"
        # Alike are those that differ in names and numbers alone.
        alike = re.sub(r"\d+", "#", re.sub(r"(?<=tensor )\S+|(?<=reads )\S+(?=,)|(?<=writes )\S+", "…", what))
        known = self._found.setdefault(
            (kind, alike, remedy), _Blocker(self.file.where, what, remedy, place, kind, count=0)
        )
        known.count += 1

    def raise_all(self) -> None:
        """Raise one :class:`UserError` with all of them, if there are any."""
        if not self._found:
            return
        blockers = list(self._found.values())
        if len(blockers) == 1 and blockers[0].count == 1:
            (only,) = blockers
            raise UserError(f"{self.file.label}: {only.where}{only.what}; {only.remedy}")
        remedies: dict[str, list[str]] = {}
        for blocker in blockers[:_LISTED]:
            times = {1: "", 2: "twice, first "}.get(blocker.count, f"{blocker.count} times, first ")
            place = f" ({times}{blocker.first})" if blocker.first else ""
            remedies.setdefault(blocker.remedy, []).append(f"{blocker.kind} {blocker.what}{place}".strip())
        if len(remedies) == 1:
            ((remedy, items),) = remedies.items()
            raise UserError(f"{self.file.label} cannot be converted: {', '.join(items)}; {remedy}")
        listed = [
            f"({n}) {', '.join(items)}: {remedy}" for n, (remedy, items) in enumerate(remedies.items(), 1)
        ]
        more = f"; and {len(blockers) - _LISTED} more" if len(blockers) > _LISTED else ""
        raise UserError(f"{self.file.label} cannot be converted: {'; '.join(listed)}{more}")

    def _written(self, index: int) -> str:
        operator = self.file.graph.Operators(index)
        if not operator.OutputsLength():
            return ""
        number = int(operator.Outputs(0))
        if not 0 <= number < self.file.graph.TensorsLength():
            return ""
        name = self.file.tensor(number)[1]
        return f", which writes {name if len(name) <= 60 else f'{name[:57]}...'}"


def place_of(file: TfliteFile, index: int, kind: str, quantized: bool) -> Place:
    """Return where operator ``index`` stands. ``quantized``: whether the file has a quantized activation."""
    operator, graph = file.graph.Operators(index), file.graph

    def tensors(numbers: list[int], constant: bool) -> tuple[str, ...]:
        known = [graph.Tensors(n) for n in numbers if 0 <= n < graph.TensorsLength()]
        return tuple(
            TENSOR_TYPES.get(t.Type(), str(t.Type()))
            for t in known
            if file.is_constant(t) == constant and not t.IsVariable()
        )

    sources = [int(operator.Inputs(i)) for i in range(operator.InputsLength())]
    targets = [int(operator.Outputs(i)) for i in range(operator.OutputsLength())]
    custom = file.fb.OperatorCodes(operator.OpcodeIndex()).CustomCode() or b""
    borders = [
        {int(n) for n in _list(numbers)} for numbers in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())
    ]
    return Place(
        kind=kind,
        custom="".join(c if c.isprintable() else "?" for c in custom[:60].decode("utf-8", "replace")),
        sources=tensors(sources, constant=False),
        constants=tensors(sources, constant=True),
        targets=tensors(targets, constant=False),
        reads_input=not borders[0].isdisjoint(sources),
        writes_output=not borders[1].isdisjoint(targets),
        float_file=not quantized,
    )


def blockers_of(place: Place, supported: Collection[str]) -> list[tuple[str, str]]:
    """Return what an operator at a place blocks, each with its remedy; nothing if nothing is known against it."""

    def first(rows: _Rows) -> list[tuple[str, str]]:
        return [(what.format(p=place), remedy) for holds, what, remedy in rows if holds(place)][:1]

    if found := first(PLACES):
        return found
    found = first(TYPES)
    if place.kind not in supported:
        known = REMEDIES.get(place.kind, "use layers without it; docs/engine.md lists what is read")
        return [*found, ("is not supported", known)]
    if not found and "FLOAT32" in place.sources + place.targets:
        return [("computes in float32", _ALL_INT8)]
    return found


def has_quantized_activation(file: TfliteFile) -> bool:
    """Return whether any operator writes an int8, uint8 or int16 tensor."""
    graph = file.graph
    for index in range(graph.OperatorsLength()):
        for i in range(graph.Operators(index).OutputsLength()):
            number = int(graph.Operators(index).Outputs(i))
            if 0 <= number < graph.TensorsLength() and graph.Tensors(number).Type() in (
                schema.TensorType.INT8,
                schema.TensorType.UINT8,
                schema.TensorType.INT16,
            ):
                return True
    return False


def operator_kind(file: TfliteFile, index: int) -> str:
    """Return an operator's type; refuse one without a code."""
    operator = file.graph.Operators(index)
    if not 0 <= operator.OpcodeIndex() < file.fb.OperatorCodesLength():
        file.refuse("has no operator code")
    code = file.fb.OperatorCodes(operator.OpcodeIndex())
    # Files from before code 127 existed hold the code in the deprecated field alone.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return OPERATOR_NAMES.get(number, str(number))


def _list(numbers: object) -> list[int]:
    """Return a vector's values; the schema's classes return 0 for one that is missing."""
    return list(numbers) if hasattr(numbers, "__len__") else []  # type: ignore[call-overload]
