"""The new study's networks: the user's own, the example's, or generated ones; which layers to prune."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paper2board.core.errors import UserError
from paper2board.networks.spec import Add, Conv, Linear, NetworkSpec
from paper2board.new_study.request import Request, Shape
from paper2board.new_study.user_module import loaded
from paper2board.study.schema import load_study

EXAMPLE = Path("config/studies/esp32-wroom-cifar10.yaml")
EXAMPLE_NETWORK = "pooled"
MIN_PRUNED_WIDTH = 4
"""Least width of a layer that is worth pruning by a fifth, in channels."""


def choose_network(
    request: Request, shape: Shape, classes: int
) -> tuple[NetworkSpec | None, tuple[str, ...]]:
    """Return the study's own network, and notes about it for the user. A .tflite file has no network here.

    Raises:
        UserError: the user's module cannot be read, or the network does not fit the input or the classes.
    """
    if request.tflite is not None:
        return None, ()
    if request.module is not None:
        from paper2board.networks.module_import import read_module  # with torch: not for `--help`

        with loaded(request.module) as module:
            imported = read_module(module, shape)
        if imported.spec.output != (classes,):
            found = " × ".join(map(str, imported.spec.output))
            raise UserError(
                f"{request.module}: its output is {found}, the data set has {classes} classes; end with a Linear"
                f" layer that gives {classes} values"
            )
        return imported.spec, imported.notes
    if request.from_example:
        example = load_study(EXAMPLE).networks[EXAMPLE_NETWORK]
        return _adapted(example, shape, classes), ()
    return small_network(shape, classes), ()


def small_network(shape: Shape, classes: int) -> NetworkSpec:
    """Return a small CNN: convolutions of 16, 32 and 64 channels, a global mean, one linear layer.

    A max pooling follows the first two convolutions while the image has 8 pixels or more a side. The first
    convolution halves images above 48 pixels.
    """
    layers: list[dict[str, Any]] = []
    side = min(shape[1:])
    for number, width in enumerate((16, 32, 64), 1):
        stride = 2 if number == 1 and side > 48 else 1
        layers.append({"name": f"conv{number}", "op": "conv", "out": width, "stride": stride})
        side = -(-side // stride)
        if number < 3 and side >= 8:
            layers.append({"name": f"pool{number}", "op": "max_pool"})
            side //= 2
    return _spec(shape, [*layers, *_head(classes)])


def residual_network(shape: Shape, classes: int) -> NetworkSpec:
    """Return a teacher: the residual network of MLPerf Tiny's image classification benchmark.

    The first convolution halves images above 48 pixels.
    """
    stride = 2 if min(shape[1:]) > 48 else 1
    layers: list[dict[str, Any]] = [{"name": "stem", "op": "conv", "out": 16, "stride": stride}]
    before = "stem"
    for number, width in enumerate((16, 32, 64), 1):
        block, stride = f"block{number}", 1 if number == 1 else 2
        plain = {"op": "conv", "out": width, "activation": "none"}
        layers.append({"name": f"{block}_conv1", "op": "conv", "out": width, "stride": stride})
        layers.append({"name": f"{block}_conv2", **plain})
        if stride == 2:
            skip = {"name": f"{block}_skip", "source": before, "kernel": 1, "stride": 2}
            layers.append(skip | plain)
        other = f"{block}_conv2" if stride == 2 else before
        layers.append({"name": block, "op": "add", "other": other})
        before = block
    return _spec(shape, [*layers, *_head(classes)])


def _head(classes: int) -> list[dict[str, Any]]:
    return [
        {"name": "pool", "op": "average_pool"},
        {"name": "flatten", "op": "flatten"},
        {"name": "fc", "op": "linear", "out": classes},
    ]


def _spec(shape: Shape, layers: Sequence[dict[str, Any]]) -> NetworkSpec:
    return NetworkSpec.model_validate({"input": shape, "layers": layers})


def _adapted(network: NetworkSpec, shape: Shape, classes: int) -> NetworkSpec:
    """Return the network with another input shape and another number of classes."""
    plain = network.with_widths({network.layers[-1].name: classes}).model_dump()
    try:
        return NetworkSpec.model_validate(plain | {"input": shape})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(
            f"--network-from-example: it does not fit --input {'x'.join(map(str, shape))} ({reason}); choose sides"
            " that are multiples of 8, or leave it out"
        ) from error


def prunable(network: NetworkSpec) -> list[str]:
    """Return the layers worth pruning.

    Only convolutions and linear layers read their channels: no sum ties these to the channels of other layers.
    The output is not among them.
    """
    readers: dict[str, list[str]] = {}
    for name, sources in network.sources().items():
        for source in sources:
            readers.setdefault(source, []).append(name)
    kinds = {layer.name: layer for layer in network.layers}

    def free(name: str) -> bool:
        found = readers.get(name, [])
        return bool(found) and all(
            isinstance(kinds[reader], Conv | Linear) or (not isinstance(kinds[reader], Add) and free(reader))
            for reader in found
        )

    return [name for name, width in network.widths().items() if width >= MIN_PRUNED_WIDTH and free(name)]
