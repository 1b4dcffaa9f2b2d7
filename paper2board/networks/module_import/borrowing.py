"""A module in evaluation mode and in double precision for a while; afterwards it is as it was."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from paper2board.core.foreign_code import kept_alive
from paper2board.networks.module_import.suitability import computed_attributes

Attributes = dict[nn.Module, dict[str, tuple[Any, Any]]]
"""Attributes of each part; of a list, set or dict also what is in it."""


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
            kept_alive(),
        ):
            warnings.simplefilter("ignore")
            module.eval()
            for part in module.modules():
                part.__dict__.pop(
                    "_compiled_call_impl", None
                )  # of module.compile(): the same, but slow to start
            for tensor, original in data:
                tensor.data = _double(original)
            for part in module.modules():
                part.__dict__.update({k: _double(v) for k, v in part.__dict__.items() if torch.is_tensor(v)})
            prepared = _attributes(module)
            values = [(tensor, tensor.detach().clone()) for tensor, _ in data]
            yield lambda: _changed(module, prepared, values)
    finally:
        for tensor, original in data:
            tensor.data = original
        _restore(before)


def _double(tensor: torch.Tensor) -> torch.Tensor:
    dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True)


def _attributes(module: nn.Module) -> Attributes:
    return {
        part: {key: (value, _content(value)) for key, value in part.__dict__.items()}
        for part in module.modules()
    }


def _content(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list | set) else None


def _restore(attributes: Attributes) -> None:
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
    attributes: Attributes,
    values: list[tuple[torch.Tensor, torch.Tensor]],
) -> str | None:
    """Return the name of an attribute or tensor that is not what it was."""
    names = {part: f"self.{name}" if name else "self" for name, part in module.named_modules()}
    for part, saved in attributes.items():
        computed = computed_attributes(part)
        for key in dict.fromkeys((*saved, *part.__dict__)):
            value, content = saved.get(key, (None, None))
            now = part.__dict__.get(key)
            if key not in computed and not (now is value and _same(_content(now), content)):
                return f"{names.get(part, 'self')}.{key}"
    for tensor, value in values:
        if tensor.shape != value.shape or not torch.all((tensor == value) | (value != value)):
            owned = (*module.named_parameters(), *module.named_buffers())
            return next((f"self.{name}" for name, own in owned if own is tensor), "a tensor of its own")
    return None


def _same(now: Any, then: Any) -> bool:
    if isinstance(now, dict):
        return list(now) == list(then) and all(now[key] is then[key] for key in now)
    if isinstance(now, list):
        return len(now) == len(then) and all(a is b for a, b in zip(now, then, strict=True))
    return bool(now == then)
