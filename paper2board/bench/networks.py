"""The benchmark's networks as IntegerModels: known architectures, random weights, realistic quantization.

Cost and memory of integer layers do not depend on trained values. Only the test of the outputs needs care:
saturated outputs would hide errors of a kernel. Weights are random (normal, int8, one scale for each output
channel). Each layer's channel scales and biases normalise its outputs over a calibration batch, as a trained and
folded batch normalisation would. Activation ranges are those of the batch.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from paper2board.compress.quantize import QuantizationParameters, fake_quantize, parameters_of_range
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add
from paper2board.model.operators.moving import Concatenation, Pad, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.reduction import Mean
from paper2board.model.operators.softmax import Softmax
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.tensor import Activation, Padding, Tensor, pad_before

CALIBRATION_INPUTS = 16
_INPUT = QuantizationParameters(1 / 255, -128)
_SIX = QuantizationParameters(6 / 255, -128)
_SOFTMAX = QuantizationParameters(1 / 256, -128)


def build(name: str) -> IntegerModel:
    """Return the network ``name`` of :data:`NETWORKS` or :data:`SHAPES`; it is the same at every call.

    Raises UserError for an unknown name.
    """
    if name not in NETWORKS | SHAPES:
        raise UserError(f"there is no benchmark network {name!r}; choose from {', '.join(NETWORKS)}")
    return _build(name)


def random_inputs(shape: tuple[int, ...], count: int, seed: int) -> np.ndarray:
    """Return ``count`` images of ``shape`` (H, W, C) as int8, N × H × W × C.

    They have patches of 8 × 8 pixels in random colours, with noise on top: deep layers then differ between images.
    """
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    patches = rng.integers(-100, 101, (count, -(-height // 8), -(-width // 8), channels))
    colours = patches.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    return (colours + rng.integers(-27, 28, colours.shape)).astype(np.int8)


# --- architectures ----------------------------------------------------------------------------------


def _deck(conv1: int, conv2: int, pooled: bool, hidden: int) -> Callable[["_Network"], None]:
    """The deck's networks: two convolutions with max pooling, two fully connected layers (slides "Initial"
    and "Final Model Specifications")."""

    def layers(net: "_Network") -> None:
        x = net.max_pool("pool1", net.conv("conv1", net.input, conv1))
        x = net.max_pool("pool2", net.conv("conv2", x, conv2))
        if pooled:
            x = net.average_pool("aap", x, 4)
        x = net.reshape("flatten", x)
        x = net.fully_connected("fc1", x, hidden, "RELU")
        net.fully_connected("fc2", x, 10)

    return layers


def _resnet8(net: "_Network") -> None:
    """MLPerf Tiny's image classification (ResNet v1 of 8 layers)."""
    x = net.conv("stem", net.input, 16)
    for block, channels, stride in (("block1", 16, 1), ("block2", 32, 2), ("block3", 64, 2)):
        y = net.conv(f"{block}_conv1", x, channels, stride=stride)
        y = net.conv(f"{block}_conv2", y, channels, activation="NONE")
        if stride == 2:
            x = net.conv(f"{block}_skip", x, channels, kernel=1, stride=2, activation="NONE")
        x = net.add(block, x, y, "RELU")
    x = net.average_pool("pool", x, 8)
    net.fully_connected("fc", net.reshape("flatten", x), 10)


def _mobilenet_v1(net: "_Network") -> None:
    """TFLite Micro's person detection, MobileNet v1 × 0.25.

    As in its file, the first convolution is depthwise with multiplier 8, because the input has one channel.
    """
    x = net.depthwise("conv", net.input, multiplier=8, stride=2)
    strided = {2: 2, 4: 2, 6: 2, 12: 2}
    for index, channels in enumerate((16, 32, 32, 64, 64, *[128] * 6, 256, 256), 1):
        x = net.depthwise(f"block{index}_depthwise", x, stride=strided.get(index, 1))
        x = net.conv(f"block{index}_pointwise", x, channels, kernel=1, activation="RELU6")
    x = net.average_pool("pool", x, 3)
    x = net.conv("logits", x, 2, kernel=1, activation="NONE")
    net.softmax("softmax", net.reshape("flatten", x))


def _detector(net: "_Network") -> None:
    """The ESP32-CAM article's ``LightweightObjectDetector`` with ten classes.

    Its three outputs (4 box coordinates, 10 classes, 1 confidence) are concatenated along the channels to one.
    """
    x = net.input
    for index, channels in enumerate((16, 32, 64, 128), 1):
        x = net.depthwise(f"depthwise{index}", net.torch_padding(x, 2), stride=2)
        x = net.conv(f"pointwise{index}", x, channels, kernel=1, activation="RELU6")
    shared = parameters_of_range(-4.0, 4.0)  # a concatenation needs inputs with the same quantization
    heads = [
        net.conv(name, x, channels, kernel=1, activation="NONE", chosen=shared)
        for name, channels in (("bbox_head", 4), ("class_head", 10), ("conf_head", 1))
    ]
    net.concatenate("heads", heads, axis=2)


