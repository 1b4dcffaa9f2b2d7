"""From a folded float network to an IntegerModel: scales, zero points, integer weights.

Weights are symmetric int8 in −127…127, per channel or per tensor; activations are asymmetric int8.
Source: TFLite 8-bit quantization specification; Jacob et al. 2018.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add as AddOp
from paper2board.model.operators.moving import Concatenation, Reshape
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D, FullyConnected
from paper2board.model.tensor import Activation as FusedActivation
from paper2board.model.tensor import Tensor
from paper2board.networks.finite import require_finite
from paper2board.networks.network import ConvLayer, LinearLayer, Network
from paper2board.networks.pixels import PIXEL_SCALE
from paper2board.networks.spec import Add, AveragePool, Concat, Conv, Depthwise, Flatten, Linear, MaxPool
from paper2board.networks.tensors import to_float

WEIGHT_MAX = 127
_BIAS_MAX = 1 << 30
"""Largest integer bias: what is left of int32 is for the products."""
_STEPS_MAX = 1 << 27
"""Most steps of its output that a layer's sums can come to: requantization in 32 bits fits no more. It matters
for a layer that is always zero."""
_SCALE_BITS = 15
_ACTIVATIONS: dict[str, FusedActivation] = {"none": "NONE", "relu": "RELU", "relu6": "RELU6"}


@dataclass(frozen=True)
class QuantizationParameters:
    """``real = scale · (q − zero_point)`` for int8 ``q``; ``scale`` is a float32 value."""

    scale: float
    zero_point: int


INPUT = QuantizationParameters(PIXEL_SCALE, 0)


def round_scale(scale: float) -> float:
    """Return ``scale`` rounded up to a 15-bit mantissa.

    Its product with any span of int8 is then exact in float32, so a converter that is given a range instead
    of a scale recovers exactly this scale.
    """
    mantissa, exponent = math.frexp(max(scale, 2.0**-60))
    return math.ldexp(math.ceil(mantissa * (1 << _SCALE_BITS)), exponent - _SCALE_BITS)


def weight_scales(weights: torch.Tensor, per_channel: bool) -> torch.Tensor:
    """Return float32 scales of (out, …) weights: (out,) or (1,), ``max|w| / 127`` rounded up."""
    rows = weights.detach().abs().flatten(1)
    largest = rows.amax(1) if per_channel else rows.amax().reshape(1)
    return torch.tensor([round_scale(value / WEIGHT_MAX) for value in largest.tolist()])


def layers_with_range(network: Network) -> list[str]:
    """Return the layers that compute new values; pooling, flatten and concatenation keep the quantization of
    theirs."""
    return [layer.name for layer in network.spec.layers if isinstance(layer, Conv | Depthwise | Linear | Add)]


class Observer:
    """Collects samples of each layer's output and picks the range with the least squared error."""

    samples_per_batch = 20_000

    def __init__(self, network: Network, seed: int = 0) -> None:
        self.network = network
        self.generator = torch.Generator().manual_seed(seed)
        self.samples: dict[str, list[torch.Tensor]] = {name: [] for name in layers_with_range(network)}

    def observe(self, batches: Iterable[torch.Tensor]) -> None:
        """Run uint8 N×C×H×W batches through the network and keep samples."""
        handles = [self.network.layers[name].register_forward_hook(self._hook(name)) for name in self.samples]
        with torch.inference_mode():
            for batch in batches:
                self.network(to_float(batch))
        for handle in handles:
            handle.remove()

    def _hook(self, name: str):
        def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            flat = output.flatten()
            chosen = torch.randint(len(flat), (self.samples_per_batch,), generator=self.generator)
            self.samples[name] += [flat[chosen], flat.min().reshape(1), flat.max().reshape(1)]

        return keep

    def parameters(self) -> dict[str, QuantizationParameters]:
        """Return the parameters of the input and of every layer that computes new values; layers that a
        concatenation joins have the same ones, of least error over all of them.

        Raise :class:`UserError` if a weight or a layer's output is not finite.
        """
        remedy = "train the network again at a lower learning rate"
        require_finite(self.network.state_dict(), "the network to quantize", remedy)
        ranges = self.network.spec.ranges()
        samples: dict[str, list[torch.Tensor]] = {}
        for name, values in self.samples.items():
            if not all(torch.isfinite(value).all() for value in values):
                raise UserError(
                    f"layer {name}: its outputs for the calibration images are not finite, so no int8 range holds"
                    f" them; {remedy}"
                )
            samples.setdefault(ranges[name], []).extend(values)
        chosen = {"input": INPUT}
        for owner, values in samples.items():
            reach = max(self._reach(name, chosen) for name in self.samples if ranges[name] == owner)
            chosen[owner] = best_parameters(torch.cat(values), reach / _STEPS_MAX)
        return {"input": INPUT} | {name: chosen[ranges[name]] for name in self.samples}

    def _reach(self, name: str, chosen: dict[str, QuantizationParameters]) -> float:
        """Return a bound of what a layer's sums can come to, as far as its inputs' parameters are known."""
        layer, ranges = self.network.layers[name], self.network.spec.ranges()
        owners = [ranges[source] for source in self.network.sources[name]]
        inputs = sum(255 * chosen[owner].scale for owner in owners if owner in chosen)
        if not isinstance(layer, ConvLayer | LinearLayer):
            return inputs
        module = layer.conv if isinstance(layer, ConvLayer) else layer.linear
        assert module.bias is not None  # folded networks have biases everywhere
        weights = module.weight.detach().double().abs().flatten(1).sum(1)
        return (inputs * weights + module.bias.detach().double().abs()).max().item()


