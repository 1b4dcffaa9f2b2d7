"""A ``.tflite`` file's tables, read with every limit checked, and its operators as their rows read them.

The generated schema classes read one field at a time, so nothing is allocated on the word of a length field:
a length is compared with its limit before the array is read. They refuse offsets outside the file by raising one of
:data:`DAMAGE`.
"""

import math
import struct
from typing import Any, NoReturn

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.core.errors import UserError
from paper2board.model.integer_model import State
from paper2board.model.operators.moving import Constant, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.tensor import INT8_MIN, Activation, Padding, Tensor

MAX_FILE_BYTES = 64 << 20
"""Far above what a microcontroller's flash holds."""
MAX_ACTIVATION_BYTES = 16 << 20
"""Far above a microcontroller's memory; simulating a batch of anything larger would not end well."""
MAX_ITEMS = 4096
"""Operators or tensors of one file."""
MAX_SUBGRAPHS = 16
MAX_RANK = 6


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


OPERATOR_NAMES = _names(schema.BuiltinOperator)
TENSOR_TYPES = _names(schema.TensorType)
OPTION_TYPES = _names(schema.BuiltinOptions)
_PADDINGS: dict[int, Padding] = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_ACTIVATIONS: dict[int, Activation] = {
    schema.ActivationFunctionType.NONE: "NONE",
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
}
_NUMPY: dict[int, np.dtype] = {
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.INT16: np.dtype("<i2"),
    schema.TensorType.INT32: np.dtype("<i4"),
    schema.TensorType.INT64: np.dtype("<i8"),
    schema.TensorType.BOOL: np.dtype(np.bool_),
}

# TFLite Micro would follow these: another memory plan, constants stored in another way.
_FOREIGN_METADATA = {b"OfflineMemoryAllocation", b"COMPRESSION_METADATA"}

# What the schema classes raise when an offset, length or string points outside the file.
DAMAGE = (struct.error, ValueError, TypeError, IndexError, AttributeError, OverflowError)