def _fomo(net: "_Network") -> None:
    """The FOMO article's network: torchvision's ``mobilenet_v2().features[:7]`` and a head for 3 classes."""
    x = net.conv("stem", net.torch_padding(net.input, 2), 32, stride=2, activation="RELU6")
    blocks = ((1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1))
    for index, (expansion, channels, stride) in enumerate(blocks, 1):
        y, source = x, net.channels(x)
        if expansion > 1:
            y = net.conv(f"block{index}_expand", x, expansion * source, kernel=1, activation="RELU6")
        y = net.depthwise(f"block{index}_depthwise", net.torch_padding(y, stride), stride=stride)
        y = net.conv(f"block{index}_project", y, channels, kernel=1, activation="NONE")
        x = net.add(f"block{index}", x, y) if stride == 1 and source == channels else y
    x = net.mean("pool", net.conv("head", x, 32, kernel=1))
    net.reshape("flatten", net.conv("logits", x, 3, kernel=1, activation="NONE"))


def _square(net: "_Network") -> None:
    x = net.conv("wide", net.input, 64)
    x = net.conv("narrow", x, 8)
    x = net.depthwise("depthwise5", x, kernel=5)
    x = net.conv("pointwise", x, 36, kernel=1)
    x = net.depthwise("depthwise5_stride2", x, kernel=5, stride=2)
    x = net.max_pool("pool1", net.conv("conv5", x, 20, kernel=5))
    x = net.conv("grow", x, 96)
    x = net.conv("shrink", x, 24)
    x = net.depthwise("depthwise3", net.conv("expand", x, 96, kernel=1))
    net.fully_connected("fc", net.reshape("flatten", x), 40)


def _oblong(net: "_Network") -> None:
    x = net.conv("conv5_stride2", net.input, 24, kernel=5, stride=2)
    x = net.conv("wide", x, 64)
    x = net.max_pool("pool1", net.conv("narrow", x, 12))
    x = net.depthwise("depthwise7", x, kernel=7)
    x = net.conv("grow", x, 128)
    x = net.conv("conv5", x, 10, kernel=5)
    net.fully_connected("fc", net.reshape("flatten", x), 200)


def _series(net: "_Network") -> None:
    """A series of vectors: windows along time alone, as streaming keyword spotting has them."""
    x = net.depthwise("depthwise3", net.input, kernel=(3, 1))
    x = net.conv("wide", x, 128, kernel=1)
    x = net.depthwise("depthwise5", x, kernel=(5, 1))
    x = net.conv("linear", x, 64, kernel=1, activation="NONE")
    x = net.depthwise("depthwise10", x, kernel=(10, 1), stride=2)
    x = net.conv("conv5", x, 24, kernel=(5, 1))
    x = net.depthwise("depthwise21", net.conv("narrow", x, 18, kernel=1), kernel=(21, 1))
    net.fully_connected("fc", net.reshape("flatten", x), 30, "RELU")


def _spectrum(net: "_Network") -> None:
    """One channel, oblong windows, few inputs to many outputs and back."""
    x = net.conv("conv10x4", net.input, 8, kernel=(10, 4), stride=2)
    x = net.conv("expand8", x, 48, kernel=1, activation="RELU6")
    x = net.depthwise("depthwise3", x)
    x = net.conv("project48", x, 8, kernel=1, activation="NONE")
    x = net.depthwise("depthwise1x7", net.conv("expand", x, 36, kernel=1), kernel=(1, 7))
    x = net.conv("project36", x, 12, kernel=1, activation="NONE")
    x = net.depthwise("depthwise9x2", x, kernel=(9, 2))
    x = net.conv("grow", x, 96, kernel=1, activation="NONE")
    x = net.conv("shrink", x, 16, kernel=1, activation="NONE")
    x = net.max_pool("pool", net.depthwise("depthwise5", x, kernel=5))
    net.fully_connected("fc", net.reshape("flatten", x), 12)


