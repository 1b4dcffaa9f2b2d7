"""A network as a microcontroller runs it: layers in their order, what each reads, holds and costs.

Two sources: a PyTorch module (traced, shapes propagated on the meta device, so nothing is computed) and an
:class:`~paper2board.model.integer_model.IntegerModel`. In both a layer is what TFLite runs as one op: batch
normalisation is folded into the convolution before it, ReLU and ReLU6 are the last act of a convolution, a linear
layer, a pooling or a sum, and a convolution pads by itself. Sizes are those of int8: one byte an element, four
bytes a bias.
"""

import math
import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from paper2board.convert.c_layers import weighted_layer
from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights
from paper2board.convert.lowering import lower, storage
from paper2board.convert.steps import Operand, Step, row_bytes, rows
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D


@dataclass(frozen=True)
class Layer:
    """One layer. ``operands`` name the layers it reads by their place in the graph; see
    :class:`~paper2board.convert.steps.Operand` for which rows. The first layer of a graph is the input's arrival.

    ``weighted``: what a kernel of the engine gets of it, of a grouped convolution one of its ``groups``.
    """

    name: str
    operands: tuple[Operand, ...]
    rows: int
    row_bytes: int
    macs: int = 0
    weights: int = 0
    biases: int = 0
    weighted: Convolution | FullyConnectedWeights | None = None
    groups: int = 1
    max_pool: bool = False
    """Whether it is the largest value of each window, which a convolution before it can take in."""

    @property
    def bytes(self) -> int:
        """Bytes of its output."""
        return self.rows * self.row_bytes


@dataclass(frozen=True)
class Graph:
    """Layers in execution order; the last one's output is the network's.

    ``parameters``: what is trained, as papers print it (scale and shift of batch normalisation included).
    ``family``: that of a published network; None for this project's own.
    """

    name: str
    layers: tuple[Layer, ...]
    parameters: int
    family: str | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, padding counted."""
        return sum(layer.macs for layer in self.layers)

    @property
    def folded(self) -> int:
        """Weights and biases that are left to store."""
        return sum(layer.weights + layer.biases for layer in self.layers)

    @property
    def flash_bytes(self) -> int:
        """Bytes of int8 weights and int32 biases."""
        return sum(layer.weights + 4 * layer.biases for layer in self.layers)

    def pooled(self) -> "Graph":
        """Return the graph as the engine streams it: a max pooling whose windows do not overlap is the last act of
        the convolution that it alone reads."""
        readers = Counter(operand.tensor for layer in self.layers for operand in layer.operands)
        place: list[int] = []
        layers: list[Layer] = []
        for layer in self.layers:
            source = layer.operands[0].tensor if layer.operands else -1
            window = layer.operands[0] if layer.operands else None
            if (
                window is not None
                and layer.max_pool
                and readers[source] == 1
                and self.layers[source].weighted is not None
                and (window.stride, window.pad) == (window.height, 0)
                and layer.rows * window.height <= self.layers[source].rows
            ):
                conv = layers[place[source]]
                below = conv.operands[0]
                height = (window.height - 1) * below.stride + below.height
                operand = Operand(below.tensor, height, below.stride * window.stride, below.pad)
                layers[place[source]] = replace(
                    conv, operands=(operand,), rows=layer.rows, row_bytes=layer.row_bytes
                )
                place.append(place[source])
                continue
            place.append(len(layers))
            operands = tuple(replace(operand, tensor=place[operand.tensor]) for operand in layer.operands)
            layers.append(replace(layer, operands=operands))
        return replace(self, layers=tuple(layers))

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all activations together, the input included: what memory without sharing would take."""
        return sum(layer.bytes for layer in self.layers)


# --- an integer model -------------------------------------------------------------------------------


def of_integer_model(model: IntegerModel) -> Graph:
    """Return the graph of an integer model; a pooling that the engine would fuse is a layer of its own."""
    owner, maker = storage(model), {}
    layers: list[Layer] = []

    def add(step: Step, op: Op | None, output: int, operands: tuple[Operand, ...]) -> None:
        maker[output] = len(layers)
        layer = Layer(model.tensors[output].name, operands, rows(model, output), row_bytes(model, output))
        weighted = weighted_layer(model, replace(step, op=op, output=output, pool=None))
        if op and weighted:
            layer = replace(
                layer,
                macs=op.macs(model.tensors),
                weights=weighted.weights.size,
                biases=weighted.bias.size,
                weighted=weighted,
            )
        layers.append(replace(layer, max_pool=isinstance(op, Pool2D) and op.type == "MAX_POOL_2D"))

    for step in lower(model, fuse=True):
        operands = tuple(
            Operand(
                maker[owner[o.tensor]],
                o.height if owner[o.tensor] == o.tensor else 0,
                o.stride,
                o.pad,
            )
            for o in step.operands
            # Constants and states are there without a layer.
            if owner[o.tensor] in maker
        )
        if step.pool and step.op:
            # What the fused step's window is made of.
            stride = operands[0].stride // step.pool.stride[0]
            height = operands[0].height - (step.pool.kernel[0] - 1) * stride
            below = Operand(operands[0].tensor, height, stride, operands[0].pad)
            add(step, step.op, step.op.output, (below,))
            operands = (Operand(maker[step.op.output], step.pool.kernel[0], step.pool.stride[0]),)
        add(step, step.pool or step.op, step.output, operands)
    return Graph(model.name, tuple(layers), sum(layer.weights + layer.biases for layer in layers))


