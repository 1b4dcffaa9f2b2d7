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

from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes

Activation = Literal["NONE", "RELU", "RELU6"]
Padding = Literal["SAME", "VALID"]
INT8_MIN, INT8_MAX = -128, 127
ADD_LEFT_SHIFT = 20
AVERAGE_POOL_MAX_WINDOW = 65_535
"""Elements; the C engine divides by 16-bit numbers."""
SOFTMAX_MAX_DEPTH = 511
"""Equal inputs make 1/sum as small as 1/depth; from 512 on TFLite Micro's shift leaves its range and aborts."""
CONCATENATION_MAX_INPUTS = 10
"""What TFLite Micro has room for."""


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
class DepthwiseConv2D:
    """Depthwise convolution. ``weights`` int8 (kernel_h, kernel_w, out), ``bias`` int32 (out,),
    ``weight_scales`` float32 (out,) per channel or (1,) per tensor. Output channel c reads input channel
    c // multiplier alone, the (depth) multiplier being output channels / input channels."""

    type: ClassVar[str] = "DEPTHWISE_CONV_2D"
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


@dataclass(frozen=True)
class Mean:
    """Mean over H and W of an (H, W, C) tensor, as (C,) or (1, 1, C). Input and output may differ in scale
    and zero point."""

    type: ClassVar[str] = "MEAN"
    name: str
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Pad:
    """``paddings`` (before, after) along H, W and C, filled with the zero point; input and output share scale
    and zero point."""

    type: ClassVar[str] = "PAD"
    name: str
    inputs: tuple[int, ...]
    output: int
    paddings: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Softmax:
    """exp(beta · x) over its sum along the last axis. The output's scale is 1/256, its zero point −128."""

    type: ClassVar[str] = "SOFTMAX"
    name: str
    inputs: tuple[int, ...]
    output: int
    beta: float = 1.0


@dataclass(frozen=True)
class Concatenation:
    """Two or more tensors one after the other along ``axis`` (of H, W, C or of N); all have the output's scale
    and zero point."""

    type: ClassVar[str] = "CONCATENATION"
    name: str
    inputs: tuple[int, ...]
    output: int
    axis: int


Op = Conv2D | DepthwiseConv2D | FullyConnected | Pool2D | Add | Reshape | Mean | Pad | Softmax | Concatenation
Weighted = Conv2D | DepthwiseConv2D | FullyConnected
Activated = Conv2D | DepthwiseConv2D | FullyConnected | Pool2D | Add


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

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that it takes."""
        height, width, channels = self.tensors[self.input].shape
        return channels, height, width


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


def multiply(value: int, multiplier: int, shift: int) -> int:
    """Return TFLite's ``MultiplyByQuantizedMultiplier`` of an int32: ``value · multiplier · 2^(shift − 31)``,
    rounded twice (the product's half upwards, the right shift's half away from zero)."""
    left, right = max(shift, 0), max(-shift, 0)
    high = ((value << left) * multiplier + (1 << 30)) >> 31
    half = (1 << right) >> 1
    return high if right == 0 else (high + half - (high < 0)) >> right


def output_multipliers(model: IntegerModel, op: Weighted) -> list[tuple[int, int]]:
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


def mean_multiplier(model: IntegerModel, op: Mean) -> tuple[int, int]:
    """Return the (multiplier, shift) that takes ``sum − count · input zero point`` to the output's scale.

    The division by ``count``, H · W, is in the multiplier, which lies below 2^31 but not always above 2^30; the
    product is rounded like every other, the output's zero point added, the result clamped to int8.
    """
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    multiplier, shift = quantize_multiplier(float(np.float32(source.scale)) / float(np.float32(target.scale)))
    count = source.shape[0] * source.shape[1]
    extra = min(count.bit_length() - 1, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def softmax_parameters(model: IntegerModel, op: Softmax) -> tuple[int, int, int]:
    """Return (multiplier, shift, lowest difference) of a SOFTMAX.

    ``multiplier · 2^shift / 2^31`` takes an input's difference from its row's largest to beta · x with 26
    fractional bits; a difference below the lowest gives −128 and counts for nothing in the sum.
    """
    scale = float(np.float32(model.tensors[op.inputs[0]].scale))
    real = min(float(np.float32(op.beta)) * scale * (1 << 26), float((1 << 31) - 1))
    multiplier, shift = quantize_multiplier(real)
    return multiplier, shift, -((31 << 26) >> shift)


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


def kernel_size(op: Conv2D | DepthwiseConv2D | Pool2D) -> tuple[int, int]:
    """Return the (height, width) of an op's window."""
    if isinstance(op, Pool2D):
        return op.kernel
    height, width = op.weights.shape[1:3] if isinstance(op, Conv2D) else op.weights.shape[:2]
    return height, width


def depth_multiplier(model: IntegerModel, op: DepthwiseConv2D) -> int:
    """Return the number of output channels that read each input channel."""
    return model.tensors[op.output].shape[2] // model.tensors[op.inputs[0]].shape[2]


