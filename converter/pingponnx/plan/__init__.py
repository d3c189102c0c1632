"""Memory planning: where every tensor and every scratch buffer lies in the one arena, and why that is small.

`plan` measures the paper's strategies and ours on the same network, picks the best placement that the
chosen kernels allow, and proves it with `verify`, which shares no code with the planner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pingponnx.calls import Call
from pingponnx.errors import BudgetError
from pingponnx.ir import Graph
from pingponnx.plan.lifetimes import ALIGNMENT, Block, blocks_of, roots_of
from pingponnx.plan.place import Problem, lower_bound, place, problem_of
from pingponnx.plan.verify import verify

Calls = Sequence[Call | None]

_LARGEST = 2**26  # bytes, more than any board has; beyond it, the byte-wise verification would take too much


@dataclass(frozen=True, slots=True)
class Placed:
    """A block with its address. `first` and `last` are node indices; -1 is before the first node."""

    name: str
    kind: str  # tensor or scratch
    offset: int
    bytes: int
    first: int
    last: int
    tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One arena: offsets in bytes of tensors by name and of scratch by node index, with the evidence."""

    arena: int
    lower_bound: int
    strategy: str
    strategies: Mapping[str, int]
    blocks: tuple[Placed, ...]
    offsets: Mapping[str, int]
    scratch: Mapping[int, int]

    @property
    def proven(self) -> bool:
        """True when no placement under the same rules can be smaller."""
        return self.arena == self.lower_bound


def plan(graph: Graph, calls: Calls, unfused: Graph) -> Plan:
    """Place everything; `unfused` is the same network before max-pools were fused, for the comparison.

    Sizes count network input, output and kernel scratch. Raises BudgetError for an arena that no
    board holds, and MemoryPlanError if verification fails.
    """
    blocks = blocks_of(graph, calls)
    strategies, problems, solutions = dict(_paper(graph, unfused)), {}, {}
    for name, allowed in _RULES.items():
        problems[name] = problem_of(graph, calls, blocks, allowed)
        solutions[name] = place(problems[name])
        strategies[name] = solutions[name].arena
    best = min(reversed(_RULES), key=lambda name: strategies[name])
    if strategies[best] > _LARGEST:
        message = (
            f"{graph.name} needs an arena of {strategies[best]:,} bytes, at most {_LARGEST:,} can be planned"
        )
        raise BudgetError(message, "give the model smaller inputs")
    offsets = solutions[best].offsets
    placed = tuple(
        Placed(b.name, b.kind, offsets[i], b.bytes, b.first, b.last, b.tensors) for i, b in enumerate(blocks)
    )
    result = Plan(
        strategies[best],
        lower_bound(problems[best]),
        best,
        strategies,
        placed,
        {name: p.offset for p in placed for name in p.tensors},
        {p.first: p.offset for p in placed if p.kind == "scratch"},
    )
    verify(graph, calls, result.offsets, result.scratch, result.arena)
    return result


# strategy -> which declared in/out distances (bytes) it may use; see calls.Call.overlap
_RULES = {
    "exact": lambda distance: False,
    "in_place": lambda distance: distance <= 0,
    "overlap": lambda distance: True,
}


def _paper(graph: Graph, unfused: Graph) -> Mapping[str, int]:
    """The paper's rows: every output kept, pools fused, and two buffers that swap.

    With branches ping-pong needs as many buffers as tensors live at once, each as large as the next
    largest tensor; a chain needs two.
    """
    fused = blocks_of(graph, ())
    sizes = sorted((b.bytes for b in fused), reverse=True)
    steps = range(-1, len(graph.nodes) + 1)
    buffers = max(sum(b.first <= step <= b.last for b in fused) for step in steps)
    return {
        "keep_all": sum(b.bytes for b in blocks_of(unfused, ())),
        "fused_pool": sum(sizes),
        "ping_pong": sum(sizes[:buffers]),
    }


__all__ = ["ALIGNMENT", "Block", "Calls", "Placed", "Plan", "Problem", "plan", "roots_of"]
