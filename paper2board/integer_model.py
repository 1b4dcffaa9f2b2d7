"""IntegerModel: the quantized network as integers, with TFLite's int8 semantics.

It is all that conversion, firmware and evaluation know about a network. Activations are int8 tensors in
HWC order (no batch axis), ``real = scale · (q − zero_point)``; weights are int8 with zero point 0; biases
are int32 with scale ``input scale · weight scale``. Source: the TFLite 8-bit quantization specification and
the reference kernels of TFLite Micro (the golden reference).
"""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from paper2board.errors import UserError
from paper2board.files import write_bytes

Activation = Literal["NONE", "RELU", "RELU6"]
Padding = Literal["SAME", "VALID"]
INT8_MIN, INT8_MAX = -128, 127
ADD_LEFT_SHIFT = 20


@dataclass(frozen=True)
class Tensor:
    """An int8 activation: ``shape`` is (H, W, C) or (N,); ``scale`` is a float32 value."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    @property
    def size(self) -> int:
        """Number of elements, which is also the number of bytes."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Conv2D:
    """2-D convolution. ``weights`` int8 (out, kernel_h, kernel_w, in), ``bias`` int32 (out,),
    ``weight_scales`` float32 (out,) per channel or (1,) per tensor."""

    type: ClassVar[str] = "CONV_2D"
    name: str
    inputs: tuple[int, ...]
    output: int
    weights: np.ndarray
    bias: np.ndarray
    weight_scales: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    activation: Activation = "NONE"


@dataclass(frozen=True)
class FullyConnected:
    """Matrix product. ``weights`` int8 (out, in), ``bias`` int32 (out,),
    ``weight_scales`` float32 (out,) per channel or (1,) per tensor."""

    type: ClassVar[str] = "FULLY_CONNECTED"
    name: str
    inputs: tuple[int, ...]
    output: int
    weights: np.ndarray
    bias: np.ndarray
    weight_scales: np.ndarray
    activation: Activation = "NONE"


@dataclass(frozen=True)
class Pool2D:
    """Max or average pooling (``type`` says which); input and output share scale and zero point."""

    type: Literal["MAX_POOL_2D", "AVERAGE_POOL_2D"]
    name: str
    inputs: tuple[int, ...]
    output: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = "VALID"
    activation: Activation = "NONE"


@dataclass(frozen=True)
class Add:
    """Element-wise sum of two tensors of the same shape."""

    type: ClassVar[str] = "ADD"
    name: str
    inputs: tuple[int, ...]
    output: int
    activation: Activation = "NONE"


@dataclass(frozen=True)
class Reshape:
    """The same elements under another shape (flatten: HWC order)."""

    type: ClassVar[str] = "RESHAPE"
    name: str
    inputs: tuple[int, ...]
    output: int


Op = Conv2D | FullyConnected | Pool2D | Add | Reshape


@dataclass(frozen=True)
class IntegerModel:
    """Tensors and the ops over them, in execution order. One input, one output."""

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    input: int
    output: int
    metadata: dict[str, str] = field(default_factory=dict)
    """Free text about the origin, for instance the sha256 of the float weights."""

    def __post_init__(self) -> None:
        _check(self)


# --- arithmetic -------------------------------------------------------------------------------------


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return (multiplier, shift) with ``real ≈ multiplier · 2^(shift − 31)``, multiplier in [2^30, 2^31).

    TFLite's ``QuantizeMultiplier``: a ``real`` too small to matter gives (0, 0).
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def output_multipliers(model: IntegerModel, op: Conv2D | FullyConnected) -> list[tuple[int, int]]:
    """Return the (multiplier, shift) that takes each output channel's accumulator to the output's scale."""
    scale_in = np.float32(model.tensors[op.inputs[0]].scale)
    scale_out = float(np.float32(model.tensors[op.output].scale))
    if isinstance(op, FullyConnected) and op.weight_scales.size == 1:
        # TFLite Micro multiplies these two in float32 here, in double everywhere else.
        products = [float(scale_in * np.float32(op.weight_scales[0]))]
    else:
        products = [float(scale_in) * float(scale) for scale in op.weight_scales]
    pairs = [quantize_multiplier(product / scale_out) for product in products]
    return pairs if len(pairs) > 1 else pairs * len(op.bias)