def without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a file's shape as a model's: a first dimension of 1 is the batch, unless it is the only one."""
    if len(shape) > 1 and shape[0] == 1:
        return shape[1:]
    return shape or (1,)


class RefusalError(UserError):
    """One thing that the file says and an IntegerModel cannot: what, and the remedy."""

    def __init__(self, place: str, what: str, remedy: str) -> None:
        super().__init__(f"{place}{what}; {remedy}")
        self.what, self.remedy = what, remedy


class TfliteFile:
    """One file being read; ``where`` is the operator in hand, for messages."""

    def __init__(self, label: str, data: bytes):
        self.label = label
        self.where = ""
        self.fb = schema.Model.GetRootAs(data, 0)
        if self.fb.Version() != 3:
            self.refuse(f"has schema version {self.fb.Version()}, not 3")
        if not 1 <= self.fb.SubgraphsLength() <= MAX_SUBGRAPHS:
            self.refuse(f"has {self.fb.SubgraphsLength()} subgraphs, not 1 to {MAX_SUBGRAPHS}")
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
        self.states: list[State] = []
        """Variable tensors: states that their operators change."""
        self.known: dict[int, np.ndarray] = {}
        """Values of tensors that operators compute, but that do not depend on the network's inputs."""

    def refuse(self, what: str, remedy: str = "convert the network again to int8") -> NoReturn:
        raise RefusalError(f"{self.label}: {self.where}", what, remedy)

    def tensor(self, index: int) -> tuple[schema.Tensor, str]:
        if not 0 <= index < self.graph.TensorsLength():
            self.refuse(f"refers to tensor {index}, which does not exist")
        tensor = self.graph.Tensors(index)
        raw = (tensor.Name() or b"")[:200].decode("utf-8", "replace")
        return tensor, "".join(c if c.isprintable() else "?" for c in raw) or f"number {index}"

    def shape(self, tensor: schema.Tensor, name: str) -> tuple[int, ...]:
        if not 0 <= tensor.ShapeLength() <= MAX_RANK:
            self.refuse(f"tensor {name} has {tensor.ShapeLength()} dimensions, not 0 to {MAX_RANK}")
        shape = tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
        if min(shape, default=1) < 1:
            self.refuse(f"tensor {name} has shape {shape}")
        return shape

    def check_plain(self, tensor: schema.Tensor, name: str, wanted: int) -> None:
        if tensor.Type() != wanted:
            kind = TENSOR_TYPES.get(tensor.Type(), tensor.Type())
            self.refuse(f"tensor {name} is {kind}, not {TENSOR_TYPES[wanted]}")
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

    def scales(self, index: int, lengths: set[int], dimension: int | None = 0) -> np.ndarray:
        """Return the float32 scales of a symmetrically quantized constant. ``dimension`` None: along any."""
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
        if len(scales) > 1 and dimension not in (None, quantization.QuantizedDimension()):
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
        """Add an activation to the model and return its index there.

        Its shape in the model is :func:`without_batch` of its shape in the file.
        """
        tensor, name = self.tensor(index)
        self.check_plain(tensor, name, schema.TensorType.INT8)
        shape = self.shape(tensor, name)
        if math.prod(shape) > MAX_ACTIVATION_BYTES:
            self.refuse(f"tensor {name} has shape {shape}, too large", "choose a smaller network")
        if self.is_constant(tensor):
            self.refuse(f"tensor {name} is a constant where an activation is expected")
        scale, zero_point = self.one_scale(tensor, name, (-128, 127))
        self.index[index] = self.add(Tensor(op_name, without_batch(shape), scale, zero_point))
        return self.index[index]

    def one_scale(self, tensor: schema.Tensor, name: str, limits: tuple[int, int]) -> tuple[float, int]:
        """Return scale and zero point of a tensor that has one of each."""
        quantization = self.quantization(tensor, name)
        if (quantization.ScaleLength(), quantization.ZeroPointLength()) != (1, 1):
            self.refuse(f"tensor {name} does not have one scale and one zero point")
        scale, zero_point = float(quantization.Scale(0)), int(quantization.ZeroPoint(0))
        if not (math.isfinite(scale) and scale > 0 and limits[0] <= zero_point <= limits[1]):
            self.refuse(f"tensor {name} has scale {scale} and zero point {zero_point}")
        return scale, zero_point

    def add(self, tensor: Tensor) -> int:
        """Add a tensor to the model and return its index there."""
        if len(self.tensors) >= 2 * MAX_ITEMS:
            self.refuse("needs too many tensors", "choose a smaller network")
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def values(self, index: int) -> np.ndarray | None:
        """Return the values of a tensor that does not depend on the network's inputs; None for others."""
        if index in self.known:
            return self.known[index]
        tensor = self.tensor(index)[0]
        if not self.is_constant(tensor) or tensor.Type() not in _NUMPY:
            return None
        return self.constant(index, tensor.Type())[0]

    def is_constant(self, tensor: schema.Tensor) -> bool:
        number = tensor.Buffer()
        if not 0 <= number < max(self.fb.BuffersLength(), 1):
            self.refuse(f"a tensor is in buffer {number}, which does not exist")
        return self.fb.BuffersLength() > 0 and self.fb.Buffers(number).DataLength() > 0


