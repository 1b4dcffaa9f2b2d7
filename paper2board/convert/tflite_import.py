"""Read an int8 ``.tflite`` file as an IntegerModel.

Whatever the file holds, the result is a valid model or a :class:`UserError` of one sentence. Source: the
TFLite schema (``schema.fbs``) and the 8-bit quantization specification.

The generated schema classes read one field at a time, so nothing is allocated on the word of a length field:
a length is compared with its limit before the array is read. They refuse offsets
outside the file by raising one of :data:`DAMAGE`.
"""

import math
import re
import struct
from pathlib import Path
from typing import NoReturn

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.core.errors import UserError
from paper2board.model.integer_model import (
    CONCATENATION_MAX_INPUTS,
    Activation,
    Add,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    IntegerModel,
    Mean,
    Op,
    Pad,
    Padding,
    Pool2D,
    Reshape,
    Softmax,
    Tensor,
)

MAX_FILE_BYTES = 64 << 20
"""Far above what a microcontroller's flash holds."""
MAX_ACTIVATION_BYTES = 16 << 20
"""Far above a microcontroller's memory; simulating a batch of anything larger would not end well."""
MAX_ITEMS = 4096
"""Operators or tensors of one file."""

# Operators this project knows, and the newest version of each whose meaning it knows.
_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 6,
    "MAX_POOL_2D": 2,
    "AVERAGE_POOL_2D": 2,
    "ADD": 2,
    "RESHAPE": 1,
    "MEAN": 2,
    "PAD": 2,
    "SOFTMAX": 2,
    "CONCATENATION": 2,
}
_OPTIONS = {
    "CONV_2D": schema.Conv2DOptions,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptions,
    "FULLY_CONNECTED": schema.FullyConnectedOptions,
    "MAX_POOL_2D": schema.Pool2DOptions,
    "AVERAGE_POOL_2D": schema.Pool2DOptions,
    "ADD": schema.AddOptions,
    "MEAN": schema.ReducerOptions,
    "PAD": schema.PadOptions,
    "SOFTMAX": schema.SoftmaxOptions,
    "CONCATENATION": schema.ConcatenationOptions,
}
# (activations read, constants that follow them, those of the constants that may be missing); by default (1, 0, 0).
_ARITY = {
    "CONV_2D": (1, 2, 1),
    "DEPTHWISE_CONV_2D": (1, 2, 1),
    "FULLY_CONNECTED": (1, 2, 1),
    "ADD": (2, 0, 0),
    "RESHAPE": (1, 1, 1),
    "MEAN": (1, 1, 0),
    "PAD": (1, 1, 0),
}
_STEMS = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "fc",
    "MAX_POOL_2D": "pool",
    "AVERAGE_POOL_2D": "pool",
    "ADD": "add",
    "RESHAPE": "flatten",
    "MEAN": "mean",
    "PAD": "pad",
    "SOFTMAX": "softmax",
    "CONCATENATION": "concat",
}


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


_OPERATORS = _names(schema.BuiltinOperator)
_TYPES = _names(schema.TensorType)
_OPTION_TYPES = _names(schema.BuiltinOptions)
_PADDINGS: dict[int, Padding] = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_ACTIVATIONS: dict[int, Activation] = {
    schema.ActivationFunctionType.NONE: "NONE",
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
}
_NUMPY: dict[int, np.dtype] = {
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.INT32: np.dtype("<i4"),
}

# TFLite Micro would follow these: another memory plan, constants stored in another way.
_FOREIGN_METADATA = {b"OfflineMemoryAllocation", b"COMPRESSION_METADATA"}

# What the schema classes raise when an offset, length or string points outside the file.
DAMAGE = (struct.error, ValueError, TypeError, IndexError, AttributeError, OverflowError)


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
        return _File(label, data).model(name or "model")
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


