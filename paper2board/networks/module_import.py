"""A user's own PyTorch module as a network of the study format, read by torch.fx; its weights, where it has any.

Only what :mod:`paper2board.networks.spec` can say is accepted; everything else is refused by the name of its
sub-module, with what to write instead. Training here starts from the spec; the module is not needed again.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from pydantic import ValidationError
from torch import fx, nn

from paper2board.core.errors import UserError
from paper2board.networks.finite import require_finite
from paper2board.networks.network import ConvLayer, Network, same_padding
from paper2board.networks.spec import Activation, NetworkSpec

EPSILON = 1e-5
"""Of the batch normalisations in :class:`paper2board.networks.network.Network`: torch's default."""

_KNOWN = "Conv2d, BatchNorm2d, ReLU, ReLU6, MaxPool2d, AvgPool2d, Linear, Flatten, + and torch.cat"

# What to write instead of common things that the format lacks, by module class or function.
_INSTEAD = {
    "write nn.ReLU or nn.ReLU6": "SiLU Hardswish Hardsigmoid GELU LeakyReLU PReLU ELU SELU Sigmoid Tanh Mish"
    " Softplus silu hardswish hardsigmoid gelu leaky_relu prelu elu selu sigmoid tanh mish softplus",
    "write nn.BatchNorm2d after a convolution": "LayerNorm GroupNorm InstanceNorm2d LocalResponseNorm"
    " layer_norm group_norm instance_norm local_response_norm batch_norm",
    "leave it out: normalisation goes after convolutions only": "BatchNorm1d",
    "leave it out, and predict on the coarser grid": "Upsample UpsamplingNearest2d UpsamplingBilinear2d"
    " PixelShuffle ConvTranspose2d interpolate upsample pixel_shuffle conv_transpose2d",
    "write nn.AdaptiveAvgPool2d(1)": "AdaptiveMaxPool2d LPPool2d adaptive_max_pool2d max amax sum",
    "leave it out (squeeze-and-excitation, gates and attention have no place in the format)": "mul truediv"
    " matmul bmm einsum MultiheadAttention scaled_dot_product_attention",
    "leave it out: the study gives the network (pixel − 128) / 64 already": "sub div",
    "write a Conv2d of kernel 1 that mixes the channels": "ChannelShuffle channel_shuffle chunk split permute"
    " transpose",
    "write nn.Conv2d, for images": "Conv1d Conv3d LSTM GRU RNN Embedding",
    "make it an nn.Module (nn.Conv2d, nn.Linear) in __init__ and call that": "conv2d linear",
}
_REMEDY = {name: remedy for remedy, names in _INSTEAD.items() for name in names.split()}

_OPTIONS = {
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    "adaptive_avg_pool2d": ("output_size",),
    "hardtanh": ("min_val", "max_val"),
    "clamp": ("min", "max"),
    "mean": ("dim", "keepdim"),
    "pad": ("pad", "mode", "value"),
}
"""Positional arguments after the tensor, of the functions whose arguments matter."""

_FUNCTION_OF = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "Hardtanh": "hardtanh",
    "MaxPool2d": "max_pool2d",
    "AvgPool2d": "avg_pool2d",
    "AdaptiveAvgPool2d": "adaptive_avg_pool2d",
    "Flatten": "flatten",
    "Unflatten": "reshape",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Identity": "dropout",
} | dict.fromkeys(("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout"), "dropout")
"""Modules without weights: the function that does the same."""

_SAME_AS = {
    "dropout2d": "dropout",
    "alpha_dropout": "dropout",
    "feature_alpha_dropout": "dropout",
    "contiguous": "dropout",
    "iadd": "add",
    "concat": "cat",
    "concatenate": "cat",
    "view": "flatten",
    "reshape": "flatten",
    "squeeze": "flatten",
    "clip": "clamp",
    "clamp_min": "clamp",
}


