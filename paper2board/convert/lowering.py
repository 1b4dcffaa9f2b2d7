"""From ops to steps. Two forms of the same model:

* **unfused**: a step for each op that computes something, as TFLite Micro runs it;
* **fused**: a PAD before a convolution becomes the convolution's padding, and a MAX_POOL_2D after one its
  last act. The maximum commutes with requantization (which never falls as the accumulator grows), so a
  pooled output is requantized once.

A view (RESHAPE) is never a step: its output is another view of its input's bytes.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators import operator_of
from paper2board.convert.steps import Step, rows
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Constant
from paper2board.model.operators.operator import Op


def storage(model: IntegerModel) -> dict[int, int]:
    """Return for each tensor the tensor whose bytes it has: another one only after a view, or of a state."""
    result = {index: index for index in given(model)}
    states = {state.written: state.read for state in model.states}
    for op in model.ops:
        own = states.get(op.output, op.output)
        result[op.output] = result[op.inputs[0]] if operator_of(op).view else own
    return result


def given(model: IntegerModel) -> tuple[int, ...]:
    """Return the tensors that no op computes: inputs first, then what the states hold."""
    return (*(port.tensor for port in model.inputs), *(state.read for state in model.states))


def rows_a_call(model: IntegerModel, step: Step, packed: Packed | None) -> int:
    """Return how many rows of its output a call of a step computes."""
    if packed:
        return packed.rows
    at_once = step.op is not None and operator_of(step.op).at_once(model, step)
    return rows(model, step.output) if at_once else 1


def constants(model: IntegerModel) -> dict[int, np.ndarray]:
    """Return the tensors that lie in flash, with their values."""
    return {op.output: op.values for op in model.ops if isinstance(op, Constant)}


def lower(model: IntegerModel, *, fuse: bool) -> tuple[Step, ...]:
    """Return the model's steps in execution order; the first ones are the inputs' arrivals."""
    consumers: dict[int, list[Op]] = {}
    for op in model.ops:
        for index in op.inputs:
            consumers.setdefault(index, []).append(op)

    def only_consumer(op: Op) -> Op | None:
        readers = consumers.get(op.output, [])
        return readers[0] if fuse and len(readers) == 1 and op.output not in kept else None

    kept = {port.tensor for port in model.outputs} | {state.written for state in model.states}

    before: dict[int, Any] = {}
    done: set[int] = set()
    steps = [Step(port.name, None, (), port.tensor) for port in model.inputs]
    for op in model.ops:
        operator, follower = operator_of(op), only_consumer(op)
        if operator.view or isinstance(op, Constant) or id(op) in done:
            continue
        if follower and operator_of(follower).fuses_before(model, follower, op):
            before[op.output] = op
            continue
        after: Any = None
        if follower and operator.fuses_after(model, op, follower):
            after = follower
            done.add(id(follower))
        output = after.output if after else op.output
        step = Step(op.name, op, (), output, before.pop(op.inputs[0], None), after)
        steps.append(replace(step, operands=operator.operands(model, step)))
    return tuple(steps)