# --- a PyTorch module -------------------------------------------------------------------------------

_FUSED = (nn.ReLU, nn.ReLU6)
_ELEMENTWISE = (nn.Hardsigmoid, nn.Hardswish, nn.Sigmoid, nn.SiLU)
_NOTHING = (nn.Dropout, nn.Identity)
_BINARY = {operator.add: "add", operator.iadd: "add", torch.add: "add", operator.mul: "mul", torch.mul: "mul"}
_POOLS: dict[Any, str] = {
    nn.AdaptiveAvgPool2d: "mean",
    functional.adaptive_avg_pool2d: "mean",
    torch.mean: "mean",
    "mean": "mean",
}


def of_module(name: str, module: nn.Module, shape: tuple[int, int, int]) -> Graph:
    """Return the graph of a module, given one input of ``shape`` (C, H, W); its weights are given up.

    Raises:
        UserError: the module computes something that this survey has no layer for.
    """
    traced = fx.symbolic_trace(module.eval()).to("meta")
    ShapeProp(traced).propagate(torch.empty(1, *shape, device="meta"))
    tracer = _Tracer(name, traced)
    for node in traced.graph.nodes:
        tracer.add(node)
    return Graph(name, tuple(tracer.layers), sum(value.numel() for value in module.parameters()))


