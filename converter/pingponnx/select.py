"""Which kernel runs each node: the variants, and the choice among an operator's candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pingponnx.calls import Call, ScratchQuery
from pingponnx.errors import Error, Unsupported, UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Graph
from pingponnx.kernels import candidates
from pingponnx.ops import CmsisNN, Operator, Site, site_of
from pingponnx.rewrite import fuse
from pingponnx.targets import HOST, Target, get_target


class Goal(StrEnum):
    """What the choice among candidates favours."""

    BALANCED = "balanced"
    RAM = "ram"
    CYCLES = "cycles"


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to emit a network: how its graph is prepared and how a node's call is chosen."""

    name: str
    prepare: Callable[[Graph], Graph]
    choose: Callable[[Operator, Site, Goal, Target, CmsisNN | None], Call]
    needs_cmsis_nn: bool = False


def _window(call: Call) -> int:
    """Rows of inputs that one unit of a kernel reads: what has to be kept of them while layers stream."""
    return sum(window.extent for window in call.rows.windows.values()) if call.rows else 0


_ORDER: dict[Goal, Callable[[Call], tuple[int, ...]]] = {
    Goal.BALANCED: lambda call: (call.cycles + call.scratch, call.constants),
    Goal.RAM: lambda call: (call.scratch, _window(call), call.cycles),
    Goal.CYCLES: lambda call: (call.cycles, call.scratch),
}


def _ours(op: Operator, site: Site, goal: Goal, target: Target, library: CmsisNN | None) -> Call:
    return min(candidates(op, site, target), key=_ORDER[goal])


def _theirs(op: Operator, site: Site, goal: Goal, target: Target, library: CmsisNN | None) -> Call:
    assert library is not None
    return op.cmsis_nn(site, library)


VARIANTS = {
    v.name: v
    for v in (
        Variant("optimised", fuse, _ours),
        # CMSIS-NN's interface has no fused pool: the unpooled map is stored, as its users store it
        Variant("cmsis-nn", lambda graph: graph, _theirs, needs_cmsis_nn=True),
    )
}


def variant(name: str) -> Variant:
    """A variant by name; raises Error for unknown ones."""
    if name not in VARIANTS:
        raise Error(f"unknown variant {name!r}", f"choose one of: {', '.join(VARIANTS)}")
    return VARIANTS[name]


def select(
    graph: Graph,
    chosen: Variant,
    goal: Goal,
    rounding: Rounding,
    target: Target | None = None,
    library: CmsisNN | None = None,
) -> tuple[Call | None, ...]:
    """One call per node, None for nodes that only rename bytes; collects everything unsupported first.

    Without a target only what every core can run is chosen.
    """
    core = target or get_target(HOST)
    calls: list[Call | None] = []
    problems: list[Unsupported] = []
    for node in graph.nodes:
        if node.op.alias:
            calls.append(None)
            continue
        try:
            calls.append(chosen.choose(node.op, site_of(graph, node, rounding), goal, core, library))
        except UnsupportedError as error:
            problems.extend(error.items)
    if problems:
        raise UnsupportedError(problems)
    return tuple(calls)


def scratch_queries(calls: Sequence[Call | None]) -> list[ScratchQuery]:
    """What has to be asked of CMSIS-NN before memory can be planned."""
    return [call.scratch_query for call in calls if call is not None and call.scratch_query is not None]


def with_scratch(calls: Sequence[Call | None], answers: Sequence[int]) -> tuple[Call | None, ...]:
    """The calls with the scratch sizes that CMSIS-NN gave, in the order of `scratch_queries`."""
    remaining = iter(answers)
    return tuple(
        replace(call, scratch=next(remaining))
        if call is not None and call.scratch_query is not None
        else call
        for call in calls
    )