def best_parameters(samples: torch.Tensor, least_scale: float = 0.0) -> QuantizationParameters:
    """Return the parameters with the least mean squared error over ``samples``, clipping allowed."""
    low, high = min(samples.min().item(), 0.0), max(samples.max().item(), 0.0)
    candidates = [
        parameters_of_range(low * share, high * share, least_scale) for share in np.linspace(0.3, 1.0, 71)
    ]
    return min(candidates, key=lambda chosen: _squared_error(samples, chosen))


def parameters_of_range(low: float, high: float, least_scale: float = 0.0) -> QuantizationParameters:
    """Return the int8 parameters of a range that contains zero; zero is exactly representable."""
    scale = round_scale(max((high - low) / 255, least_scale))
    return QuantizationParameters(scale, max(-128, min(127, round(-128 - low / scale))))


def fake_quantize(values: torch.Tensor, chosen: QuantizationParameters) -> torch.Tensor:
    """Return ``values`` rounded to the int8 grid and clipped; the gradient passes straight through."""
    return torch.fake_quantize_per_tensor_affine(values, chosen.scale, chosen.zero_point, -128, 127)


def _squared_error(samples: torch.Tensor, chosen: QuantizationParameters) -> float:
    return (fake_quantize(samples, chosen) - samples).square().mean().item()


def to_integer_model(
    network: Network, parameters: dict[str, QuantizationParameters], name: str, per_channel: bool
) -> IntegerModel:
    """Return the integers of a folded network (no batch norm left) under the given activation parameters; raise
    :class:`UserError` if a weight is not finite."""
    require_finite(network.state_dict(), f"model {name}", "train the network again at a lower learning rate")
    builder = _Builder(network, parameters, per_channel)
    for layer in network.spec.layers:
        builder.add(layer)
    return IntegerModel.single(name, tuple(builder.tensors), tuple(builder.ops), 0, len(builder.tensors) - 1)


