"""The study format of a network: a list of layers, each naming where its input comes from."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Activation = Literal["none", "relu", "relu6"]


class _Layer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

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


class MaxPool(_Layer):
    op: Literal["max_pool"]
    kernel: PositiveInt = 2


class AveragePool(_Layer):
    """Adaptive average pooling to ``out`` × ``out``; the input's size is a multiple of it."""

    op: Literal["average_pool"]
    out: PositiveInt = 1


class Flatten(_Layer):
    op: Literal["flatten"]


class Linear(_Layer):
    op: Literal["linear"]
    out: PositiveInt
    activation: Activation = "none"


class Add(_Layer):
    """Residual sum of ``source`` and ``other``."""

    op: Literal["add"]
    other: str
    activation: Activation = "relu"


Layer = Annotated[Conv | MaxPool | AveragePool | Flatten | Linear | Add, Field(discriminator="op")]


class NetworkSpec(BaseModel):
    """A network as data: what is trained, pruned (only ``out`` values change) and quantized."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels, height, width."""
    layers: tuple[Layer, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _shapes_are_possible(self) -> "NetworkSpec":
        self.shapes()
        return self

    def sources(self) -> dict[str, tuple[str, ...]]:
        """Return each layer's inputs by name, defaults resolved."""
        result: dict[str, tuple[str, ...]] = {}
        previous = "input"
        for layer in self.layers:
            first = layer.source or previous
            result[layer.name] = (first, layer.other) if isinstance(layer, Add) else (first,)
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

    def widths(self) -> dict[str, int]:
        """Return the output channels (neurons) of each convolution and linear layer."""
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