_Architecture = tuple[tuple[int, int, int], Callable[["_Network"], None]]
NETWORKS: dict[str, _Architecture] = {
    "original": ((32, 32, 3), _deck(32, 64, pooled=False, hidden=128)),
    "pooled": ((32, 32, 3), _deck(32, 64, pooled=True, hidden=128)),
    "deployed": ((32, 32, 3), _deck(25, 51, pooled=True, hidden=76)),
    "resnet8": ((32, 32, 3), _resnet8),
    "mobilenet-v1-0.25": ((96, 96, 1), _mobilenet_v1),
    "detector": ((120, 160, 3), _detector),
    "fomo": ((96, 96, 3), _fomo),
}
"""Input shape (H, W, C) and layers of each network."""
SHAPES: dict[str, _Architecture] = {
    "square": ((24, 24, 8), _square),
    "oblong": ((20, 60, 2), _oblong),
    "series": ((40, 1, 40), _series),
    "spectrum": ((49, 40, 1), _spectrum),
}
"""Layers with shapes that :data:`NETWORKS` lack, for the kernels' cost table: windows other than 3 × 3, many
channels in a large image, few channels in a small image, more outputs than inputs, fewer outputs than inputs."""


# --- building ---------------------------------------------------------------------------------------


@cache
def _build(name: str) -> IntegerModel:
    shape, layers = (NETWORKS | SHAPES)[name]
    network = _Network(shape)
    with torch.inference_mode():
        layers(network)
    return network.model(name)


