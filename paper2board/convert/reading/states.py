"""What a file keeps from one inference to the next: resource variables, and their first content.

VAR_HANDLE names a variable, READ_VARIABLE and ASSIGN_VARIABLE read and write it; CALL_ONCE has another subgraph
assign the first content. In the model a read is a tensor that is there when an inference begins, and the last
assignment is what will be there for the next one.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from paper2board.convert.reading.file import MAX_ITEMS, OPERATOR_NAMES, TfliteFile, TfliteNode
from paper2board.model.integer_model import State
from paper2board.model.operators.moving import AssignVariable
from paper2board.model.operators.operator import Op

KINDS = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


@dataclass
class Variables:
    """The variables of a file while it is read."""

    file: TfliteFile
    handles: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """Tensor of a handle → the variable's name."""
    reads: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    """Variable → the model's tensor that holds it when an inference begins."""
    assigned: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    """Variable → the model's tensor that was assigned last."""
    initial: dict[tuple[bytes, bytes], np.ndarray] = field(default_factory=dict)

    def read(self, node: TfliteNode) -> None:
        """Take in one operator of :data:`KINDS`."""
        match node.kind:
            case "VAR_HANDLE":
                self.handles[node.targets[0]] = _name(node)
            case "CALL_ONCE":
                self._first_contents(node)
            case "READ_VARIABLE":
                self._read(node)
            case "ASSIGN_VARIABLE":
                variable = self._variable(node)
                self.assigned[variable] = node.source(1)

    def _read(self, node: TfliteNode) -> None:
        variable = self._variable(node)
        before = self.assigned.get(variable, self.reads.get(variable))
        tensor = node.target()
        if before is None:
            self.reads[variable] = tensor
        elif node.tensor(before).shape == node.tensor(tensor).shape:
            node.view(before, tensor)
        else:
            node.refuse("reads a variable in two shapes")

    def _variable(self, node: TfliteNode) -> tuple[bytes, bytes]:
        if not node.has(0) or node.sources[0] not in self.handles:
            node.refuse("has no variable")
        return self.handles[node.sources[0]]

    def _first_contents(self, node: TfliteNode) -> None:
        number = node.options("CallOnceOptions").InitSubgraphIndex()
        if not 1 <= number < self.file.fb.SubgraphsLength():
            node.refuse(f"calls subgraph {number}, which does not exist")
        outer, graph = self.file.graph, self.file.fb.Subgraphs(number)
        self.file.graph = graph
        try:
            if graph.OperatorsLength() > MAX_ITEMS:
                node.refuse("calls a subgraph of too many operators")
            handles = dict(self.handles)
            for index in range(graph.OperatorsLength()):
                operator = graph.Operators(index)
                code = self.file.fb.OperatorCodes(operator.OpcodeIndex())
                kind = OPERATOR_NAMES.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")
                inner = TfliteNode(self.file, operator, kind, node.name, [])
                if kind == "VAR_HANDLE" and inner.targets:
                    handles[inner.targets[0]] = _name(inner)
                elif kind == "ASSIGN_VARIABLE" and len(inner.sources) == 2 and inner.sources[0] in handles:
                    values = self.file.constant(inner.sources[1], schema.TensorType.INT8)[0]
                    self.initial[handles[inner.sources[0]]] = values
                else:
                    node.refuse(
                        f"calls {kind or 'an operator'} in its subgraph", "use constants as first contents"
                    )
        finally:
            self.file.graph = outer

    def finish(self, ops: list[Op]) -> tuple[list[Op], tuple[State, ...]]:
        """Return the ops with the assignments among them, and the states."""
        states = list(self.file.states)
        for number, (variable, tensor) in enumerate(self.reads.items(), 1):
            shape = self.file.tensors[tensor].shape
            first = self.initial.get(variable)
            if first is None or first.size != self.file.tensors[tensor].size:
                self.file.refuse(
                    f"variable {variable[1].decode(errors='replace')[:60]} has no first content of its shape"
                )
            written = tensor
            if variable in self.assigned:
                source = self.assigned[variable]
                like = self.file.tensors[source]
                written = self.file.add(replace(like, name=f"state{number}"))
                ops = _placed(ops, AssignVariable(f"state{number}", (source,), written), tensor)
                if like.shape != shape:
                    self.file.refuse("a variable is assigned in another shape")
            states.append(State(tensor, written, first.reshape(shape)))
        for index, op in enumerate(ops):
            state = next((s.read for s in states if s.written == op.output and s.read != s.written), None)
            if state is not None and _placed([*ops[:index], *ops[index + 1 :]], op, state)[index] is not op:  # type: ignore[arg-type]
                self.file.refuse("a variable is assigned before its last reader", "read all variables first")
        return ops, tuple(states)


def _placed(ops: list[Op], assignment: AssignVariable, state: int) -> list[Op]:
    """Return ``ops`` with an assignment as early as can be: after what computes its source and all readers of the
    state. The state's memory is overwritten then, and the source's free."""
    views, last = {state}, 0
    for index, op in enumerate(ops):
        if views.intersection(op.inputs):
            last = index + 1
            if op.type == "RESHAPE":
                views.add(op.output)
        if op.output == assignment.inputs[0]:
            last = index + 1
    return [*ops[:last], assignment, *ops[last:]]


def _name(node: TfliteNode) -> tuple[bytes, bytes]:
    options = node.options("VarHandleOptions")
    return options.Container() or b"", options.SharedName() or b""
