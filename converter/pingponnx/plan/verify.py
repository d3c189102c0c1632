"""An independent check of a memory plan: replays the network on a byte-wise owner map.

Shares no code with the planner. Every byte of the arena has an owner; an operator may only read bytes
that its input still owns. Where an output overlaps its input, the declared distance decides which input
bytes are already dead when they are overwritten, and the rest of the network must not miss them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pingponnx.calls import Call
from pingponnx.errors import MemoryPlanError
from pingponnx.ir import Graph

_FREE = -1


def verify(
    graph: Graph,
    calls: Sequence[Call | None],
    offsets: Mapping[str, int],
    scratch: Mapping[int, int],
    arena: int,
) -> None:
    """Raise MemoryPlanError when any tensor would be overwritten before its last read."""
    owner = np.full(arena, _FREE, np.int64)
    identity: dict[str, int] = {}
    for name in graph.inputs:
        identity[name] = len(identity)
        _claim(owner, graph, offsets, name, identity[name], arena)
    for index, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        for name in node.inputs:
            if name and not graph.tensors[name].constant:
                _expect(owner, graph, offsets, name, identity[name], node.name)
        if call is None:  # an alias: the same bytes under another name
            _same_place(graph, offsets, node.inputs[0], node.outputs[0])
            identity[node.outputs[0]] = identity[node.inputs[0]]
            continue
        _check_scratch(graph, offsets, scratch, index, call, arena, owner)
        for name in node.outputs:
            _check_overlap(graph, offsets, node.inputs, name, call, node.name)
            identity[name] = len(identity)
            _claim(owner, graph, offsets, name, identity[name], arena)
    for name in graph.outputs:
        if not graph.tensors[name].constant:
            _expect(owner, graph, offsets, name, identity[name], "the end of the run")


def _span(graph: Graph, offsets: Mapping[str, int], name: str) -> tuple[int, int]:
    start = offsets[name]
    return start, start + graph.tensors[name].bytes


def _claim(
    owner: np.ndarray, graph: Graph, offsets: Mapping[str, int], name: str, who: int, arena: int
) -> None:
    start, end = _span(graph, offsets, name)
    if start < 0 or end > arena or start % 4:
        raise MemoryPlanError(f"tensor {name!r} at {start}..{end} leaves the arena of {arena} bytes")
    owner[start:end] = who


def _expect(
    owner: np.ndarray, graph: Graph, offsets: Mapping[str, int], name: str, who: int, reader: str
) -> None:
    start, end = _span(graph, offsets, name)
    if not (owner[start:end] == who).all():
        raise MemoryPlanError(f"tensor {name!r} is overwritten before {reader!r} reads it")


def _same_place(graph: Graph, offsets: Mapping[str, int], x: str, y: str) -> None:
    if offsets[x] != offsets[y] or graph.tensors[x].bytes != graph.tensors[y].bytes:
        raise MemoryPlanError(f"{y!r} must be the same bytes as {x!r}")


def _check_overlap(
    graph: Graph, offsets: Mapping[str, int], inputs: Sequence[str], y: str, call: Call, node: str
) -> None:
    """An output may share bytes with an input only at the distance that the kernel declares."""
    y_start, y_end = _span(graph, offsets, y)
    for index, name in enumerate(inputs):
        if not name or graph.tensors[name].constant:
            continue
        start, end = _span(graph, offsets, name)
        if y_end <= start or end <= y_start:
            continue
        if index not in call.overlap or y_start > start - call.overlap[index]:
            raise MemoryPlanError(f"node {node!r} would overwrite its input {name!r} while reading it")


def _check_scratch(
    graph: Graph,
    offsets: Mapping[str, int],
    scratch: Mapping[int, int],
    index: int,
    call: Call,
    arena: int,
    owner: np.ndarray,
) -> None:
    """Scratch lies in the arena, apart from the node's tensors; what it covers is dead afterwards."""
    if not call.scratch:
        return
    start, end = scratch[index], scratch[index] + call.scratch
    node = graph.nodes[index]
    if start < 0 or end > arena or start % 4:
        raise MemoryPlanError(f"the scratch of node {node.name!r} leaves the arena")
    for name in (*node.inputs, *node.outputs):
        if name and not graph.tensors[name].constant:
            t_start, t_end = _span(graph, offsets, name)
            if start < t_end and t_start < end:
                raise MemoryPlanError(f"the scratch of node {node.name!r} overlaps tensor {name!r}")
    owner[start:end] = _FREE
