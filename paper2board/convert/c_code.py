"""IntegerModel → C: model.h, model.c, the deck's weights.h and weights.bin, and a manifest.

The C calls the kernels of ``firmware/engine/p2b_kernels.h``; every activation lives at a fixed place of one
static arena (:mod:`paper2board.convert.memory_plan`). The same model gives the same bytes everywhere.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from paper2board.convert import memory_plan
from paper2board.errors import UserError
from paper2board.files import digest, write_bytes, write_json, write_text
from paper2board.integer_model import (
    Add,
    Conv2D,
    FullyConnected,
    IntegerModel,
    Op,
    Pool2D,
    Tensor,
    activation_range,
    add_multipliers,
    macs,
    output_multipliers,
    pad_before,
    write,
)

MANIFEST = "manifest.json"
_C_TYPES = {"int8": "int8_t", "int32": "int32_t"}
_KINDS = {
    "CONV_2D": "conv2d",
    "FULLY_CONNECTED": "fully_connected",
    "MAX_POOL_2D": "max_pool2d",
    "AVERAGE_POOL_2D": "average_pool2d",
    "ADD": "add",
}


# --- manifest -----------------------------------------------------------------------------------------


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Record):
    """A generated file: size and sha256."""

    bytes: int
    sha256: str


class Section(_Record):
    """One array inside weights.bin: little-endian elements from ``offset`` on."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


class Layer(_Record):
    """A layer as the C runs it, with its multiply-accumulates and the size of its output."""

    name: str
    type: str
    macs: int
    inputs: tuple[str, ...]
    output: str
    output_bytes: int


class Activation(_Record):
    """A tensor in the arena; it is alive from layer ``first_layer`` (−1: written by the caller) to
    ``last_layer`` (the number of layers: read by the caller)."""

    name: str
    shape: tuple[int, ...]
    offset: int
    bytes: int
    first_layer: int
    last_layer: int


class Manifest(_Record):
    """What :func:`generate` wrote. Sizes are in bytes."""

    model: str
    model_sha256: str
    files: dict[str, File]
    sections: tuple[Section, ...]
    layers: tuple[Layer, ...]
    arena_bytes: int
    activations: tuple[Activation, ...]

    @classmethod
    def read(cls, folder: str | Path) -> "Manifest":
        """Read the manifest of a generated folder; raise :class:`UserError` if there is none."""
        path = Path(folder) / MANIFEST
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path} is not the manifest of generated C ({reason}); generate it again"
            ) from error


@dataclass(frozen=True)
class Compression:
    """The deck's ``.h`` → ``.bin`` compression: the same numbers as C source text and as bytes."""

    h_bytes: int
    bin_bytes: int

    @property
    def ratio(self) -> float:
        """Bytes of text per byte of binary."""
        return self.h_bytes / self.bin_bytes


def weight_compression(manifest: Manifest) -> Compression:
    """Return the compression of all weights and biases (deck: 96 KB → 28 KB, 3.43×)."""
    return Compression(manifest.files["weights.h"].bytes, manifest.files["weights.bin"].bytes)


def compress_input(image: np.ndarray, folder: str | Path) -> Compression:
    """Write ``image.h`` and ``image.bin`` for one network input (int8, H × W × C) and return their sizes.

    The deck's slide "Input Compression" (11 KB → 3 KB, 3.647×), in the network's HWC order so that image.bin
    is just what the device takes.
    """
    folder = Path(folder)
    write_text(folder / "image.h", f"int8_t image[]={{{_plain_values(image)}}};\n")
    write_bytes(folder / "image.bin", image.tobytes())
    return Compression((folder / "image.h").stat().st_size, (folder / "image.bin").stat().st_size)


# --- C ------------------------------------------------------------------------------------------------


