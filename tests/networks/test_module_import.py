import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from paper2board.core.errors import UserError
from paper2board.networks.module_import import read_module, spec_of, transfer
from paper2board.networks.network import Network, folded
from paper2board.networks.spec import NetworkSpec


class LeNet(nn.Module):
    """As beginners write it: functional, ``view`` with computed sizes, pooling before the activation."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5, padding="same")
        self.drop = nn.Dropout2d()
        self.fc1 = nn.Linear(16 * 8 * 8, 20)
        self.fc2 = nn.Linear(20, 10, bias=False)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.max_pool2d(self.drop(self.conv2(x)), kernel_size=2, stride=2).relu()
        x = x.view(x.size(0), -1)
        x = F.dropout(torch.relu(self.fc1(x)), training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


class Block(nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, inputs, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, out, 1, stride), nn.BatchNorm2d(out, eps=1e-3))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


def resnet(size=17):
    """Odd sizes: there ``padding=1`` with stride 2 is TFLite's SAME."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        Block(8, 8, 1),
        Block(8, 12, 2),
        nn.AvgPool2d(-(-size // 2)),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


class Inverted(nn.Module):
    """MobileNetV2's block, padded as TFLite pads, and a detector's heads."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.expand = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.Hardtanh(0, 6))
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm = nn.BatchNorm2d(16, affine=False)
        self.project = nn.Conv2d(16, 8, 1)
        self.Heads = nn.ModuleList([nn.Conv2d(8, 4, 1), nn.Conv2d(8, 3, 1)])
        self.unused = nn.GELU()

    def forward(self, x):
        x = self.stem(x)
        x = x + self.project(self.norm(self.depthwise(self.expand(x))).clamp(0, 6))
        return torch.cat([head(x) for head in self.Heads], dim=1)


class Fire(nn.Module):
    """SqueezeNet's: one activation over what is joined; a global mean at the end."""

    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(3, 4, 1)
        self.one = nn.Conv2d(4, 6, 1)
        self.three = nn.Conv2d(4, 6, 3, padding=1)
        self.classifier = nn.Conv2d(12, 7, 1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        x = F.relu(F.max_pool2d(torch.cat((self.one(x), self.three(x)), 1), 2))
        return F.relu(self.classifier(x)).mean([2, 3]).relu()


def with_statistics(module):
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.3, 0.3)
            part.running_var.uniform_(0.3, 2)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.5, 0.5)
    return module.eval()


def network_of(module, shape):
    network = Network(spec_of(module, shape))
    transfer(module, network)
    return network.eval()


@pytest.mark.parametrize(
    ("module", "shape", "ops"),
    [
        (LeNet, (3, 32, 32), "conv max_pool conv max_pool flatten linear linear"),
        (resnet, (3, 17, 17), "conv conv conv add conv conv conv add average_pool flatten linear"),
        (Inverted, (1, 20, 24), "conv conv depthwise conv add conv conv concat"),
        (Fire, (3, 9, 11), "conv conv conv concat max_pool conv average_pool flatten"),
    ],
)
def test_module_and_network_compute_the_same(module, shape, ops):
    torch.manual_seed(0)
    module = with_statistics(module())
    network = network_of(module, shape)
    assert " ".join(sorted(layer.op for layer in network.spec.layers)) == " ".join(sorted(ops.split()))
    x = 2 * torch.randn(4, *shape)
    wanted = module(x)
    if isinstance(module, LeNet):  # the study's values are those before the softmax
        torch.testing.assert_close(network(x).log_softmax(1), wanted, atol=1e-4, rtol=1e-4)
    else:
        torch.testing.assert_close(network(x), wanted, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(folded(network)(x), wanted, atol=1e-3, rtol=1e-3)


def test_the_spec_is_as_a_person_would_write_it():
    wanted = NetworkSpec.model_validate(
        {
            "input": (3, 32, 32),
            "layers": [
                {"name": "conv1", "op": "conv", "out": 6, "kernel": 5, "batch_norm": False},
                {"name": "max_pool2d", "op": "max_pool"},
                {"name": "conv2", "op": "conv", "out": 16, "kernel": 5, "batch_norm": False},
                {"name": "max_pool2d_1", "op": "max_pool"},
                {"name": "view", "op": "flatten"},
                {"name": "fc1", "op": "linear", "out": 20, "activation": "relu"},
                {"name": "fc2", "op": "linear", "out": 10},
            ],
        }
    )
    assert spec_of(LeNet(), (3, 32, 32)) == wanted


def test_what_is_left_out_or_differs_is_noted():
    notes = read_module(LeNet(), (3, 32, 32)).notes
    assert [note.split(":")[0] for note in notes] == ["LeNet.log_softmax", "LeNet.fc2"]
    assert "left out" in notes[0] and "bias" in notes[1]


def test_the_module_is_not_changed():
    module = resnet().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    spec_of(module, (3, 17, 17))
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_padding_1_at_stride_2_on_an_even_size_trains_here_but_gives_no_weights():
    module = resnet(16)
    imported = read_module(module, (3, 16, 16))
    assert [note.split(":")[0] for note in imported.notes] == ["Sequential.3.conv1"]
    with pytest.raises(
        UserError, match=r"Sequential\.3\.conv1: .* nn\.ZeroPad2d\(\(0, 1, 0, 1\)\).* from scratch"
    ):
        transfer(module, Network(imported.spec))


def test_weights_go_only_into_the_module_s_own_network():
    network = Network(spec_of(resnet(), (3, 17, 17)))
    with pytest.raises(UserError, match="of another spec"):
        transfer(resnet().append(nn.Linear(5, 2)), network)


def test_layer_names_suit_the_format_and_torch():
    class Names(nn.Module):
        def __init__(self):
            super().__init__()
            self.Conv_A = nn.Conv2d(3, 3, 1)
            self.half_ = nn.Conv2d(3, 3, 1)
            self.keys = nn.Conv2d(3, 3, 1)
            self.input = nn.Conv2d(3, 3, 1)
            self.pool = nn.MaxPool2d(2)

        def forward(self, x):
            return self.pool(self.pool(self.input(self.keys(self.half_(self.Conv_A(x))))))

    spec = spec_of(Names(), (3, 8, 8))
    assert [layer.name for layer in spec.layers] == [
        "conv_a",
        "half_",
        "keys_layer",
        "input_2",
        "pool",
        "pool_2",
    ]
    Network(spec)


def conv(**keys):
    return nn.Conv2d(4, 4, 3, **({"padding": 1} | keys))


class Code(nn.Module):
    """A forward given as a function of the module and x."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.code = forward
        self.conv = conv()
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.code(self, x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (conv(padding=0), r"padding 0 and 0 on 8 pixels gives 6; .* write padding=1"),
        (conv(padding=2), "gives 10; .* to 8; write padding=1"),
        (conv(padding=2, dilation=2), "dilation 2 × 2 .* write dilation=1"),
        (conv(groups=2), "groups=2 is neither 1 nor the 4 input channels; write groups=1"),
        (
            nn.Conv2d(4, 8, 3, padding=1, groups=4),
            "write out_channels=4, then a convolution of kernel 1 that gives 8",
        ),
        (nn.Conv2d(4, 4, (3, 1), padding=(1, 0)), "kernel 3 × 1 is not square; write kernel 3 both ways"),
        (nn.Conv2d(4, 4, 1, stride=(2, 1)), "stride 2 × 1 is not square"),
        (conv(padding_mode="reflect"), "padding_mode="),
        (nn.ConvTranspose2d(4, 4, 2, 2), "ConvTranspose2d is not in the study format; leave it out"),
        (nn.Upsample(scale_factor=2), "Upsample .*coarser grid"),
        (nn.SiLU(), "SiLU is not in the study format; write nn.ReLU or nn.ReLU6"),
        (nn.Hardtanh(-1, 1), "clamps to -1"),
        (nn.GroupNorm(2, 4), "write nn.BatchNorm2d after a convolution"),
        (nn.MaxPool2d(3, 2, 1), r"pools 3 × 3 with stride 2 × 2; write nn.MaxPool2d\(2\)"),
        (nn.MaxPool2d(3, ceil_mode=True), "ceil_mode on 8 × 8"),
        (nn.MaxPool2d(2, padding=1), "without padding"),
        (nn.AvgPool2d(3), "averages 3 × 3 with stride 3 × 3 over 8 × 8"),
        (nn.AdaptiveAvgPool2d(3), "to 3 × 3; choose a square output"),
        (nn.AdaptiveAvgPool2d((2, 4)), "square output"),
        (nn.Linear(8, 8), "reads an image, not a vector; put nn.Flatten"),
        (nn.BatchNorm2d(4), "does not come right after a convolution but after its input"),
        (nn.Sequential(conv(), nn.ReLU(), nn.BatchNorm2d(4)), "Conv2d, BatchNorm2d, ReLU in this order"),
        (nn.Sequential(conv(), nn.BatchNorm2d(4, track_running_stats=False)), "no running statistics"),
        (nn.Sequential(conv(), nn.AvgPool2d(2), nn.ReLU()), "an activation after 1 is not in the format"),
        (nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2)), "for something else than a convolution"),
        (nn.Sequential(conv(), nn.Softmax(1), conv()), "leave it out"),
        (Code(lambda self, x: (self.conv(x), x)), "returns several values"),
        (Code(lambda self, x: x), "computes nothing"),
        (
            Code(lambda self, x: self.conv(x) if x.sum() > 0 else x),
            "torch.fx cannot trace its forward .* without cond",
        ),
        (Code(lambda self, x: self.conv(x) + 1), "adds something else than two layers"),
        (Code(lambda self, x: self.conv(x) * x), "mul is not in the study format; leave it out"),
        (Code(lambda self, x: self.conv(self.conv(x))), "Code.conv: is called twice"),
        (Code(lambda self, x: (y := self.conv(x)) + F.relu(y)), "conv is also read without this activation"),
        (
            Code(lambda self, x: (y := self.conv(x)) + self.bn(y), bn=nn.BatchNorm2d(4)),
            "also read without it",
        ),
        (Code(lambda self, x: F.relu(self.conv(x).mean((2, 3)))), "an activation after mean"),
        (Code(lambda self, x: self.conv(x).mean(1)), "rows and columns"),
        (Code(lambda self, x: torch.cat([self.conv(x), x], 2)), "along channels"),
        (Code(lambda self, x: torch.cat([self.conv(x), x], 1)), "network's input, whose int8 range is fixed"),
        (Code(lambda self, x: self.conv(x).view(-1, 4)), "makes 128 × 4 of 2 × 4 × 8 × 8"),
        (Code(lambda self, x: self.conv(x).permute(0, 2, 3, 1)), "permute is not in the study format"),
        (
            Code(lambda self, x: self.conv((x - self.mean) / 2), mean=nn.Parameter(torch.ones(1))),
            r"Code.mean: .* / 64",
        ),
        (Code(lambda self, x: F.conv2d(x, self.conv.weight)), "weight"),
        (nn.Conv2d(3, 4, 3, padding=1), "fails on this input .*3 channels.*give the input size"),
    ],
)
def test_what_the_format_cannot_say_is_refused_with_what_to_write(module, message):
    with pytest.raises(UserError, match=message) as refusal:
        spec_of(module if isinstance(module, Code | nn.Sequential) else nn.Sequential(module), (4, 8, 8))
    assert "; " in str(refusal.value), "no remedy"
    assert str(refusal.value).startswith(("Code", "Sequential"))


def test_torchvision_s_mobilenet_is_read():
    from paper2board.networks.torchvision_guard import torchvision

    spec = spec_of(torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=10), (3, 96, 96))
    assert sum(layer.op == "depthwise" for layer in spec.layers) == 17
    assert spec.layers[-1].name == "classifier_1" and spec.shapes()["classifier_1"] == (10,)
