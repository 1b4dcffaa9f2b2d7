"""A user's own PyTorch module as a network of the study format; its weights, where it has any.

Only what :mod:`paper2board.networks.spec` can say is accepted; everything else is refused by the name of its
sub-module, with what to write instead. What is accepted is proven: the network and the module compute the same.
Training here starts from the spec; the module is not needed again.
"""

from dataclasses import dataclass

import torch
from torch import nn

from paper2board.core.errors import UserError
from paper2board.networks.module_import.borrowing import borrowed
from paper2board.networks.module_import.draft import Draft
from paper2board.networks.module_import.layers import read_layers
from paper2board.networks.module_import.proof import prove
from paper2board.networks.module_import.sharing import spans
from paper2board.networks.module_import.suitability import require_readable
from paper2board.networks.module_import.trace import trace
from paper2board.networks.network import Network
from paper2board.networks.spec import NetworkSpec

__all__ = ["ImportedModule", "read_module", "spec_of", "transfer"]


@dataclass(frozen=True)
class ImportedModule:
    """A module as a network, and what a user should know about it."""

    network: Network
    """With the module's own weights, float32, in evaluation mode. It computes what the module computes; where a
    draft has a ``same_padding``, its windows are the module's, not those of its spec."""
    notes: tuple[str, ...]
    """What was left out or is not quite the same, a sentence each."""
    drafts: tuple[Draft, ...]

    @property
    def spec(self) -> NetworkSpec:
        return self.network.spec


def read_module(module: nn.Module, input: tuple[int, int, int]) -> ImportedModule:
    """Return ``module`` in the study format for inputs of C×H×W; it is read as in evaluation mode, and left as it
    was.

    Raises:
        UserError: it cannot be read or traced, fails on such an input, holds something that the format cannot say,
            or computes something else than the network.
    """
    name = type(module).__name__
    require_readable(module)
    where = spans(module)
    with borrowed(module) as changes:
        traced = trace(module, input, name)
        layers = read_layers(traced, input, where)
        network = prove(module, traced, layers)
        if changed := changes():
            raise UserError(
                f"{name}: forward changes {changed}, which a network cannot keep from one image to the next; let"
                " forward only compute its result"
            )
    return ImportedModule(network, layers.notes, layers.drafts)


def spec_of(module: nn.Module, input: tuple[int, int, int]) -> NetworkSpec:
    """Return the network of :func:`read_module`."""
    return read_module(module, input).spec


def transfer(module: nn.Module, network: Network) -> None:
    """Copy the weights of ``module`` into ``network``, built from its spec; in evaluation both then give the
    same outputs (float32 rounding aside). A bias or epsilon that the format lacks goes into the normalisation.

    Raises:
        UserError: as :func:`read_module`; ``network`` is of another spec; a convolution's windows lie elsewhere
            than SAME's.
    """
    imported = read_module(module, network.spec.input)
    name = type(module).__name__
    if imported.spec != network.spec:
        raise UserError(
            f"{name}: the network is of another spec; build it with Network(spec_of(module, input))"
        )
    for draft in imported.drafts:
        if draft.same_padding is not None:
            raise UserError(
                f"{name}.{draft.origin}: its weights belong to windows that begin before those of TFLite's"
                f" SAME; put nn.ZeroPad2d({draft.same_padding}) before it with padding=0 and train that, or"
                " train here from scratch"
            )
    with torch.no_grad():
        network.load_state_dict(imported.network.state_dict())
