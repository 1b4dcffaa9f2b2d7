"""The study format of a network: a list of layers, each naming where its input comes from."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from paper2board.core.strict import StrictModel

Activation = Literal["none", "relu", "relu6"]
CONCAT_MAX = 10
"""Inputs of a concatenation: what TFLite Micro has room for."""


class _Layer(StrictModel):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    source: str | None = None
    """The layer whose output is read; by default the one before (``input`` is the network's input)."""


class Conv(_Layer):
    """Convolution (SAME padding as TFLite pads), batch normalisation, activation."""

    op: Literal["conv"]
    out: PositiveInt
    kernel: PositiveInt = 3
    stride: PositiveInt = 1
    batch_norm: bool = True
    activation: Activation = "relu"


class Depthwise(_Layer):
    """Depthwise convolution (each channel by itself, as many out as in), SAME padding as TFLite pads, batch
    normalisation, activation."""

    op: Literal["depthwise"]
    kernel: PositiveInt = 3
    stride: PositiveInt = 1
    batch_norm: bool = True
    activation: Activation = "relu"


class MaxPool(_Layer):
    op: Literal["max_pool"]
    kernel: PositiveInt = 2


class AveragePool(_Layer):
    """Adaptive average pooling to ``out`` × ``out``; the input's size is a multiple of it."""

    op: Literal["average_pool"]
    out: PositiveInt = 1


class Flatten(_Layer):
    op: Literal["flatten"]


class Dropout(_Layer):
    """Zeroes values by chance while training and scales the others up; nothing in a deployed network."""

    op: Literal["dropout"]
    rate: float = Field(gt=0, lt=1)


class Linear(_Layer):
    op: Literal["linear"]
    out: PositiveInt
    activation: Activation = "none"


class Add(_Layer):
    """Residual sum of ``source`` and ``other``."""

    op: Literal["add"]
    other: str
    activation: Activation = "relu"


class Concat(_Layer):
    """``source`` and ``others`` one after the other along channels; heights and widths are equal."""

    op: Literal["concat"]
    others: tuple[str, ...] = Field(min_length=1, max_length=CONCAT_MAX - 1)


Layer = Annotated[
    Conv | Depthwise | MaxPool | AveragePool | Flatten | Dropout | Linear | Add | Concat,
    Field(discriminator="op"),
]


class NetworkSpec(StrictModel):
    """A network as data: what is trained, pruned (only ``out`` values change) and quantized."""

    input: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels, height, width."""
    layers: tuple[Layer, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _shapes_are_possible(self) -> "NetworkSpec":
        self.shapes()
        self.ranges()
        return self

    def sources(self) -> dict[str, tuple[str, ...]]:
        """Return each layer's inputs by name, defaults resolved."""
        result: dict[str, tuple[str, ...]] = {}
        previous = "input"
        for layer in self.layers:
            first = layer.source or previous
            match layer:
                case Add():
                    result[layer.name] = (first, layer.other)
                case Concat():
                    result[layer.name] = (first, *layer.others)
                case _:
                    result[layer.name] = (first,)
            previous = layer.name
        return result

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return each layer's output shape, (C, H, W) or (N,); raise ValueError naming a wrong layer."""
        shapes: dict[str, tuple[int, ...]] = {"input": self.input}
        for layer, sources in zip(self.layers, self.sources().values(), strict=True):
            for source in sources:
                if source not in shapes:
                    raise ValueError(f"layer {layer.name} reads {source}, which no earlier layer is called")
            if layer.name in shapes:
                raise ValueError(f"two layers are called {layer.name}")
            shapes[layer.name] = _shape(layer, [shapes[source] for source in sources])
        return shapes

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the last layer's output."""
        return self.shapes()[self.layers[-1].name]

    def ranges(self) -> dict[str, str]:
        """Return for ``input`` and each layer the name of the tensor with whose range it is quantized to int8.

        Pooling, flatten and dropout keep their input's; what a concatenation joins has one range, named after the
        first of them; every other layer has its own. Raise ValueError for a concatenation of the network's input,
        whose range is fixed, with something else.
        """
        owner = {"input": "input"}
        for layer, sources in zip(self.layers, self.sources().values(), strict=True):
            match layer:
                case MaxPool() | AveragePool() | Flatten() | Dropout():
                    owner[layer.name] = owner[sources[0]]
                case Concat():
                    joined = {owner[source] for source in sources}
                    if "input" in joined and len(joined) > 1:
                        raise ValueError(
                            f"concat layer {layer.name} joins the network's input, whose int8 range is fixed, with"
                            " other layers; put a conv between them"
                        )
                    common = owner[sources[0]]
                    owner = {name: common if own in joined else own for name, own in owner.items()}
                    owner[layer.name] = common
                case _:
                    owner[layer.name] = layer.name
        return owner

    def deployed(self) -> "NetworkSpec":
        """Return the network as it is deployed: batch normalisation folded, without dropout."""
        sources, replaced = self.sources(), {"input": "input"}
        layers: list[Any] = []
        for layer in self.layers:
            read = [replaced[source] for source in sources[layer.name]]
            replaced[layer.name] = read[0] if isinstance(layer, Dropout) else layer.name
            match layer:
                case Dropout():
                    continue
                case Conv() | Depthwise():
                    update: dict[str, object] = {"batch_norm": False}
                case Add():
                    update = {"other": read[1]}
                case Concat():
                    update = {"others": tuple(read[1:])}
                case _:
                    update = {}
            before = layers[-1].name if layers else "input"
            layers.append(
                layer.model_copy(update={**update, "source": None if read[0] == before else read[0]})
            )
        return NetworkSpec(input=self.input, layers=tuple(layers))

    def widths(self) -> dict[str, int]:
        """Return the output channels (neurons) of each convolution and linear layer that has a width of its
        own: a depthwise convolution's is its source's."""
        return {layer.name: layer.out for layer in self.layers if isinstance(layer, Conv | Linear)}

    def with_widths(self, widths: dict[str, int]) -> "NetworkSpec":
        """Return the same network with other widths."""
        layers = [
            layer.model_copy(update={"out": widths[layer.name]}) if layer.name in widths else layer
            for layer in self.layers
        ]
        return NetworkSpec(input=self.input, layers=tuple(layers))


def _shape(layer: Layer, sources: list[tuple[int, ...]]) -> tuple[int, ...]:
    source = sources[0]
    if isinstance(layer, Dropout):
        return source
    if isinstance(layer, Linear):
        if len(source) != 1:
            raise ValueError(
                f"linear layer {layer.name} reads a {len(source)}-D tensor; put a flatten before it"
            )
        return (layer.out,)
    if isinstance(layer, Add):
        if sources[0] != sources[1]:
            raise ValueError(f"add layer {layer.name} sums shapes {sources[0]} and {sources[1]}")
        return source
    if len(source) != 3:
        raise ValueError(f"layer {layer.name} needs a C, H, W input, not {source}")
    channels, height, width = source
    match layer:
        case Conv():
            return (layer.out, -(-height // layer.stride), -(-width // layer.stride))
        case Depthwise():
            return (channels, -(-height // layer.stride), -(-width // layer.stride))
        case Concat():
            if any(len(other) != 3 or other[1:] != source[1:] for other in sources):
                listed = ", ".join(map(str, sources))
                raise ValueError(
                    f"concat layer {layer.name} joins shapes {listed}, whose heights and widths differ"
                )
            return (sum(other[0] for other in sources), height, width)
        case MaxPool():
            if min(height, width) < layer.kernel:
                raise ValueError(
                    f"max pool {layer.name}: kernel {layer.kernel} on a {height} × {width} input"
                )
            return (channels, height // layer.kernel, width // layer.kernel)
        case AveragePool():
            if height % layer.out or width % layer.out:
                raise ValueError(
                    f"average pool {layer.name}: {height} × {width} is no multiple of {layer.out}"
                )
            return (channels, layer.out, layer.out)
        case _:
            return (channels * height * width,)
