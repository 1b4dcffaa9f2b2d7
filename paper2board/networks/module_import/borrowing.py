"""A module in evaluation mode and in double precision for a while; afterwards it is as it was."""

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch
from torch import nn

from paper2board.core.errors import UserError
from paper2board.networks.module_import.suitability import reparametrizations


@contextlib.contextmanager
def borrowed(module: nn.Module) -> Iterator[Callable[[], str | None]]:
    """Within, ``module`` is in evaluation mode, computes in float64 on copies of its tensors, and its prints and
    warnings are not seen. Afterwards attributes, tensors and hooks are what they were, whatever its code did.

    Nothing is deep-copied: modules with hooks, locks or computed weights do not allow it.

    Yields:
        A function that returns what the module's own code has changed so far, by name, or None.
    """
    before = _attributes(module)
    tensors = {id(t): t for t in (*module.parameters(), *module.buffers())}.values()
    data = [(tensor, tensor.data) for tensor in tensors]
    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[]),
            torch.device("cpu"),  # the user's file may have set another default
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            _no_exit(),
        ):
            warnings.simplefilter("ignore")
            module.eval()
            for part in module.modules():
                part.__dict__.pop(
                    "_compiled_call_impl", None
                )  # of module.compile(): the same, but slow to start
            for tensor, original in data:
                tensor.data = original.to(
                    torch.float64 if original.is_floating_point() else original.dtype, copy=True
                )
            prepared = _attributes(module)
            values = [(tensor, tensor.detach().clone()) for tensor, _ in data]
            yield lambda: _changed(module, prepared, values)
    finally:
        for tensor, original in data:
            tensor.data = original
        _restore(before)


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    """Let the module's code end itself, not this program."""

    def leave(status: int = 0) -> NoReturn:
        raise SystemExit(status)

    real = os._exit
    os._exit = leave
    try:
        yield
    finally:
        os._exit = real


def _attributes(module: nn.Module) -> dict[nn.Module, dict[str, Any]]:
    """Return the attributes of each part; of a list or a dict also what is in it."""
    return {
        part: {key: (value, _content(value)) for key, value in part.__dict__.items()}
        for part in module.modules()
    }


def _content(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list | set) else None


def _restore(attributes: dict[nn.Module, dict[str, Any]]) -> None:
    for part, saved in attributes.items():
        part.__dict__.clear()
        for key, (value, content) in saved.items():
            part.__dict__[key] = value
            if isinstance(value, dict | set):
                value.clear()
                value.update(content)
            elif isinstance(value, list):
                value[:] = content


def _changed(
    module: nn.Module,
    attributes: dict[nn.Module, dict[str, Any]],
    values: list[tuple[torch.Tensor, torch.Tensor]],
) -> str | None:
    """Return the name of an attribute or tensor that is not what it was."""
    names = {part: f"self.{name}." if name else "self." for name, part in module.named_modules()}
    for part, saved in attributes.items():
        computed = {hook.name for hook in reparametrizations(part)}
        for key in {**saved, **part.__dict__}:
            if key in computed:
                continue
            if key not in saved or key not in part.__dict__:
                return names.get(part, "self.") + key
            value, content = saved[key]
            now = part.__dict__[key]
            if now is not value or not _same(_content(now), content):
                return names.get(part, "self.") + key
    for tensor, value in values:
        if not torch.equal(tensor, value) and not torch.equal(tensor.isnan(), value.isnan()):
            return next(
                (
                    f"self.{name}"
                    for name, own in (*module.named_parameters(), *module.named_buffers())
                    if own is tensor
                )
            )
    return None


def _same(now: Any, then: Any) -> bool:
    if isinstance(now, dict):
        return list(now) == list(then) and all(now[key] is then[key] for key in now)
    if isinstance(now, list):
        return len(now) == len(then) and all(a is b for a, b in zip(now, then, strict=True))
    return bool(now == then)