def generate(model: IntegerModel, folder: str | Path) -> Manifest:
    """Write model.h, model.c, weights.h, weights.bin and manifest.json into ``folder``.

    ``weights.bin`` holds every layer's bias (int32, little endian) and weights (int8), consecutively, as the
    deck does; ``weights.h`` is the deck's text form of the same arrays. Metadata key ``classes`` (comma
    separated) names the outputs; ``tflite_sha256`` is the digest that the C says it comes from (default: of the
    model's own file). Raise :class:`UserError` if these are not as many as the outputs, or if the
    model has nothing to compute.
    """
    folder = Path(folder)
    layers = memory_plan.layers(model)
    _check(model, layers)
    arena = memory_plan.plan(model)
    sha256 = model.metadata.get("tflite_sha256") or _model_digest(model)
    names = _identifiers(layers)
    arrays = dict(_arrays(layers, names))

    environment = _environment()
    context = {
        "model": model,
        "sha256": sha256,
        "input": model.tensors[model.input],
        "input_shape": (1, 1, *model.tensors[model.input].shape)[-3:],
        "output": model.tensors[model.output],
        "classes": model.metadata.get("classes", ""),
        "arena": arena,
        "layers": [_layer(model, op, name) for op, name in zip(layers, names, strict=True)],
        "arrays": arrays,
        "c_types": _C_TYPES,
    }
    for name in ("model.h", "model.c", "weights.h"):
        write_text(folder / name, environment.get_template(f"{name}.j2").render(context))
    write_bytes(folder / "weights.bin", b"".join(_bytes(array) for array in arrays.values()))

    manifest = Manifest(
        model=model.name,
        model_sha256=sha256,
        files={
            name: File(bytes=(folder / name).stat().st_size, sha256=digest(folder / name))
            for name in ("model.h", "model.c", "weights.h", "weights.bin")
        },
        sections=tuple(_sections(arrays)),
        layers=tuple(
            Layer(
                name=op.name,
                type=op.type,
                macs=macs(model, op),
                inputs=tuple(model.tensors[i].name for i in op.inputs),
                output=model.tensors[op.output].name,
                output_bytes=model.tensors[op.output].size,
            )
            for op in layers
        ),
        arena_bytes=arena.bytes,
        activations=tuple(_activations(model, arena)),
    )
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def _check(model: IntegerModel, layers: list[Op]) -> None:
    """Refuse a model that gives no C, or wrong names in it."""
    if not layers:
        raise UserError(f"model {model.name}: it has only RESHAPE ops and computes nothing; convert another")
    classes = model.metadata.get("classes", "")
    outputs = model.tensors[model.output].size
    if classes and len(classes.split(",")) != outputs:
        raise UserError(
            f"model {model.name}: metadata key 'classes' names {len(classes.split(','))} classes but the"
            f" output has {outputs} values; correct the list"
        )


def _model_digest(model: IntegerModel) -> str:
    """Return the sha256 of the model's own file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write(model, path)
        return digest(path)


def _identifiers(layers: list[Op]) -> list[str]:
    """Return a distinct C identifier a layer, close to its name. They are used with suffixes only."""
    result: list[str] = []
    for op in layers:
        base = re.sub(r"\W", "_", op.name, flags=re.ASCII)
        base = base if re.match(r"[A-Za-z]", base) else f"layer_{base}"
        candidates = (base, *(f"{base}_{i}" for i in range(2, len(layers) + 2)))
        result.append(next(name for name in candidates if name not in result))
    return result


def _arrays(layers: list[Op], names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and array of every bias and weight in the order of weights.bin."""
    for op, name in zip(layers, names, strict=True):
        if isinstance(op, Conv2D | FullyConnected):
            yield f"{name}_bias", op.bias
            yield f"{name}_weights", op.weights


