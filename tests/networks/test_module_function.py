"""An imported module keeps its function, or is refused in one sentence; it is left as it was."""

import os
import re
import sys
import threading

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import naming
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch_modules import random_module

from paper2board.core.errors import UserError
from paper2board.networks.module_import import read_module, transfer
from paper2board.networks.network import Network

SHAPE = (3, 8, 8)
SOME = settings(max_examples=max(settings().max_examples // 10, 1))
"""A tenth of the profile's examples: 10 by default, 200 with `max_examples=2000`."""


class Code(nn.Module):
    """A forward given as a function of the module and x."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.code = forward
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(256, 10)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.code(self, x)


def after(work):
    """Do some work on what two convolutions give; its result is not used."""

    def forward(self, x):
        x = self.conv1(x)
        work(self, x)
        x = self.conv2(x)
        work(self, x)
        return self.fc(x.flatten(1))

    return forward


def plain(self, x):
    return self.fc(self.act(self.conv1(x)).flatten(1))


def added_in_place(add):
    def forward(self, x):
        x = self.conv1(x)
        y = self.conv2(x)
        add(y, x)
        return y

    return forward


def changed(module, change, part="conv1"):
    change(getattr(module, part))
    return module


def equal(module, finish=lambda x: x, shape=SHAPE):
    """Assert that the network computes what the module computes, for several batches; return its spec."""
    network = Network(read_module(module, shape).spec)
    transfer(module, network)
    network.double().eval()
    module = module.double().eval()
    with torch.no_grad():
        for seed, images in enumerate((1, 2, 5)):
            torch.manual_seed(seed)
            x = 2 * torch.randn(images, *shape, dtype=torch.float64)
            wanted = module(x.clone())
            difference = (finish(network(x)) - wanted).abs().max()
            assert difference <= 1e-5 * wanted.abs().max().clamp(min=1e-3)
    return network.spec


def refusal(module, shape=SHAPE):
    """Return the one sentence that refuses the module."""
    with pytest.raises(UserError) as error:
        read_module(module, shape)
    text = str(error.value)
    assert "\n" not in text and "; " in text and "Traceback" not in text
    return text


# --- in place, sizes, arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "activation"),
    [
        (lambda self, x: self.act(x), "relu"),
        (lambda self, x: F.relu_(x), "relu"),
        (lambda self, x: F.relu(x, inplace=True), "relu"),
        (lambda self, x: x.relu_(), "relu"),
        (lambda self, x: x.clamp_(0, 6), "relu6"),
        (lambda self, x: torch.clamp(x, min=0, out=x), "relu"),
        (lambda self, x: torch.no_grad()(lambda: x.relu_())(), "relu"),
    ],
)
def test_an_activation_in_place_whose_result_is_not_used_is_in_the_spec(work, activation):
    layers = read_module(Code(after(work)), SHAPE).spec.layers
    assert [layer.activation for layer in layers if layer.op == "conv"] == [activation] * 2
    equal(Code(after(work)))


@pytest.mark.parametrize(
    "forward",
    [
        added_in_place(lambda y, x: y.add_(x)),
        added_in_place(lambda y, x: y.__iadd__(x)),
        added_in_place(lambda y, x: torch.add(y, x, out=y)),
        lambda self, x: self.fc(self.conv1(x).view(x.size(0), -1)),
        lambda self, x: self.fc(
            F.relu((y := self.conv1(x)).view(y.shape[0], y.shape[1] * y.size(2) * y.size(3)))
        ),
        lambda self, x: F.avg_pool2d(self.conv1(x), x.shape[2:]).flatten(1),
        lambda self, x: F.max_pool2d(self.conv1(x), kernel_size=x.shape[-1] // 4).mean(dim=(-2, -1)),
        lambda self, x: torch.mean(input=self.conv1(input=x), dim=[2, 3]),
        lambda self, x: torch.cat(tensors=[y := self.conv1(x), self.conv2(y)], dim=x.dim() - 3),
        lambda self, x: (y := self.conv1(x)) + F.dropout(self.conv2(y), 0.5, self.training),
        lambda self, x: [y := self.conv1(x), before := y, self.act(y), self.conv2(y) + before][-1],
        lambda self, x: [print(x), plain(self, x)][-1],
    ],
)
def test_what_a_forward_may_write_is_computed_as_torch_does(forward):
    equal(Code(forward))


class Flagged(Code):
    def forward(self, x, negative=False, *, scale=None):
        return plain(self, -x if negative else x)


def test_a_forward_with_defaults_takes_them():
    equal(Flagged(None))


# --- computed weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
        lambda conv: prune.random_unstructured(conv, "bias", 0.5),
        lambda conv: [
            prune.l1_unstructured(conv, "weight", 0.3),
            prune.ln_structured(conv, "weight", 0.5, 2, 0),
        ],
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_computed_weights_are_read_as_they_are_and_noted(change):
    module = changed(Code(plain), change)
    assert any("Code.conv1: its weights are computed" in note for note in read_module(module, SHAPE).notes)
    equal(module)


def test_another_epsilon_is_exact_where_a_variance_is_tiny():
    norm = nn.BatchNorm2d(4, eps=1e-12)
    norm.running_var.fill_(1e-9)
    equal(nn.Sequential(nn.Conv2d(3, 4, 1), norm))


# --- refusals ------------------------------------------------------------------------------------------


def shared(view):
    module = Code(lambda self, x: self.b(self.a(x.flatten(1))), a=nn.Linear(192, 192), b=nn.Linear(192, 192))
    module.b.weight = view(module.a.weight)
    return module


def tensor_weight():
    module = shared(lambda weight: weight)
    del module.b.weight
    module.b.weight = module.a.weight.t()
    return module


def replaced_forward():
    module = Code(plain)
    module.conv1.forward = lambda x: -F.conv2d(x, module.conv1.weight, padding=1)
    return module


def zero_part(self, x):
    x[:, 0] = 0


class Endless(nn.Module):
    def forward(self, x):
        return self(x)


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


class Own(nn.Conv2d):
    pass


REFUSED = {
    "x.mul_(2)": (lambda: Code(after(lambda s, x: x.mul_(2))), ["Code.mul_", "leave it out"]),
    "x.data": (lambda: Code(after(lambda s, x: x.data.relu_())), ["data", "read the tensor itself"]),
    "detach": (lambda: Code(after(lambda s, x: x.detach().relu_())), ["detach", "read the tensor itself"]),
    "x[:, 0] = 0": (lambda: Code(after(zero_part)), ["cannot trace", "x[…] = y"]),
    "slice": (lambda: Code(after(lambda s, x: x[:, :2].relu_())), ["Code.relu_", "conv1", "in place"]),
    "view": (lambda: Code(after(lambda s, x: x.view(x.size(0), -1).relu_())), ["Code.relu_", "in place"]),
    "input": (lambda: Code(lambda s, x: [F.relu_(x), plain(s, x)][-1]), ["Code.relu_", "input"]),
    "own parameter": (lambda: Code(after(lambda s, x: s.conv1.bias.mul_(2))), ["Code.mul_", "in place"]),
    "hook": (
        lambda: changed(Code(plain), lambda c: c.register_forward_hook(lambda *_: None)),
        ["Code.conv1", "forward hook", "remove it"],
    ),
    "pre-hook": (
        lambda: changed(Code(plain), lambda c: c.register_forward_pre_hook(lambda *_: None), "act"),
        ["Code.act", "forward hook", "remove it"],
    ),
    "replaced forward": (replaced_forward, ["Code.conv1", "forward was replaced", "method"]),
    "buffer": (
        lambda: Code(after(lambda s, x: s.n.add_(1)), n=nn.Buffer(torch.zeros(1))),
        ["self.n", "forward"],
    ),
    "attribute": (lambda: Code(after(lambda s, x: setattr(s, "last", x))), ["self.last", "forward"]),
    "list": (lambda: Code(after(lambda s, x: s.seen.append(x)), seen=[]), ["self.seen", "forward"]),
    "branch": (lambda: Code(lambda s, x: plain(s, x) if x.sum() > 0 else x), ["cannot trace", "conditions"]),
    "dropout": (lambda: Code(lambda s, x: F.dropout(s.conv1(x))), ["Code.dropout", "training=self.training"]),
    "training": (lambda: Code(lambda s, x: s.d.train()(s.conv1(x)), d=nn.Dropout()), ["differ by"]),
    "softmax over the batch": (lambda: Code(lambda s, x: plain(s, x).softmax(0)), ["axis 0", "dim=1"]),
    "batch of 2": (lambda: Code(lambda s, x: s.fc(s.conv1(x).view(2, -1))), ["batch of 1", "flatten(1)"]),
    "same parameter": (lambda: shared(lambda w: w), ["Code.b", "same weights as a", "of its own"]),
    "transposed": (
        lambda: shared(lambda w: nn.Parameter(w.t())),
        ["Code.b", "same weights as a", "of its own"],
    ),
    "tensor for a parameter": (tensor_weight, ["Code.b", "weight", "of its own"]),
    "twice": (lambda: Code(lambda s, x: s.conv2(s.conv2(s.conv1(x)))), ["Code.conv2", "called twice"]),
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(4, 3)), ["Sequential.0", "LazyConv2d", "nn.Conv2d"]),
    "scripted": (lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 1))), ["TorchScript", "nn.Module"]),
    "parallel": (lambda: nn.DataParallel(Code(plain)), ["DataParallel", "give the module"]),
    "compiled": (lambda: type("OptimizedModule", (Code,), {})(plain), ["OptimizedModule", "give the module"]),
    "quantized": (
        lambda: torch.ao.quantization.quantize_dynamic(Code(plain), {nn.Linear}),
        ["Code.fc", "quantized", "float module"],
    ),
    "half": (lambda: Code(plain).half(), ["Code.conv1", "float16", ".float()"]),
    "double": (lambda: Code(plain).double(), ["Code.conv1", "float64", ".float()"]),
    "complex": (lambda: Code(plain).to(torch.complex64), ["Code.conv1", "complex64", ".float()"]),
    "device": (lambda: Code(plain).to("meta"), ["Code.conv1", "meta", ".cpu()"]),
    "sys.exit": (lambda: Code(lambda s, x: sys.exit(3)), ["ends the program", "SystemExit: 3", "correct it"]),
    "os._exit": (lambda: Code(lambda s, x: os._exit(3)), ["ends the program", "SystemExit: 3", "correct it"]),
    "recursion": (Endless, ["Endless", "RecursionError", "correct it"]),
    "two inputs": (TwoInputs, ["TwoInputs", "several inputs", "forward(self, x)"]),
    "dict": (lambda: Code(lambda s, x: {"out": s.conv1(x)}), ["dict", "return one tensor"]),
    "NaN": (
        lambda: changed(Code(plain), lambda c: c.weight.data.fill_(torch.nan)),
        ["finite", "train it again"],
    ),
    "subclass": (lambda: Code(plain, conv1=Own(3, 4, 3, padding=1)), ["Code.conv2d", "nn.Conv2d"]),
    "all at once": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 4, 1, groups=2), nn.SiLU()),
        ["Sequential.0: padding", "Sequential.1, Sequential.3: SiLU", "Sequential.2: groups=2"],
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_what_would_lose_its_function_is_refused_by_name(case):
    make, parts = REFUSED[case]
    assert re.search(naming(*parts), text := refusal(make())), text


def test_a_global_hook_is_refused():
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output * 2)
    try:
        assert "global forward hook" in refusal(Code(plain))
    finally:
        handle.remove()


def test_a_difference_is_refused_with_its_size_even_where_the_module_s_weights_hide_it(monkeypatch):
    module = Code(lambda self, x: (y := self.conv1(x)) + F.relu(self.conv2(y)))
    nn.init.zeros_(module.conv2.weight)
    nn.init.zeros_(module.conv2.bias)
    equal(module.float())
    monkeypatch.setattr(
        "paper2board.networks.network.ACTIVATIONS", {"none": lambda x: x, "relu": lambda x: x}
    )
    assert "differ by" in refusal(module.float())


# --- the module is left alone --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forward", [plain, after(lambda self, x: self.n.add_(1)), lambda self, x: sys.exit()]
)
def test_the_module_is_as_it_was_whatever_its_forward_does(forward):
    module = Code(forward, n=nn.Buffer(torch.zeros(3)), lock=threading.Lock(), seen=[])
    prune.l1_unstructured(module.conv2, "weight", 0.5)
    module.fc.eval()
    kept = {part: dict(part.__dict__) for part in module.modules()}
    state = {name: (value, value.clone()) for name, value in module.state_dict(keep_vars=True).items()}
    random = torch.get_rng_state()
    try:
        read_module(module, SHAPE)
    except UserError:
        assert forward is not plain
    assert kept == {part: dict(part.__dict__) for part in module.modules()}
    assert module.training and not module.fc.training and torch.equal(random, torch.get_rng_state())
    for name, value in module.state_dict(keep_vars=True).items():
        assert value is state[name][0] and value.dtype == torch.float32 and torch.equal(value, state[name][1])


# --- generated modules ---------------------------------------------------------------------------------


@pytest.mark.fuzz_doors
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@SOME
@given(seed=st.integers(0, 2**32 - 1))
def test_a_module_of_what_is_promised_is_read_and_computes_the_same(seed):
    module, shape = random_module(seed, outside=False)
    equal(module, finish=list(module.parts.values())[-1], shape=shape)


@pytest.mark.fuzz_doors
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@SOME
@given(seed=st.integers(0, 2**32 - 1))
def test_a_module_with_anything_else_is_refused_in_a_sentence(seed):
    module, shape = random_module(seed, outside=True)
    refusal(module, shape)