class _Tracer:
    """Layers of a traced module, node by node. ``at`` maps a node to the layer whose bytes its output is; nodes
    that are no tensors (sizes) are not in it."""

    def __init__(self, name: str, traced: fx.GraphModule) -> None:
        self.name, self.modules = name, dict(traced.named_modules())
        self.layers: list[Layer] = []
        self.at: dict[fx.Node, int] = {}
        self.fusable: set[int] = set()

    def add(self, node: fx.Node) -> None:
        """Add what ``node`` computes."""
        if node.op == "output":
            return
        if node.op == "placeholder":
            self._layer(node, ())
            return
        source = next((argument for argument in node.all_input_nodes if argument in self.at), None)
        if source is None:
            return  # arithmetic with sizes
        target: Any = self.modules[str(node.target)] if node.op == "call_module" else node.target
        if isinstance(target, nn.Module):
            self._module(node, target, source)
        else:
            self._call(node, target, source)

    def _module(self, node: fx.Node, module: nn.Module, source: fx.Node) -> None:
        match module:
            case nn.Conv2d():
                self._convolution(node, module, source)
            case nn.Linear():
                inputs = Operand(self.at[source], height=0)
                weights = np.broadcast_to(np.int8(0), (module.out_features, module.in_features))
                product = FullyConnectedWeights(0, weights, np.broadcast_to(np.int32(0), module.out_features))
                self._layer(
                    node, (inputs,), weights.size, weights.size, module.out_features, product, fusable=True
                )
            case nn.BatchNorm2d():
                if len(source.users) > 1 or self.layers[self.at[source]].weighted is None:
                    raise self._unknown(
                        f"a batch normalisation, {node.name}, that no convolution can take in"
                    )
                self.at[node] = self.at[source]
            case nn.MaxPool2d() | nn.AvgPool2d():
                height, stride, pad = (
                    _first(value) for value in (module.kernel_size, module.stride, module.padding)
                )
                self._layer(node, (Operand(self.at[source], height, stride, pad),), fusable=True)
                largest = isinstance(module, nn.MaxPool2d)
                self.layers[-1] = replace(self.layers[-1], max_pool=largest)
            case nn.AdaptiveAvgPool2d():
                self._mean(node, source)
            case nn.Flatten():
                self.at[node] = self.at[source]
            case _ if isinstance(module, _NOTHING):
                self.at[node] = self.at[source]
            case _ if isinstance(module, _FUSED):
                self._activation(node, source)
            case _ if isinstance(module, _ELEMENTWISE):
                self._layer(node, (Operand(self.at[source]),))
            case _:
                raise self._unknown(type(module).__name__)

    def _call(self, node: fx.Node, target: Callable | str, source: fx.Node) -> None:
        if target in _BINARY:
            operands = tuple(self._broadcast(node, argument) for argument in node.all_input_nodes)
            self._layer(node, operands, fusable=_BINARY[target] == "add")
        elif target in _POOLS:
            self._mean(node, source)
        elif target is torch.cat:
            self._layer(node, tuple(Operand(self.at[argument]) for argument in node.all_input_nodes))
        elif target in (functional.relu, functional.relu6, "relu"):
            self._activation(node, source)
        elif target in (torch.transpose, "transpose") or (
            target is operator.getitem and source.target in ("chunk", torch.chunk)
        ):
            self._layer(node, (Operand(self.at[source]),))
        elif target in ("view", "reshape", "contiguous", "chunk", "flatten", torch.flatten, torch.chunk):
            self.at[node] = self.at[source]
        elif target != "size":
            raise self._unknown(str(target))

    def _convolution(self, node: fx.Node, module: nn.Conv2d, source: fx.Node) -> None:
        (_, in_c, in_h, in_w), (_, out_c, out_h, out_w) = _shape(source), _shape(node)
        kernel_h, kernel_w = module.kernel_size
        shape: tuple[int, ...]
        if module.groups == in_c > 1:  # depthwise: one layer to the engine
            groups, shape = 1, (kernel_h, kernel_w, out_c)
        else:
            groups = module.groups
            shape = (out_c // groups, kernel_h, kernel_w, in_c // groups)
        pad_h, pad_w = _pair(module.padding)
        weighted = Convolution(
            in_h=in_h,
            in_w=in_w,
            in_c=in_c // groups,
            out_h=out_h,
            out_w=out_w,
            out_c=out_c // groups,
            kernel_h=kernel_h,
            kernel_w=kernel_w,
            stride_h=module.stride[0],
            stride_w=module.stride[1],
            pad_h=pad_h,
            pad_w=pad_w,
            pool_h=1,
            pool_w=1,
            pool_stride_h=1,
            pool_stride_w=1,
            pooled_h=out_h,
            pooled_w=out_w,
            input_zero_point=0,
            weights=np.broadcast_to(np.int8(0), shape),
            bias=np.broadcast_to(np.int32(0), out_c // groups),
        )
        operand = Operand(self.at[source], kernel_h, module.stride[0], pad_h)
        per_output = module.weight.numel() // module.out_channels
        self._layer(
            node,
            (operand,),
            math.prod(_shape(node)) * per_output,
            module.weight.numel(),
            module.out_channels,
            weighted,
            groups,
            fusable=True,
        )

    def _activation(self, node: fx.Node, source: fx.Node) -> None:
        """ReLU: the last act of the layer before where TFLite has such an op, else a layer."""
        if self.at[source] in self.fusable and len(source.users) == 1:
            self.at[node] = self.at[source]
        else:
            self._layer(node, (Operand(self.at[source]),))

    def _mean(self, node: fx.Node, source: fx.Node) -> None:
        if _shape(node) == _shape(source):
            self.at[node] = self.at[source]
        else:
            self._layer(node, (Operand(self.at[source], height=0),))

    def _broadcast(self, node: fx.Node, source: fx.Node) -> Operand:
        """An operand of an element-wise op: row by row, or all of it where one row serves all."""
        return Operand(self.at[source], height=int(_rows(_shape(source)) == _rows(_shape(node))))

    def _layer(
        self,
        node: fx.Node,
        operands: tuple[Operand, ...],
        macs: int = 0,
        weights: int = 0,
        biases: int = 0,
        weighted: Convolution | FullyConnectedWeights | None = None,
        groups: int = 1,
        *,
        fusable: bool = False,
    ) -> None:
        self.at[node] = len(self.layers)
        if fusable:
            self.fusable.add(len(self.layers))
        count = _rows(_shape(node))
        size = math.prod(_shape(node))
        self.layers.append(
            Layer(node.name, operands, count, size // count, macs, weights, biases, weighted, groups)
        )

    def _unknown(self, what: str) -> UserError:
        return UserError(
            f"network {self.name} has {what}, for which the survey has no layer; take another network or add it to"
            " paper2board/survey/graph.py"
        )


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _rows(shape: tuple[int, ...]) -> int:
    """Rows of N × … × H × W; a vector is one row."""
    return shape[-2] if len(shape) >= 4 else 1


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _first(value: Any) -> int:
    return _pair(value)[0]
