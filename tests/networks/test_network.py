import itertools

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import nn

from paper2board.core.errors import UserError
from paper2board.model.operators.moving import Concatenation
from paper2board.networks.counts import macs, parameters
from paper2board.networks.network import ConvLayer, Network, folded
from paper2board.networks.spec import CONCAT_MAX, NetworkSpec

DETECTOR = NetworkSpec.model_validate(
    yaml.safe_load(
        """
input: [3, 120, 160]
layers:
  - {name: depthwise1, op: depthwise, stride: 2, activation: relu6}
  - {name: pointwise1, op: conv, kernel: 1, out: 16, activation: relu6}
  - {name: depthwise2, op: depthwise, stride: 2, activation: relu6}
  - {name: pointwise2, op: conv, kernel: 1, out: 32, activation: relu6}
  - {name: depthwise3, op: depthwise, stride: 2, activation: relu6}
  - {name: pointwise3, op: conv, kernel: 1, out: 64, activation: relu6}
  - {name: depthwise4, op: depthwise, stride: 2, activation: relu6}
  - {name: features, op: conv, kernel: 1, out: 128, activation: relu6}
  - {name: bbox, op: conv, kernel: 1, out: 4, batch_norm: false, activation: none}
  - {name: classes, op: conv, source: features, kernel: 1, out: 10, batch_norm: false, activation: none}
  - {name: confidence, op: conv, source: features, kernel: 1, out: 1, batch_norm: false, activation: none}
  - {name: heads, op: concat, source: bbox, others: [classes, confidence]}
"""
    )
)


class PrintedDetector(nn.Module):
    """The article's ``LightweightObjectDetector`` as printed."""

    def __init__(self, num_classes=10):
        super().__init__()
        widths = (3, 16, 32, 64, 128)
        pairs = itertools.pairwise(widths)
        self.features = nn.Sequential(*(self._depthwise_conv(*pair) for pair in pairs))
        self.bbox_head = nn.Conv2d(128, 4, kernel_size=1)
        self.class_head = nn.Conv2d(128, num_classes, kernel_size=1)
        self.conf_head = nn.Conv2d(128, 1, kernel_size=1)

    def _depthwise_conv(self, in_ch, out_ch, stride=2):
        return nn.Sequential(
            nn.Conv2d(in_ch, in_ch, 3, stride=stride, padding=1, groups=in_ch, bias=False),
            nn.BatchNorm2d(in_ch),
            nn.ReLU6(),
            nn.Conv2d(in_ch, out_ch, 1, bias=False),
            nn.BatchNorm2d(out_ch),
            nn.ReLU6(),
        )

    def forward(self, x):
        features = self.features(x)
        return self.bbox_head(features), self.class_head(features), self.conf_head(features)


def spec(*layers, shape=(3, 8, 8)):
    return NetworkSpec.model_validate({"input": shape, "layers": layers})


def conv(name, **keys):
    return {"name": name, "op": "conv", "out": 4} | keys


