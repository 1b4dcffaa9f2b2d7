"""From ops to steps. Two forms of the same model:

* **unfused**: a step for each op that computes something, as TFLite Micro runs it;
* **fused**: a PAD before a convolution becomes the convolution's padding, and a MAX_POOL_2D after one its
  last act. The maximum commutes with requantization (which never falls as the accumulator grows), so a
  pooled output is requantized once.

A view (RESHAPE) is never a step: its output is another view of its input's bytes.
"""

from dataclasses import replace
from typing import Any

from paper2board.convert.operators import operator_of
from paper2board.convert.steps import Step
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op


def storage(model: IntegerModel) -> dict[int, int]:
    """Return for each computed tensor the tensor whose bytes it has (another one only after a view)."""
    result = {model.input: model.input}
    for op in model.ops:
        result[op.output] = result[op.inputs[0]] if operator_of(op).view else op.output
    return result


def lower(model: IntegerModel, *, fuse: bool) -> tuple[Step, ...]:
    """Return the model's steps in execution order; the first is the input's arrival."""
    consumers: dict[int, list[Op]] = {}
    for op in model.ops:
        for index in op.inputs:
            consumers.setdefault(index, []).append(op)

    def only_consumer(op: Op) -> Op | None:
        readers = consumers.get(op.output, [])
        return readers[0] if fuse and len(readers) == 1 and op.output != model.output else None

    before: dict[int, Any] = {}
    done: set[int] = set()
    steps = [Step("input", None, (), model.input)]
    for op in model.ops:
        operator, follower = operator_of(op), only_consumer(op)
        if operator.view or id(op) in done:
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
