"""The network that a training starts from."""

import torch

from paper2board.networks.network import Network
from paper2board.networks.spec import NetworkSpec


def new_network(spec: dict, seed: int) -> Network:
    """Return a freshly initialised network of a spec given as plain data."""
    torch.manual_seed(seed)
    return Network(NetworkSpec.model_validate(spec))
