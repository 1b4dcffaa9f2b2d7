"""MobileNetV2 cut after its seventh block (the FOMO article), as a network of the study format.

The cut is torchvision's ``mobilenet_v2().features[:7]``: stride 8, 32 channels at width 1.
"""

from typing import Literal

from paper2board.networks.spec import NetworkSpec

Head = Literal["classifier", "cells"]
STRIDE = 8
HEAD_CHANNELS = 32
DROPOUT = 0.5
"""The printed head's, between its ReLU and its pooling; only while training."""
BLOCKS = ((1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1))
"""Expansion, channels at width 1 and stride of ``features[1]`` … ``features[6]`` (Sandler et al. 2018, table 2)."""


def cut_spec(
    input: tuple[int, int, int],
    classes: int,
    width: float = 1.0,
    head: Head = "classifier",
) -> NetworkSpec:
    """Return the cut network for (C, H, W) images.

    ``head`` "classifier" is the article's (1×1 convolution to 32, ReLU, global average, 1×1 convolution):
    N×classes logits. "cells" is FOMO's, the same without pooling: N×(1 + classes)×H/8×W/8 logits, channel 0
    background. ``width`` multiplies the backbone's channels, rounded as torchvision rounds.
    """
    channels = _rounded(32 * width)
    layers = [_conv("stem", channels, kernel=3, stride=2)]
    last = "stem"
    for index, (expansion, out, stride) in enumerate(BLOCKS, 1):
        out = _rounded(out * width)
        name = f"block{index}"
        if expansion > 1:
            layers.append(_conv(f"{name}_expand", expansion * channels))
        layers.append(
            {"name": f"{name}_depthwise", "op": "depthwise", "stride": stride, "activation": "relu6"}
        )
        layers.append(_conv(f"{name}_project", out, activation="none"))
        if stride == 1 and out == channels:
            layers.append({"name": name, "op": "add", "other": last, "activation": "none"})
        last, channels = layers[-1]["name"], out
    return NetworkSpec.model_validate({"input": input, "layers": layers + _head(classes, head)})


def _conv(name: str, out: int, **keys: object) -> dict:
    return {"name": name, "op": "conv", "kernel": 1, "out": out, "activation": "relu6"} | keys


def _head(classes: int, kind: Head) -> list[dict]:
    plain = {"batch_norm": False}
    first = _conv("head", HEAD_CHANNELS, activation="relu", **plain)
    if kind == "cells":
        return [first, _conv("logits", 1 + classes, activation="none", **plain)]
    pool = {"name": "pool", "op": "average_pool", "out": 1}
    logits = _conv("logits", classes, activation="none", **plain)
    dropout = {"name": "dropout", "op": "dropout", "rate": DROPOUT}
    return [first, dropout, pool, logits, {"name": "flatten", "op": "flatten"}]


def _rounded(channels: float) -> int:
    """Return the multiple of 8 nearest to ``channels``, at least 8 and not below nine tenths of it."""
    result = max(8, int(channels + 4) // 8 * 8)
    return result + 8 if result < 0.9 * channels else result