def _bytes(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _sections(arrays: dict[str, np.ndarray]) -> Iterator[Section]:
    offset = 0
    for name, array in arrays.items():
        yield Section(name=name, dtype=array.dtype.name, shape=array.shape, offset=offset, bytes=array.nbytes)
        offset += array.nbytes


def _activations(model: IntegerModel, arena: memory_plan.MemoryPlan) -> Iterator[Activation]:
    for index, offset in arena.offsets.items():
        tensor, lifetime = model.tensors[index], arena.lifetimes[index]
        yield Activation(
            name=tensor.name,
            shape=tensor.shape,
            offset=offset,
            bytes=tensor.size,
            first_layer=lifetime.first,
            last_layer=lifetime.last,
        )


def _layer(model: IntegerModel, op: Op, name: str) -> dict[str, Any]:
    """Return what the template needs to describe one layer."""
    target = model.tensors[op.output]
    kind = _KINDS[op.type]
    layer: dict[str, Any] = {
        "op": op,
        "id": name,
        "kind": kind,
        "struct": "pool2d" if isinstance(op, Pool2D) else kind,
        "shapes": " + ".join(_shape(model.tensors[i]) for i in op.inputs) + " -> " + _shape(target),
    }
    low, high = activation_range(target, op.activation) if hasattr(op, "activation") else (0, 0)
    source = model.tensors[op.inputs[0]]
    if isinstance(op, Conv2D | FullyConnected):
        multipliers, shifts = np.array(output_multipliers(model, op)).T
        layer |= {
            "multipliers": multipliers,
            "shifts": shifts,
            "requantization": {
                "input_offset": -source.zero_point,
                "output_offset": target.zero_point,
                "low": low,
                "high": high,
            },
        }
    if isinstance(op, Conv2D):
        window, interior = _window(op, op.weights.shape[1:3], source, target)
        layer |= {"window": window, "fields": {"out_c": target.shape[2], **interior}}
    elif isinstance(op, FullyConnected):
        layer["fields"] = {"in_n": source.size, "out_n": target.size}
    elif isinstance(op, Pool2D):
        window, _ = _window(op, op.kernel, source, target)
        layer |= {"window": window, "fields": {"low": low, "high": high}}
    elif isinstance(op, Add):
        (m1, s1), (m2, s2), (m_out, s_out) = add_multipliers(model, op)
        layer["fields"] = {
            "n": target.size,
            "offset_1": -source.zero_point,
            "offset_2": -model.tensors[op.inputs[1]].zero_point,
            "multiplier_1": m1,
            "shift_1": s1,
            "multiplier_2": m2,
            "shift_2": s2,
            "output_multiplier": m_out,
            "output_shift": s_out,
            "output_offset": target.zero_point,
            "low": low,
            "high": high,
        }
    return layer


def _window(
    op: Conv2D | Pool2D, kernel: tuple[int, ...], source: Tensor, target: Tensor
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the window's geometry, and the output rows and columns whose window sees no padding."""
    window = {"in_h": source.shape[0], "in_w": source.shape[1], "in_c": source.shape[2]}
    window |= {"out_h": target.shape[0], "out_w": target.shape[1]}
    window |= {"kernel_h": kernel[0], "kernel_w": kernel[1]}
    window |= {"stride_h": op.stride[0], "stride_w": op.stride[1]}
    interior = {}
    for axis, pad, first, end in ((0, "pad_h", "top", "bottom"), (1, "pad_w", "left", "right")):
        before, size = pad_before(source.shape[axis], kernel[axis], op.stride[axis], op.padding)
        window[pad] = before
        interior[first] = min(-(-before // op.stride[axis]), size)
        last = (source.shape[axis] - kernel[axis] + before) // op.stride[axis]
        interior[end] = max(interior[first], min(last + 1, size))
    return window, interior


# --- text ---------------------------------------------------------------------------------------------


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "c_values": _c_values,
        "plain_values": _plain_values,
        "c_string": _c_string,
        "comment": lambda text: re.sub(r"[^ -~]|\*/|/\*", "_", text),
    }
    return environment


def _c_values(array: np.ndarray) -> str:
    """Return the elements as an initializer's lines."""
    values = [f"{value}," for value in array.ravel().tolist()]
    return "\n".join("    " + " ".join(values[i : i + 16]) for i in range(0, len(values), 16))


def _plain_values(array: np.ndarray) -> str:
    """Return the elements as the deck's .h files have them: comma separated, no spaces."""
    return ",".join(map(str, array.ravel().tolist()))


def _c_string(text: str) -> str:
    """Return ``text`` as a C string literal of its UTF-8 bytes."""
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