def largest_accumulators(weights: np.ndarray, bias: np.ndarray, zero_point: int) -> np.ndarray:
    """Return the greatest magnitude that each output channel's accumulator can have, int64 (out,).

    ``weights`` as an op has them (depthwise: three axes, output channels last); ``zero_point``: of the input.
    """
    window = (0, 1) if weights.ndim == 3 else tuple(range(1, weights.ndim))
    sums = np.abs(weights.astype(np.int64)).sum(axis=window)
    return sums * _largest_input(zero_point) + np.abs(bias.astype(np.int64))


def macs(model: IntegerModel, op: Op) -> int:
    """Return the multiply-accumulates of one op (0 for ops without weights)."""
    if isinstance(op, Conv2D):
        return model.tensors[op.output].size * op.weights[0].size
    if isinstance(op, DepthwiseConv2D):
        return model.tensors[op.output].size * op.weights[..., 0].size
    if isinstance(op, FullyConnected):
        return op.weights.size
    return 0


# --- consistency ------------------------------------------------------------------------------------

# What float32, and so a .tflite file, can say.
_SMALLEST_SCALE, _LARGEST_SCALE = 2.0**-149, float(np.finfo(np.float32).max)


def _check(model: IntegerModel) -> None:
    """Raise :class:`UserError` for the first thing that would make the model meaningless."""

    def require(condition: bool, op: Op, what: str) -> None:
        if not condition:
            raise UserError(f"model {model.name}: {op.type} {op.name}: {what}; quantize or convert it again")

    for tensor in model.tensors:
        scale_ok = _SMALLEST_SCALE <= tensor.scale <= _LARGEST_SCALE
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
        least, most = {"ADD": (2, 2), "CONCATENATION": (2, CONCATENATION_MAX_INPUTS)}.get(op.type, (1, 1))
        wanted = f"{least}" if least == most else f"{least} to {most}"
        require(least <= len(op.inputs) <= most, op, f"has {len(op.inputs)} inputs, not {wanted}")
        source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
        if isinstance(op, Activated) and op.activation == "RELU6":
            require(6.0 / target.scale < 1 << 30, op, f"scale {target.scale} is too small for RELU6")
        if isinstance(op, Weighted):
            require(op.weights.dtype == np.int8 and op.bias.dtype == np.int32, op, "weights int8, bias int32")
            rank = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 2}[op.type]
            require(op.weights.ndim == rank, op, f"weights do not have {rank} dimensions")
            require(op.bias.shape == (_channels(op),), op, "one bias an output channel")
            require(op.weight_scales.dtype == np.float32, op, "weight scales are float32")
            require(
                op.weight_scales.shape in {(1,), op.bias.shape}, op, "scales are per tensor or per channel"
            )
            require(
                bool(np.all(np.isfinite(op.weight_scales) & (op.weight_scales > 0))), op, "scale not positive"
            )
            require(_accumulators_fit(model, op), op, "its accumulators do not fit 32 bits")
        if isinstance(op, FullyConnected):
            require(op.weights.shape[1] == source.size, op, "input size differs from weights")
            require(target.shape == op.bias.shape, op, "output size differs from weights")
        if isinstance(op, Conv2D | DepthwiseConv2D | Pool2D):
            require(
                len(source.shape) == 3 and min(op.stride) >= 1, op, "input is not H, W, C or stride below 1"
            )
            if isinstance(op, Conv2D):
                require(op.weights.shape[3] == source.shape[2], op, "input channels differ")
            if isinstance(op, DepthwiseConv2D):
                require(
                    _channels(op) % source.shape[2] == 0, op, "output channels are no multiple of the input's"
                )
            channels = source.shape[2] if isinstance(op, Pool2D) else _channels(op)
            size = tuple(
                pad_before(source.shape[axis], kernel_size(op)[axis], op.stride[axis], op.padding)[1]
                for axis in (0, 1)
            )
            require(min(size) >= 1, op, "kernel is larger than its input")
            require(target.shape == (*size, channels), op, f"output shape is not {(*size, channels)}")
        if isinstance(op, Pool2D) and op.type == "AVERAGE_POOL_2D":
            require(math.prod(op.kernel) <= AVERAGE_POOL_MAX_WINDOW, op, "its window is too large")
        if isinstance(op, Pool2D | Reshape | Pad | Concatenation):
            same = all(
                (model.tensors[i].scale, model.tensors[i].zero_point) == (target.scale, target.zero_point)
                for i in op.inputs
            )
            require(same, op, "input and output have different quantization")
        if isinstance(op, Reshape):
            require(source.size == target.size, op, "element counts differ")
        if isinstance(op, Add):
            # TFLite Micro aborts the whole process on an ADD whose last multiplier is 1 or more.
            require(add_multipliers(model, op)[2][1] <= 0, op, "output scale is far below the inputs'")
            require(model.tensors[op.inputs[1]].shape == source.shape == target.shape, op, "shapes differ")
        if isinstance(op, Mean):
            require(len(source.shape) == 3, op, "input is not H, W, C")
            channels = source.shape[2]
            require(target.shape in {(channels,), (1, 1, channels)}, op, f"output shape is not {(channels,)}")
            largest = source.shape[0] * source.shape[1] * _largest_input(source.zero_point)
            require(_shifted_fits(largest, mean_multiplier(model, op)[1]), op, "its sum does not fit 32 bits")
        if isinstance(op, Pad):
            require(len(source.shape) == 3 and len(op.paddings) == 3, op, "input or paddings are not H, W, C")
            pairs = all(len(pair) == 2 and min(pair) >= 0 for pair in op.paddings)
            require(pairs, op, "a padding is not two numbers from 0")
            padded = tuple(n + sum(pair) for n, pair in zip(source.shape, op.paddings, strict=True))
            require(target.shape == padded, op, f"output shape is not {padded}")
        if isinstance(op, Softmax):
            require(source.shape == target.shape, op, "shapes differ")
            require(
                (target.scale, target.zero_point) == (1 / 256, -128),
                op,
                "output scale is not 1/256 or zero point not -128",
            )
            require(source.shape[-1] <= SOFTMAX_MAX_DEPTH, op, f"more than {SOFTMAX_MAX_DEPTH} elements")
            require(0 < op.beta <= _LARGEST_SCALE, op, f"beta {op.beta} is not a positive number")
            # TFLite Micro aborts where one step of the input is lost below the 26 fractional bits.
            step = float(np.float32(op.beta)) * float(np.float32(source.scale)) * (1 << 26)
            require(step > 1, op, "beta times input scale is too small")
        if isinstance(op, Concatenation):
            require(0 <= op.axis < len(target.shape), op, f"axis {op.axis} does not exist")
            shapes = [model.tensors[i].shape for i in op.inputs]
            total = sum(shape[op.axis] for shape in shapes if len(shape) == len(target.shape))
            require(
                all((*shape[: op.axis], total, *shape[op.axis + 1 :]) == target.shape for shape in shapes),
                op,
                "shapes do not add up to the output's",
            )
    if not model.ops or model.output not in known:
        raise UserError(f"model {model.name}: nothing computes its output; convert it again")