class _File:
    """One file being read; ``where`` is the operator in hand, for messages."""

    def __init__(self, label: str, data: bytes):
        self.label = label
        self.where = ""
        self.fb = schema.Model.GetRootAs(data, 0)
        if self.fb.Version() != 3:
            self.refuse(f"has schema version {self.fb.Version()}, not 3")
        if self.fb.SubgraphsLength() != 1:
            self.refuse(f"has {self.fb.SubgraphsLength()} subgraphs, not 1")
        self.graph = self.fb.Subgraphs(0)
        for what, count in (
            ("operators", self.graph.OperatorsLength()),
            ("tensors", self.graph.TensorsLength()),
        ):
            if not 1 <= count <= MAX_ITEMS:
                self.refuse(f"has {count} {what}, not 1 to {MAX_ITEMS}")
        for i in range(min(self.fb.MetadataLength(), MAX_ITEMS)):
            if self.fb.Metadata(i).Name() in _FOREIGN_METADATA:
                self.refuse(f"has {self.fb.Metadata(i).Name().decode()} metadata", "convert it without")
        for i in range(self.graph.TensorsLength()):
            self.is_constant(self.tensor(i)[0])  # also those that no operator uses: TFLite Micro looks at all
        self.constant_bytes = 0
        self.tensors: list[Tensor] = []
        self.index: dict[int, int] = {}
        """File's tensor index → model's."""

    def refuse(self, what: str, remedy: str = "convert the network again to int8") -> NoReturn:
        raise UserError(f"{self.label}: {self.where}{what}; {remedy}")

    def model(self, name: str) -> IntegerModel:
        source, target = self.graph.InputsAsNumpy(), self.graph.OutputsAsNumpy()
        for what, indices in (("input", source), ("output", target)):
            if np.size(indices) != 1 or np.ndim(indices) != 1:
                self.refuse(
                    f"does not have exactly one {what}", "convert a network with one input and output"
                )
        kinds = [self.kind(i) for i in range(self.graph.OperatorsLength())]
        names = self.op_names(kinds)
        self.where = ""
        self.activation(int(source[0]), "input")
        ops = [self.op(i, kind, op_name) for i, (kind, op_name) in enumerate(zip(kinds, names, strict=True))]
        self.where = ""
        if int(target[0]) not in self.index:
            self.refuse("no operator computes its output")
        try:
            return IntegerModel(
                name, tuple(self.tensors), tuple(ops), self.index[int(source[0])], self.index[int(target[0])]
            )
        except UserError as error:
            raise UserError(f"{self.label}: {error}") from error

    # --- operators ---

    def kind(self, index: int) -> str:
        """Return the operator's type, checked with its version and arity."""
        self.where = f"operator {index}: "
        operator = self.graph.Operators(index)
        if not 0 <= operator.OpcodeIndex() < self.fb.OperatorCodesLength():
            self.refuse("has no operator code")
        code = self.fb.OperatorCodes(operator.OpcodeIndex())
        # Files from before code 127 existed hold the code in the deprecated field alone.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = _OPERATORS.get(number, str(number))
        self.where = f"operator {index} ({kind}): "
        if kind not in _VERSIONS:
            if operator.OutputsLength():
                self.where = (
                    f"operator {index} ({kind}, which writes {self.tensor(int(operator.Outputs(0)))[1]}): "
                )
            self.refuse("is not supported", f"use a network made of {', '.join(_VERSIONS)}")
        if not 1 <= code.Version() <= _VERSIONS[kind]:
            self.refuse(f"has version {code.Version()}, not 1 to {_VERSIONS[kind]}")
        most = CONCATENATION_MAX_INPUTS if kind == "CONCATENATION" else 3
        if not 1 <= operator.InputsLength() <= most or operator.OutputsLength() != 1:
            self.refuse("has the wrong number of inputs or outputs")
        if operator.BuiltinOptions2Type() or not operator.CustomOptionsIsNone():
            self.refuse("has options of another kind")
        if operator.IntermediatesLength() or operator.MutatingVariableInputsLength():
            self.refuse("has intermediate or variable tensors")
        return kind

    def op_names(self, kinds: list[str]) -> list[str]:
        names = []
        for i in range(len(kinds)):
            full = self.tensor(int(self.graph.Operators(i).Outputs(0)))[1]
            names.append(re.split("[;/]", full)[0])
        if len(set(names)) == len(names) and all(
            re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,39}", n) for n in names
        ):
            return names
        stems = [_STEMS[kind] for kind in kinds]
        return [f"{stem}{stems[:i].count(stem) + 1}" for i, stem in enumerate(stems)]

    def op(self, index: int, kind: str, name: str) -> Op:
        self.where = f"operator {index} ({kind} {name}): "
        operator = self.graph.Operators(index)
        indices = [int(operator.Inputs(i)) for i in range(operator.InputsLength())]
        target = int(operator.Outputs(0))
        read, constants, optional = _ARITY.get(kind, (1, 0, 0))
        if kind == "CONCATENATION":
            read = max(len(indices), 2)
        if not read + constants - optional <= len(indices) <= read + constants:
            self.refuse(f"has {len(indices)} inputs, not {read + constants}")
        sources = indices[:read]
        for source in sources:
            if source not in self.index:
                self.refuse(f"reads {self.tensor(source)[1]}, which nothing has computed")
        inputs = tuple(self.index[source] for source in sources)
        if target in self.index:
            self.refuse(f"writes {self.tensor(target)[1]} a second time")
        output = self.activation(target, name)
        if kind == "RESHAPE":
            if len(indices) == 2:
                self.check_shape_constant(indices[1], output)
            return Reshape(name, inputs, output)  # type: ignore[arg-type]
        options = self.options(operator, kind)
        if kind == "MEAN":
            self.check_axes(indices[1], inputs[0])
            if options.KeepDims() != (len(self.tensors[output].shape) == 3):
                self.refuse("does not keep the dimensions that its options say")
            return Mean(name, inputs, output)  # type: ignore[arg-type]
        if kind == "PAD":
            return Pad(name, inputs, output, self.paddings(indices[1]))  # type: ignore[arg-type]
        if kind == "SOFTMAX":
            return Softmax(name, inputs, output, options.Beta())  # type: ignore[arg-type]
        activation = _ACTIVATIONS.get(options.FusedActivationFunction())
        if activation is None:
            self.refuse("has a fused activation other than NONE, RELU, RELU6")
        if kind == "ADD":
            return Add(name, inputs, output, activation)  # type: ignore[arg-type]
        if kind == "CONCATENATION":
            if activation != "NONE":
                self.refuse("has a fused activation")
            rank = 1 + len(self.tensors[output].shape)
            axis = options.Axis() + (rank if options.Axis() < 0 else 0)
            if not 1 <= axis < rank:
                self.refuse(f"has axis {options.Axis()}, not one after the batch's")
            return Concatenation(name, inputs, output, axis - 1)  # type: ignore[arg-type]
        if kind == "FULLY_CONNECTED":
            if options.WeightsFormat() != 0:
                self.refuse("has shuffled weights")
            values = self.weights(indices, inputs[0], 2)
            return FullyConnected(name, inputs, output, *values, activation)  # type: ignore[arg-type]
        padding = _PADDINGS.get(options.Padding())
        if padding is None:
            self.refuse("has a padding other than SAME, VALID")
        stride = (options.StrideH(), options.StrideW())
        if min(stride) < 1 or max(stride) > MAX_ITEMS:
            self.refuse(f"has stride {stride}")
        if kind in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
            if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
                self.refuse("is dilated", "use a network without dilation")
            if kind == "CONV_2D":
                values = self.weights(indices, inputs[0], 4)
                return Conv2D(name, inputs, output, *values, stride, padding, activation)  # type: ignore[arg-type]
            values = self.weights(indices, inputs[0], 4, 3)
            multiplier, channels = options.DepthMultiplier(), self.tensors[inputs[0]].shape[-1]
            if multiplier * channels != values[0].shape[3]:
                self.refuse(
                    f"has depth multiplier {multiplier} for {channels} to {values[0].shape[3]} channels"
                )
            if len(values[0]) != 1:
                self.refuse(f"weights {self.tensor(indices[1])[1]} do not have shape (1, H, W, C)")
            values = (values[0][0], *values[1:])
            return DepthwiseConv2D(name, inputs, output, *values, stride, padding, activation)  # type: ignore[arg-type]
        kernel = (options.FilterHeight(), options.FilterWidth())
        if min(kernel) < 1 or max(kernel) > MAX_ITEMS:
            self.refuse(f"has kernel {kernel}")
        return Pool2D(kind, name, inputs, output, kernel, stride, padding, activation)  # type: ignore[arg-type]

    def options(self, operator: schema.Operator, kind: str):
        wanted = _OPTIONS[kind]
        if _OPTION_TYPES.get(operator.BuiltinOptionsType()) != wanted.__name__:
            self.refuse("lacks its options")
        table = operator.BuiltinOptions()
        options = wanted()
        options.Init(table.Bytes, table.Pos)
        return options

    def check_shape_constant(self, index: int, output: int) -> None:
        shape, name = self.constant(index, schema.TensorType.INT32)
        wanted = (1, *self.tensors[output].shape)
        unknown = -1  # as in numpy.reshape: the element count decides
        if shape.shape != (len(wanted),) or any(
            a not in (b, unknown) for a, b in zip(shape.tolist(), wanted, strict=True)
        ):
            self.refuse(f"its shape {name} is not its output's")

    def check_axes(self, index: int, source: int) -> None:
        axes, name = self.constant(index, schema.TensorType.INT32)
        rank = 1 + len(self.tensors[source].shape)
        if rank != 4 or axes.ndim != 1 or sorted(axes % rank) != [1, 2] or np.any(np.abs(axes) >= rank):
            self.refuse(f"its axes {name} are not the height and width of an image")

    def paddings(self, index: int) -> tuple[tuple[int, int], ...]:
        paddings, name = self.constant(index, schema.TensorType.INT32)
        if paddings.shape != (4, 2) or np.any(paddings[0] != 0) or np.any(paddings < 0):
            self.refuse(f"its paddings {name} are not (before, after) of height, width and channels")
        return tuple((int(before), int(after)) for before, after in paddings[1:])

    def weights(
        self, indices: list[int], source: int, rank: int, dimension: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (weights, bias, weight scales) of an op whose output channels are along ``dimension``."""
        weights, name = self.constant(indices[1], schema.TensorType.INT8)
        if weights.ndim != rank:
            self.refuse(f"weights {name} have {weights.ndim} dimensions, not {rank}")
        outputs = weights.shape[dimension]
        scales = self.scales(indices[1], {1, outputs}, dimension)
        if len(indices) < 3 or indices[2] == -1:
            return weights, np.zeros(outputs, np.int32), scales
        bias, name = self.constant(indices[2], schema.TensorType.INT32)
        if bias.shape != (outputs,):
            self.refuse(f"bias {name} has shape {bias.shape}, not {(outputs,)}")
        products = np.float64(np.float32(self.tensors[source].scale)) * scales
        if not np.allclose(self.scales(indices[2], {1, outputs}), products, rtol=1e-5, atol=0):
            self.refuse(f"scale of bias {name} is not the input's times the weights'")
        return weights, bias, scales

    # --- tensors ---

    def tensor(self, index: int) -> tuple[schema.Tensor, str]:
        if not 0 <= index < self.graph.TensorsLength():
            self.refuse(f"refers to tensor {index}, which does not exist")
        tensor = self.graph.Tensors(index)
        raw = (tensor.Name() or b"")[:200].decode("utf-8", "replace")
        return tensor, "".join(c if c.isprintable() else "?" for c in raw) or f"number {index}"

    def shape(self, tensor: schema.Tensor, name: str) -> tuple[int, ...]:
        if not 1 <= tensor.ShapeLength() <= 4:
            self.refuse(f"tensor {name} has {tensor.ShapeLength()} dimensions, not 1 to 4")
        shape = tuple(int(n) for n in tensor.ShapeAsNumpy())
        if min(shape) < 1:
            self.refuse(f"tensor {name} has shape {shape}")
        return shape

    def check_plain(self, tensor: schema.Tensor, name: str, wanted: int) -> None:
        if tensor.Type() != wanted:
            kind = _TYPES.get(tensor.Type(), tensor.Type())
            self.refuse(f"tensor {name} is {kind}, not {_TYPES[wanted]}")
        if tensor.IsVariable() or tensor.Sparsity() is not None or not tensor.VariantTensorsIsNone():
            self.refuse(f"tensor {name} is variable or sparse")

    def constant(self, index: int, wanted: int) -> tuple[np.ndarray, str]:
        """Return a constant tensor's values (a view of the file) and its name."""
        tensor, name = self.tensor(index)
        self.check_plain(tensor, name, wanted)
        shape = self.shape(tensor, name)
        if not 0 < tensor.Buffer() < self.fb.BuffersLength() or tensor.ExternalBuffer():
            self.refuse(f"tensor {name} is not a constant in this file")
        buffer = self.fb.Buffers(tensor.Buffer())
        if buffer.Offset() or buffer.Size():
            self.refuse(f"tensor {name} lies outside the flatbuffer")
        dtype = _NUMPY[wanted]
        if buffer.DataLength() != math.prod(shape) * dtype.itemsize:
            self.refuse(f"tensor {name} has {buffer.DataLength()} bytes of data, not {shape} {dtype}")
        self.constant_bytes += buffer.DataLength()
        if self.constant_bytes > MAX_FILE_BYTES:
            self.refuse(
                "constants shared by many operators are too large together", "choose a smaller network"
            )
        return np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype).reshape(shape).copy(), name

    def scales(self, index: int, lengths: set[int], dimension: int = 0) -> np.ndarray:
        """Return the float32 scales of a symmetrically quantized constant."""
        tensor, name = self.tensor(index)
        quantization = self.quantization(tensor, name)
        if quantization.ScaleLength() not in lengths:
            self.refuse(f"tensor {name} has {quantization.ScaleLength()} scales")
        scales = np.array(quantization.ScaleAsNumpy(), np.float32)
        if not np.all(np.isfinite(scales) & (scales > 0)):
            self.refuse(f"tensor {name} has a scale that is not a positive number")
        # Without them TFLite Micro takes the tensor for unquantized.
        if quantization.ZeroPointLength() != len(scales) or np.any(quantization.ZeroPointAsNumpy()):
            self.refuse(f"tensor {name} has zero points other than 0")
        if len(scales) > 1 and quantization.QuantizedDimension() != dimension:
            self.refuse(
                f"tensor {name} is quantized along dimension {quantization.QuantizedDimension()},"
                f" not {dimension}"
            )
        return scales

    def quantization(self, tensor: schema.Tensor, name: str) -> schema.QuantizationParameters:
        quantization = tensor.Quantization()
        if quantization is None or quantization.ScaleLength() == 0 or quantization.DetailsType() != 0:
            self.refuse(f"tensor {name} is not quantized by scale and zero point")
        return quantization

    def activation(self, index: int, op_name: str) -> int:
        """Add an activation to the model and return its index there."""
        tensor, name = self.tensor(index)
        self.check_plain(tensor, name, schema.TensorType.INT8)
        shape = self.shape(tensor, name)
        if len(shape) not in {2, 4} or shape[0] != 1:
            self.refuse(f"tensor {name} has shape {shape}, not (1, N) or (1, H, W, C)")
        if math.prod(shape) > MAX_ACTIVATION_BYTES:
            self.refuse(f"tensor {name} has shape {shape}, too large", "choose a smaller network")
        if self.is_constant(tensor):
            self.refuse(f"tensor {name} is a constant where an activation is expected")
        quantization = self.quantization(tensor, name)
        if (quantization.ScaleLength(), quantization.ZeroPointLength()) != (1, 1):
            self.refuse(f"tensor {name} does not have one scale and one zero point")
        scale, zero_point = float(quantization.Scale(0)), int(quantization.ZeroPoint(0))
        if not (math.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127):
            self.refuse(f"tensor {name} has scale {scale} and zero point {zero_point}")
        self.index[index] = len(self.tensors)
        self.tensors.append(Tensor(op_name, shape[1:], scale, zero_point))
        return self.index[index]

    def is_constant(self, tensor: schema.Tensor) -> bool:
        number = tensor.Buffer()
        if not 0 <= number < max(self.fb.BuffersLength(), 1):
            self.refuse(f"a tensor is in buffer {number}, which does not exist")
        return self.fb.BuffersLength() > 0 and self.fb.Buffers(number).DataLength() > 0
