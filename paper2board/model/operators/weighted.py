"""Convolutions and fully connected layers: int8 weights, int32 biases, one requantization a channel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.operators.operator import Activated, Op, require
from paper2board.model.operators.window import Windowed
from paper2board.model.tensor import Activation, Padding, Tensor, quantize_multiplier, shifted_fits

if TYPE_CHECKING:
    import torch


def weight_sums(weights: np.ndarray) -> np.ndarray:
    """Return the sum of magnitudes of each output channel's weights, int64 (out,).

    ``weights`` as an op has them: depthwise with three axes, output channels last, else output channels first.
    """
    window = (0, 1) if weights.ndim == 3 else tuple(range(1, weights.ndim))
    return np.abs(weights.astype(np.int64)).sum(axis=window)


def largest_accumulators(weights: np.ndarray, bias: np.ndarray, zero_point: int) -> np.ndarray:
    """Return the greatest magnitude that each output channel's accumulator can have, int64 (out,).

    ``weights`` as for :func:`weight_sums`; ``zero_point``: of the input.
    """
    return weight_sums(weights) * Tensor("", (), 1.0, zero_point).largest + np.abs(bias.astype(np.int64))


class Weighted(Activated):
    """An operator with weights. ``weights`` int8, ``bias`` int32 (out,), ``weight_scales`` float32 (out,) per
    channel or (1,) per tensor."""

    RANK: ClassVar[int]
    """Dimensions of the weights."""
    CHANNEL_AXIS: ClassVar[int] = 0
    """The weights' dimension along which output channels lie."""

    weights: np.ndarray
    bias: np.ndarray
    weight_scales: np.ndarray

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return self.weights.shape[self.CHANNEL_AXIS]

    def output_multipliers(self, tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
        """Return the (multiplier, shift) that takes each output channel's accumulator to the output's scale."""
        scale_out = float(np.float32(tensors[self.output].scale))
        scales = self.accumulator_scales(np.float32(tensors[self.inputs[0]].scale))
        pairs = [quantize_multiplier(scale / scale_out) for scale in scales]
        return pairs if len(pairs) > 1 else pairs * len(self.bias)

    def accumulator_scales(self, input_scale: np.float32) -> list[float]:
        """Return the real value of one step of each channel's accumulator, or the one for all channels."""
        return [float(input_scale) * float(scale) for scale in self.weight_scales]

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(self.weights.dtype == np.int8 and self.bias.dtype == np.int32, "weights int8, bias int32")
        require(self.weights.ndim == self.RANK, f"weights do not have {self.RANK} dimensions")
        require(self.bias.shape == (self.channels,), "one bias an output channel")
        require(self.weight_scales.dtype == np.float32, "weight scales are float32")
        require(self.weight_scales.shape in {(1,), self.bias.shape}, "scales are per tensor or per channel")
        positive = np.all(np.isfinite(self.weight_scales) & (self.weight_scales > 0))
        require(bool(positive), "scale not positive")
        require(self._accumulators_fit(tensors), "its accumulators do not fit 32 bits")

    def _accumulators_fit(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether no input makes an accumulator, or its left shift by the multiplier, exceed 32 bits.

        Then integer arithmetic is the same in 64 bits (simulation), and in 32 (TFLite Micro, the C engine).
        """
        largest = largest_accumulators(self.weights, self.bias, tensors[self.inputs[0]].zero_point)
        try:
            with np.errstate(over="ignore"):
                shifts = [shift for _, shift in self.output_multipliers(tensors)]
        except OverflowError:  # a product of scales beyond float32
            return False
        return all(shifted_fits(int(a), shift) for a, shift in zip(largest, shifts, strict=True))

    def same(self, other: "Op", key: str) -> bool:
        if key == "weight_scales" and isinstance(other, Weighted):
            return self.same_scales(other)
        return super().same(other, key)

    def same_scales(self, other: "Weighted") -> bool:
        """Return whether the weights' scales give the same arithmetic: one scale stands for all channels."""
        shape = self.bias.shape
        ours, theirs = (np.broadcast_to(op.weight_scales, shape) for op in (self, other))
        return np.array_equal(ours, theirs)

    def operands(
        self, tensors: Sequence[Tensor], source: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return inputs without zero point, and weights, in the narrowest float that holds every sum exactly.

        That is float32 where :meth:`float32_is_exact`, else float64, which holds every int8 × int8 accumulation.
        """
        import torch

        tensor = tensors[self.inputs[0]]
        exact = torch.float32 if self.float32_is_exact(tensor) else torch.float64
        return (source - tensor.zero_point).to(exact), torch.from_numpy(self.weights).to(exact)

    def float32_is_exact(self, source: Tensor) -> bool:
        """Return whether torch's float32 holds every sum over values of ``source`` exactly."""
        return int(weight_sums(self.weights).max()) * source.largest <= 2**24

    def requantized(self, tensors: Sequence[Tensor], sums: "torch.Tensor") -> "torch.Tensor":
        """Return the outputs of ``sums`` of products, channels last."""
        import torch

        accumulators = sums.to(torch.int64) + torch.from_numpy(self.bias).to(torch.int64)
        multiplier, shift = torch.tensor(self.output_multipliers(tensors), dtype=torch.int64).T
        scaled = multiply_by_quantized_multiplier(accumulators, multiplier, shift)
        return self.clamped(tensors, scaled + tensors[self.output].zero_point)


class Convolution(Weighted, Windowed):
    """What both convolutions have in common. ``dilation`` says how far apart the taps of a kernel are."""

    KERNEL_AXIS: ClassVar[int]
    """The weights' first dimension of the kernel."""
    MAX_UNDILATED_BYTES: ClassVar[int] = 64 << 20
    """Of :meth:`undilated`; far above what a microcontroller's flash holds."""

    dilation: tuple[int, int]

    @property
    def window(self) -> tuple[int, int]:
        axis = self.KERNEL_AXIS
        height, width = (
            (taps - 1) * apart + 1
            for taps, apart in zip(self.weights.shape[axis : axis + 2], self.dilation, strict=True)
        )
        return height, width

    def undilated(self) -> np.ndarray:
        """Return the weights of a convolution without dilation that computes the same: zeros between the taps."""
        if self.dilation == (1, 1):
            return self.weights
        shape, taps = list(self.weights.shape), [slice(None)] * self.weights.ndim
        for axis, size, apart in zip((0, 1), self.window, self.dilation, strict=True):
            shape[self.KERNEL_AXIS + axis] = size
            taps[self.KERNEL_AXIS + axis] = slice(None, None, apart)
        weights = np.zeros(shape, np.int8)
        weights[tuple(taps)] = self.weights
        return weights

    def float32_is_exact(self, source: Tensor) -> bool:
        # On processors with AVX-512, torch 2.13 (oneDNN) sums wrongly where strides are (1, above 1) with one
        # channel. Its float64 goes another way.
        return self.stride[0] == self.stride[1] and super().float32_is_exact(source)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(min(self.dilation) >= 1, "dilation below 1")
        self.check_window(tensors, self.channels)
        axis = self.KERNEL_AXIS
        taps = math.prod(self.weights.shape[axis : axis + 2])
        size = self.weights.size // taps * math.prod(self.window)
        require(size <= self.MAX_UNDILATED_BYTES, "its kernel is too large with its dilation")

    def macs(self, tensors: Sequence[Tensor]) -> int:
        return tensors[self.output].size * (self.weights.size // self.channels)

    def convolved(
        self, tensors: Sequence[Tensor], centred: "torch.Tensor", weights: "torch.Tensor", groups: int
    ) -> "torch.Tensor":
        """Return the outputs for inputs without zero point; ``weights`` are (out, in, kernel_h, kernel_w)."""
        from torch.nn import functional

        image = self.padded(tensors, centred.permute(0, 3, 1, 2), 0.0)
        sums = functional.conv2d(image, weights, stride=self.stride, dilation=self.dilation, groups=groups)
        return self.requantized(tensors, sums.permute(0, 2, 3, 1))


@dataclass(frozen=True)
class Conv2D(Convolution):
    """2-D convolution. ``weights`` int8 (out, kernel_h, kernel_w, in), ``bias`` int32 (out,),
    ``weight_scales`` float32 (out,) per channel or (1,) per tensor."""

    type: ClassVar[str] = "CONV_2D"
    RANK: ClassVar[int] = 4
    KERNEL_AXIS: ClassVar[int] = 1
    name: str
    inputs: tuple[int, ...]
    output: int
    weights: np.ndarray
    bias: np.ndarray
    weight_scales: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    activation: Activation = "NONE"
    dilation: tuple[int, int] = (1, 1)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        require(self.weights.shape[3] == tensors[self.inputs[0]].shape[2], "input channels differ")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        centred, weights = self.operands(tensors, inputs[0])
        return self.convolved(tensors, centred, weights.permute(0, 3, 1, 2), groups=1)


@dataclass(frozen=True)
class DepthwiseConv2D(Convolution):
    """Depthwise convolution. ``weights`` int8 (kernel_h, kernel_w, out), ``bias`` int32 (out,),
    ``weight_scales`` float32 (out,) per channel or (1,) per tensor. Output channel c reads input channel
    c // multiplier alone, the (depth) multiplier being output channels / input channels."""

    type: ClassVar[str] = "DEPTHWISE_CONV_2D"
    RANK: ClassVar[int] = 3
    CHANNEL_AXIS: ClassVar[int] = 2
    KERNEL_AXIS: ClassVar[int] = 0
    name: str
    inputs: tuple[int, ...]
    output: int
    weights: np.ndarray
    bias: np.ndarray
    weight_scales: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    activation: Activation = "NONE"
    dilation: tuple[int, int] = (1, 1)

    def depth_multiplier(self, tensors: Sequence[Tensor]) -> int:
        """Return the number of output channels that read each input channel."""
        return self.channels // tensors[self.inputs[0]].shape[2]

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        whole = self.channels % tensors[self.inputs[0]].shape[2] == 0
        require(whole, "output channels are no multiple of the input's")

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        centred, weights = self.operands(tensors, inputs[0])
        kernels = weights.permute(2, 0, 1).unsqueeze(1)
        return self.convolved(tensors, centred, kernels, groups=centred.shape[-1])


@dataclass(frozen=True)
class FullyConnected(Weighted):
    """Matrix product of all values, or of each pixel of an (H, W, in) tensor, as (H, W, out). ``weights`` int8
    (out, in), ``bias`` int32 (out,), ``weight_scales`` float32 (out,) per channel or (1,) per tensor."""

    type: ClassVar[str] = "FULLY_CONNECTED"
    RANK: ClassVar[int] = 2
    name: str
    inputs: tuple[int, ...]
    output: int
    weights: np.ndarray
    bias: np.ndarray
    weight_scales: np.ndarray
    activation: Activation = "NONE"

    def accumulator_scales(self, input_scale: np.float32) -> list[float]:
        if self.weight_scales.size == 1:
            # TFLite Micro multiplies these two in float32 here, in double everywhere else.
            return [float(input_scale * np.float32(self.weight_scales[0]))]
        return super().accumulator_scales(input_scale)

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        shape, inputs = tensors[self.inputs[0]].shape, self.weights.shape[1]
        lead = shape[:-1] if self.by_pixel(tensors) else ()
        fits = shape[-1] == inputs if lead else tensors[self.inputs[0]].size == inputs
        require(fits, "input size differs from weights")
        require(tensors[self.output].shape == (*lead, *self.bias.shape), "output size differs from weights")

    def by_pixel(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether each pixel of the input is multiplied by itself."""
        return len(tensors[self.output].shape) == 3

    def macs(self, tensors: Sequence[Tensor]) -> int:
        return tensors[self.output].size * self.weights.shape[1]

    def same_scales(self, other: "Weighted") -> bool:
        return np.array_equal(self.weight_scales, other.weight_scales)

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        centred, weights = self.operands(tensors, inputs[0])
        rows = centred if self.by_pixel(tensors) else centred.flatten(1)
        return self.requantized(tensors, rows @ weights.T)


OPERATORS = (Conv2D, DepthwiseConv2D, FullyConnected)
