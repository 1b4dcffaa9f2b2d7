"""What no reading of a module can understand, whatever its layers are."""

import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from paper2board.core.errors import UserError

_WRAPPERS = {"DataParallel", "DistributedDataParallel", "OptimizedModule"}
"""The last is what torch.compile returns; importing its class would take seconds."""
_REPARAMETRIZATIONS = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of torch itself that compute a weight from others before each call: the weight is read after them."""


def require_readable(module: nn.Module) -> None:
    """Raise UserError, with what to do, for a module whose layers cannot be seen or whose values cannot be used."""
    root = type(module).__name__
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        raise UserError(
            f"{root}: a global forward hook is registered, whose effect torch.fx does not see; remove it"
            " (handle.remove())"
        )
    for name, part in module.named_modules():
        if found := _obstacle(part):
            wrong, remedy = found
            raise UserError(f"{root}{'.' + name if name else ''}: {wrong}; {remedy}")


def computed_attributes(part: nn.Module) -> set[str]:
    """Return what hooks of torch write before each call (old weight_norm and spectral_norm, prune)."""
    hooks = (hook for hook in part._forward_pre_hooks.values() if isinstance(hook, _REPARAMETRIZATIONS))
    return {hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name for hook in hooks}


def computed_weights(part: nn.Module) -> bool:
    """Whether a part's weights are computed from others."""
    return parametrize.is_parametrized(part) or bool(computed_attributes(part))


def _obstacle(part: nn.Module) -> tuple[str, str] | None:
    """Return what is wrong with a part itself, and the remedy."""
    kind = type(part).__name__
    tensors = [
        tensor
        for owned in (part._parameters, part._buffers)
        for tensor in owned.values()
        if tensor is not None
    ]
    if isinstance(part, torch.jit.ScriptModule):
        return "is TorchScript, without its Python code", "give the nn.Module from which it was made"
    if kind in _WRAPPERS:
        return f"is wrapped in {kind}", "give the module that is in it"
    if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
        return (
            f"{kind} does not know its sizes yet",
            "write the sizes (nn.Conv2d, nn.Linear), or call the module once on a batch in __init__",
        )
    if type(part).__module__.startswith(
        ("torch.ao.", "torch.nn.quantized", "torch.nn.qat", "torch.nn.intrinsic")
    ):
        return f"{kind} is quantized or prepared for it", "give the float module; the study quantizes it"
    for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values()):
        if not isinstance(hook, _REPARAMETRIZATIONS):
            called = getattr(hook, "__name__", type(hook).__name__)
            return (
                f"the forward hook {called} is not seen by torch.fx",
                "remove it, or write what it does in forward",
            )
    if "forward" in part.__dict__:
        return "its forward was replaced on the object", "write it as a method of a class"
    for name in {"weight", "bias"} & (part.__dict__.keys() - computed_attributes(part)):
        if torch.is_tensor(part.__dict__[name]):
            return f"its {name} is no parameter of its own but a tensor made from others", "give it its own"
    for tensor in tensors:
        if tensor.device.type != "cpu":
            return (
                f"its tensors are on the device {tensor.device}",
                "call .cpu() (or .to_empty and fill a meta one)",
            )
        if tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype != torch.float32):
            return f"its tensors are {str(tensor.dtype).removeprefix('torch.')}", "call .float()"
        if tensor.is_quantized or tensor.layout != torch.strided:
            return "its tensors are quantized or sparse", "give plain float32 tensors"
    return None
