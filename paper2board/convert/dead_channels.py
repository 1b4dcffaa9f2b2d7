"""Channels that are the same for every input, taken out of a network: its outputs stay what they are, bit for bit.

Training leaves channels behind whose weights are next to nothing beside their bias: after rounding and activation
such a channel is a constant. What a convolution or a fully connected layer makes of a constant goes into its bias.
A depthwise convolution, a pooling and the like make a constant of a constant, so they lose the channel as well.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.elementwise import INT8_VALUES, Tabulated
from paper2board.model.operators.moving import Pad, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.reduction import Mean
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected, Weighted
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Tensor

_GROUP = 4
"""Channels that kernels take at a time: what was a multiple of it stays one."""

_Bounds = tuple[np.ndarray, np.ndarray]
"""The least and the greatest value of each channel, int64."""


def without_dead_channels(model: IntegerModel) -> IntegerModel:
    """Return a model of the same outputs without its constant channels, as far as they can be taken out."""
    network = _Network(model)
    kept = {
        index: np.ones(tensor.shape[-1], bool) for index, tensor in enumerate(model.tensors) if tensor.shape
    }
    for op in model.ops:
        if _makes_channels(model, op):
            gone = network.removable(op.output)
            group = _GROUP if len(gone) % _GROUP == 0 else 1
            gone &= np.cumsum(gone) <= min(len(gone) - group, gone.sum() // group * group)
            kept[op.output] = ~gone
        elif (factor := _factor(model, op)) is not None:
            kept[op.output] = _spread(kept[op.inputs[0]], op, factor)
    if all(mask.all() for mask in kept.values()):
        return model
    tensors = tuple(
        replace(tensor, shape=(*tensor.shape[:-1], int(kept[index].sum()))) if tensor.shape else tensor
        for index, tensor in enumerate(model.tensors)
    )
    return replace(model, tensors=tensors, ops=tuple(network.cut(op, kept) for op in model.ops))


def _makes_channels(model: IntegerModel, op: Op) -> bool:
    """Return whether each output channel reads all input channels, so that it can be left out."""
    if not isinstance(op, Weighted):
        return False
    return isinstance(op, Conv2D | FullyConnected) or model.tensors[op.inputs[0]].shape[-1] == 1


def _factor(model: IntegerModel, op: Op) -> int | None:
    """Return the number of output channels that an op makes of each input channel alone, None if it mixes them."""
    if len(op.inputs) != 1 or _makes_channels(model, op):
        return None
    source, target = model.tensors[op.inputs[0]].shape, model.tensors[op.output].shape
    if not source or not target:
        return None
    if isinstance(op, Reshape):
        flat = target[-1] == model.tensors[op.output].size
        return target[-1] // source[-1] if flat or target[-1] == source[-1] else None
    if isinstance(op, Pad):
        return 1 if op.paddings[-1] == (0, 0) else None
    if isinstance(op, Mean):
        over_pixels = op.sizes(model.tensors)[::2] == (1, source[-1])
        return 1 if over_pixels else None
    return target[-1] // source[-1] if isinstance(op, DepthwiseConv2D | Pool2D | Tabulated) else None


def _spread(channels: np.ndarray, op: Op, factor: int) -> np.ndarray:
    """Return an op's output channels for something of its input's; a flattened image has them pixel by pixel."""
    return np.tile(channels, factor) if isinstance(op, Reshape) else channels.repeat(factor)


class _Network:
    """A model, what its channels can be, and who reads them."""

    def __init__(self, model: IntegerModel) -> None:
        self.model, self.tensors = model, model.tensors
        self.seen = {port.tensor for port in model.outputs} | {state.written for state in model.states}
        """What is there after an inference."""
        self.readers: dict[int, list[Op]] = {index: [] for index in range(len(model.tensors))}
        self.bounds = {index: _any_values(tensor) for index, tensor in enumerate(model.tensors)}
        for op in model.ops:
            for index in set(op.inputs):
                self.readers[index].append(op)
            self.bounds[op.output] = self._bounds(op)
        self.removable = cache(self._removable)

    def _bounds(self, op: Op) -> _Bounds:
        target, factor = self.tensors[op.output], _factor(self.model, op)
        if isinstance(op, Weighted):
            lowest, highest = op.output_range(self.tensors)
            multipliers, shifts = np.array(op.output_multipliers(self.tensors), np.int64).T
            limits = [
                (multiply_by_quantized_multiplier(sums, multipliers, shifts) + target.zero_point).clip(
                    lowest, highest
                )
                for sums in self._sums(op)
            ]
            return limits[0], limits[1]
        if factor is None:
            return _any_values(target)
        source, (low, high) = self.tensors[op.inputs[0]], self.bounds[op.inputs[0]]
        if isinstance(op, Pad):
            low, high = np.minimum(low, source.zero_point), np.maximum(high, source.zero_point)
        if isinstance(op, Pool2D):
            low, high = (op.clamped(self.tensors, values) for values in (low, high))
        if isinstance(op, Mean):
            count, pair = source.size // len(low), op.multiplier(self.tensors)
            low, high = (
                multiply_by_quantized_multiplier(count * (values - source.zero_point), *map(np.int64, pair))
                for values in (low, high)
            )
            low, high = ((values + target.zero_point).clip(INT8_MIN, INT8_MAX) for values in (low, high))
        if isinstance(op, Tabulated):
            table = op.table(self.tensors).astype(np.int64)
            inside = (low[:, None] <= INT8_VALUES) & (high[:, None] >= INT8_VALUES)
            low, high = np.where(inside, table, INT8_MAX).min(1), np.where(inside, table, INT8_MIN).max(1)
        return _spread(low, op, factor), _spread(high, op, factor)

    def _sums(self, op: Weighted) -> _Bounds:
        """Return the least and the greatest accumulator of each output channel."""
        low, high = (values - self.tensors[op.inputs[0]].zero_point for values in self.bounds[op.inputs[0]])
        if self._pads(op):
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        weights = op.weights.astype(np.int64)
        positive, negative = weights.clip(0), weights.clip(None, 0)
        if isinstance(op, DepthwiseConv2D):
            positive, negative = positive.sum((0, 1)), negative.sum((0, 1))
            low, high = (values.repeat(op.depth_multiplier(self.tensors)) for values in (low, high))
            return op.bias + positive * low + negative * high, op.bias + positive * high + negative * low
        inputs = weights.reshape(len(weights), -1, len(low)).shape[1]
        low, high = np.tile(low, inputs), np.tile(high, inputs)
        positive, negative = (values.reshape(len(weights), -1) for values in (positive, negative))
        return op.bias + positive @ low + negative @ high, op.bias + positive @ high + negative @ low

    def _pads(self, op: Weighted) -> bool:
        return isinstance(op, Conv2D | DepthwiseConv2D) and op.padding == "SAME" and max(op.window) > 1

    def _removable(self, tensor: int) -> np.ndarray:
        """Return which channels of a tensor all its readers can do without."""
        channels = self.tensors[tensor].shape[-1]
        result = np.full(channels, tensor not in self.seen)
        for op in self.readers[tensor]:
            result &= self._dispensable(op, channels)
        return result

    def _dispensable(self, op: Op, channels: int) -> np.ndarray:
        """Return which of its input's channels an op can do without."""
        source = op.inputs[0]
        if isinstance(op, Conv2D | FullyConnected):
            low, high = self.bounds[source]
            # Where there is padding, a constant is none unless it is the padding's.
            harmless = np.full(channels, not self._pads(op)) | (low == self.tensors[source].zero_point)
            return harmless & (low == high)
        factor = _factor(self.model, op)
        if factor is None:
            return np.zeros(channels, bool)
        parts = self.removable(op.output)
        flat = isinstance(op, Reshape)
        return np.all(parts.reshape((-1, channels) if flat else (channels, -1)), axis=0 if flat else 1)

    def cut(self, op: Op, kept: dict[int, np.ndarray]) -> Op:
        """Return an op without the channels that are not ``kept``."""
        if not isinstance(op, Weighted):
            return op
        read, written = kept[op.inputs[0]], kept[op.output]
        scales = op.weight_scales if len(op.weight_scales) == 1 else op.weight_scales[written]
        if isinstance(op, DepthwiseConv2D):
            return replace(op, weights=op.weights[..., written], bias=op.bias[written], weight_scales=scales)
        assert isinstance(op, Conv2D | FullyConnected)
        constants = self.bounds[op.inputs[0]][0] - self.tensors[op.inputs[0]].zero_point
        weights = op.weights.reshape(len(op.weights), -1, len(read)).astype(np.int64)
        bias = op.bias + (weights.sum(1) * np.where(read, 0, constants)).sum(1)
        return replace(
            op,
            weights=_select(op.weights, read)[written],
            bias=bias[written].astype(np.int32),
            weight_scales=scales,
        )


def _select(weights: np.ndarray, read: np.ndarray) -> np.ndarray:
    return weights[..., np.tile(read, weights.shape[-1] // len(read))]


def _any_values(tensor: Tensor) -> _Bounds:
    channels = tensor.shape[-1] if tensor.shape else 1
    return np.full(channels, INT8_MIN), np.full(channels, INT8_MAX)
