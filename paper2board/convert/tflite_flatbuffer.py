"""IntegerModel written as a ``.tflite`` flatbuffer with the schema classes that ``tflite-micro`` bundles."""

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.model.integer_model import (
    Add,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    IntegerModel,
    Mean,
    Op,
    Pad,
    Reshape,
    Softmax,
    Weighted,
    depth_multiplier,
)

_OPERATOR_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "MAX_POOL_2D": 2,
    "AVERAGE_POOL_2D": 2,
    "ADD": 2,
    "RESHAPE": 1,
    "MEAN": 2,
    "PAD": 2,
    "SOFTMAX": 2,
    "CONCATENATION": 2,
}


def write_flatbuffer(model: IntegerModel) -> bytes:
    """Return ``model`` as a ``.tflite`` file written with the schema classes alone, without TensorFlow.

    Same model, same bytes. A tensor has the name of the op that writes it, so the op's name survives.
    """
    kinds = sorted({op.type for op in model.ops})
    graph = schema.SubGraphT(name="main", tensors=[], operators=[])
    file = schema.ModelT(
        version=3,
        description=f"paper2board {model.name}",
        operatorCodes=[_operator_code(kind) for kind in kinds],
        subgraphs=[graph],
        buffers=[schema.BufferT()],
    )
    names = {model.input: "input"} | {op.output: op.name for op in model.ops}
    indices = {
        index: _add_tensor(graph, 0, name, model.tensors[index].shape, schema.TensorType.INT8,
                           _quantization([model.tensors[index].scale], model.tensors[index].zero_point))
        for index, name in names.items()
    }  # fmt: skip
    for op in model.ops:
        inputs = [indices[i] for i in op.inputs]
        if isinstance(op, Weighted):
            input_scale = np.float64(np.float32(model.tensors[op.inputs[0]].scale))
            depthwise = isinstance(op, DepthwiseConv2D)
            weights = op.weights[np.newaxis] if depthwise else op.weights
            inputs += [
                _add_constant(file, f"{op.name}/weights", weights, op.weight_scales, 3 if depthwise else 0),
                _add_constant(file, f"{op.name}/bias", op.bias, input_scale * op.weight_scales),
            ]
        if isinstance(op, Reshape):
            shape = np.array((1, *model.tensors[op.output].shape), np.int32)
            inputs.append(_add_constant(file, f"{op.name}/shape", shape, None))
        if isinstance(op, Mean):
            inputs.append(_add_constant(file, f"{op.name}/axes", np.array((1, 2), np.int32), None))
        if isinstance(op, Pad):
            paddings = np.array(((0, 0), *op.paddings), np.int32)
            inputs.append(_add_constant(file, f"{op.name}/paddings", paddings, None))
        graph.operators.append(
            schema.OperatorT(
                opcodeIndex=kinds.index(op.type),
                inputs=inputs,
                outputs=[indices[op.output]],
                builtinOptionsType=_OPTIONS_TYPES[op.type],
                builtinOptions=_options(model, op),
            )
        )
    graph.inputs, graph.outputs = [indices[model.input]], [indices[model.output]]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


_OPTIONS_TYPES = {
    "CONV_2D": schema.BuiltinOptions.Conv2DOptions,
    "DEPTHWISE_CONV_2D": schema.BuiltinOptions.DepthwiseConv2DOptions,
    "FULLY_CONNECTED": schema.BuiltinOptions.FullyConnectedOptions,
    "MAX_POOL_2D": schema.BuiltinOptions.Pool2DOptions,
    "AVERAGE_POOL_2D": schema.BuiltinOptions.Pool2DOptions,
    "ADD": schema.BuiltinOptions.AddOptions,
    "RESHAPE": schema.BuiltinOptions.ReshapeOptions,
    "MEAN": schema.BuiltinOptions.ReducerOptions,
    "PAD": schema.BuiltinOptions.PadOptions,
    "SOFTMAX": schema.BuiltinOptions.SoftmaxOptions,
    "CONCATENATION": schema.BuiltinOptions.ConcatenationOptions,
}


def _operator_code(kind: str) -> schema.OperatorCodeT:
    code = getattr(schema.BuiltinOperator, kind)
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=code, builtinCode=code, version=_OPERATOR_VERSIONS[kind]
    )


def _options(model: IntegerModel, op: Op):
    if isinstance(op, Reshape):
        return schema.ReshapeOptionsT(newShape=[1, *model.tensors[op.output].shape])
    if isinstance(op, Mean):
        return schema.ReducerOptionsT(keepDims=len(model.tensors[op.output].shape) == 3)
    if isinstance(op, Pad):
        return schema.PadOptionsT()
    if isinstance(op, Softmax):
        return schema.SoftmaxOptionsT(beta=op.beta)
    if isinstance(op, Concatenation):
        return schema.ConcatenationOptionsT(axis=1 + op.axis)
    activation = getattr(schema.ActivationFunctionType, op.activation)
    if isinstance(op, FullyConnected):
        return schema.FullyConnectedOptionsT(fusedActivationFunction=activation)
    if isinstance(op, Add):
        return schema.AddOptionsT(fusedActivationFunction=activation)
    window = {
        "padding": getattr(schema.Padding, op.padding),
        "strideH": op.stride[0],
        "strideW": op.stride[1],
        "fusedActivationFunction": activation,
    }
    if isinstance(op, Conv2D):
        return schema.Conv2DOptionsT(**window, dilationHFactor=1, dilationWFactor=1)
    if isinstance(op, DepthwiseConv2D):
        return schema.DepthwiseConv2DOptionsT(
            **window, depthMultiplier=depth_multiplier(model, op), dilationHFactor=1, dilationWFactor=1
        )
    return schema.Pool2DOptionsT(**window, filterHeight=op.kernel[0], filterWidth=op.kernel[1])


def _quantization(scales, zero_point: int = 0, dimension: int = 0) -> schema.QuantizationParametersT:
    return schema.QuantizationParametersT(
        scale=np.asarray(scales, np.float32),
        zeroPoint=np.full(len(scales), zero_point, np.int64),
        quantizedDimension=dimension,
    )


def _add_constant(
    file: schema.ModelT, name: str, values: np.ndarray, scales: np.ndarray | None, dimension: int = 0
) -> int:
    kind = schema.TensorType.INT8 if values.dtype == np.int8 else schema.TensorType.INT32
    data = np.frombuffer(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes(), np.uint8)
    file.buffers.append(schema.BufferT(data=data))
    quantization = None if scales is None else _quantization(scales, dimension=dimension)
    return _add_tensor(file.subgraphs[0], len(file.buffers) - 1, name, values.shape, kind, quantization)


def _add_tensor(
    graph: schema.SubGraphT,
    buffer: int,
    name: str,
    shape: tuple[int, ...],
    kind: int,
    quantization: schema.QuantizationParametersT | None,
) -> int:
    """Append a tensor (an activation, in buffer 0, gets the batch axis) and return its index."""
    graph.tensors.append(
        schema.TensorT(
            shape=[*shape] if buffer else [1, *shape],
            type=kind,
            buffer=buffer,
            name=name,
            quantization=quantization,
        )
    )
    return len(graph.tensors) - 1