class TfliteNode:
    """One operator of a file while its ops are made: what it reads and writes, as tensors of the model."""

    def __init__(
        self, file: TfliteFile, operator: schema.Operator, kind: str, name: str, ops: list[Op]
    ) -> None:
        self.file, self.operator, self.kind, self.name, self._ops = file, operator, kind, name, ops
        self.sources = [int(operator.Inputs(i)) for i in range(operator.InputsLength())]
        """The file's tensors that it reads (−1: left out)."""
        self.targets = [int(operator.Outputs(i)) for i in range(operator.OutputsLength())]
        """The file's tensors that it writes."""

    def refuse(self, what: str, remedy: str = "convert the network again to int8") -> NoReturn:
        """Raise :class:`UserError` that names file and operator."""
        self.file.refuse(what, remedy)

    def options(self, table_name: str) -> Any:
        """Return its options table; refuse a file without."""
        if OPTION_TYPES.get(self.operator.BuiltinOptionsType()) != table_name:
            self.refuse("lacks its options")
        table = self.operator.BuiltinOptions()
        options = getattr(schema, table_name)()
        options.Init(table.Bytes, table.Pos)
        return options

    def has(self, position: int) -> bool:
        """Return whether the input at ``position`` is there."""
        return position < len(self.sources) and self.sources[position] != -1

    def shape(self, position: int) -> tuple[int, ...]:
        """Return the shape of an input in the file."""
        if not self.has(position):
            self.refuse(f"has no input {position}")
        return self.file.shape(*self.file.tensor(self.sources[position]))

    def target_shape(self, position: int = 0) -> tuple[int, ...]:
        """Return the shape of an output in the file."""
        if position >= len(self.targets):
            self.refuse(f"has no output {position}")
        return self.file.shape(*self.file.tensor(self.targets[position]))

    def values(self, position: int) -> np.ndarray | None:
        """Return an input's values if they do not depend on the network's inputs."""
        return self.file.values(self.sources[position]) if self.has(position) else None

    def integers(self, position: int) -> np.ndarray:
        """Return an input's values, int64, which must not depend on the network's inputs."""
        if not self.has(position):
            self.refuse(f"has no input {position}")
        values = self.values(position)
        if values is None or values.dtype.kind not in "ib":
            self.refuse(
                f"its input {position} depends on the network's inputs",
                "use a network with fixed shapes and indices",
            )
        return values.astype(np.int64)

    def source(self, position: int) -> int:
        """Return an input as a tensor of the model; a constant becomes one."""
        if not self.has(position):
            self.refuse(f"has no input {position}")
        index = self.sources[position]
        if index in self.file.index:
            return self.file.index[index]
        tensor, name = self.file.tensor(index)
        values = self.file.values(index)
        if values is None:
            self.refuse(f"reads {name}, which nothing has computed")
        if values.dtype != np.int8:
            self.refuse(f"reads {name}, a constant of {values.dtype}")
        scale, zero_point = self.file.one_scale(tensor, name, (-128, 127))
        shape = without_batch(values.shape)
        self.file.index[index] = self.file.add(Tensor(name, shape, scale, zero_point))
        constant = Constant(
            f"constant{len(self._ops) + 1}", (), self.file.index[index], values.reshape(shape)
        )
        self._ops.append(constant)
        return self.file.index[index]

    def target(self, position: int = 0) -> int:
        """Add an output to the model and return its tensor there."""
        if position >= len(self.targets):
            self.refuse(f"has no output {position}")
        index = self.targets[position]
        if index in self.file.index:
            self.refuse(f"writes {self.file.tensor(index)[1]} a second time")
        name = self.name if position == 0 else f"{self.name}_{position}"
        return self.file.activation(index, name)

    def indices(self) -> int:
        """Add the output, int32 in the file, as a tensor of indices to the model and return that."""
        shape = without_batch(self.target_shape())
        self.file.index[self.targets[0]] = self.file.add(Tensor(self.name, shape, 1.0, INT8_MIN))
        return self.file.index[self.targets[0]]

    def tensor(self, index: int) -> Tensor:
        """Return a tensor of the model."""
        return self.file.tensors[index]

    def between(self, shape: tuple[int, ...], like: int) -> int:
        """Add a tensor with the quantization of another, which is in no file."""
        tensor = self.file.tensors[like]
        return self.file.add(Tensor(f"{self.name}_{len(self.file.tensors)}", shape, *tensor.quantization))

    def emit(self, kind: type[Op], inputs: tuple[int, ...], output: int, **fields: Any) -> int:
        """Add an op to the model and return its output. The last op of a node has the node's name."""
        taken = sum(op.name == self.name or op.name.startswith(f"{self.name}__") for op in self._ops)
        name = f"{self.name}__{taken}" if taken else self.name
        self._ops.append(kind(name=name, inputs=inputs, output=output, **fields))  # type: ignore[call-arg]
        return output

    def view(self, source: int, target: int) -> int:
        """Make ``target`` the values of ``source`` under another shape."""
        return self.emit(Reshape, (source,), target)

    def viewed(self, tensor: int, shape: tuple[int, ...]) -> int:
        """Return a tensor under another shape."""
        if self.tensor(tensor).shape == shape:
            return tensor
        return self.emit(Reshape, (tensor,), self.between(shape, tensor))