def _channels(op: Weighted) -> int:
    return op.weights.shape[-1 if isinstance(op, DepthwiseConv2D) else 0]


def _largest_input(zero_point: int) -> int:
    """Return the largest magnitude of q − zero_point."""
    return max(INT8_MAX - zero_point, zero_point - INT8_MIN)


def _shifted_fits(largest: int, shift: int) -> bool:
    """Tell whether a magnitude of ``largest``, shifted left where ``shift`` is positive, fits int32."""
    return shift <= 31 and largest << max(shift, 0) <= 0x7FFFFFFF


def _accumulators_fit(model: IntegerModel, op: Weighted) -> bool:
    """Tell whether no input makes an accumulator, or its left shift by the multiplier, exceed 32 bits.

    Then integer arithmetic is the same in 64 bits (simulation), and in 32 (TFLite Micro, the C engine).
    """
    largest = largest_accumulators(op.weights, op.bias, model.tensors[op.inputs[0]].zero_point)
    try:
        with np.errstate(over="ignore"):
            shifts = [shift for _, shift in output_multipliers(model, op)]
    except OverflowError:  # a product of scales beyond float32
        return False
    return all(_shifted_fits(int(a), shift) for a, shift in zip(largest, shifts, strict=True))


# --- file -------------------------------------------------------------------------------------------

_ARRAYS = ("weights", "bias", "weight_scales")
_OPS: dict[str, type] = {
    "CONV_2D": Conv2D,
    "DEPTHWISE_CONV_2D": DepthwiseConv2D,
    "FULLY_CONNECTED": FullyConnected,
    "MAX_POOL_2D": Pool2D,
    "AVERAGE_POOL_2D": Pool2D,
    "ADD": Add,
    "RESHAPE": Reshape,
    "MEAN": Mean,
    "PAD": Pad,
    "SOFTMAX": Softmax,
    "CONCATENATION": Concatenation,
}


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
                values = {key: _tuples(value) for key, value in plain.items()}
                if kind is not Pool2D:
                    del values["type"]
                if kind in (Conv2D, DepthwiseConv2D, FullyConnected):
                    values |= {key: stream.get_tensor(f"{index}.{key}") for key in _ARRAYS}
                ops.append(kind(**values))
        tensors = tuple(Tensor(**(item | {"shape": tuple(item["shape"])})) for item in graph["tensors"])
        return IntegerModel(
            graph["name"], tensors, tuple(ops), graph["input"], graph["output"], graph["metadata"]
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not an IntegerModel ({error!r}); delete it and run the workflow again"
        ) from error


def _tuples(value):
    """Return JSON's lists, which stand for tuples, as such."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def renamed(model: IntegerModel, name: str, **metadata: str) -> IntegerModel:
    """Return the model under another name with ``metadata`` added."""
    return replace(model, name=name, metadata=model.metadata | metadata)
