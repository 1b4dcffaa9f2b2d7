"""Instructions of a graph: those of the engine's kernels, layer by layer.

They are those of the cost table that the engine's planner uses
(:mod:`paper2board.convert.kernels.cost`, fitted to exact counts on the emulator), for the MAC16 kernels without
Winograd, whose weights would not fit the flash of most networks. Layers without weights (sums, pooling,
concatenation, shuffling) are not in the table and count nothing, so the model is a lower bound for networks that
move much data.
"""

from paper2board.convert.kernels.cost import features, instructions
from paper2board.convert.kernels.layer import FullyConnectedWeights, Packed
from paper2board.survey.graph import Graph, Layer


def layer_instructions(layer: Layer) -> float:
    """Return the instructions of a layer with the MAC16 kernels, 0 for one without weights."""
    weighted = layer.weighted
    if weighted is None:
        return 0.0
    if isinstance(weighted, FullyConnectedWeights):
        function = "p2b_fully_connected_mac16"
    elif weighted.weights.ndim == 3:
        three = weighted.kernel_h == weighted.kernel_w == 3
        function = "p2b_depthwise_conv2d_3x3_mac16" if three else "p2b_depthwise_conv2d_mac16"
    else:
        function = "p2b_conv2d_mac16"
    packed = Packed(function, weighted.weights, weighted.bias)
    return layer.groups * instructions(function, features(weighted, packed))


def graph_instructions(graph: Graph) -> float:
    """Return the instructions of one inference."""
    return sum(layer_instructions(layer) for layer in graph.layers)