class TfliteOperator:
    """One operator of a file, as its row reads it.

    ``inputs`` and ``output`` are indices of the model's tensors. ``constants`` are those of the file's tensors that
    follow the inputs (−1: left out). ``options`` names its options table.
    """

    def __init__(
        self,
        file: TfliteFile,
        operator: schema.Operator,
        options: str | None,
        inputs: tuple[int, ...],
        output: int,
        constants: list[int],
    ) -> None:
        self._file, self._operator, self._options = file, operator, options
        self.inputs, self.output, self.constants = inputs, output, constants

    @property
    def source(self) -> Tensor:
        """Its first input."""
        return self._file.tensors[self.inputs[0]]

    @property
    def target(self) -> Tensor:
        """Its output."""
        return self._file.tensors[self.output]

    def refuse(self, what: str, remedy: str = "convert the network again to int8") -> NoReturn:
        """Raise :class:`UserError` that names file and operator."""
        self._file.refuse(what, remedy)

    def options(self) -> Any:
        """Return its options table; refuse a file without."""
        if self._options is None or OPTION_TYPES.get(self._operator.BuiltinOptionsType()) != self._options:
            self.refuse("lacks its options")
        table = self._operator.BuiltinOptions()
        options = getattr(schema, self._options)()
        options.Init(table.Bytes, table.Pos)
        return options

    def activation(self, options: Any) -> Activation:
        """Return the fused activation."""
        activation = _ACTIVATIONS.get(options.FusedActivationFunction())
        if activation is None:
            self.refuse(
                "has a fused activation other than NONE, RELU, RELU6", "use ReLU or ReLU6, and train again"
            )
        return activation

    def padding(self, options: Any) -> Padding:
        """Return the padding of a window."""
        padding = _PADDINGS.get(options.Padding())
        if padding is None:
            self.refuse("has a padding other than SAME, VALID")
        return padding

    def pair(self, what: str, *values: int) -> tuple[int, int]:
        """Return two sizes from 1 to :data:`MAX_ITEMS`."""
        height, width = values
        if min(values) < 1 or max(values) > MAX_ITEMS:
            self.refuse(f"has {what} {(height, width)}")
        return height, width

    def integers(self, position: int) -> tuple[np.ndarray, str]:
        """Return the values, int32 or int64, and the name of what at ``position`` does not depend on the inputs."""
        index = self.constants[position]
        values, name = self._file.values(index), self._file.tensor(index)[1]
        if values is None or values.dtype.kind != "i" or values.dtype.itemsize < 4:
            self._file.refuse(f"tensor {name} is no constant of int32 or int64")
        return values, name

    def int8(self, position: int) -> tuple[np.ndarray, str]:
        """Return the values, int8, and the name of the constant at ``position``."""
        return self._file.constant(self.constants[position], schema.TensorType.INT8)

    def scales(self, position: int, lengths: set[int], dimension: int | None = 0) -> np.ndarray:
        """Return the scales, float32, of the symmetrically quantized constant at ``position``, along ``dimension``
        (None: any)."""
        return self._file.scales(self.constants[position], lengths, dimension)

    def has(self, position: int) -> bool:
        """Return whether the constant at ``position`` is there."""
        return position < len(self.constants) and self.constants[position] != -1