@dataclass
class _Draft:
    """A layer as it grows: a convolution takes up the normalisation and the activation that follow."""

    name: str
    op: str
    origin: str
    """The sub-module or operation that it was, for messages."""
    keys: dict[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    weights: nn.Conv2d | nn.Linear | None = None
    norm: nn.BatchNorm2d | None = None
    same_padding: tuple[int, int, int, int] | None = None
    """Where its windows lie elsewhere than SAME's, so that its weights cannot be used: SAME's padding (left, right,
    top, bottom)."""

    @property
    def activation(self) -> Activation:
        return self.keys.get("activation", "none")


@dataclass(frozen=True)
class ImportedModule:
    """A module as a spec, and what a user should know about it."""

    spec: NetworkSpec
    notes: tuple[str, ...]
    """What was left out or is not quite the same, a sentence each."""
    drafts: tuple[_Draft, ...]


def read_module(module: nn.Module, input: tuple[int, int, int]) -> ImportedModule:
    """Return ``module`` in the study format for inputs of C×H×W; it is read as in evaluation mode.

    Raises:
        UserError: it cannot be traced, fails on such an input, or holds something that the format cannot say.
    """
    return _Reader(module, input).read()


def spec_of(module: nn.Module, input: tuple[int, int, int]) -> NetworkSpec:
    """Return the network of :func:`read_module`."""
    return read_module(module, input).spec


def transfer(module: nn.Module, network: Network) -> None:
    """Copy the weights of ``module`` into ``network``, built from its spec; in evaluation both then give the
    same outputs (float32 rounding aside). A bias or epsilon that the format lacks goes into the statistics.

    Raises:
        UserError: ``network`` is of another spec, a convolution's windows lie elsewhere than SAME's, or a weight
            is not finite.
    """
    imported = read_module(module, network.spec.input)
    name = type(module).__name__
    require_finite(module.state_dict(), name, "train the module again at a lower learning rate")
    if imported.spec != network.spec:
        raise UserError(
            f"{name}: the network is of another spec; build it with Network(spec_of(module, input))"
        )
    with torch.no_grad():
        for draft in imported.drafts:
            if draft.same_padding is not None:
                raise UserError(
                    f"{name}.{draft.origin}: its weights belong to windows that begin before those of TFLite's"
                    f" SAME; put nn.ZeroPad2d({draft.same_padding}) before it with padding=0 and train that, or"
                    " train here from scratch"
                )
        for draft in imported.drafts:
            if draft.weights is None:
                continue
            layer = network.layers[draft.name]
            target = layer.conv if isinstance(layer, ConvLayer) else layer.get_submodule("linear")
            assert isinstance(target, nn.Conv2d | nn.Linear)
            target.weight.copy_(draft.weights.weight)
            if draft.norm is not None:
                assert isinstance(layer, ConvLayer) and isinstance(layer.batch_norm, nn.BatchNorm2d)
                _copy_norm(draft, layer.batch_norm)
            elif target.bias is not None:
                target.bias.zero_() if draft.weights.bias is None else target.bias.copy_(draft.weights.bias)


def _copy_norm(draft: _Draft, target: nn.BatchNorm2d) -> None:
    source, weights = draft.norm, draft.weights
    assert source is not None and weights is not None
    assert source.running_mean is not None and source.running_var is not None  # _Reader._norm
    assert target.running_mean is not None and target.running_var is not None
    bias = 0 if weights.bias is None else weights.bias
    target.running_mean.copy_(source.running_mean - bias)
    target.running_var.copy_(source.running_var + (source.eps - EPSILON))
    target.weight.copy_(1 if source.weight is None else source.weight)
    target.bias.copy_(0 if source.bias is None else source.bias)


class _Shapes(fx.Interpreter):
    """Runs the module once on zeros and keeps each tensor's shape."""

    def __init__(self, module: fx.GraphModule, name: str) -> None:
        super().__init__(module)
        self.extra_traceback = False  # it would go into the exception's text
        self.name = name

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except Exception as error:  # the user's own code
            raise UserError(
                f"{self.name}.{_origin(n)} fails on this input ({_first_line(error)}); give the input size that the"
                " module is made for"
            ) from error
        if isinstance(result, torch.Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


class _Reader:
    """One reading of one module."""

    BATCH = 2
    """Images of the trial run: enough to distinguish the batch from a channel."""

    def __init__(self, module: nn.Module, input: tuple[int, int, int]) -> None:
        self.name = type(module).__name__
        self.input = input
        self.notes: dict[str, list[str]] = {}
        """What to know → of which parts."""
        self.drafts: dict[str, _Draft] = {"input": _Draft("input", "input", "its input")}
        self.made: dict[fx.Node, _Draft] = {}
        self.same: dict[fx.Node, fx.Node] = {}
        """Nodes that are no layers of their own → the node whose layer they belong to."""
        self.pads: dict[fx.Node, tuple[int, int, int, int]] = {}
        """Zero padding (left, right, top, bottom) that waits for its convolution."""
        self.calls: dict[str, str] = {}
        """Modules with weights → the layer."""
        module = copy.deepcopy(module).eval()
        try:
            self.graph = fx.symbolic_trace(module)
        except Exception as error:  # the user's own code
            raise UserError(
                f"{self.name}: torch.fx cannot trace its forward ({_first_line(error)}); write it without"
                " conditions, loops or print on tensors' values and sizes"
            ) from error
        self.graph.graph.eliminate_dead_code()
        if sum(node.op == "placeholder" for node in self.graph.graph.nodes) != 1:
            raise UserError(
                f"{self.name}: forward takes several inputs; write forward(self, x) for one image batch"
            )
        with torch.no_grad():
            _Shapes(self.graph, self.name).run(torch.zeros(self.BATCH, *input))

    def read(self) -> ImportedModule:
        """Return the whole module."""
        for node in self.graph.graph.nodes:
            match node.op:
                case "placeholder":
                    self.made[node] = self.drafts["input"]
                case "output":
                    last = self._output(node)
                case "get_attr":
                    self._refuse(
                        node,
                        "is a tensor of the module's own",
                        "leave it out: the study gives the network (pixel − 128) / 64 already",
                    )
                case _ if "shape" in node.meta:
                    self._layer(node)
        drafts = self._used(last)
        for draft in drafts:
            if draft.weights is not None and draft.weights.bias is None and draft.norm is None:
                self._note(draft.origin, "the study gives it a bias, which the module lacks")
        layers, previous = [], "input"
        for draft in drafts:
            layers.append(_entry(draft, previous))
            previous = draft.name
        try:
            spec = NetworkSpec.model_validate({"input": self.input, "layers": layers})
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{self.name}: {message}; change the module") from error
        notes = (f"{', '.join(origins)}: {text}" for text, origins in self.notes.items())
        return ImportedModule(spec, tuple(notes), tuple(drafts))

    # --- one node ---------------------------------------------------------------------------------------

    def _layer(self, node: fx.Node) -> None:
        if node.op == "call_module":
            module = self.graph.get_submodule(str(node.target))
            kind = type(module).__name__
            match module:
                case nn.Conv2d():
                    return self._conv(node, module)
                case nn.Linear():
                    return self._linear(node, module)
                case nn.BatchNorm2d():
                    return self._norm(node, module)
                case nn.ZeroPad2d():
                    return self._pad(node, tuple(module.padding))
            function = _FUNCTION_OF.get(kind, kind)
            options: dict[str, Any] = {
                key: getattr(module, key) for key in _OPTIONS.get(function, ()) if hasattr(module, key)
            }
        else:
            function = node.target if isinstance(node.target, str) else _function_name(node.target)
            function = function.rstrip("_")
            given = node.args[1:] if "input" not in node.kwargs else node.args
            options = dict(zip(_OPTIONS.get(function, ()), given, strict=False)) | node.kwargs
        function = _SAME_AS.get(function, function)
        match function:
            case "relu" | "relu6":
                self._follow(node, "relu" if function == "relu" else "relu6")
            case "hardtanh" | "clamp":
                self._clamp(node, options)
            case "dropout":
                self.same[node] = self._tensor(node)
            case "flatten":
                self._flatten(node)
            case "max_pool2d":
                self._max_pool(node, options)
            case "avg_pool2d" | "adaptive_avg_pool2d":
                self._average_pool(node, options, adaptive=function.startswith("adaptive"))
            case "mean":
                self._mean(node, options)
            case "pad":
                if options.get("mode", "constant") != "constant" or options.get("value") not in (None, 0):
                    self._refuse(node, "pads with something else than zeros", "pad with zeros")
                self._pad(node, tuple(options["pad"]))
            case "add":
                self._add(node)
            case "cat":
                self._cat(node)
            case "softmax" | "log_softmax":
                if any(user.op != "output" for user in node.users):
                    self._refuse(node, "is no layer of the format", "leave it out")
                self._note(
                    _origin(node),
                    "left out: the loss, and the device's answer, start from the values before it",
                )
                self.same[node] = self._tensor(node)
            case _:
                remedy = _REMEDY.get(function, f"write it with {_KNOWN}")
                self._refuse(node, f"{function} is not in the study format", remedy)

    def _conv(self, node: fx.Node, module: nn.Conv2d) -> None:
        channels, depthwise = module.in_channels, module.groups == module.in_channels != 1
        if module.dilation != (1, 1):
            self._refuse(node, f"dilation {_plain(module.dilation)} is not in the format", "write dilation=1")
        for what, value in (("kernel", module.kernel_size), ("stride", module.stride)):
            if value[0] != value[1]:
                square = max(value)
                self._refuse(
                    node, f"{what} {_plain(value)} is not square", f"write {what} {square} both ways"
                )
        if module.groups != 1 and not depthwise:
            self._refuse(
                node,
                f"groups={module.groups} is neither 1 nor the {channels} input channels",
                "write groups=1, or a depthwise convolution and then one of kernel 1",
            )
        if depthwise and module.out_channels != channels:
            self._refuse(
                node,
                f"a depthwise convolution of {channels} channels gives {module.out_channels}",
                f"write out_channels={channels}, then a convolution of kernel 1 that gives {module.out_channels}",
            )
        if module.padding_mode != "zeros":
            self._refuse(node, f"pads by {module.padding_mode}", 'write padding_mode="zeros"')
        keys: dict[str, Any] = {} if depthwise else {"out": module.out_channels}
        keys |= {"kernel": module.kernel_size[0], "stride": module.stride[0]}
        source = self._tensor(node, padded=True)
        draft = self._make(node, "depthwise" if depthwise else "conv", keys, source, weights=module)
        draft.keys |= {"batch_norm": False, "activation": "none"}
        draft.same_padding = self._same_padding(node, module, source)
        if draft.same_padding is not None:
            self._note(
                draft.origin,
                "windows begin before those of TFLite's SAME, which the study trains with: same shapes and"
                " counts, but weights trained elsewhere do not fit",
            )

    def _same_padding(
        self, node: fx.Node, module: nn.Conv2d, source: fx.Node
    ) -> tuple[int, int, int, int] | None:
        """Return SAME's padding where windows lie elsewhere; refuse where there are more or fewer of them."""
        kernel, stride = module.kernel_size[0], module.stride[0]
        left, right, top, bottom = self.pads.get(source, (0, 0, 0, 0))
        height, width = source.meta["shape"][2:]
        height, width = height - top - bottom, width - left - right
        own: list[tuple[int, int]] = []
        for size, before, after, axis in ((height, top, bottom, 0), (width, left, right, 1)):
            if module.padding == "same":
                extra = same_padding(size + before + after, kernel, 1)
            else:
                both = 0 if isinstance(module.padding, str) else module.padding[axis]
                extra = (both, both)
            own.append((before + extra[0], after + extra[1]))
        wanted = [same_padding(size, kernel, stride) for size in (height, width)]
        differs = False
        for (before, after), same, size, axis in zip(own, wanted, (height, width), (2, 3), strict=True):
            if (before + after + size - kernel) // stride + 1 != -(-size // stride):
                self._refuse(
                    node,
                    f"padding {before} and {after} on {size} pixels gives {node.meta['shape'][axis]}; the format"
                    f" pads as TFLite's SAME, to {-(-size // stride)}",
                    f"write padding={(kernel - 1) // 2}"
                    if kernel % 2
                    else f"pad {same[0]} before, {same[1]} after",
                )
            # What lies after the last window is never read, so that only the padding before decides.
            differs = differs or before != same[0]
        return (*wanted[1], *wanted[0]) if differs else None

    def _linear(self, node: fx.Node, module: nn.Linear) -> None:
        source = self._tensor(node)
        if len(source.meta["shape"]) != 2:
            self._refuse(node, "reads an image, not a vector", "put nn.Flatten() before it")
        self._make(node, "linear", {"out": module.out_features, "activation": "none"}, source, weights=module)

    def _norm(self, node: fx.Node, module: nn.BatchNorm2d) -> None:
        source = self._tensor(node)
        draft = self._draft(source)
        if draft.weights is None or draft.op == "linear" or draft.norm or draft.activation != "none":
            self._refuse(
                node,
                f"does not come right after a convolution but after {draft.origin}",
                "write Conv2d, BatchNorm2d, ReLU in this order",
            )
        if self._is_shared(source):
            self._refuse(
                node, f"{draft.origin} is also read without it", "let nothing else read that convolution"
            )
        if module.running_mean is None:
            self._refuse(node, "keeps no running statistics", "write track_running_stats=True")
        self._claim(node)
        draft.norm = module
        draft.keys["batch_norm"] = True
        self.same[node] = source

    def _is_shared(self, node: fx.Node) -> bool:
        """Whether anything else reads the layer of a node."""
        while node in self.same and len(node.users) == 1:
            node = self.same[node]
        return len(node.users) > 1

    def _clamp(self, node: fx.Node, options: dict[str, Any]) -> None:
        low, high = (
            options.get(keys[0], options.get(keys[1])) for keys in (("min_val", "min"), ("max_val", "max"))
        )
        if low != 0 or high not in (None, 6):
            self._refuse(node, f"clamps to {low} … {high}", "write nn.ReLU6 (0 … 6) or nn.ReLU")
        self._follow(node, "relu6" if high == 6 else "relu")

    def _follow(self, node: fx.Node, activation: Activation) -> None:
        source = self._tensor(node)
        self._activate(node, source, activation)
        self.same[node] = source

    def _activate(self, by: fx.Node, node: fx.Node, activation: Activation) -> None:
        """Move an activation up to the layers that compute what it reads; max pooling, flattening and joining give
        the same before and after it."""
        if self._includes(node, activation):
            return
        draft = self._draft(node)
        if len(node.users) > 1:
            self._refuse(
                by,
                f"{draft.origin} is also read without this activation",
                "let every reader of a layer have the same activation",
            )
        if node in self.same:
            return self._activate(by, self.same[node], activation)
        if draft.op in ("conv", "depthwise", "linear", "add"):
            draft.keys["activation"] = activation
        elif draft.op in ("max_pool", "flatten", "concat") and not self._reads_average(draft):
            for source in node.all_input_nodes:
                if "shape" in source.meta:
                    self._activate(by, source, activation)
        else:
            self._refuse(
                by,
                f"an activation after {draft.origin} is not in the format",
                "put it after a convolution, a linear layer or a sum",
            )

    def _includes(self, node: fx.Node, activation: Activation) -> bool:
        """Whether the activation changes nothing any more."""
        draft = self._draft(node)
        if draft.op in ("max_pool", "average_pool", "flatten", "concat"):
            sources = [self.drafts[name] for name in draft.sources]
        else:
            sources = [draft]
        held = {self._draft_activation(source) for source in sources}
        return held <= ({"relu", "relu6"} if activation == "relu" else {"relu6"})

    def _reads_average(self, draft: _Draft) -> bool:
        return any(self.drafts[source].op == "average_pool" for source in draft.sources)

    def _draft_activation(self, draft: _Draft) -> Activation:
        while draft.op in ("max_pool", "average_pool", "flatten"):
            draft = self.drafts[draft.sources[0]]
        return draft.activation

    def _flatten(self, node: fx.Node) -> None:
        source = self._tensor(node)
        before, after = source.meta["shape"], node.meta["shape"]
        if after == before:
            self.same[node] = source
        elif len(after) == 2 and after[0] == self.BATCH:
            self._make(node, "flatten", {}, source)
        else:
            self._refuse(
                node,
                f"makes {_shape(after)} of {_shape(before)}",
                "write torch.flatten(x, 1), which gives one vector an image",
            )

    def _max_pool(self, node: fx.Node, options: dict[str, Any]) -> None:
        source = self._tensor(node)
        kernel, stride = _pair(options["kernel_size"]), _pair(options.get("stride") or options["kernel_size"])
        size = source.meta["shape"][2:]
        if kernel[0] != kernel[1] or stride != kernel:
            self._refuse(
                node,
                f"pools {_plain(kernel)} with stride {_plain(stride)}",
                f"write nn.MaxPool2d({min(stride)}): kernel and stride are equal",
            )
        if _pair(options.get("padding", 0)) != (0, 0) or _pair(options.get("dilation", 1)) != (1, 1):
            self._refuse(
                node, "pads or dilates", f"write nn.MaxPool2d({kernel[0]}) without padding and dilation"
            )
        if options.get("ceil_mode") and any(side % kernel[0] for side in size):
            self._refuse(node, f"ceil_mode on {size[0]} × {size[1]}", "write ceil_mode=False")
        if options.get("return_indices"):
            self._refuse(node, "returns indices", "write return_indices=False")
        self._make(node, "max_pool", {"kernel": kernel[0]}, source)

    def _average_pool(self, node: fx.Node, options: dict[str, Any], adaptive: bool) -> None:
        source = self._tensor(node)
        size, result = source.meta["shape"][2:], node.meta["shape"][2:]
        if not adaptive:
            kernel = _pair(options["kernel_size"])
            whole = tuple(side // part * part for side, part in zip(size, kernel, strict=True)) == size
            stride = _pair(options.get("stride") or options["kernel_size"])
            if stride != kernel or not whole or _pair(options.get("padding", 0)) != (0, 0):
                self._refuse(
                    node,
                    f"averages {_plain(kernel)} with stride {_plain(stride)} over {size[0]} × {size[1]}",
                    "let kernel and stride be equal, divide the size, and pad nothing; or write"
                    " nn.AdaptiveAvgPool2d(1)",
                )
            if options.get("divisor_override") is not None:
                self._refuse(node, "divides by a number of its own", "leave divisor_override out")
        if result[0] != result[1] or size[0] % result[0] or size[1] % result[1]:
            self._refuse(
                node,
                f"averages {size[0]} × {size[1]} to {result[0]} × {result[1]}",
                "choose a square output that divides the size, for instance nn.AdaptiveAvgPool2d(1)",
            )
        self._make(node, "average_pool", {"out": result[0]}, source)

    def _mean(self, node: fx.Node, options: dict[str, Any]) -> None:
        source = self._tensor(node)
        axes = options.get("dim", options.get("axis"))
        rank = len(source.meta["shape"])
        found = sorted(axis % rank for axis in (axes if isinstance(axes, Sequence) else ()))
        if rank != 4 or found != [2, 3]:
            self._refuse(node, "averages something else than rows and columns", "write x.mean([2, 3])")
        self._make(node, "average_pool", {"out": 1}, source)
        if not options.get("keepdim"):
            draft = self._draft(node)
            flat = _Draft(
                self._free(f"{draft.name}_flatten", "flatten"), "flatten", draft.origin, {}, (draft.name,)
            )
            self.drafts[flat.name] = flat
            self.made[node] = flat

    def _pad(self, node: fx.Node, padding: tuple[Any, ...]) -> None:
        source = self._tensor(node)
        if len(padding) != 4 or min(padding) < 0:
            self._refuse(node, "pads other axes than rows and columns", "pad rows and columns only")
        if any(not self._is_convolution(user) for user in node.users):
            self._refuse(
                node, "pads for something else than a convolution", "put it right before a convolution"
            )
        self.pads[node] = padding
        self.same[node] = source

    def _is_convolution(self, node: fx.Node) -> bool:
        return node.op == "call_module" and isinstance(self.graph.get_submodule(str(node.target)), nn.Conv2d)

    def _add(self, node: fx.Node) -> None:
        operands = [*node.args, *(node.kwargs[key] for key in ("input", "other") if key in node.kwargs)]
        nodes = [value for value in operands if isinstance(value, fx.Node)]
        shapes = {value.meta.get("shape") for value in nodes}
        if len(nodes) != 2 or len(shapes) != 1:
            self._refuse(
                node, "adds something else than two layers of one shape", "add two layers of one shape"
            )
        if node.kwargs.get("alpha", 1) != 1:
            self._refuse(node, f"alpha is {node.kwargs['alpha']}", "add without alpha")
        if _function_name(node.target) in ("iadd", "add_") and len(nodes[0].users) > 1:
            self._refuse(node, "changes in place what others read", "write x = x + y")
        self._make(node, "add", {"activation": "none"}, *nodes)

    def _cat(self, node: fx.Node) -> None:
        joined = node.args[0] if node.args else node.kwargs["tensors"]
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
        if len(node.meta["shape"]) != 4 or dim not in (1, -3):
            self._refuse(node, f"joins along axis {dim}", "join images along channels: torch.cat(parts, 1)")
        assert isinstance(joined, Sequence)
        parts = [part for part in joined if isinstance(part, fx.Node)]
        if len(parts) == 1:
            self.same[node] = parts[0]
            return
        self._make(node, "concat", {}, *parts)

    def _output(self, node: fx.Node) -> _Draft:
        (value,) = node.args
        if not isinstance(value, fx.Node) or "shape" not in value.meta:
            raise UserError(
                f"{self.name}: forward returns several values; return one tensor (a detector's heads joined by"
                " torch.cat along channels)"
            )
        draft = self._draft(value)
        if draft.op == "input":
            raise UserError(f"{self.name}: forward computes nothing; give a module that does")
        return draft

    # --- helpers ----------------------------------------------------------------------------------------

    def _make(
        self,
        node: fx.Node,
        op: str,
        keys: dict[str, Any],
        *sources: fx.Node,
        weights: nn.Conv2d | nn.Linear | None = None,
    ) -> _Draft:
        """Start a layer; one with weights is called once."""
        if weights is not None:
            self._claim(node)
        wanted = str(node.target) if node.op == "call_module" else node.name
        names = tuple(self._draft(source).name for source in sources)
        draft = _Draft(self._free(wanted, op), op, _origin(node), keys, names, weights)
        self.drafts[draft.name] = draft
        self.made[node] = draft
        return draft

    def _claim(self, node: fx.Node) -> None:
        target = str(node.target)
        if target in self.calls:
            self._refuse(node, "is called twice, with the same weights", "make two modules, one a call")
        self.calls[target] = target

    def _free(self, wanted: str, op: str) -> str:
        """Return a layer name that the format and torch's modules allow and that no layer has yet."""
        name = re.sub(r"[^a-z0-9_]", "_", wanted.lower())
        if not name[0].isalpha():
            name = f"{op}_{name.lstrip('_')}"
        if hasattr(nn.ModuleDict(), name):
            name = f"{name}_layer"
        free, number = name, 2
        while free in self.drafts:
            free, number = f"{name}_{number}", number + 1
        return free

    def _tensor(self, node: fx.Node, padded: bool = False) -> fx.Node:
        """Return the node whose tensor a node reads."""
        source = node.args[0] if node.args else node.kwargs["input"]
        if not isinstance(source, fx.Node) or "shape" not in source.meta:
            self._refuse(node, "does not read one tensor", "call it with the layer before it")
        assert isinstance(source, fx.Node)
        if source in self.pads and not padded:
            self._refuse(node, "reads what was padded for a convolution", "put the padding right before it")
        return source

    def _draft(self, node: fx.Node) -> _Draft:
        """Return the layer that gives a node's tensor."""
        while node in self.same:
            node = self.same[node]
        return self.made[node]

    def _used(self, last: _Draft) -> list[_Draft]:
        """Return the layers that the output needs, in order."""
        needed, waiting = set(), [last.name]
        while waiting:
            name = waiting.pop()
            needed.add(name)
            waiting += [source for source in self.drafts[name].sources if source not in needed]
        return [draft for name, draft in self.drafts.items() if name in needed and name != "input"]

    def _note(self, origin: str, text: str) -> None:
        self.notes.setdefault(text, []).append(f"{self.name}.{origin}")

    def _refuse(self, node: fx.Node, wrong: str, remedy: str) -> NoReturn:
        raise UserError(f"{self.name}.{_origin(node)}: {wrong}; {remedy}")


def _entry(draft: _Draft, previous: str) -> dict[str, Any]:
    """Return a layer's keys as a study file has them."""
    sources = list(draft.sources)
    if draft.op == "add" and sources[1] == previous:
        sources.reverse()
    entry: dict[str, Any] = {"name": draft.name, "op": draft.op}
    if sources[0] != previous:
        entry["source"] = sources[0]
    if draft.op == "add":
        entry["other"] = sources[1]
    if draft.op == "concat":
        entry["others"] = sources[1:]
    return entry | draft.keys


def _origin(node: fx.Node) -> str:
    return str(node.target) if node.op in ("call_module", "get_attr") else node.name


def _function_name(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _plain(pair: Sequence[int]) -> str:
    return f"{pair[0]} × {pair[1]}"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
