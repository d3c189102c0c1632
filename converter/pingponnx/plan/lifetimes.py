"""Blocks: the stretches of memory a network needs, and from which node to which."""

from collections.abc import Sequence
from dataclasses import dataclass

from pingponnx.calls import Call
from pingponnx.ir import Graph

ALIGNMENT = 4  # bytes; every block starts at a multiple


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes that must stay untouched from node `first` to node `last`, both included."""

    name: str
    kind: str
    bytes: int
    first: int
    last: int
    tensors: tuple[str, ...]


def roots_of(graph: Graph) -> dict[str, str]:
    """Tensor -> the tensor whose bytes it shares (itself unless an alias such as Reshape made it)."""
    roots = {name: name for name, t in graph.tensors.items() if not t.constant}
    for node in graph.nodes:
        if node.op.alias:
            roots[node.outputs[0]] = roots[node.inputs[0]]
    return roots


def blocks_of(graph: Graph, calls: Sequence[Call | None]) -> tuple[Block, ...]:
    """Activations (aliases merged) and, for the calls given, scratch buffers."""
    roots = roots_of(graph)
    first = dict.fromkeys(graph.inputs, -1)
    last = dict.fromkeys(roots.values(), -1)
    for index, node in enumerate(graph.nodes):
        for name in node.outputs:
            first.setdefault(roots[name], index)
            last[roots[name]] = max(last[roots[name]], index)
        for name in node.inputs:
            if name in roots:
                last[roots[name]] = max(last[roots[name]], index)
    for name in graph.outputs:
        if name in roots:
            last[roots[name]] = len(graph.nodes)
    shared: dict[str, list[str]] = {}
    for name, root in roots.items():
        shared.setdefault(root, []).append(name)
    blocks = [
        Block(root, "tensor", graph.tensors[root].bytes, first[root], last[root], tuple(names))
        for root, names in shared.items()
    ]
    for index, call in enumerate(calls):
        if call is not None and call.scratch:
            name = f"{graph.nodes[index].name}/scratch"
            blocks.append(Block(name, "scratch", call.scratch, index, index, ()))
    return tuple(sorted(blocks, key=lambda b: (b.first, b.kind, b.name)))
