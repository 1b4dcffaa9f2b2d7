"""Unstructured magnitude pruning as the detector paper prints it, for comparison.

Single weights are zeroed; shapes, files and integer kernels stay as large as they were.
"""

import torch
from torch import nn

from paper2board.networks.network import Network


def prune_magnitude(network: Network, ratio: float) -> Network:
    """Return a copy with each convolution's weights at or below the ``ratio`` quantile of |w| zeroed."""
    result = Network(network.spec)
    result.load_state_dict(network.state_dict())
    with torch.no_grad():
        for module in result.modules():
            if isinstance(module, nn.Conv2d):
                magnitude = module.weight.abs()
                module.weight *= magnitude > torch.quantile(magnitude, ratio)
    return result.eval()


def zero_share(network: Network) -> float:
    """Return the share of zeros among the convolutions' weights."""
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
