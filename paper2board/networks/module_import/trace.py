"""A module as a graph of pure operations: what is written in place has a name of its own, sizes are numbers."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from paper2board.core.errors import UserError
from paper2board.core.foreign_code import reason

BATCH = 2
"""Images of the trial run: enough to distinguish the batch from a channel."""


class _OneInput(nn.Module):
    """Calls the module, so that its own defaults and hooks count."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> Any:
        return self.module(x)


@dataclass(frozen=True)
class Traced:
    """A traced module."""

    name: str
    """The module's class."""
    executable: fx.GraphModule
    """What was traced, for any batch."""
    graph: fx.Graph
    """The same for reading: no writing in place, no sizes, nothing that the result does not need.
    ``meta["shape"]`` is a tensor's shape; names of nodes are those of ``executable``."""

    def run(self, x: torch.Tensor, node: fx.Node) -> tuple[Any, torch.Tensor]:
        """Return the result for ``x``, and the value of one node of ``graph``."""
        interpreter = fx.Interpreter(self.executable, garbage_collect_values=False)
        result = interpreter.run(x)
        return result, next(value for key, value in interpreter.env.items() if key.name == node.name)


def origin(node: fx.Node) -> str:
    """Return the sub-module or operation that a node is, for messages; empty for the module itself."""
    if node.op in ("call_module", "get_attr"):
        return str(node.target).removeprefix("module").removeprefix(".")
    return node.name


def place(name: str, node: fx.Node) -> str:
    """Return a node's full name."""
    return f"{name}.{origin(node)}".rstrip(".")


def trace(module: nn.Module, input: tuple[int, int, int], name: str) -> Traced:
    """Return the graph of ``module`` for inputs of C×H×W.

    Raises:
        UserError: it takes or returns something else than one tensor, cannot be traced, fails on such an input, or
            writes in place what cannot be told apart.
    """
    try:
        inspect.signature(module.forward).bind(None)
    except TypeError as error:
        raise UserError(
            f"{name}: forward takes several inputs or none; write forward(self, x) for one image batch"
        ) from error
    x = torch.rand(BATCH, *input, dtype=torch.float64) * 4 - 2  # as (pixel − 128) / 64
    wrapped = _OneInput(module)
    try:
        executable = fx.GraphModule(wrapped, fx.Tracer().trace(wrapped))
    except BaseException as error:  # the user's own code, which may even leave
        _require_one_tensor(module, x, name)
        raise UserError(
            f"{name}: torch.fx cannot trace its forward ({reason(error)}); write it without"
            " conditions, loops and print on tensors' values and sizes, and without x[…] = y"
        ) from error
    run = _TrialRun(executable, name)
    run.run(x)
    _require_one_tensor(module, x, name)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(executable.graph, copies))
    _name_what_is_written(
        graph, {copies[node]: value for node, value in run.env.items() if node in copies}, name
    )
    _fold_sizes(graph)
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    return Traced(name, executable, graph)


def _require_one_tensor(module: nn.Module, x: torch.Tensor, name: str) -> None:
    """Refuse a module that fails or returns something else."""
    try:
        result = module(x.clone())
    except BaseException as error:
        what = "ends the program" if isinstance(error, SystemExit) else "fails on this input"
        raise UserError(
            f"{name}: its forward {what} ({reason(error)}); correct it, or give the input size that it is made for"
        ) from error
    if not isinstance(result, torch.Tensor):
        raise UserError(
            f"{name}: forward returns several values or no tensor ({type(result).__name__}); return one tensor (a"
            " detector's heads joined by torch.cat along channels)"
        )


class _TrialRun(fx.Interpreter):
    """Runs a graph once and keeps what became of each node: shape or plain value, and which tensors it wrote."""

    def __init__(self, module: fx.GraphModule, name: str) -> None:
        super().__init__(module, garbage_collect_values=False)  # else another tensor takes the same memory
        self.extra_traceback = False  # it would go into the exception's text
        self.name = name

    def run_node(self, n: fx.Node) -> Any:
        read = {
            node: self.env[node] for node in n.all_input_nodes if isinstance(self.env[node], torch.Tensor)
        }
        versions = {node: tensor._version for node, tensor in read.items()}
        try:
            result = super().run_node(n)
        except BaseException as error:  # the user's own code
            raise UserError(
                f"{place(self.name, n)} fails on this input ({reason(error)}); give the input size that the"
                " module is made for"
            ) from error
        n.meta["writes"] = [node.name for node, tensor in read.items() if tensor._version != versions[node]]
        if isinstance(result, torch.Tensor):
            n.meta["shape"] = tuple(result.shape)
        else:
            n.meta["value"] = result
        return result


def _name_what_is_written(graph: fx.Graph, values: dict[fx.Node, Any], name: str) -> None:
    """Let what comes after an operation in place read its result, also where the code names what was written."""
    nodes = list(graph.nodes)
    named = {node.name: node for node in nodes}
    for position, node in enumerate(nodes):
        for written in (named[other] for other in node.meta.get("writes", ())):
            result, later = values.get(node), set(nodes[position + 1 :])
            if (
                written.op == "get_attr"
                or not isinstance(result, torch.Tensor)
                or _cells(result) != _cells(values[written])
            ):
                raise UserError(
                    f"{place(name, node)}: writes into {origin(written)} in place; let it give a new tensor"
                )
            for other in nodes[:position]:
                value = values.get(other)
                if not isinstance(value, torch.Tensor) or not later & set(other.users):
                    continue
                if _cells(value) == _cells(result):
                    for user in later & set(other.users):
                        user.replace_input_with(other, node)
                elif value.untyped_storage().data_ptr() == result.untyped_storage().data_ptr():
                    raise UserError(
                        f"{place(name, node)}: works in place on what {origin(other)} shows too; write"
                        " x = x + y or inplace=False"
                    )


def _cells(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Return where a tensor's elements lie in memory."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _fold_sizes(graph: fx.Graph) -> None:
    """Replace nodes that give numbers by the numbers."""

    def value(node: fx.Node) -> Any:
        found = node.meta.get("value", node)
        return tuple(found) if isinstance(found, torch.Size) else found if _is_plain(found) else node

    for node in graph.nodes:
        node.args = fx.map_arg(node.args, value)
        node.kwargs = fx.map_arg(node.kwargs, value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, bool | int | float | str | torch.dtype | torch.device)