class _Builder:
    def __init__(
        self, network: Network, parameters: dict[str, QuantizationParameters], per_channel: bool
    ) -> None:
        self.network, self.parameters, self.per_channel = network, parameters, per_channel
        self.sources = network.spec.sources()
        self.shapes = network.spec.shapes()
        self.tensors = [Tensor("input", _hwc(network.spec.input), INPUT.scale, INPUT.zero_point)]
        self.index = {"input": 0}
        self.ops: list[Op] = []

    def add(self, layer) -> None:
        inputs = tuple(self.index[source] for source in self.sources[layer.name])
        source = self.tensors[inputs[0]]
        own = self.parameters.get(layer.name, QuantizationParameters(source.scale, source.zero_point))
        self.index[layer.name] = output = len(self.tensors)
        self.tensors.append(Tensor(layer.name, _hwc(self.shapes[layer.name]), own.scale, own.zero_point))
        self.ops.append(self._op(layer, inputs, output))

    def _op(self, layer, inputs: tuple[int, ...], output: int) -> Op:
        name, source = layer.name, self.tensors[inputs[0]]
        module = self.network.layers[name]
        activation = _ACTIVATIONS[getattr(layer, "activation", "none")]
        if isinstance(module, ConvLayer):
            weights = module.conv.weight.detach().permute(0, 2, 3, 1)
            integers, biases, scales = self._integers(
                weights, module.conv.bias, source.scale, self.per_channel
            )
            stride = (layer.stride, layer.stride)
            if isinstance(layer, Depthwise):
                kernels = np.ascontiguousarray(integers[..., 0].transpose(1, 2, 0))
                return DepthwiseConv2D(
                    name, inputs, output, kernels, biases, scales, stride, "SAME", activation
                )
            return Conv2D(name, inputs, output, integers, biases, scales, stride, "SAME", activation)
        if isinstance(module, LinearLayer):
            weights = self._linear_weights(name, module)
            # TFLite's specification quantizes FULLY_CONNECTED per tensor.
            product = self._integers(weights, module.linear.bias, source.scale, per_channel=False)
            return FullyConnected(name, inputs, output, *product, activation)
        match layer:
            case MaxPool():
                return Pool2D("MAX_POOL_2D", name, inputs, output, (layer.kernel,) * 2, (layer.kernel,) * 2)
            case AveragePool():
                kernel = (source.shape[0] // layer.out, source.shape[1] // layer.out)
                return Pool2D("AVERAGE_POOL_2D", name, inputs, output, kernel, kernel)
            case Add():
                return AddOp(name, inputs, output, activation)
            case Concat():
                return Concatenation(name, inputs, output, axis=2)
            case _:
                return Reshape(name, inputs, output)

    def _linear_weights(self, name: str, module: LinearLayer) -> torch.Tensor:
        """Return (out, in) weights, the inputs reordered from torch's C, H, W flatten to H, W, C."""
        weights = module.linear.weight.detach()
        origin = self.sources[name][0]
        flattened = self.sources.get(origin, (origin,))[0]
        shape = self.shapes[flattened]
        is_flatten = any(
            isinstance(item, Flatten) and item.name == origin for item in self.network.spec.layers
        )
        if is_flatten and len(shape) == 3:
            weights = weights.reshape(-1, *shape).permute(0, 2, 3, 1).flatten(1)
        return weights

    def _integers(
        self, weights: torch.Tensor, bias: torch.Tensor | None, input_scale: float, per_channel: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert bias is not None  # folded networks have biases everywhere
        scales = _with_room_for_biases(weight_scales(weights, per_channel), bias, input_scale)
        column = scales.reshape(-1, *[1] * (weights.ndim - 1))
        quantized = (weights / column).round().clamp(-WEIGHT_MAX, WEIGHT_MAX).to(torch.int8)
        limits = torch.iinfo(torch.int32)
        biases = (bias.detach().double() / (scales.double() * input_scale)).round()
        return (
            np.ascontiguousarray(quantized.numpy()),
            biases.clamp(limits.min, limits.max).to(torch.int32).numpy(),
            scales.numpy(),
        )


def _with_room_for_biases(scales: torch.Tensor, bias: torch.Tensor, input_scale: float) -> torch.Tensor:
    """Return weight scales, raised where a bias would otherwise exceed ``_BIAS_MAX`` steps.

    That is so in channels whose weights are (all but) zero, which magnitude pruning and batch normalisation
    make; beside such a bias their weights do not matter.
    """
    needed = bias.detach().abs().double() / (input_scale * _BIAS_MAX)
    least = needed if len(scales) > 1 else needed.amax().reshape(1)
    pairs = zip(scales.tolist(), least.tolist(), strict=True)
    return torch.tensor([scale if scale >= low else round_scale(low) for scale, low in pairs])


def _hwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def weight_round_trip(network: Network) -> Network:
    """Return a copy whose weights and biases went through the deck's symmetric per-tensor int8 and back.

    Slide "Quantization": scale = max|x| / 127, q = round(x / scale), x̂ = scale · q. Activations stay float,
    which is what the deck's "Accuracy (Quantized + Dequantized)" measures.
    """
    result = Network(network.spec)
    result.load_state_dict(network.state_dict())
    with torch.no_grad():
        for value in result.parameters():
            scale = value.abs().max() / WEIGHT_MAX
            if scale > 0:
                value.copy_((value / scale).round() * scale)
    return result.eval()


ROUND_TRIPS = {"weight-only-int8": weight_round_trip}
"""What float schemes do to the float network before it is evaluated."""
