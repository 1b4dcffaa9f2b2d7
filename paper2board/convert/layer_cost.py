"""What each layer of an engine costs by the kernels' cost table, with weights or without."""

from paper2board.convert.c_layers import c_layer, weighted_layer
from paper2board.convert.engine import Engine
from paper2board.convert.kernels.cost import Features, features, instructions, kernels
from paper2board.convert.kernels.layer import Packed
from paper2board.convert.lowering import rows_a_call
from paper2board.convert.operators import operator_of
from paper2board.convert.steps import Step, rows


def layer_features(engine: Engine, step: Step, packed: Packed | None, kernel: str) -> Features:
    """Return what the cost of a layer grows with that ``kernel`` does."""
    model = engine.model
    weighted = weighted_layer(model, step)
    if packed and weighted:
        return features(weighted, packed)
    assert step.op is not None
    operator = operator_of(step.op)
    work = operator.work(model, step) if kernel == operator.kernel else {}
    return Features(
        outputs=model.tensors[step.output].size,
        loads=sum(model.tensors[operand.tensor].size for operand in step.operands),
        calls=rows(model, step.output) // rows_a_call(model, step, packed),
        **work,
    )


def layer_instructions(engine: Engine, step: Step, packed: Packed | None, kernel: str) -> int | None:
    """Return the modelled instructions of a layer by ``kernel``; None if it is not in the table yet."""
    if kernel not in kernels():
        return None
    return round(instructions(kernel, layer_features(engine, step, packed, kernel)))


def modelled_instructions(engine: Engine) -> int:
    """Return the modelled instructions of one inference, without the copying of its inputs."""
    used = (c_layer(engine.model, step, packed).kernel for step, packed in engine.layers)
    layers = zip(engine.layers, used, strict=True)
    return sum(layer_instructions(engine, *layer, kernel) or 0 for layer, kernel in layers)