def with_statistics(network):
    """Give every batch normalisation something to fold."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.3, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


# --- the printed detector -----------------------------------------------------------------------------


def test_the_printed_detector_has_14480_parameters_and_2_70_million_macs():
    assert sum(parameters(DETECTOR, folded=False).values()) == 14_480
    assert sum(value.numel() for value in PrintedDetector().parameters()) == 14_480
    assert sum(value.numel() for value in Network(DETECTOR).parameters()) == 14_480
    assert sum(parameters(DETECTOR).values()) == 14_125 == 14_480 - 355  # normalised channels
    assert sum(value.numel() for value in folded(Network(DETECTOR)).parameters()) == 14_125
    assert sum(macs(DETECTOR).values()) == 2_703_040
    assert macs(DETECTOR)["depthwise1"] == 60 * 80 * 3 * 9
    assert DETECTOR.shapes()["features"] == (128, 8, 10)
    assert DETECTOR.shapes()["heads"] == (15, 8, 10)


def test_the_printed_padding_is_tflites_seen_in_the_mirror():
    """With padding=1 and stride 2 windows begin one pixel before those of SAME (where the size is even); both
    image and kernels turned by 180°, they are the same windows."""
    torch.manual_seed(0)
    printed = with_statistics(PrintedDetector())
    network = Network(DETECTOR).eval()
    ours = [value for name, value in network.state_dict().items()]
    theirs = list(printed.state_dict().values())
    for value, source in zip(ours, theirs, strict=True):
        value.copy_(source.flip(2, 3) if source.ndim == 4 else source)
    x = torch.randn(2, 3, 120, 160)
    wanted = torch.cat(printed(x), 1)
    torch.testing.assert_close(network(x.flip(2, 3)).flip(2, 3), wanted, atol=1e-5, rtol=1e-5)
    assert (
        network(x) - wanted
    ).abs().max() > 0.01  # so weights do not move from one to the other as they are


# --- folding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_folding_keeps_the_function(activation, stride, kernel):
    torch.manual_seed(0)
    layer = {"kernel": kernel, "stride": stride, "activation": activation}
    network = Network(
        spec(
            {"name": "depthwise1", "op": "depthwise"} | layer,
            conv("conv1", **layer),
            {"name": "depthwise2", "op": "depthwise", "batch_norm": False} | layer,
            conv("conv2", batch_norm=False, **layer),
            {"name": "sum", "op": "add", "other": "depthwise2", "activation": activation}
            if stride == 1
            else {"name": "same", "op": "concat", "others": ["conv2"]},
            shape=(3, 17, 20),
        )
    )
    network = with_statistics(network)
    x = 3 * torch.randn(4, 3, 17, 20)
    after = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in after.modules())
    torch.testing.assert_close(after(x), network(x), atol=1e-4, rtol=1e-4)


def test_folding_the_detector_keeps_its_heads():
    torch.manual_seed(0)
    network = with_statistics(Network(DETECTOR))
    x = torch.randn(2, 3, 120, 160)
    assert network(x).shape == (2, 15, 8, 10)
    torch.testing.assert_close(folded(network)(x), network(x), atol=1e-4, rtol=1e-4)


# --- depthwise and concat -----------------------------------------------------------------------------


def test_a_depthwise_convolution_keeps_channels_apart():
    network = Network(spec({"name": "only", "op": "depthwise", "stride": 2})).eval()
    layer = network.layers["only"]
    assert isinstance(layer, ConvLayer) and layer.conv.weight.shape == (3, 1, 3, 3)
    x = torch.randn(1, 3, 8, 8)
    changed = x.clone()
    changed[:, 1] += 1
    differs = (network(x) != network(changed)).flatten(2).any(2)[0]
    assert not differs[0] and not differs[2]
    assert network.spec.shapes()["only"] == (3, 4, 4)
    assert network.spec.widths() == {}


def test_concatenation_is_in_the_order_of_the_names():
    one, two = conv("one"), conv("two", source="input", out=2)
    network = Network(spec(one, two, {"name": "both", "op": "concat", "others": ["one", "two"]})).eval()
    x = torch.randn(1, 3, 8, 8)
    first, second = network.layers["one"](x), network.layers["two"](x)
    assert torch.equal(network(x), torch.cat([second, first, second], 1))
    assert network.spec.shapes()["both"] == (8, 8, 8)


def test_what_a_concatenation_joins_has_one_range():
    found = spec(
        conv("a"),
        {"name": "small", "op": "max_pool"},
        conv("b", source="a", stride=2),
        {"name": "ab", "op": "concat", "others": ["small"]},
        conv("c", source="b"),
        {"name": "abc", "op": "concat", "source": "ab", "others": ["c"]},
        conv("d"),
    ).ranges()
    assert len({found[name] for name in ("a", "small", "b", "ab", "c", "abc")}) == 1
    assert found["d"] == "d" and found["input"] == "input"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [conv("a"), conv("b", stride=2), {"name": "x", "op": "concat", "others": ["a"]}],
            "heights and widths",
        ),
        ([conv("a"), {"name": "x", "op": "concat", "others": ["input"]}], "put a conv between"),
        ([conv("a"), {"name": "x", "op": "concat", "others": ["y"]}], "no earlier layer is called"),
        ([conv("a"), {"name": "x", "op": "concat", "others": []}], "at least 1 item"),
        ([conv("a"), {"name": "x", "op": "concat", "others": ["a"] * CONCAT_MAX}], "at most 9 items"),
        ([{"name": "f", "op": "flatten"}, {"name": "x", "op": "depthwise"}], "needs a C, H, W input"),
        ([{"name": "x", "op": "depthwise", "out": 4}], "Extra inputs are not permitted"),
    ],
)
def test_impossible_layers_are_refused(layers, message):
    with pytest.raises(ValidationError, match=message):
        spec(*layers)


@pytest.mark.parametrize("name", ["half", "keys", "training"])
def test_a_name_that_torch_uses_itself_is_refused(name):
    with pytest.raises(UserError, match=f"layer {name}: .* choose another"):
        Network(spec(conv(name)))


def test_the_concatenations_limit_is_the_integer_models():
    assert Concatenation.INPUTS[1] == CONCAT_MAX


def test_dropout_is_gone_in_the_deployed_network():
    layers = [
        {"name": "stem", "op": "conv", "out": 4},
        {"name": "drop", "op": "dropout", "rate": 0.5},
        {"name": "side", "op": "conv", "out": 4},
        {"name": "sum", "op": "add", "other": "drop"},
        {"name": "both", "op": "concat", "source": "drop", "others": ["side", "sum"]},
    ]
    spec = NetworkSpec.model_validate({"input": [3, 8, 8], "layers": layers})
    torch.manual_seed(0)
    network = with_statistics(Network(spec))
    x = torch.randn(4, 3, 8, 8)
    network.train()
    assert not torch.equal(network(x), network(x))
    deployed = folded(network.eval())
    assert [layer.name for layer in deployed.spec.layers] == ["stem", "side", "sum", "both"]
    assert deployed.spec.sources() == {
        "stem": ("input",),
        "side": ("stem",),
        "sum": ("side", "stem"),
        "both": ("stem", "side", "sum"),
    }
    torch.testing.assert_close(deployed(x), network(x), atol=1e-5, rtol=1e-5)
