"""The constant tables of a model's calls, and how much of them a run reads."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from pingponnx.calls import Call, Input, Inputs, Table
from pingponnx.ir import Array, Graph, Node
from pingponnx.plan import Calls, Plan

_BY_WINDOW = ("weights", "bias", "weight_zero_point")
"""Roles of tables that are read once per use of the weights; others are once per output value."""

Key = tuple[str, bytes]


def key_of(data: Array) -> Key:
    """What two tables have in common that are emitted only once."""
    return str(data.dtype), data.tobytes()


@dataclass(frozen=True, slots=True)
class Constant:
    """A table of the C library, called after the first of the nodes that read it.

    `read_bytes` is an estimate, from the sizes of the layer alone: kernels that keep values in registers for
    several outputs read less.
    """

    node: int
    role: str
    data: Array = field(compare=False, repr=False)
    read_bytes: int

    @property
    def name(self) -> str:
        """The table's symbol without the library's prefix."""
        return f"n{self.node}_{self.role}"

    @property
    def bytes(self) -> int:
        return self.data.nbytes

    @property
    def reads(self) -> float:
        """How often a run reads each byte."""
        return self.read_bytes / max(self.bytes, 1)


def constants(graph: Graph, calls: Calls, memory: Plan) -> dict[Key, Constant]:
    """All tables in the order of the nodes, equal ones once."""
    found: dict[Key, Constant] = {}
    for index, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        if call is None:
            continue
        for role, data in _tables(graph, node, call, by_rows=index in memory.streamed):
            read = _read_bytes(graph, node, call, role, data)
            key = key_of(data)
            old = found.get(key)
            found[key] = (
                replace(old, read_bytes=old.read_bytes + read)
                if old
                else Constant(index, role, np.ascontiguousarray(data), read)
            )
    return found


def _tables(graph: Graph, node: Node, call: Call, *, by_rows: bool) -> Iterator[tuple[str, Array]]:
    """Role and values of every constant that a call is passed."""
    for argument in call.form(by_rows=by_rows).arguments:
        if isinstance(argument, Table) and argument.data is not None:
            yield argument.role, argument.data
            continue
        inputs = [argument.index] if isinstance(argument, Input) else []
        inputs = list(range(len(node.inputs))) if isinstance(argument, Inputs) else inputs
        for index in inputs:
            data = graph.tensors[node.inputs[index]].data
            if data is not None:
                yield f"input{index}", data


def _read_bytes(graph: Graph, node: Node, call: Call, role: str, data: Array) -> int:
    """A layer's weights meet every input that they are multiplied by; other tables serve each output once.

    Kernels pack weights as they like, so that their number is that of the node's own.
    """
    if role in _BY_WINDOW and call.macs:
        return call.macs // graph.tensors[node.inputs[1]].size * data.nbytes
    values = sum(graph.tensors[name].size for name in node.outputs)
    return (call.macs if role.startswith("input") and call.macs else values) * data.itemsize