class _Network:
    """A network under construction; every method adds a layer and returns the index of its output tensor.

    ``values`` holds each tensor's real values (float64, N × its shape) for the calibration batch.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.rng = np.random.default_rng(0)
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.values: list[torch.Tensor] = []
        images = torch.from_numpy(random_inputs(shape, CALIBRATION_INPUTS, seed=0)).double()
        self.input = self._tensor("input", _INPUT.scale * (images - _INPUT.zero_point), _INPUT)

    def model(self, name: str) -> IntegerModel:
        return IntegerModel.single(
            name, tuple(self.tensors), tuple(self.ops), self.input, len(self.tensors) - 1
        )

    def channels(self, index: int) -> int:
        return self.tensors[index].shape[-1]

    def conv(
        self,
        name: str,
        source: int,
        channels: int,
        *,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        activation: Activation = "RELU",
        chosen: QuantizationParameters | None = None,
    ) -> int:
        """A convolution; ``chosen`` overrides the calibrated output quantization."""
        weights = self._weights((channels, *_pair(kernel), self.channels(source)))
        image, padding = self._image(source, kernel, stride)
        filters = torch.from_numpy(weights).double().permute(0, 3, 1, 2)
        sums = F.conv2d(image, filters, stride=stride).permute(0, 2, 3, 1)
        scales, bias, values = self._normalised(source, sums, activation)
        op = Conv2D(
            name,
            (source,),
            len(self.tensors),
            weights,
            bias,
            scales,
            (stride, stride),
            padding,
            activation,
        )
        return self._add(op, values, chosen or _range(values, activation))

    def depthwise(
        self,
        name: str,
        source: int,
        *,
        kernel: int | tuple[int, int] = 3,
        multiplier: int = 1,
        stride: int = 1,
    ) -> int:
        """A depthwise convolution with ReLU6."""
        weights = self._weights((*_pair(kernel), multiplier * self.channels(source)), channel_axis=2)
        image, padding = self._image(source, kernel, stride)
        filters = torch.from_numpy(weights).double().permute(2, 0, 1).unsqueeze(1)
        sums = F.conv2d(image, filters, stride=stride, groups=self.channels(source)).permute(0, 2, 3, 1)
        scales, bias, values = self._normalised(source, sums, "RELU6")
        op = DepthwiseConv2D(
            name,
            (source,),
            len(self.tensors),
            weights,
            bias,
            scales,
            (stride, stride),
            padding,
            "RELU6",
        )
        return self._add(op, values, _SIX)

    def fully_connected(self, name: str, source: int, outputs: int, activation: Activation = "NONE") -> int:
        weights = self._weights((outputs, self.tensors[source].size))
        sums = self.values[source].flatten(1) @ torch.from_numpy(weights).double().T
        scales, bias, values = self._normalised(source, sums, activation)
        op = FullyConnected(name, (source,), len(self.tensors), weights, bias, scales, activation)
        return self._add(op, values, _range(values, activation))

    def max_pool(self, name: str, source: int) -> int:
        """2 × 2, stride 2."""
        pooled = F.max_pool2d(self.values[source].permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        op = Pool2D("MAX_POOL_2D", name, (source,), len(self.tensors), (2, 2), (2, 2))
        return self._add(op, pooled, self._same(source))

    def average_pool(self, name: str, source: int, size: int) -> int:
        pooled = F.avg_pool2d(self.values[source].permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
        op = Pool2D("AVERAGE_POOL_2D", name, (source,), len(self.tensors), (size, size), (size, size))
        return self._add(op, pooled, self._same(source))

    def add(self, name: str, first: int, second: int, activation: Activation = "NONE") -> int:
        sums = self.values[first] + self.values[second]
        values = sums.clamp(min=0.0) if activation == "RELU" else sums
        op = Add(name, (first, second), len(self.tensors), activation)
        return self._add(op, values, _range(values, activation))

    def mean(self, name: str, source: int) -> int:
        values = self.values[source].mean((1, 2), keepdim=True)
        return self._add(Mean(name, (source,), len(self.tensors)), values, _range(values, "NONE"))

    def torch_padding(self, source: int, stride: int) -> int:
        """Pad for a 3 × 3 window as PyTorch's ``padding=1``, if TFLite's SAME differs.

        SAME differs at stride 2 over an even size: it pads after the image, not before it.
        """
        if stride == 1 or any(size % 2 for size in self.tensors[source].shape[:2]):
            return source
        op = Pad(f"pad{len(self.tensors)}", (source,), len(self.tensors), paddings=((1, 1), (1, 1), (0, 0)))
        return self._add(op, F.pad(self.values[source], (0, 0, 1, 1, 1, 1)), self._same(source))

    def concatenate(self, name: str, sources: list[int], axis: int) -> int:
        values = torch.cat([self.values[index] for index in sources], 1 + axis)
        op = Concatenation(name, tuple(sources), len(self.tensors), axis)
        return self._add(op, values, self._same(sources[0]))

    def reshape(self, name: str, source: int) -> int:
        values = self.values[source].flatten(1)
        return self._add(Reshape(name, (source,), len(self.tensors)), values, self._same(source))

    def softmax(self, name: str, source: int) -> int:
        values = self.values[source].softmax(-1)
        return self._add(Softmax(name, (source,), len(self.tensors)), values, _SOFTMAX)

    def _weights(self, shape: tuple[int, ...], channel_axis: int = 0) -> np.ndarray:
        """Return normal weights; the largest of each output channel is ±127."""
        drawn = self.rng.standard_normal(shape)
        axes = tuple(axis for axis in range(len(shape)) if axis != channel_axis)
        return np.round(127 * drawn / np.abs(drawn).max(axes, keepdims=True)).astype(np.int8)

    def _image(self, source: int, kernel: int | tuple[int, int], stride: int) -> tuple[torch.Tensor, Padding]:
        """Return a tensor's values as N × C × H × W with padding, and the name of the padding."""
        image = self.values[source].permute(0, 3, 1, 2)
        padding: Padding = "VALID" if kernel == 1 or isinstance(self._writer(source), Pad) else "SAME"
        amounts: list[int] = []
        for size, window in zip(reversed(image.shape[2:]), reversed(_pair(kernel)), strict=True):
            before, out = pad_before(size, window, stride, padding)
            amounts += [before, max((out - 1) * stride + window - size - before, 0)]
        return F.pad(image, amounts), padding

    def _writer(self, index: int) -> Op | None:
        return next((op for op in self.ops if op.output == index), None)

    def _normalised(
        self, source: int, sums: torch.Tensor, activation: Activation
    ) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Return weight scales, int32 biases and the real outputs that they give.

        ``sums``: real inputs times integer weights, channels last. Each channel of the outputs has a random mean
        and a random spread near 1.
        """
        flat = sums.flatten(0, -2)
        channels = flat.shape[1]
        spread = self.rng.uniform(0.5, 1.5, channels) * (2.0 if activation == "RELU6" else 1.0)
        scales = (spread / flat.std(0).clamp(min=1e-3).numpy()).astype(np.float32)
        shift = self.rng.normal(0.0, 0.5, channels) - flat.mean(0).numpy() * scales
        unit = self.tensors[source].scale * scales.astype(np.float64)
        bias = np.round(shift / unit).astype(np.int32)
        values = sums * torch.from_numpy(scales).double() + torch.from_numpy(bias * unit)
        if activation != "NONE":
            values = values.clamp(0.0, 6.0 if activation == "RELU6" else math.inf)
        return scales, bias, values

    def _same(self, source: int) -> QuantizationParameters:
        return QuantizationParameters(self.tensors[source].scale, self.tensors[source].zero_point)

    def _add(self, op: Op, values: torch.Tensor, chosen: QuantizationParameters) -> int:
        self.ops.append(op)
        return self._tensor(op.name, values, chosen)

    def _tensor(self, name: str, values: torch.Tensor, chosen: QuantizationParameters) -> int:
        self.tensors.append(Tensor(name, tuple(values.shape[1:]), chosen.scale, chosen.zero_point))
        self.values.append(fake_quantize(values, chosen))
        return len(self.tensors) - 1


def _pair(kernel: int | tuple[int, int]) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else kernel


def _range(values: torch.Tensor, activation: Activation) -> QuantizationParameters:
    if activation == "RELU6":
        return _SIX
    return parameters_of_range(min(values.min().item(), 0.0), max(values.max().item(), 0.0))
