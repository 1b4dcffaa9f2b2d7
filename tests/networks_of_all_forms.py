"""Small networks of the usual forms, with and without batch normalisation, for tests of training."""

from typing import Any

from paper2board.networks.spec import NetworkSpec
from paper2board.new_study.networks import residual_network, small_network
from paper2board.train.mobilenet_cut import cut_spec

IMAGE = (3, 12, 12)
CLASSES = 3
POOL: dict[str, Any] = {"op": "max_pool"}
FLATTEN: dict[str, Any] = {"op": "flatten"}
MEAN: list[dict[str, Any]] = [{"op": "average_pool"}, FLATTEN]


def _conv(out: int, batch_norm: bool = True, **keys: Any) -> dict[str, Any]:
    return {"op": "conv", "out": out, "batch_norm": batch_norm} | keys


def _dense(*widths: int) -> list[dict[str, Any]]:
    return [{"op": "linear", "out": width, "activation": "relu"} for width in widths]


def _vgg(batch_norm: bool, *widths: int) -> list[dict[str, Any]]:
    layers = []
    for number, width in enumerate(widths, 1):
        layers += [_conv(width, batch_norm)] + [POOL] * (number % 2 == 0)
    return [*layers, FLATTEN, *_dense(32, 32)]


def _mobilenet(batch_norm: bool) -> list[dict[str, Any]]:
    layers = [_conv(8, batch_norm, stride=2, activation="relu6")]
    for width, stride in ((16, 1), (32, 2), (32, 1)):
        layers += [
            {"op": "depthwise", "stride": stride, "batch_norm": batch_norm, "activation": "relu6"},
            _conv(width, batch_norm, kernel=1, activation="relu6"),
        ]
    return [*layers, *MEAN]


def _residual(batch_norm: bool, blocks: int) -> list[dict[str, Any]]:
    layers = [_conv(12, batch_norm, stride=2)]
    for _ in range(blocks):
        before = f"layer{len(layers) - 1}"
        layers += [
            _conv(12, batch_norm),
            _conv(12, batch_norm, activation="none"),
            {"op": "add", "other": before},
        ]
    return [*layers, *MEAN]


def _squeezenet(batch_norm: bool) -> list[dict[str, Any]]:
    layers = [_conv(12, batch_norm, stride=2)]
    for squeeze, expand in ((6, 12), (8, 16)):
        first = len(layers)
        layers += [
            _conv(squeeze, batch_norm, kernel=1),
            _conv(expand, batch_norm, kernel=1),
            _conv(expand, batch_norm, source=f"layer{first}"),
            {"op": "concat", "source": f"layer{first + 1}", "others": [f"layer{first + 2}"]},
        ]
    return [*layers, *MEAN]


def _densenet(batch_norm: bool) -> list[dict[str, Any]]:
    layers, last = [_conv(8, batch_norm, stride=2)], "layer0"
    for _ in range(3):
        new = len(layers)
        layers += [
            _conv(8, batch_norm, source=last),
            {"op": "concat", "source": last, "others": [f"layer{new}"]},
        ]
        last = f"layer{new + 1}"
    return [*layers, *MEAN]


_FORMS: dict[str, list[dict[str, Any]]] = {
    "a convolution without batch normalisation": [
        _conv(16),
        POOL,
        _conv(32, False),
        POOL,
        FLATTEN,
        *_dense(64),
    ],
    "no batch normalisation": [_conv(16, False), POOL, _conv(32, False), POOL, FLATTEN, *_dense(64)],
    "lenet": [_conv(6, False, kernel=5), POOL, _conv(16, False, kernel=5), POOL, FLATTEN, *_dense(120, 84)],
    "vgg": _vgg(True, 12, 12, 24, 24),
    "vgg without batch normalisation": _vgg(False, 12, 12, 24, 24),
    "deep vgg without batch normalisation": _vgg(False, 12, 12, 24, 24, 24, 24),
    "mobilenet": _mobilenet(True),
    "mobilenet without batch normalisation": _mobilenet(False),
    "residual, deep": _residual(True, 5),
    "residual without batch normalisation": _residual(False, 2),
    "residual, deep, without batch normalisation": _residual(False, 5),
    "squeezenet": _squeezenet(True),
    "squeezenet without batch normalisation": _squeezenet(False),
    "densenet": _densenet(True),
    "densenet without batch normalisation": _densenet(False),
    "wide dense layers": [_conv(8), POOL, FLATTEN, *_dense(512, 256)],
    "perceptron": [FLATTEN, *_dense(128, 64)],
    "deep perceptron": [FLATTEN, *_dense(*[48] * 6)],
    "linear": [FLATTEN],
    "wide convolutions": [_conv(48, False, kernel=7, stride=2), _conv(64, False), POOL, FLATTEN],
    "relu6 without batch normalisation": [
        _conv(16, False, activation="relu6"),
        POOL,
        _conv(24, False, activation="relu6"),
        *MEAN,
    ],
    "down to one pixel": [*[_conv(16, stride=2)] * 4, FLATTEN],
}


def _network(layers: list[dict[str, Any]], shape: tuple[int, int, int] = IMAGE) -> NetworkSpec:
    last = {"op": "linear", "out": CLASSES}
    named = [{"name": f"layer{number}"} | layer for number, layer in enumerate([*layers, last])]
    return NetworkSpec.model_validate({"input": shape, "layers": named})


FORMS: dict[str, NetworkSpec] = {name: _network(layers) for name, layers in _FORMS.items()} | {
    "new-study's own": small_network(IMAGE, CLASSES),
    "new-study's teacher": residual_network(IMAGE, CLASSES),
    "mobilenet v2": cut_spec(IMAGE, CLASSES),
    "perceptron on a table": _network([FLATTEN, *_dense(64, 32)], (8, 1, 1)),
}
