"""IntegerModel → C: model.h, model.c, the deck's weights.h and weights.bin, and a manifest.

The C is tables: steps, the schedule of their calls, where tensors lie in one static arena, and every kernel's
constants (``firmware/engine/p2b_engine.h``). The same model gives the same bytes everywhere.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from paper2board.boards.backends import Backend
from paper2board.convert.c_layers import CLayer, c_layer, weighted_layer
from paper2board.convert.compression import plain_values
from paper2board.convert.engine import Engine, plan_engine
from paper2board.convert.layer_cost import layer_instructions
from paper2board.convert.lowering import constants, rows_a_call, storage
from paper2board.convert.manifest import MANIFEST, ArenaBlock, File, Layer, Manifest, Section
from paper2board.convert.memory_plan import ALIGNMENT
from paper2board.convert.steps import Step, row_bytes, rows
from paper2board.core.files import digest, write_bytes, write_json, write_text
from paper2board.core.photo_fit import MAX_SIDE_PX, PhotoFit, parse_fit
from paper2board.model.file import write
from paper2board.model.integer_model import IntegerModel, class_names
from paper2board.model.port import Port
from paper2board.model.tensor import Tensor

_TEMPLATES = Path(__file__).parent / "templates"
_FILES = ("model.h", "model.c", "weights.h", "weights.bin")
_C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "float32": "float",
}


def generate(
    model: IntegerModel,
    folder: str | Path,
    backend: Backend | str = Backend.PORTABLE,
    *,
    streaming: bool = True,
) -> Manifest:
    """Write the C of :func:`~paper2board.convert.engine.plan_engine` into ``folder``; see :func:`write_engine`."""
    return write_engine(plan_engine(model, backend, streaming=streaming), folder)


def write_engine(engine: Engine, folder: str | Path) -> Manifest:
    """Write model.h, model.c, weights.h, weights.bin and manifest.json into ``folder``.

    ``weights.bin`` holds every layer's bias (int32, little endian) and weights (int8) as the ``.tflite`` file has
    them, consecutively, as the deck does; ``weights.h`` is the deck's text form of the same arrays. Metadata key
    ``classes`` (:func:`~paper2board.model.integer_model.class_names`) names the outputs; ``tflite_sha256`` is
    the digest that the C says it comes from (default: of the model's own file); ``fit`` is for
    :func:`photo_fit`. Raise :class:`UserError` if the names are not as many as the outputs.
    """
    folder, model = Path(folder), engine.model
    arrays = dict(_arrays(engine))
    inputs, outputs = ([port.inside for port in ports] for ports in c_ports(model))
    context = c_context(engine, "p2b") | {"arrays": arrays, "inputs": inputs, "outputs": outputs}
    for name in ("model.h", "model.c", "weights.h"):
        write_text(folder / name, environment().get_template(f"{name}.j2").render(context))
    write_bytes(folder / "weights.bin", b"".join(_bytes(array) for array in arrays.values()))
    return write_manifest(engine, context, folder, _FILES, tuple(_sections(arrays)))


def c_context(engine: Engine, name: str) -> dict[str, Any]:
    """Return what the templates of an engine's C are rendered with; every global name begins with ``name``."""
    model = engine.model
    layers = [c_layer(model, step, packed) for step, packed in engine.layers]
    inputs, outputs = c_ports(model)
    return _tables(engine, _identifiers(engine), layers) | {
        "name": name,
        "prefix": name.upper(),
        "model": model,
        "sha256": _sha256(model),
        "inputs": inputs,
        "outputs": outputs,
        "fit": photo_fit(model),
        "classes": class_names(model),
        "c_types": _C_TYPES,
        "alignment": ALIGNMENT,
    }


def write_manifest(
    engine: Engine,
    context: dict[str, Any],
    folder: Path,
    files: Sequence[str],
    sections: tuple[Section, ...] = (),
) -> Manifest:
    """Write manifest.json for ``files`` of ``folder``, which were rendered with ``context``."""
    layers = tuple(_layers(engine, [layer["c"] for layer in context["layers"]]))
    manifest = Manifest(
        model=engine.model.name,
        model_sha256=context["sha256"],
        backend=engine.backend,
        streaming=engine.streaming,
        files={
            name: File(bytes=(folder / name).stat().st_size, sha256=digest(folder / name)) for name in files
        },
        sections=sections,
        layers=layers,
        input_bytes=sum(port.size for port in context["inputs"]),
        arena_bytes=engine.plan.bytes,
        activation_bytes=engine.plan.activation_bytes,
        scratch_bytes=engine.plan.scratch_bytes,
        weight_flash_bytes=sum(layer.weight_bytes for layer in layers),
        segments=tuple(engine.steps[start].name for start in engine.plan.segment_bounds[:-1]),
        places=tuple(_places(engine)),
    )
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def photo_fit(model: IntegerModel) -> PhotoFit | None:
    """Return how a photo becomes an image that ``model`` takes; None if it takes no images.

    Metadata key ``fit`` says it, or says ``none``. Without the key, a single int8 input of 1 or 3 channels is an
    image, and photos are cropped to its size.
    """
    port = model.inputs[0]
    if len(model.inputs) > 1 or port.dtype != "int8":
        return None
    height, width, channels = _image_shape(model.tensors[port.tensor])
    stated = model.metadata.get("fit", "crop")
    if stated == "none" or channels not in (1, 3) or max(height, width) > MAX_SIDE_PX:
        return None
    return parse_fit(stated, width, height)


def _image_shape(tensor: Tensor) -> tuple[int, int, int]:
    """Return height, width, channels; a vector has one row of one pixel."""
    height, width, channels = (1, 1, *tensor.shape)[-3:]
    return height, width, channels


@dataclass(frozen=True)
class CPort:
    """An input or output as the C shows it. Shapes have no batch axis.

    ``id`` is its C identifier, the name of a parameter. ``suffix`` ends the names of what belongs to it, ``_<id>``
    where the model has several. Rows of ``row_size`` elements arrive or leave. ``tensor`` has the int8
    values inside the network; where ``port`` has another type, they are converted at the border.
    """

    what: str
    id: str
    suffix: str
    port: Port
    tensor: Tensor
    row_size: int
    image: tuple[int, int, int]

    @property
    def macro(self) -> str:
        """Middle of its macros' names."""
        return f"{self.what}{self.suffix}".upper()

    @property
    def c_type(self) -> str:
        """Type of an element for a caller."""
        return _C_TYPES[self.port.dtype]

    @property
    def limits(self) -> tuple[int, int]:
        """Least and largest integer of its type."""
        limits = np.iinfo(self.port.dtype)
        return int(limits.min), int(limits.max)

    @property
    def quantization(self) -> tuple[float, int] | None:
        """Scale and zero point of a caller's integers; None of real numbers."""
        if self.port.dtype == "float32":
            return None
        own = self.tensor if self.port.dtype == "int8" else self.port
        return own.scale, own.zero_point

    @property
    def requantization(self) -> tuple[int, int] | None:
        """Multiplier and shift between a caller's integers and the int8 values; None where there is none."""
        if self.port.dtype in ("int8", "float32"):
            return None
        return self.port.requantization(self.tensor, arrives=self.what == "input")

    @property
    def inside(self) -> "CPort":
        """The port of the engine, without its border: int8."""
        return replace(self, port=replace(self.port, dtype="int8"))

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.tensor.shape

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.tensor.size

    @property
    def bytes(self) -> int:
        """Bytes of a caller's array."""
        return self.size * np.dtype(self.port.dtype).itemsize


def c_ports(model: IntegerModel) -> tuple[tuple[CPort, ...], tuple[CPort, ...]]:
    """Return the inputs and the outputs of the model's C. All that the C knows about them comes from here."""

    def c_ports_of(what: str, ports: tuple[Port, ...]) -> tuple[CPort, ...]:
        alone = len(ports) == 1
        ids = [what] if alone else [f"{what}_{name}" for name in distinct_identifiers(p.name for p in ports)]
        return tuple(
            CPort(
                what,
                name,
                "" if alone else name.removeprefix(what),
                port,
                model.tensors[port.tensor],
                row_bytes(model, port.tensor),
                _image_shape(model.tensors[port.tensor]),
            )
            for name, port in zip(ids, ports, strict=True)
        )

    return c_ports_of("input", model.inputs), c_ports_of("output", model.outputs)


def _sha256(model: IntegerModel) -> str:
    """Return the sha256 of the file that the model comes from: metadata, or the model's own file."""
    if stated := model.metadata.get("tflite_sha256"):
        return stated
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write(model, path)
        return digest(path)


# --- tables -------------------------------------------------------------------------------------------


def _tables(engine: Engine, names: list[str], layers: list[CLayer]) -> dict[str, Any]:
    """Return what model.c gives the engine: tensors, operands, steps, schedule."""
    model, placement = engine.model, engine.plan
    # Views, which some operands and the output may be, follow the tensors that have bytes of their own.
    others = [operand.tensor for step in engine.steps for operand in step.operands]
    others += [port.tensor for port in model.outputs] + [state.read for state in model.states]
    owners = [step.output for step in engine.steps]
    owner, in_flash = storage(model), constants(model)
    numbers = {tensor: number for number, tensor in enumerate(dict.fromkeys([*owners, *others]))}
    flash_names = {tensor: f"constant_{number}" for number, tensor in enumerate(in_flash)}
    tensors = []
    for tensor in numbers:
        height = capacity = rows(model, tensor)
        flash, offset = flash_names.get(owner[tensor], "0"), 0
        if owner[tensor] in placement.tensors:
            item = placement.tensors[owner[tensor]]
            offset = item.offset
            capacity = item.capacity if tensor in placement.tensors else height
        tensors.append(
            (flash, offset, height, capacity, row_bytes(model, tensor), model.tensors[tensor].name)
        )
    largest_in = max(
        (
            sum(
                1 if o.height == 0 else (_rows_a_call(engine, i) - 1) * o.stride + o.height
                for o in step.operands
            )
            for i, step in enumerate(engine.steps)
        )
    )
    return {
        "tensors": tensors,
        "steps": [
            {
                "name": step.name,
                "operands": [(numbers[o.tensor], o.height, o.stride, o.pad) for o in step.operands],
                "output": numbers[step.output],
                "rows": _rows_a_call(engine, i),
            }
            for i, step in enumerate(engine.steps)
        ],
        "layers": [
            {
                "step": step,
                "id": name,
                "c": layer,
                "shapes": _shapes(model, step),
                "ops": " + ".join(op.type for op in step.fused),
            }
            for (step, _), name, layer in zip(engine.layers, names, layers, strict=True)
        ],
        "schedule": placement.schedule,
        "arrivals": len(model.inputs),
        "constants": [
            (flash_names[tensor], values.ravel())
            for tensor, values in in_flash.items()
            if tensor in {owner[other] for other in others}
        ],
        "output_tensors": [numbers[port.tensor] for port in model.outputs],
        "states": [
            (numbers[state.read], np.unique(state.initial), state.initial.ravel()) for state in model.states
        ],
        "arena_bytes": placement.bytes,
        "scratch": [
            placement.scratch[s].offset if s in placement.scratch else 0
            for s, (start, end) in enumerate(
                zip(placement.segment_bounds, placement.segment_bounds[1:], strict=False)
            )
            for _ in range(start, end)
        ],
        "largest_in": max(largest_in, 1),
        "largest_out": max(_rows_a_call(engine, i) for i in range(len(engine.steps))),
    }


def _rows_a_call(engine: Engine, index: int) -> int:
    return rows_a_call(engine.model, engine.steps[index], engine.packed[index])


def _identifiers(engine: Engine) -> list[str]:
    """Return a distinct C identifier a layer, close to its name. They are used with suffixes only."""
    return distinct_identifiers((step.name for step, _ in engine.layers), "layer_")


def distinct_identifiers(names: Iterable[str], letter: str = "n_") -> list[str]:
    """Return a distinct C identifier a name, close to it; ``letter`` goes before what begins with none."""
    result: list[str] = []
    for name in names:
        base = re.sub(r"\W", "_", name, flags=re.ASCII)
        base = base if re.match(r"[A-Za-z]", base) else f"{letter}{base}"
        tries = chain((base,), (f"{base}_{i}" for i in count(2)))
        result.append(next(tried for tried in tries if tried not in result))
    return result


def _arrays(engine: Engine) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and array of every bias and weight in the order of weights.bin."""
    for (step, _), name in zip(engine.layers, _identifiers(engine), strict=True):
        if layer := weighted_layer(engine.model, step):
            yield f"{name}_bias", layer.bias
            yield f"{name}_weights", layer.weights


def _bytes(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


# --- manifest -----------------------------------------------------------------------------------------


def _sections(arrays: dict[str, np.ndarray]) -> Iterator[Section]:
    offset = 0
    for name, array in arrays.items():
        yield Section(name=name, dtype=array.dtype.name, shape=array.shape, offset=offset, bytes=array.nbytes)
        offset += array.nbytes


def _layers(engine: Engine, layers: list[CLayer]) -> Iterator[Layer]:
    model = engine.model
    for (step, packed), layer in zip(engine.layers, layers, strict=True):
        yield Layer(
            name=step.name,
            ops=tuple(op.type for op in step.fused),
            kernel=layer.kernel,
            macs=sum(op.macs(model.tensors) for op in step.fused),
            inputs=tuple(model.tensors[operand.tensor].name for operand in step.operands),
            output=model.tensors[step.output].name,
            output_bytes=model.tensors[step.output].size,
            weight_bytes=layer.weight_bytes,
            scratch_bytes=packed.scratch_bytes if packed else 0,
            modelled_instructions=layer_instructions(engine, step, packed, layer.kernel),
        )


def _places(engine: Engine) -> Iterator[ArenaBlock]:
    for item in sorted(engine.plan.items, key=lambda i: (i.first, i.offset)):
        name, of_rows = f"{item.step} (working memory)", 0
        if item.tensor is not None:
            name, of_rows = engine.model.tensors[item.tensor].name, rows(engine.model, item.tensor)
        yield ArenaBlock(
            name=name,
            offset=item.offset,
            bytes=item.bytes,
            rows=item.capacity,
            of_rows=of_rows,
            first=item.first,
            last=item.last,
        )


# --- text ---------------------------------------------------------------------------------------------


@cache
def environment() -> jinja2.Environment:
    """Return the templates' environment, with filters that make any text safe in C."""
    result = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    result.filters |= {
        "c_values": _c_values,
        "c_fields": _c_fields,
        "plain_values": plain_values,
        "c_string": _c_string,
        "signed": lambda number: f"({number})" if number < 0 else str(number),
        "comment": lambda text: re.sub(r"[^ -~]|\*/|/\*", "_", text),
    }
    return result


def _c_values(array: np.ndarray | tuple[int, ...]) -> str:
    """Return the elements as an initializer's lines; rows of a matrix in braces."""
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 4 and array.dtype == np.int32:
        return "\n".join("    {" + ", ".join(map(str, row)) + "}," for row in array.tolist())
    values = [f"{value}," for value in np.asarray(array).ravel().tolist()]
    return "\n".join("    " + " ".join(values[i : i + 16]) for i in range(0, len(values), 16))


def _c_fields(fields: dict[str, Any], name: str, depth: int = 1) -> str:
    """Return a structure's initializer; a field that names an array points to ``<name>_<array>``."""
    margin = "    " * depth
    lines = []
    for key, value in fields.items():
        if isinstance(value, dict):
            lines.append(f"{margin}.{key} = {{\n{_c_fields(value, name, depth + 1)}\n{margin}}},")
        elif isinstance(value, tuple):
            lines.append(f"{margin}.{key} = {{{', '.join(map(str, value))}}},")
        elif isinstance(value, str) and not value.startswith("P2B_"):
            lines.append(f"{margin}.{key} = {name}_{value},")
        else:
            lines.append(f"{margin}.{key} = {value},")
    return "\n".join(lines)


def _c_string(text: str) -> str:
    """Return ``text`` as a C string literal of its UTF-8 bytes."""
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def _shapes(model: IntegerModel, step: Step) -> str:
    def shape(tensor: int) -> str:
        return "x".join(map(str, model.tensors[tensor].shape))

    return " + ".join(shape(o.tensor) for o in step.operands) + " -> " + shape(step.output)
