"""Recurrent layers: they keep what they remember from one step, and one inference, to the next."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.operators.operator import Op, Stateful, require
from paper2board.model.tensor import INT8_MAX, INT8_MIN, Tensor, quantize_multiplier, shifted_fits

if TYPE_CHECKING:
    import torch

INT16_MAX = (1 << 15) - 1
SIGMOID = np.floor((1 << 16) / (1 + np.exp(-np.arange(256) / 24)) + 0.5).astype(np.uint16)
"""The sigmoid of i / 24 in steps of 2^−16, which TFLite interpolates for its int16 sigmoid and tanh."""
# TFLite's table is not the nearest integer everywhere: here it has one more.
SIGMOID[
    [
        4,
        8,
        12,
        14,
        15,
        16,
        17,
        19,
        20,
        21,
        22,
        25,
        27,
        28,
        29,
        30,
        31,
        33,
        34,
        35,
        37,
        39,
        40,
        41,
        43,
        44,
        45,
        46,
        49,
        50,
        54,
        62,
        63,
        64,
        66,
        82,
        86,
        93,
        100,
        103,
        112,
        116,
        135,
        255,
    ]
] += 1
GATES = ("input", "forget", "cell", "output")


@dataclass(frozen=True)
class Lstm(Stateful):
    """A long short-term memory layer over a sequence, (steps, inputs) to (steps, units), without peepholes,
    projection and layer normalization.

    Its states are the last output (int8, units) and the cell (int16, as 2 · units bytes, the low one first, of
    scale 2^\\ ``cell_power``). For each gate, in the order of :data:`GATES`: ``input_weights`` int8
    (4, units, inputs) of ``input_scales`` float32 (4,), ``recurrent_weights`` int8 (4, units, units) of
    ``recurrent_scales``, ``bias`` int32 (4, units). A ``cell_clip`` above 0 bounds the cell. Source: TFLite Micro's
    ``lstm_eval.h``.
    """

    type: ClassVar[str] = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    INPUTS: ClassVar[tuple[int, int]] = (3, 3)
    STATES: ClassVar[int] = 2
    GATE_SCALE: ClassVar[float] = 2.0**-12
    """Of the sums that go into sigmoid and tanh; what comes out has 2^−15."""
    name: str
    inputs: tuple[int, ...]
    output: int
    input_weights: np.ndarray
    recurrent_weights: np.ndarray
    bias: np.ndarray
    input_scales: np.ndarray
    recurrent_scales: np.ndarray
    cell_power: int
    cell_clip: float = 0.0

    @property
    def units(self) -> int:
        """Number of units."""
        return self.bias.shape[1]

    @property
    def clip(self) -> int:
        """Bound of the cell in its steps; 0: none."""
        return int(min(float(np.float32(self.cell_clip)) / 2.0**self.cell_power, INT16_MAX))

    def input_multipliers(self, tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
        """Return each gate's (multiplier, shift) for the products with the input."""
        return self._multipliers(tensors[self.inputs[0]], self.input_scales)

    def recurrent_multipliers(self, tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
        """Return each gate's (multiplier, shift) for the products with the last output."""
        return self._multipliers(tensors[self.inputs[1]], self.recurrent_scales)

    def _multipliers(self, source: Tensor, scales: np.ndarray) -> list[tuple[int, int]]:
        # TFLite Micro multiplies the two scales in float32.
        with np.errstate(over="ignore", under="ignore"):
            products = [float(np.float32(source.scale) * scale) for scale in scales.astype(np.float32)]
        return [quantize_multiplier(product / self.GATE_SCALE) for product in products]

    def step_multipliers(self, tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
        """Return (multiplier, shift) of forget gate · cell, input gate · cell gate, output gate · tanh(cell)."""
        cell, hidden = 2.0**self.cell_power, float(np.float32(tensors[self.inputs[1]].scale))
        return [quantize_multiplier(ratio) for ratio in (2.0**-15, 2.0**-30 / cell, 2.0**-30 / hidden)]

    def tanh_scale(self) -> tuple[int, int]:
        """Return the (factor, right shift) that takes the cell to the steps of tanh's table."""
        left = self.cell_power + 12
        return (3 << left, 0) if left >= 0 else (3, -left)

    def biases(self, tensors: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Return what each sum over the input, and over the last output, begins with: int64 (4, units)."""
        x, hidden = (tensors[i].zero_point for i in self.inputs[:2])
        sums = (weights.astype(np.int64).sum(2) for weights in (self.input_weights, self.recurrent_weights))
        own, recurrent = sums
        return self.bias - x * own, -hidden * recurrent

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        shape, hidden = tensors[self.inputs[0]].shape, tensors[self.inputs[1]]
        require(len(shape) == 2, "its input is no sequence")
        require(
            self.bias.shape == (4, self.units) and self.bias.dtype == np.int32,
            "bias is not int32 of four gates",
        )
        for weights, scales, inputs in (
            (self.input_weights, self.input_scales, shape[1]),
            (self.recurrent_weights, self.recurrent_scales, self.units),
        ):
            good = weights.dtype == np.int8 and weights.shape == (4, self.units, inputs)
            require(good, "weights are not int8 of four gates, its units and its input")
            positive = scales.shape == (4,) and bool(np.all(np.isfinite(scales) & (scales > 0)))
            require(positive, "its gates do not have a positive scale each")
        output = tensors[self.output]
        require(output.shape == (shape[0], self.units), "output shape is not (steps, units)")
        require(output.quantization == hidden.quantization, "output and state differ in quantization")
        require(hidden.shape == (self.units,), "its first state does not have its units")
        require(
            tensors[self.inputs[2]].shape == (2 * self.units,), "its second state does not have its units"
        )
        require(-24 <= self.cell_power <= 2, f"the cell's scale is 2^{self.cell_power}")
        require(0 <= self.cell_clip < math.inf, f"the cell's bound is {self.cell_clip}")
        require(self._fits(tensors), "its sums do not fit 32 bits")

    def _fits(self, tensors: Sequence[Tensor]) -> bool:
        pairs = zip(
            (self.input_weights, self.recurrent_weights),
            (self.bias, np.zeros_like(self.bias)),
            self.inputs,
            (self.input_multipliers(tensors), self.recurrent_multipliers(tensors)),
            strict=False,
        )
        for weights, bias, source, multipliers in pairs:
            magnitudes = np.abs(weights.astype(np.int64)).sum(2) * max(tensors[source].largest, 128)
            largest = (
                magnitudes + np.abs(bias.astype(np.int64)) + np.abs(weights.astype(np.int64)).sum(2) * 128
            ).max(1)
            if not all(
                shifted_fits(int(n), shift) for n, (_, shift) in zip(largest, multipliers, strict=True)
            ):
                return False
        return all(shifted_fits(1 << 30, shift) for _, shift in self.step_multipliers(tensors))

    def advance(
        self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]
    ) -> tuple["torch.Tensor", list["torch.Tensor"]]:
        import torch

        sequence, hidden, cell = (values[0].numpy() for values in inputs)
        cell = (cell.astype(np.int8).view("<i2")).astype(np.int64)
        (own_bias, recurrent_bias), outputs = self.biases(tensors), []
        own = self.input_weights.astype(np.int64), own_bias, _columns(self.input_multipliers(tensors))
        recurrent = (
            self.recurrent_weights.astype(np.int64),
            recurrent_bias,
            _columns(self.recurrent_multipliers(tensors)),
        )
        forgets, takes, gives = self.step_multipliers(tensors)
        for x in sequence:
            sums = [
                _int16(multiply_by_quantized_multiplier(w @ v + b, *pair))
                for (w, b, pair), v in ((own, x), (recurrent, hidden))
            ]
            take, forget, candidate, give = _int16(sums[0] + sums[1])
            take, forget, candidate, give = (
                sigmoid(take),
                sigmoid(forget),
                tanh(candidate, 3, 0),
                sigmoid(give),
            )
            kept = _int16(multiply_by_quantized_multiplier(forget * cell, *forgets))
            cell = _int16(kept + _int16(multiply_by_quantized_multiplier(take * candidate, *takes)))
            if self.clip > 0:
                cell = cell.clip(-self.clip, self.clip)
            product = tanh(cell, *self.tanh_scale()) * give
            hidden = multiply_by_quantized_multiplier(product, *gives) + tensors[self.inputs[1]].zero_point
            hidden = hidden.clip(INT8_MIN, INT8_MAX)
            outputs.append(hidden)
        state = cell.astype("<i2").view(np.int8).astype(np.int64)
        results = (torch.from_numpy(values)[None] for values in (np.stack(outputs), hidden, state))
        output, *states = results
        return output, states


@dataclass(frozen=True)
class Svdf(Stateful):
    """A dense layer factorized over features and time: each of ``rank`` · units filters gives a number for this
    input (in,), and remembers those of the last inputs; over these goes its row of ``time_weights``.

    ``feature_weights`` int8 (filters, in), ``time_weights`` int8 or int16 (filters, memory), ``bias`` int32
    (units,), a scale of both weights. The state has filters × memory numbers of the time weights' type (int16 as
    two bytes, the low one first), the newest last. Source: TFLite Micro's ``EvalIntegerSvdfReference``.
    """

    type: ClassVar[str] = "SVDF"
    INPUTS: ClassVar[tuple[int, int]] = (2, 2)
    STATES: ClassVar[int] = 1
    name: str
    inputs: tuple[int, ...]
    output: int
    feature_weights: np.ndarray
    time_weights: np.ndarray
    bias: np.ndarray
    feature_scale: float
    time_scale: float
    rank: int

    @property
    def wide(self) -> bool:
        """Whether time weights and state are int16."""
        return self.time_weights.dtype == np.int16

    def multipliers(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the (multiplier, shift) of what a filter gives, and of the output, computed in float32."""
        source, state, target = (np.float32(tensors[i].scale) for i in (*self.inputs, self.output))
        with np.errstate(over="ignore", under="ignore"):
            feature = source * np.float32(self.feature_scale) / state
            output = state * np.float32(self.time_scale) / target
        return quantize_multiplier(float(feature)), quantize_multiplier(float(output))

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        filters, memory = self.time_weights.shape if self.time_weights.ndim == 2 else (0, 0)
        good = self.feature_weights.dtype == np.int8 and self.time_weights.dtype in (np.int8, np.int16)
        require(good and self.bias.dtype == np.int32, "weights are not int8, int8 or int16, and int32")
        fits = self.feature_weights.shape == (filters, tensors[self.inputs[0]].size) and memory > 0
        require(fits, "weights do not have its filters, its input and its memory")
        require(self.rank >= 1 and self.bias.shape == (filters // self.rank,), "bias does not have its units")
        require(filters % self.rank == 0, "filters are no multiple of its rank")
        require(tensors[self.output].shape == self.bias.shape, "output does not have its units")
        state = tensors[self.inputs[1]]
        require(state.shape == (filters * memory * (1 + self.wide),), "its state does not have its memory")
        require(not self.wide or state.zero_point == 0, "a state of int16 has a zero point")
        positive = all(np.isfinite(scale) and scale > 0 for scale in (self.feature_scale, self.time_scale))
        require(positive, "scale not positive")
        feature, output = self.multipliers(tensors)
        features = np.abs(self.feature_weights.astype(np.int64)).sum(1) * tensors[self.inputs[0]].largest
        most = INT16_MAX + 1 if self.wide else state.largest
        sums = np.abs(self.time_weights.astype(np.int64)).sum(1).reshape(-1, self.rank).sum(1) * most
        sums = sums + np.abs(self.bias.astype(np.int64))
        require(
            shifted_fits(int(features.max()), feature[1]) and shifted_fits(int(sums.max()), output[1]),
            "its sums do not fit 32 bits",
        )

    def advance(
        self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]
    ) -> tuple["torch.Tensor", list["torch.Tensor"]]:
        import torch

        (x, state), zero_point = (values[0].numpy() for values in inputs), tensors[self.inputs[1]].zero_point
        memory = state.astype(np.int8).view("<i2" if self.wide else np.int8).astype(np.int64)
        memory = memory.reshape(self.time_weights.shape)
        feature, output = self.multipliers(tensors)
        centred = x.ravel() - tensors[self.inputs[0]].zero_point
        newest = multiply_by_quantized_multiplier(self.feature_weights.astype(np.int64) @ centred, *feature)
        limits = np.iinfo(self.time_weights.dtype)
        newest = newest.clip(limits.min, limits.max) + zero_point
        # What does not fit is cut off, as in C.
        memory = np.column_stack([memory[:, 1:], newest.astype(self.time_weights.dtype)])
        sums = (memory - zero_point) * self.time_weights
        totals = sums.sum(1).reshape(-1, self.rank).sum(1) + self.bias
        values = multiply_by_quantized_multiplier(totals, *output) + tensors[self.output].zero_point
        kept = memory.astype("<i2" if self.wide else np.int8).view(np.int8).astype(np.int64).ravel()
        result = torch.from_numpy(values.clip(INT8_MIN, INT8_MAX))[None]
        return result, [torch.from_numpy(kept)[None]]


def _columns(pairs: list[tuple[int, int]]) -> np.ndarray:
    """Return multipliers and shifts, int64 (2, 4, 1)."""
    return np.array(pairs, np.int64).T[..., None]


def _int16(values: np.ndarray) -> np.ndarray:
    return values.clip(-INT16_MAX - 1, INT16_MAX)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return TFLite's int16 sigmoid of ``x`` in steps of 2^−12, in steps of 2^−15."""
    table = SIGMOID.astype(np.int64)
    magnitude = np.abs(3 * x)
    place = (magnitude >> 9).clip(None, 254)
    between = (table[place] << 9) + (magnitude & 511) * (table[place + 1] - table[place])
    value = np.where(magnitude >> 9 >= 255, INT16_MAX << 10, between)
    return np.where(x >= 0, value + (1 << 9), (1 << 25) - value + (1 << 9) - 1) >> 10


def tanh(x: np.ndarray, factor: int, shift: int) -> np.ndarray:
    """Return TFLite's int16 tanh of ``x``, which ``factor`` and ``shift`` take to steps of 2^−12 / 3, in steps of
    2^−15."""
    scaled = (x * factor + ((1 << shift) >> 1)) >> shift
    table = SIGMOID.astype(np.int64)
    magnitude = np.abs(scaled)
    place = (magnitude >> 8).clip(None, 254)
    between = (table[place] << 8) + (magnitude & 255) * (table[place + 1] - table[place])
    value = np.where(magnitude >> 8 >= 255, 0xFFFF << 8, between)
    signed = np.where(scaled >= 0, value - (1 << 23) + (1 << 7), (1 << 23) - value + (1 << 7) - 1)
    return signed >> 8


OPERATORS: tuple[type[Op], ...] = (Lstm, Svdf)
