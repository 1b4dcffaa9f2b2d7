"""The deck's kernels: every layer, weights and biases as in the .tflite file (``firmware/kernels/paper``)."""

import numpy as np

from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed


def conv2d(layer: Convolution) -> Packed:
    """Pack a CONV_2D for ``p2b_conv2d_paper``."""
    return _as_in_the_file("p2b_conv2d_paper", layer)


def depthwise_conv2d(layer: Convolution) -> Packed:
    """Pack a DEPTHWISE_CONV_2D for ``p2b_depthwise_conv2d_paper``."""
    return _as_in_the_file("p2b_depthwise_conv2d_paper", layer)


def fully_connected(layer: FullyConnectedWeights) -> Packed:
    """Pack a FULLY_CONNECTED layer for ``p2b_fully_connected_paper``."""
    return _as_in_the_file("p2b_fully_connected_paper", layer)


def _as_in_the_file(function: str, layer: Convolution | FullyConnectedWeights) -> Packed:
    return Packed(function, layer.weights, layer.bias.astype(np.int64), requires_tflite_rounding=True)
