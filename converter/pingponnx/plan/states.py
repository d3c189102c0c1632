"""Where state lies that outlives a run: behind the rest of the arena, where nothing else ever is.

An output that becomes the state of the next run is made in the very place of the old state when nobody
reads that any more, or when the kernel that does may write over it; else it is copied after the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pingponnx.calls import Call
from pingponnx.ir import Graph
from pingponnx.plan.schedule import Placed, Plan

_ALIGNMENT = 8


def homes_of(graph: Graph, calls: Sequence[Call | None], roots: Mapping[str, str]) -> dict[str, str]:
    """By root the state input in whose place it lies: the inputs themselves, and outputs made there."""
    homes = {h: h for h in graph.states}
    for h, output in graph.states.items():
        root = roots[output]
        if root not in homes and _replaces(graph, calls, roots, h, root):
            homes[root] = h
    return homes


def _replaces(
    graph: Graph, calls: Sequence[Call | None], roots: Mapping[str, str], h: str, root: str
) -> bool:
    """True when `root` can be made where the state `h` is: all readers of that come before, or may be it."""
    if root in graph.inputs or any(roots.get(name) == h for name in graph.outputs):
        return False
    maker = next(i for i, node in enumerate(graph.nodes) if root in node.outputs)
    for index, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        read = [i for i, name in enumerate(node.inputs) if roots.get(name) == h]
        if call is None or not read or index < maker:
            continue
        if index > maker or any(call.overlap.get(i, 1) > 0 for i in read):
            return False
    return True


def with_states(plan: Plan, graph: Graph, homes: Mapping[str, str], roots: Mapping[str, str]) -> Plan:
    """The plan with the states behind its arena; they are a part of it from now on."""
    offsets: dict[str, int] = {}
    blocks: list[Placed] = []
    arena = -(-plan.arena // _ALIGNMENT) * _ALIGNMENT
    for h in graph.states:
        names = tuple(name for name, root in roots.items() if homes.get(root) == h)
        size = graph.tensors[h].bytes
        offsets |= dict.fromkeys(names, arena)
        blocks.append(Placed(h, "tensor", arena, size, -1, len(graph.nodes), names))
        arena += -(-size // _ALIGNMENT) * _ALIGNMENT
    more = arena - plan.arena
    return replace(
        plan,
        arena=arena,
        lower_bound=plan.lower_bound + more,
        strategies={name: size and size + more for name, size in plan.strategies.items()},
        blocks=tuple(sorted((*plan.blocks, *blocks), key=lambda b: (b.first, b.kind, b.name))),
        offsets={**plan.offsets, **offsets},
    )
