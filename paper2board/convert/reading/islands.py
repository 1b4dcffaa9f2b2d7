"""Parts of a file that compute in float32, but a function of single values: tables of 256 values.

Where TFLite has no int8 form of a function, the converter leaves DEQUANTIZE, the function and QUANTIZE.
"""

from paper2board.convert.reading.file import TfliteFile, TfliteNode
from paper2board.model.operators.elementwise import FLOAT_FUNCTIONS, FloatFunction

KIND = FloatFunction.type
"""What the last operator of an island is read as."""


def find_islands(file: TfliteFile, kinds: list[str], casts: set[int]) -> dict[int, list[int]]:
    """Return the operators of each island, in order, by its last one; ``casts`` belong to the borders."""
    graph = file.graph
    readers: dict[int, list[int]] = {}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        for i in range(operator.InputsLength()):
            readers.setdefault(int(operator.Inputs(i)), []).append(index)
    outputs = {int(graph.Outputs(i)) for i in range(graph.OutputsLength())}
    islands = {}
    for index, kind in enumerate(kinds):
        if kind != "DEQUANTIZE" or index in casts:
            continue
        part = [index]
        while part and kinds[part[-1]] in ("DEQUANTIZE", *FLOAT_FUNCTIONS):
            operator = graph.Operators(part[-1])
            written = int(operator.Outputs(0)) if operator.OutputsLength() == 1 else -1
            following = readers.get(written, [])
            alone = len(following) == 1 and written not in outputs and following[0] > part[-1]
            part = (
                [*part, following[0]] if alone and graph.Operators(following[0]).InputsLength() == 1 else []
            )
        if len(part) > 2 and kinds[part[-1]] == "QUANTIZE" and part[-1] not in casts:
            islands[part[-1]] = part
    return islands


def read_island(file: TfliteFile, node: TfliteNode, part: list[int], kinds: list[str]) -> None:
    """Emit the function of an island; ``node`` is its last operator, ``kinds`` are those of the file."""
    first = TfliteNode(file, file.graph.Operators(part[0]), kinds[part[0]], node.name, [])
    source, target = first.source(0), node.target()
    node.emit(FloatFunction, (source,), target, functions=tuple(kinds[index] for index in part[1:-1]))
