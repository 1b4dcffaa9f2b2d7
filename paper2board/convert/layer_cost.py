"""What each layer of an engine costs by the kernels' cost table, with weights or without."""

from paper2board.convert.c_layers import c_layer, weighted_layer
from paper2board.convert.engine import Engine
from paper2board.convert.kernels.cost import Features, features, instructions, kernels
from paper2board.convert.kernels.layer import Packed
from paper2board.convert.lowering import rows_a_call
from paper2board.convert.operators import operator_of
from paper2board.convert.steps import Step, rows


def layer_features(engine: Engine, step: Step, packed: Packed | None) -> tuple[str, Features]:
    """Return a layer's kernel and what its cost grows with."""
    model = engine.model
    weighted = weighted_layer(model, step)
    if packed and weighted:
        return packed.function, features(weighted, packed)
    assert step.op is not None
    operator, kernel = operator_of(step.op), c_layer(model, step, packed).kernel
    work = operator.work(model, step) if kernel == operator.kernel else {}
    found = Features(
        outputs=model.tensors[step.output].size,
        loads=sum(model.tensors[operand.tensor].size for operand in step.operands),
        calls=rows(model, step.output) // rows_a_call(model, step, packed),
        **work,
    )
    return kernel, found


def layer_instructions(engine: Engine, step: Step, packed: Packed | None) -> int | None:
    """Return the modelled instructions of a layer; None if its kernel is not in the table yet."""
    kernel, found = layer_features(engine, step, packed)
    return round(instructions(kernel, found)) if kernel in kernels() else None


def modelled_instructions(engine: Engine) -> int:
    """Return the modelled instructions of one inference, without the copying of its inputs."""
    return sum(layer_instructions(engine, step, packed) or 0 for step, packed in engine.layers)
