"""What the same network takes without a planner: the paper's rows, and buffers written by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pingponnx.calls import Call
from pingponnx.ir import Graph
from pingponnx.plan.stages import roots_of


@dataclass(frozen=True, slots=True)
class Life:
    """A tensor's bytes, and the nodes from which to which it is needed; -1 is before the first."""

    bytes: int
    first: int
    last: int


def paper(graph: Graph, unfused: Graph) -> Mapping[str, int]:
    """The paper's strategies: every output kept, pools fused, and two buffers that swap.

    With branches ping-pong needs as many buffers as tensors live at once, each as large as the next
    largest tensor; a chain needs two. Source: arXiv:2007.01348.
    """
    fused = lives(graph).values()
    sizes = sorted((life.bytes for life in fused), reverse=True)
    steps = range(-1, len(graph.nodes) + 1)
    buffers = max(sum(life.first <= step <= life.last for life in fused) for step in steps)
    return {
        "keep_all": sum(life.bytes for life in lives(unfused).values()),
        "fused_pool": sum(sizes),
        "ping_pong": sum(sizes[:buffers]),
    }


def two_buffers(graph: Graph, calls: Sequence[Call | None]) -> int:
    """Bytes of a plain deployment: arrays for inputs and outputs, buffers that swap, scratch for the largest.

    Every other tensor goes to the first buffer that is not read any more: two for a chain, one more for
    every branch that is alive. Each is as large as the largest tensor in it, and nothing is in place.
    """
    ports = {roots_of(graph)[n] for n in (*graph.inputs, *graph.outputs) if n in roots_of(graph)}
    alive = lives(graph)
    capacity: list[int] = []
    holds: list[Life] = []
    for name, life in sorted(alive.items(), key=lambda item: item[1].first):
        if name in ports:
            continue
        free = [b for b, tenant in enumerate(holds) if tenant.last < life.first]
        buffer = free[0] if free else len(capacity)
        if not free:
            capacity.append(0)
            holds.append(life)
        capacity[buffer] = max(capacity[buffer], life.bytes)
        holds[buffer] = life
    scratch = max((call.scratch for call in calls if call is not None), default=0)
    return sum(alive[name].bytes for name in ports) + sum(capacity) + scratch


def lives(graph: Graph) -> Mapping[str, Life]:
    """Every activation, aliases merged, by name."""
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
    return {root: Life(graph.tensors[root].bytes, first[root], last[root]) for root in first}