def add_multipliers(model: IntegerModel, op: Add) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return (multiplier, shift) of input 1, input 2 and output of an ADD whose inputs are first shifted
    left by :data:`ADD_LEFT_SHIFT`."""
    first, second = (float(np.float32(model.tensors[i].scale)) for i in op.inputs)
    twice_largest = 2.0 * max(first, second)
    out = float(np.float32(model.tensors[op.output].scale))
    return (
        quantize_multiplier(first / twice_largest),
        quantize_multiplier(second / twice_largest),
        quantize_multiplier(twice_largest / ((1 << ADD_LEFT_SHIFT) * out)),
    )


def activation_range(tensor: Tensor, activation: Activation) -> tuple[int, int]:
    """Return the clamp (lowest, highest) that a fused activation puts on int8 outputs of ``tensor``."""
    low, high = INT8_MIN, INT8_MAX
    if activation != "NONE":
        low = max(low, tensor.zero_point)
    if activation == "RELU6":
        six = np.float32(6.0) / np.float32(tensor.scale)
        high = min(high, tensor.zero_point + math.floor(float(six) + 0.5))
    return low, high


def pad_before(size: int, kernel: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Return (elements padded before, output size) along one axis, as TFLite computes them."""
    if padding == "VALID":
        return 0, (size - kernel) // stride + 1
    out = -(-size // stride)
    return max((out - 1) * stride + kernel - size, 0) // 2, out


def macs(model: IntegerModel, op: Op) -> int:
    """Return the multiply-accumulates of one op (0 for ops without weights)."""
    if isinstance(op, Conv2D):
        return model.tensors[op.output].size * op.weights[0].size
    if isinstance(op, FullyConnected):
        return op.weights.size
    return 0


# --- consistency ------------------------------------------------------------------------------------


def _check(model: IntegerModel) -> None:
    """Raise :class:`UserError` for the first thing that would make the model meaningless."""

    def require(condition: bool, op: Op, what: str) -> None:
        if not condition:
            raise UserError(f"model {model.name}: {op.type} {op.name}: {what}; quantize or convert it again")

    for tensor in model.tensors:
        scale_ok = math.isfinite(tensor.scale) and tensor.scale > 0
        if not (scale_ok and INT8_MIN <= tensor.zero_point <= INT8_MAX and min(tensor.shape, default=0) > 0):
            raise UserError(
                f"model {model.name}: tensor {tensor.name} has scale {tensor.scale}, zero point"
                f" {tensor.zero_point}, shape {tensor.shape}: not an int8 activation; convert it again"
            )
    known = {model.input}
    for op in model.ops:
        require(all(0 <= i < len(model.tensors) for i in (*op.inputs, op.output)), op, "no such tensor")
        require(set(op.inputs) <= known, op, "reads a tensor that nothing has written")
        require(op.output not in known, op, "writes a tensor twice")
        known.add(op.output)
        source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
        if not isinstance(op, Reshape) and op.activation == "RELU6":
            require(6.0 / target.scale < 1 << 30, op, f"scale {target.scale} is too small for RELU6")
        if isinstance(op, Conv2D | FullyConnected):
            require(op.weights.dtype == np.int8 and op.bias.dtype == np.int32, op, "weights int8, bias int32")
            require(op.bias.shape == (op.weights.shape[0],), op, "one bias an output channel")
            require(op.weight_scales.dtype == np.float32, op, "weight scales are float32")
            require(
                op.weight_scales.shape in {(1,), op.bias.shape}, op, "scales are per tensor or per channel"
            )
            require(
                bool(np.all(np.isfinite(op.weight_scales) & (op.weight_scales > 0))), op, "scale not positive"
            )
            require(_accumulators_fit(model, op), op, "its accumulators do not fit 32 bits")
        if isinstance(op, FullyConnected):
            require(
                op.weights.ndim == 2 and op.weights.shape[1] == source.size,
                op,
                "input size differs from weights",
            )
            require(target.shape == op.bias.shape, op, "output size differs from weights")
        if isinstance(op, Conv2D | Pool2D):
            require(
                len(source.shape) == 3 and min(op.stride) >= 1, op, "input is not H, W, C or stride below 1"
            )
            window = op.weights.shape[1:3] if isinstance(op, Conv2D) else op.kernel
            channels = op.weights.shape[0] if isinstance(op, Conv2D) else source.shape[2]
            if isinstance(op, Conv2D):
                require(
                    op.weights.ndim == 4 and op.weights.shape[3] == source.shape[2],
                    op,
                    "input channels differ",
                )
            size = tuple(
                pad_before(source.shape[axis], window[axis], op.stride[axis], op.padding)[1]
                for axis in (0, 1)
            )
            require(min(size) >= 1, op, "kernel is larger than its input")
            require(target.shape == (*size, channels), op, f"output shape is not {(*size, channels)}")
        if isinstance(op, Pool2D | Reshape):
            same = (source.scale, source.zero_point) == (target.scale, target.zero_point)
            require(same, op, "input and output have different quantization")
        if isinstance(op, Reshape):
            require(source.size == target.size, op, "element counts differ")
        if isinstance(op, Add):
            # TFLite Micro aborts the whole process on an ADD whose last multiplier is 1 or more.
            require(add_multipliers(model, op)[2][1] <= 0, op, "output scale is far below the inputs'")
            require(model.tensors[op.inputs[1]].shape == source.shape == target.shape, op, "shapes differ")
    if not model.ops or model.output not in known:
        raise UserError(f"model {model.name}: nothing computes its output; convert it again")


def _accumulators_fit(model: IntegerModel, op: Conv2D | FullyConnected) -> bool:
    """Tell whether no input makes an accumulator, or its left shift by the multiplier, exceed 32 bits.

    Then integer arithmetic is the same in 64 bits (simulation), and in 32 (TFLite Micro, the C engine).
    """
    zero_point = model.tensors[op.inputs[0]].zero_point
    largest_input = max(INT8_MAX - zero_point, zero_point - INT8_MIN)
    sums = np.abs(op.weights.astype(np.int64)).reshape(len(op.bias), -1).sum(axis=1)
    largest = sums * largest_input + np.abs(op.bias.astype(np.int64))
    try:
        with np.errstate(over="ignore"):
            shifts = [max(shift, 0) for _, shift in output_multipliers(model, op)]
    except OverflowError:  # a product of scales beyond float32
        return False
    return all(
        shift <= 31 and int(a) << shift <= 0x7FFFFFFF for a, shift in zip(largest, shifts, strict=True)
    )


# --- file -------------------------------------------------------------------------------------------

_ARRAYS = ("weights", "bias", "weight_scales")
_OPS: dict[str, type] = {
    "CONV_2D": Conv2D,
    "FULLY_CONNECTED": FullyConnected,
    "MAX_POOL_2D": Pool2D,
    "AVERAGE_POOL_2D": Pool2D,
    "ADD": Add,
    "RESHAPE": Reshape,
}
_PAIRS = ("inputs", "stride", "kernel")


def write(model: IntegerModel, path: str | Path) -> None:
    """Write the model as one safetensors file: arrays, and the graph as JSON in its header."""
    arrays: dict[str, np.ndarray] = {}
    ops = []
    for index, op in enumerate(model.ops):
        plain = {key: value for key, value in vars(op).items() if key not in _ARRAYS}
        ops.append(plain | {"type": op.type})
        arrays |= {
            f"{index}.{key}": np.ascontiguousarray(getattr(op, key)) for key in _ARRAYS if hasattr(op, key)
        }
    graph = {
        "name": model.name,
        "tensors": [asdict(tensor) for tensor in model.tensors],
        "ops": ops,
        "input": model.input,
        "output": model.output,
        "metadata": model.metadata,
    }
    write_bytes(path, save(arrays, metadata={"integer_model": json.dumps(graph)}))


def read(path: str | Path) -> IntegerModel:
    """Read a model written by :func:`write`; raise :class:`UserError` if the file is not one."""
    try:
        with safe_open(path, framework="numpy") as stream:
            graph = json.loads((stream.metadata() or {})["integer_model"])
            ops = []
            for index, plain in enumerate(graph["ops"]):
                kind = _OPS[plain["type"]]
                values = {key: tuple(value) if key in _PAIRS else value for key, value in plain.items()}
                if kind is not Pool2D:
                    del values["type"]
                if kind in (Conv2D, FullyConnected):
                    values |= {key: stream.get_tensor(f"{index}.{key}") for key in _ARRAYS}
                ops.append(kind(**values))
        tensors = tuple(Tensor(**(item | {"shape": tuple(item["shape"])})) for item in graph["tensors"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not an IntegerModel ({error!r}); delete it and run the workflow again"
        ) from error
    return IntegerModel(
        graph["name"], tensors, tuple(ops), graph["input"], graph["output"], graph["metadata"]
    )


def renamed(model: IntegerModel, name: str, **metadata: str) -> IntegerModel:
    """Return the model under another name with ``metadata`` added."""
    return replace(model, name=name, metadata=model.metadata | metadata)
