"""Memory planning: where everything lies in the one arena, and in which steps the network runs.

`plan` climbs a ladder of strategies on the same network, takes the smallest that is wished for, and proves
it with `replay`, which shares no code with the planner.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pingponnx.calls import Call
from pingponnx.errors import BudgetError
from pingponnx.ir import Graph
from pingponnx.plan.assemble import Candidate, assemble
from pingponnx.plan.banks import in_banks, pinned
from pingponnx.plan.choose import choose, segments, singles, without_feed
from pingponnx.plan.layout import Cut, Layout
from pingponnx.plan.loads import lives_of
from pingponnx.plan.paper import paper, two_buffers
from pingponnx.plan.placement import Effort, lower_bound, place
from pingponnx.plan.replay import verify_plan
from pingponnx.plan.schedule import Bank, InputMode, Placed, Plan
from pingponnx.plan.simulate import Streams
from pingponnx.plan.stages import network_of, roots_of, unfeedable, unreadable
from pingponnx.plan.states import homes_of, with_states

Calls = Sequence[Call | None]

_LARGEST = 2**26  # bytes, more than any board has; beyond it, the byte-wise verification would take too much


@dataclass(frozen=True, slots=True)
class Wish:
    """What a plan is to be like, besides small."""

    mode: InputMode = InputMode.RESIDENT
    effort: Effort = Effort.NORMAL
    streaming: bool = True
    banks: tuple[tuple[str, int], ...] = ()  # names and capacities in bytes, the preferred ones first
    pins: Mapping[str, str] = field(default_factory=dict)  # tensor -> bank
    by_hand: bool = False  # also show what a deployment without a planner takes


# strategy -> which in/out distances (bytes) it may use, and whether segments may run backward
_LAYER_BY_LAYER: dict[str, tuple[Callable[[int], bool], bool]] = {
    "exact": (lambda distance: False, False),
    "in_place": (lambda distance: distance <= 0, False),
    "overlap": (lambda distance: True, True),
}


def plan(graph: Graph, calls: Calls, unfused: Graph, wish: Wish = Wish()) -> Plan:
    """Place everything; `unfused` is the same network before max-pools were fused, for the comparison.

    Sizes count network input (unless it is external or fed), output and kernel scratch. Raises
    BudgetError for an arena that no board or bank holds, UnsupportedError when the inputs cannot
    be as wished, and MemoryPlanError if verification fails.
    """
    obstacle = unfeedable(graph, calls)
    if wish.mode is InputMode.ROWS and obstacle:
        raise obstacle
    if wish.mode is InputMode.EXTERNAL and (reason := unreadable(graph)):
        raise reason
    ladder = _ladder(graph, calls, wish.effort, feed=obstacle is None)
    if wish.mode is InputMode.EXTERNAL:
        ladder["external"] = _smallest(_streams(graph, calls, wish.mode), wish.effort)
    strategies: dict[str, int | None] = {**paper(graph, unfused)}
    if wish.by_hand:
        strategies["two_buffers"] = two_buffers(graph, calls)
    strategies |= {name: found.arena for name, found in ladder.items()}
    strategies.setdefault("row_fed", None)
    chosen = _chosen(ladder, wish)
    found = ladder[chosen]
    banks: tuple[Bank, ...] = ()
    if wish.banks:
        pins = pinned(graph, wish.pins, [name for name, _ in wish.banks])
        found, banks = in_banks(found, wish.banks, pins, wish.effort)
    if found.arena > _LARGEST:
        message = f"{graph.name} needs an arena of {found.arena:,} bytes, at most {_LARGEST:,} can be planned"
        raise BudgetError(message, "give the model smaller inputs")
    result = assemble(found, len(graph.nodes), wish.mode, chosen, strategies, banks)
    if graph.states:
        roots = roots_of(graph)
        result = with_states(result, graph, homes_of(graph, calls, roots), roots)
    verify_plan(graph, calls, result)
    return result


def smallest(graph: Graph, calls: Calls, mode: InputMode, *, placed: bool) -> int:
    """About the arena that `plan` finds when it may stream; unless `placed` only what it cannot undercut."""
    if placed:
        return _smallest(_streams(graph, calls, mode), Effort.FAST).arena
    streams = _streams(graph, calls, mode)
    return choose(streams, lives_of(streams[0].network), None).bound


def _chosen(ladder: Mapping[str, Candidate], wish: Wish) -> str:
    """The smallest arena's strategy, of equal ones the simplest."""
    if wish.mode is not InputMode.RESIDENT:
        return "row_fed" if wish.mode is InputMode.ROWS else "external"
    usable = [*_LAYER_BY_LAYER, *(["streamed"] if wish.streaming else [])]
    return min(usable, key=lambda name: ladder[name].arena)


def _streams(graph: Graph, calls: Calls, mode: InputMode) -> tuple[Streams, Streams]:
    network = network_of(graph, calls, mode)
    return Streams(network, backward=False), Streams(network, backward=True)


def _ladder(graph: Graph, calls: Calls, effort: Effort, *, feed: bool) -> dict[str, Candidate]:
    """Every strategy with the inputs in the arena, and the one with fed rows."""
    ladder: dict[str, Candidate] = {}
    streamed: dict[Cut, int] | None = None
    if feed:
        fed = _streams(graph, calls, InputMode.ROWS)
        streamed = segments(fed, lives_of(fed[0].network), effort)
        ladder["row_fed"] = _smallest(fed, effort, streamed)
        streamed = without_feed(streamed)
    streams = _streams(graph, calls, InputMode.RESIDENT)
    lives, cuts = lives_of(streams[0].network), singles(streams[0].network)
    for name, (allowed, turn) in _LAYER_BY_LAYER.items():
        ladder[name] = _placed(Layout(streams, lives, cuts, allowed, turn), effort)
    ladder["streamed"] = _streamed(streams, effort, streamed)
    return {name: ladder[name] for name in (*_LAYER_BY_LAYER, "streamed", "row_fed") if name in ladder}


def _smallest(
    streams: tuple[Streams, Streams], effort: Effort, streamed: dict[Cut, int] | None = None
) -> Candidate:
    """Layer by layer or streamed, whichever takes less."""
    lives, cuts = lives_of(streams[0].network), singles(streams[0].network)
    found = [_placed(Layout(streams, lives, cuts), effort), _streamed(streams, effort, streamed)]
    return min(found, key=lambda candidate: candidate.arena)


def _streamed(streams: tuple[Streams, Streams], effort: Effort, streamed: dict[Cut, int] | None) -> Candidate:
    lives = lives_of(streams[0].network)
    choice = choose(streams, lives, effort, streamed)
    return _placed(Layout(streams, lives, choice.cuts), effort, choice.bound)


def _placed(layout: Layout, effort: Effort, bound: int | None = None) -> Candidate:
    """`bound`: what no choice of segments can undercut, where there is one."""
    problem = replace(layout.problem(), bound=bound or 0)
    solution = place(problem, effort=effort)
    return Candidate(layout, solution, lower_bound(problem) if bound is None else bound)


__all__ = ["Calls", "Effort", "InputMode", "Placed", "Plan", "Wish", "plan", "roots_of", "smallest"]
