"""If and Loop that fold away: the branch of a known condition, the body of a known number of turns."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from pingponnx.errors import Unsupported, UnsupportedError, damage
from pingponnx.names import is_onnx

DECIDES = {"If": ("condition",), "Loop": ("trip count", "condition")}
_MOST_NODES = 1024  # that a loop is written out to
_MOST_BYTES = 2**26  # the same, with its constants
_AXES_ARE_INPUTS = 13  # opset since which those of Unsqueeze are


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """All names that the graphs inside of a node read, its own values among them."""
    for graph in _graphs(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from inner.input
            yield from captured(inner)


def undecided(node: onnx.NodeProto, constants: Container[str]) -> tuple[str, str] | None:
    """Why an If or Loop does not fold away, and which input it would have to know; None for other reasons."""
    for index, what in enumerate(DECIDES.get(node.op_type, ()) if is_onnx(node.domain) else ()):
        name = node.input[index]
        if name and name not in constants:
            return f"its {what} must be a constant", name
    return None


def unfold(model: onnx.ModelProto, opset: int) -> bool:
    """Replace each If and Loop that is decided by constants by what it runs; False when there is none."""
    graph = model.graph
    constants = {t.name: t for t in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in graph.node:
        run = _Inliner(graph, node, constants, opset)
        with damage(f"{node.op_type} node {node.name!r}"):
            found = run.nodes if run.written() else None
        changed |= found is not None
        nodes += [node] if found is None else found
        graph.initializer.extend([] if found is None else run.initializers)
    if changed:
        kept = onnx.GraphProto()
        kept.node.extend(nodes)
        del graph.node[:]
        graph.node.extend(kept.node)
    return changed


class _Inliner:
    """Writes one node out; all new names begin with that of its first output."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        node: onnx.NodeProto,
        constants: Mapping[str, onnx.TensorProto],
        opset: int,
    ) -> None:
        self.graph, self.node, self.constants, self.opset = graph, node, constants, opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def written(self) -> bool:
        if not is_onnx(self.node.domain) or self.node.op_type not in DECIDES:
            return False
        if any(graph.sparse_initializer for graph in _graphs(self.node)):
            return False
        return self._branch() if self.node.op_type == "If" else self._loop()

    def _value(self, index: int) -> Any:
        """The value of a constant scalar input; None when it is not one."""
        tensor = self.constants.get(self.node.input[index])
        array = None if tensor is None else numpy_helper.to_array(tensor)
        return array.item() if array is not None and array.size == 1 else None

    def _branch(self) -> bool:
        chosen = self._value(0)
        if chosen is None:
            return False
        wanted = "then_branch" if chosen else "else_branch"
        branch = next(a.g for a in self.node.attribute if a.name == wanted)
        self._bind(self._inline(branch, self._prefix(0), {}))
        return True

    def _loop(self) -> bool:
        """While its condition stays true, of which only the plainest forms are known."""
        body = next(a.g for a in self.node.attribute if a.name == "body")
        turns, start = self._value(0), True if not self.node.input[1] else self._value(1)
        if turns is None or start is None or not _goes_on(body):
            return False
        turns = turns if start else 0
        states = list(self.node.input[2:])
        scans: list[list[str]] = [[] for _ in body.output[1 + len(states) :]]
        nodes, size = turns * len(body.node), turns * body.ByteSize()
        if nodes > _MOST_NODES or size > _MOST_BYTES:
            reason = f"its {turns:,} turns would be {nodes:,} nodes with {size:,} bytes"
            hint = f"up to {_MOST_NODES:,} nodes are written out: let the caller repeat the body"
            name = self.node.name or self.node.output[0]
            raise UnsupportedError([Unsupported(name, "Loop", reason, hint)])
        if scans and turns < 1:
            return False
        for turn in range(turns):
            prefix = self._prefix(turn)
            number = self._constant(f"{prefix}@turn", np.array(turn, np.int64))
            going = self._constant(f"{prefix}@going", np.array(True))
            given = [number, going, *states]
            inputs = dict(zip((v.name for v in body.input), given, strict=True))
            found = self._inline(body, prefix, inputs)[1:]
            for scan, value in zip(scans, found[len(states) :], strict=True):
                scan.append(self._unsqueezed(value, f"{prefix}@{len(self.nodes)}"))
            states = found[: len(states)]
        self._bind([*states, *(self._joined(scan, f"{scan[0]}@all") for scan in scans)])
        return True

    def _prefix(self, turn: int) -> str:
        """What no name of the graph begins with."""
        wanted = f"{next(n for n in self.node.output if n)}@{turn}/"
        names = {name for node in self.graph.node for name in (*node.input, *node.output)}
        names |= {t.name for t in (*self.graph.initializer, *self.graph.input)}
        while any(name.startswith(wanted) for name in names):
            wanted += "/"
        return wanted

    def _constant(self, name: str, value: np.ndarray[Any, Any]) -> str:
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def _add(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        title = f"{output}/{op_type}"
        self.nodes.append(onnx.helper.make_node(op_type, inputs, [output], name=title, **attributes))
        return output

    def _unsqueezed(self, name: str, output: str) -> str:
        if self.opset < _AXES_ARE_INPUTS:
            return self._add("Unsqueeze", [name], output, axes=[0])
        axes = self._constant(f"{output}/axes", np.array([0], np.int64))
        return self._add("Unsqueeze", [name, axes], output)

    def _joined(self, names: list[str], output: str) -> str:
        return self._add("Concat", names, output, axis=0)

    def _inline(self, body: onnx.GraphProto, prefix: str, inputs: Mapping[str, str]) -> list[str]:
        """Adds the body's nodes under new names; returns those of its outputs."""
        own = [t.name for t in body.initializer] + [n for node in body.node for n in node.output if n]
        names = {name: prefix + name for name in own} | dict(inputs)
        for tensor in body.initializer:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = names[tensor.name]
            self.initializers.append(copy)
        for node in body.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{prefix}{node.output[0]}/{node.op_type}"  # onnxruntime wants them all different
            copy.output[:] = [names.get(n, n) for n in node.output]
            _rename_reads(copy, names)
            self.nodes.append(copy)
        return [names.get(value.name, value.name) for value in body.output]

    def _bind(self, values: list[str]) -> None:
        for value, output in zip(values, self.node.output, strict=False):
            if output:
                self._add("Identity", [value], output)


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _rename_reads(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Rename what a node reads, and what the graphs inside of it read from outside."""
    node.input[:] = [names.get(n, n) for n in node.input]
    for graph in _graphs(node):
        own = {v.name for v in (*graph.input, *graph.initializer)} | {n for i in graph.node for n in i.output}
        outer = {old: new for old, new in names.items() if old not in own}
        for inner in graph.node:
            _rename_reads(inner, outer)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)


def _goes_on(body: onnx.GraphProto) -> bool:
    """True when a loop's condition stays what it is: its input, passed on, or the constant true."""
    name = body.output[0].name
    makers = {output: node for node in body.node for output in node.output}
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    if name == body.input[1].name:
        return True
    tensors = [t for t in body.initializer if t.name == name]
    if name in makers and makers[name].op_type == "Constant":
        tensors += [a.t for a in makers[name].attribute if a.name == "value"]
    return bool(tensors) and bool(numpy_helper.to_array(tensors[0]).all())
