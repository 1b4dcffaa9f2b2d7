"""The proof of an import: network and module compute the same, with any weights, for any batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from paper2board.core.errors import UserError
from paper2board.core.foreign_code import reason
from paper2board.networks.finite import require_finite
from paper2board.networks.module_import.draft import Draft
from paper2board.networks.module_import.layers import Layers
from paper2board.networks.module_import.trace import Traced
from paper2board.networks.module_import.weights import copy_weights
from paper2board.networks.network import ConvLayer, Network

TOLERANCE = 1e-5
"""Of a difference, relative to the largest output. Both sides compute in float64, whose rounding is far below."""
DRAWS = 3
"""Of random weights. A module's own may hide a difference: a branch that starts at zero, an activation that is
never reached."""
INPUTS = ((1, 2.0), (3, 8.0))
"""Images of a batch, and the largest value. (pixel − 128) / 64 reaches 2."""


def prove(module: nn.Module, traced: Traced, layers: Layers) -> Network:
    """Return the network of ``layers`` with the module's weights, float32, in evaluation mode.

    ``module`` is borrowed: in evaluation mode and float64. Its weights are drawn anew a few times, and put back.

    Raises:
        UserError: it computes something else than the network.
    """
    network = Network(layers.spec).double().eval()
    _set_windows(network, layers.drafts)
    generator = torch.Generator().manual_seed(0)
    for own in _weights(module, layers.drafts, generator):
        for images, largest in INPUTS:
            shape = (images, *layers.spec.input)
            x = (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1) * largest
            wanted = _run(module, x, traced.name)
            if not wanted.isfinite().all():
                if not own:
                    continue
                require_finite(module.state_dict(), traced.name, "train it again at a lower learning rate")
                raise UserError(
                    f"{traced.name}: with its own weights it gives values that are not finite; correct its weights"
                )
            result, inner = traced.run(x.clone(), layers.last)
            copy_weights(layers.drafts, network)
            _compare(traced.name, result, wanted, "torch.fx sees something else than it computes")
            _compare(traced.name, network(x), inner, "the study format cannot say what it computes")
    return network.float()


def _set_windows(network: Network, drafts: Sequence[Draft]) -> None:
    """Let convolutions pad as the module does, where that is not SAME."""
    for draft in drafts:
        if draft.own_padding is not None:
            layer = network.layers[draft.name]
            assert isinstance(layer, ConvLayer)
            layer.padding, layer.conv.padding = list(draft.own_padding), (0, 0)


def _weights(module: nn.Module, drafts: Sequence[Draft], generator: torch.Generator) -> Iterator[bool]:
    """Give the module random weights, and in the end its own; yield whether they are its own."""
    norms = [draft.norm for draft in drafts if draft.norm is not None]
    variances = {id(norm.running_var) for norm in norms}
    drawn = [*module.parameters(), *(t for norm in norms for t in (norm.running_mean, norm.running_var))]
    kept = [(tensor, tensor.detach().clone()) for tensor in drawn if tensor is not None]
    for _ in range(DRAWS):
        for tensor, _ in kept:
            if id(tensor) in variances:
                tensor.uniform_(0.3, 2, generator=generator)
            elif tensor.is_floating_point():
                fan_in = max(tensor[0].numel(), 1) if tensor.dim() > 1 else 1
                tensor.normal_(0, 2 * fan_in**-0.5, generator=generator)
        yield False
    for tensor, own in kept:
        tensor.copy_(own)
    yield True


def _run(module: nn.Module, x: torch.Tensor, name: str) -> torch.Tensor:
    try:
        result = module(x.clone())
    except BaseException as error:  # the user's own code
        raise UserError(
            f"{name}: its forward fails on a batch of {len(x)} images ({reason(error)}); write it for any batch,"
            " for instance x.flatten(1)"
        ) from error
    if not isinstance(result, torch.Tensor):
        raise UserError(f"{name}: forward returns one tensor only sometimes; let it return one tensor")
    return result


def _compare(name: str, found: Any, wanted: torch.Tensor, cause: str) -> None:
    if not isinstance(found, torch.Tensor) or found.shape != wanted.shape:
        raise UserError(f"{name}: {cause} for a batch of {len(wanted)} images; write it for any batch")
    difference = (found - wanted).abs().max().item()
    scale = wanted.abs().max().item()
    if not difference <= TOLERANCE * scale:
        raise UserError(
            f"{name}: {cause} (outputs up to {scale:.2g} differ by {difference:.2g}); write its forward with the"
            " layers of docs/new-study.md alone, the same on every call"
        )
