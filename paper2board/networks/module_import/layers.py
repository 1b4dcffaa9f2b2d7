"""The layers of a traced module: each operation becomes a layer of the study format, or part of one, or is
refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import ValidationError
from torch import fx, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from paper2board.core.errors import UserError
from paper2board.networks.module_import.draft import Draft, Padding, entries
from paper2board.networks.module_import.sharing import Span, overlap
from paper2board.networks.module_import.suitability import computed_weights
from paper2board.networks.module_import.trace import BATCH, Traced, origin, place
from paper2board.networks.module_import.vocabulary import FUNCTION_OF, KNOWN, OPTIONS, REMEDY, SAME_AS
from paper2board.networks.network import same_padding
from paper2board.networks.spec import Activation, NetworkSpec


@dataclass(frozen=True)
class Layers:
    """What a module is in the study format."""

    spec: NetworkSpec
    notes: tuple[str, ...]
    """What was left out or is not quite the same, a sentence each."""
    drafts: tuple[Draft, ...]
    """The layers of ``spec``, in order."""
    last: fx.Node
    """The node of the graph whose value the network gives."""


class _RefusedError(Exception):
    """One operation cannot be said in the format: place, and what is wrong with the remedy."""


def read_layers(traced: Traced, input: tuple[int, int, int], spans: dict[int, Span]) -> Layers:
    """Return the layers of a module; ``spans`` says where its tensors lie in memory.

    Raises:
        UserError: it holds something that the format cannot say; the message names all such operations.
    """
    return _Reader(traced, input, spans).read()


class _Reader:
    """One reading of one module."""

    def __init__(self, traced: Traced, input: tuple[int, int, int], spans: dict[int, Span]) -> None:
        self.name = traced.name
        self.traced = traced
        self.input = input
        self.spans = spans
        self.notes: dict[str, list[str]] = {}
        """What to know → of which parts."""
        self.refused: dict[str, list[str]] = {}
        """What is wrong, with the remedy → where."""
        self.drafts: dict[str, Draft] = {"input": Draft("input", "input", "its input")}
        self.made: dict[fx.Node, Draft] = {}
        self.same: dict[fx.Node, fx.Node] = {}
        """Nodes that are no layers of their own → the node whose layer they belong to."""
        self.left_out: dict[fx.Node, fx.Node] = {}
        """A final softmax → what it reads."""
        self.pads: dict[fx.Node, Padding] = {}
        """Zero padding that waits for its convolution."""
        self.owners: dict[Span, str] = {}
        """Weights in memory → the sub-module that has them."""

    def read(self) -> Layers:
        """Return the whole module."""
        for node in self.traced.graph.nodes:
            try:
                self._node(node)
            except _RefusedError as refusal:
                where, text = refusal.args
                self.refused.setdefault(text, []).append(where)
                self.made[node] = Draft("refused", "refused", origin(node))
        if self.refused:
            raise UserError(". ".join(f"{', '.join(where)}: {text}" for text, where in self.refused.items()))
        (last,) = next(node for node in self.traced.graph.nodes if node.op == "output").args
        assert isinstance(last, fx.Node)  # _OneInput's result is one tensor
        if (final := self._draft(last)).op == "input":
            raise UserError(f"{self.name}: forward computes nothing; give a module that does")
        drafts = self._used(final)
        for draft in drafts:
            if draft.weights is not None and draft.weights.bias is None and draft.norm is None:
                self._note(draft.origin, "the study gives it a bias, which the module lacks")
        try:
            spec = NetworkSpec.model_validate({"input": self.input, "layers": entries(drafts)})
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{self.name}: {message}; change the module") from error
        notes = (f"{', '.join(origins)}: {text}" for text, origins in self.notes.items())
        last = self.left_out.get(last, last)
        return Layers(spec, tuple(notes), tuple(drafts), last)

    # --- one node ---------------------------------------------------------------------------------------

    def _node(self, node: fx.Node) -> None:
        match node.op:
            case "output":
                pass
            case "placeholder":
                self.made[node] = self.drafts["input"]
            case "get_attr":
                self._refuse(
                    node,
                    "is a tensor of the module's own",
                    "leave it out: the study gives the network (pixel − 128) / 64 already",
                )
            case _ if any("shape" not in source.meta for source in node.all_input_nodes):
                self.made[node] = Draft("refused", "refused", origin(node))  # reads parts of what was refused
            case _:
                self._layer(node)

    def _layer(self, node: fx.Node) -> None:
        if node.op == "call_module":
            module = self._module(node)
            kind = type_before_parametrizations(module)
            if kind is nn.Conv2d:
                assert isinstance(module, nn.Conv2d)
                return self._conv(node, module)
            if kind is nn.Linear:
                assert isinstance(module, nn.Linear)
                return self._linear(node, module)
            if kind is nn.BatchNorm2d:
                assert isinstance(module, nn.BatchNorm2d)
                return self._norm(node, module)
            if kind is nn.ZeroPad2d:
                assert isinstance(module, nn.ZeroPad2d)
                return self._pad(node, tuple(module.padding))
            function = FUNCTION_OF.get(kind.__name__, kind.__name__)
            options: dict[str, Any] = {
                key: getattr(module, key) for key in OPTIONS.get(function, ()) if hasattr(module, key)
            }
        else:
            attribute = node.args[1] if node.target is getattr else node.target
            function = _function_name(attribute).strip("_")
            function = SAME_AS.get(function, function)
            given = node.args[1:] if "input" not in node.kwargs else node.args
            options = dict(zip(OPTIONS.get(function, ()), given, strict=False)) | node.kwargs
            if (
                function == "dropout"
                and node.op == "call_function"
                and "dropout" in _function_name(node.target)
            ):
                self._require_no_training(node, options)
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
                if options.get("dim") not in (None, 1, 1 - len(node.meta["shape"])):
                    self._refuse(node, f"goes along axis {options['dim']}", "write dim=1, or leave it out")
                self._note(
                    origin(node),
                    "left out: the loss, and the device's answer, start from the values before it",
                )
                self.same[node] = self.left_out[node] = self._tensor(node)
            case _:
                remedy = REMEDY.get(function, f"write it with {KNOWN}")
                self._refuse(node, f"{function} is not in the study format", remedy)

    def _require_no_training(self, node: fx.Node, options: dict[str, Any]) -> None:
        if options.get("training", True) and options.get("p", 0.5):
            self._refuse(
                node,
                "drops values in evaluation too, as F.dropout does unless told otherwise",
                "write nn.Dropout, or training=self.training",
            )

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
        padding, same = self._padding(node, module, source)
        if padding[::2] != same[::2]:  # what lies after the last window is never read
            draft.own_padding, draft.same_padding = padding, same
            self._note(
                draft.origin,
                "windows begin before those of TFLite's SAME, which the study trains with: same shapes and"
                " counts, but weights trained elsewhere do not fit",
            )

    def _padding(self, node: fx.Node, module: nn.Conv2d, source: fx.Node) -> tuple[Padding, Padding]:
        """Return the module's padding and SAME's; refuse where they give more or fewer windows."""
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
        return (*own[1], *own[0]), (*wanted[1], *wanted[0])

    def _linear(self, node: fx.Node, module: nn.Linear) -> None:
        source = self._tensor(node)
        if len(source.meta["shape"]) != 2:
            self._refuse(node, "reads an image, not a vector", "put nn.Flatten() before it")
        self._make(node, "linear", {"out": module.out_features, "activation": "none"}, source, weights=module)

    def _norm(self, node: fx.Node, module: nn.BatchNorm2d) -> None:
        source = self._tensor(node)
        draft = self._draft(source)
        if draft.op == "refused":
            self.same[node] = source
            return
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
        self._claim(node, module)
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
        if draft.op == "refused":
            return
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

    def _reads_average(self, draft: Draft) -> bool:
        return any(self.drafts[source].op == "average_pool" for source in draft.sources)

    def _draft_activation(self, draft: Draft) -> Activation:
        while draft.op in ("max_pool", "average_pool", "flatten"):
            draft = self.drafts[draft.sources[0]]
        return draft.activation

    def _flatten(self, node: fx.Node) -> None:
        source = self._tensor(node)
        before, after = source.meta["shape"], node.meta["shape"]
        if after == before:
            self.same[node] = source
        elif len(after) == 2 and after[0] == BATCH:
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
            flat = Draft(
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
        return node.op == "call_module" and isinstance(self._module(node), nn.Conv2d)

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

    # --- helpers ----------------------------------------------------------------------------------------

    def _make(
        self,
        node: fx.Node,
        op: str,
        keys: dict[str, Any],
        *sources: fx.Node,
        weights: nn.Conv2d | nn.Linear | None = None,
    ) -> Draft:
        """Start a layer; one with weights is called once."""
        if weights is not None:
            self._claim(node, weights)
        wanted = origin(node) or op
        names = tuple(self._draft(source).name for source in sources)
        draft = Draft(self._free(wanted, op), op, origin(node), keys, names, weights)
        self.drafts[draft.name] = draft
        self.made[node] = draft
        return draft

    def _module(self, node: fx.Node) -> nn.Module:
        return self.traced.executable.get_submodule(str(node.target))

    def _claim(self, node: fx.Node, module: nn.Module) -> None:
        """Take a module's weights for one layer: no other may have any of them, nor the same one again."""
        spans = {
            self.spans[id(tensor)]
            for tensor in (*module.parameters(), *module.buffers())
            if id(tensor) in self.spans
        }
        for span, owner in self.owners.items():
            if not any(overlap(span, own) for own in spans):
                continue
            if owner == origin(node):
                self._refuse(node, "is called twice, with the same weights", "make two modules, one a call")
            self._refuse(
                node,
                f"has the same weights as {owner} (they lie in the same memory)",
                "give each layer weights of its own",
            )
        self.owners |= dict.fromkeys(spans, origin(node))
        if computed_weights(module):
            self._note(
                origin(node),
                "its weights are computed from others (a parametrization or a pruning mask): the layer has them as"
                " they are, and the study trains plain weights",
            )

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
        source = node.args[0] if node.args else node.kwargs.get("input")
        if not isinstance(source, fx.Node) or "shape" not in source.meta:
            self._refuse(node, "does not read one tensor", "call it with the layer before it")
        assert isinstance(source, fx.Node)
        if source in self.pads and not padded:
            self._refuse(node, "reads what was padded for a convolution", "put the padding right before it")
        return source

    def _draft(self, node: fx.Node) -> Draft:
        """Return the layer that gives a node's tensor."""
        while node in self.same:
            node = self.same[node]
        return self.made[node]

    def _used(self, last: Draft) -> list[Draft]:
        """Return the layers that the output needs, in order."""
        needed, waiting = set(), [last.name]
        while waiting:
            name = waiting.pop()
            needed.add(name)
            waiting += [source for source in self.drafts[name].sources if source not in needed]
        return [draft for name, draft in self.drafts.items() if name in needed and name != "input"]

    def _note(self, where: str, text: str) -> None:
        self.notes.setdefault(text, []).append(f"{self.name}.{where}".rstrip("."))

    def _refuse(self, node: fx.Node, wrong: str, remedy: str) -> NoReturn:
        raise _RefusedError(place(self.name, node), f"{wrong}; {remedy}")


def _function_name(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _plain(pair: Sequence[int]) -> str:
    return f"{pair[0]} × {pair[1]}"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
