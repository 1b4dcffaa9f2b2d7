"""The survey's architectures and graphs: published counts, hand-made graphs, and the real engine's counts."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from messages import naming
from strategies import integer_models
from torch import nn

from paper2board.bench.networks import NETWORKS, build
from paper2board.boards.backends import Backend
from paper2board.convert.c_layers import weighted_layer
from paper2board.convert.engine import plan_engine
from paper2board.convert.kernels.cost import features, instructions
from paper2board.convert.lowering import lower
from paper2board.convert.memory_plan import KernelMemory, plan
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.weighted import Convolution, Weighted
from paper2board.survey.graph import Graph, of_integer_model, of_module
from paper2board.survey.instructions import graph_instructions
from paper2board.survey.memory import layer_by_layer, streamed
from paper2board.survey.networks import graph, module, own

# From the papers' own repositories and torchvision's model cards; GhostNet, EfficientNet-Lite0 and MobileNetV1 as
# timm counts them with the authors' weights. MCUNet's model zoo prints 0.75 M and 0.74 M.
PUBLISHED = [
    ("alexnet", 1.0, 61_100_840),
    ("squeezenet", 1.0, 1_235_496),
    ("mobilenet-v1", 1.0, 4_231_976),
    ("mobilenet-v1", 0.25, 470_072),
    ("mobilenet-v2", 1.0, 3_504_872),
    ("shufflenet-v2", 1.0, 2_278_604),
    ("shufflenet-v2", 0.5, 1_366_792),
    ("ghostnet", 1.0, 5_182_508),
    ("efficientnet-lite0", 1.0, 4_652_008),
]
ENGINES_OWN = sorted(NETWORKS)


def traced(*layers: nn.Module, shape: tuple[int, int, int] = (2, 8, 8)) -> Graph:
    return of_module("net", nn.Sequential(*layers), shape)


@pytest.mark.parametrize(("family", "width", "count"), PUBLISHED)
def test_architectures_have_the_published_parameters(family: str, width: float, count: int) -> None:
    assert sum(value.numel() for value in module(family, width, 1000).parameters()) == count


@pytest.mark.parametrize(
    ("family", "resolution", "parameters", "multiplications"),
    [("mcunet-10fps", 48, 0.75e6, 6.4e6), ("mcunet-320kb", 176, 0.74e6, 81.8e6)],
)
def test_mcunets_have_the_model_zoos_figures(
    family: str, resolution: int, parameters: float, multiplications: float
) -> None:
    network = graph("net", family, 1.0, resolution, 1000)
    assert network.parameters == pytest.approx(parameters, rel=0.005)
    assert network.macs == pytest.approx(multiplications, rel=0.01)


@pytest.mark.parametrize(
    ("family", "millions"),
    [("mobilenet-v1", 569), ("mobilenet-v2", 300), ("ghostnet", 141), ("shufflenet-v2", 146)],
)
def test_multiply_accumulates_are_those_of_the_papers(family: str, millions: int) -> None:
    assert graph("net", family, 1.0, 224, 1000).macs == pytest.approx(millions * 1e6, rel=0.01)


def test_unknown_and_unpublished_networks_are_refused() -> None:
    with pytest.raises(UserError, match=naming("lenet", "choose", "mobilenet-v1")):
        module("lenet", 1.0, 10)
    with pytest.raises(UserError, match="one width"):
        module("squeezenet", 0.5, 10)
    with pytest.raises(UserError, match=r"0\.5 and 1\.0"):
        module("shufflenet-v2", 0.7, 10)
    with pytest.raises(UserError, match=naming("nothing", "choose", "resnet8")):
        own("nothing")


# --- hand-made graphs ---------------------------------------------------------------------------------


def test_normalisation_and_relu_are_folded() -> None:
    network = traced(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU6())
    _, conv = network.layers
    assert (network.parameters, conv.weights, conv.biases) == (72 + 8, 72, 4)
    assert (network.flash_bytes, network.macs, network.tensor_bytes) == (72 + 4 * 4, 72 * 64, 128 + 256)
    assert (conv.rows, conv.row_bytes) == (8, 32)


def test_a_normalisation_without_a_convolution_is_refused() -> None:
    with pytest.raises(UserError, match="batch normalisation"):
        traced(nn.BatchNorm2d(2))


def test_an_unknown_layer_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"net has Softplus.*graph\.py"):
        traced(nn.Softplus())


def test_an_activation_that_others_read_past_is_a_layer() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return y + y.relu()

    assert len(of_module("net", Both(), (2, 4, 4)).layers) == 4


def test_peaks_of_two_convolutions() -> None:
    network = traced(nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1))
    assert layer_by_layer(network).bytes == 8 * 8 * 2 + 8 * 8 * 8
    # Three rows of the input, three of the middle and the whole output.
    assert streamed(network).bytes == 3 * 16 + 3 * 64 + 64


def test_a_delay_line_holds_the_shortcut_of_a_sum() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(4, 4, 1)
            self.branch = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)))
            self.last = nn.Conv2d(4, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x)
            return self.last(y + self.branch(y))

    network = of_module("net", Residual(), (4, 16, 16))
    # The input, the shortcut (two rows late, and the row that arrives), two branches, the sum, the output.
    assert streamed(network).bytes == 64 + 3 * 64 + 3 * 64 + 64 + 64 + 256
    assert layer_by_layer(network).bytes == 3 * 1024


def test_a_global_pooling_waits_but_needs_its_input_whole_only_once() -> None:
    network = traced(nn.Conv2d(2, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert layer_by_layer(network).bytes == 128 + 256
    assert streamed(network).bytes == 3 * 16 + 256
    assert len(network.layers) == 4


@pytest.mark.parametrize(
    ("family", "width", "resolution"),
    [("shufflenet-v2", 0.5, 64), ("ghostnet", 0.5, 64), ("squeezenet", 1.0, 64), ("mobilenet-v2", 0.35, 96)],
)
def test_streaming_never_needs_more(family: str, width: float, resolution: int) -> None:
    network = graph("net", family, width, resolution, 10)
    flowing = streamed(network)
    assert flowing.bytes < layer_by_layer(network).bytes
    assert flowing.segments[0] == network.layers[0].name
    # No schedule can do without one row of every tensor's neighbours, nor without the output.
    assert flowing.bytes >= max(layer.row_bytes for layer in network.layers) + network.layers[-1].bytes


def test_only_a_pooling_whose_windows_do_not_overlap_is_taken_in() -> None:
    conv = nn.Conv2d(2, 4, 3, padding=1)
    apart, across = traced(conv, nn.MaxPool2d(2)), traced(nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(3, 2))
    average = traced(nn.Conv2d(2, 4, 3, padding=1), nn.AvgPool2d(2))
    assert [len(network.pooled().layers) for network in (apart, across, average)] == [2, 3, 3]
    # Four rows of the input give one of the output; layer by layer the convolution's rows exist.
    assert streamed(apart).bytes == 4 * 16 + 4 * 16
    assert layer_by_layer(apart).bytes == 128 + 256


def test_depthwise_and_grouped_convolutions() -> None:
    network = traced(nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.Conv2d(8, 8, 1, groups=2), shape=(4, 8, 8))
    _, depthwise, grouped = network.layers
    assert (depthwise.groups, depthwise.weights, depthwise.macs) == (1, 72, 64 * 72)
    assert (grouped.groups, grouped.weights, grouped.macs) == (2, 32, 64 * 32)


# --- against the engine -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(integer_models(max_ops=8))
def test_any_models_graph_has_its_counts_and_streams_within_its_peak(model: IntegerModel) -> None:
    network = of_integer_model(model)
    assert network.macs == model.macs
    weights = {
        op.name: op.undilated() if isinstance(op, Convolution) else op.weights
        for op in model.ops
        if isinstance(op, Weighted)
    }
    assert network.flash_bytes == sum(
        weights[op.name].nbytes + op.bias.nbytes for op in model.ops if isinstance(op, Weighted)
    )
    whole = layer_by_layer(network).bytes
    assert streamed(network).bytes <= whole


@pytest.mark.parametrize("name", ENGINES_OWN)
def test_a_graph_agrees_with_the_engines_counts(name: str) -> None:
    model, network = build(name), own(name)
    assert network.macs == model.macs
    steps = lower(model, fuse=True)
    ready = plan_engine(model, Backend.MAC16)
    expected = sum(
        instructions(packed.function, features(layer, packed))
        for step, packed in zip(ready.steps, ready.packed, strict=True)
        if packed and (layer := weighted_layer(model, step))
    )
    # The engine's fused pooling requantizes a quarter of the values.
    assert graph_instructions(network) == pytest.approx(expected, rel=0.03)
    assert len(network.layers) >= len(steps)


@pytest.mark.parametrize("name", ENGINES_OWN)
def test_a_graphs_peaks_agree_with_the_engines_plans(name: str) -> None:
    model, network = build(name), own(name)
    steps = lower(model, fuse=True)
    planned = plan(model, steps, (KernelMemory(),) * len(steps), streaming=True)
    assert streamed(network).bytes == pytest.approx(planned.bytes, rel=0.15)
    unfused = lower(model, fuse=False)
    whole = plan(model, unfused, (KernelMemory(),) * len(unfused), streaming=False).bytes
    # TFLite's PAD ops, which the graph has not, and gaps between tensors.
    assert layer_by_layer(network).bytes <= whole
    if not any(op.type == "PAD" for op in model.ops):
        assert layer_by_layer(network).bytes == pytest.approx(whole, rel=0.02)
