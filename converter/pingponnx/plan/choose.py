"""Where to cut a network into segments: dynamic programming over the order of its nodes.

A segment costs what it holds at its fullest, a bound on what its placement needs; where a chosen one turns
out to need more it is placed alone, costs that, and the choice is made again (memory.md, C.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pingponnx.plan.layout import Cut, Layout
from pingponnx.plan.loads import Lives, loads
from pingponnx.plan.placement import Effort, lower_bound, place
from pingponnx.plan.simulate import Streams
from pingponnx.plan.stages import Network

_LONGEST = {Effort.FAST: 20, Effort.NORMAL: 200, Effort.EXACT: 200}  # stages of a segment
_ROUNDS = {Effort.FAST: 12, Effort.NORMAL: 60, Effort.EXACT: 60}


@dataclass(frozen=True, slots=True)
class Choice:
    """Segments, and the bytes that no choice of segments can undercut."""

    cuts: tuple[Cut, ...]
    bound: int


def singles(network: Network) -> tuple[Cut, ...]:
    """Layer by layer."""
    return tuple(Cut(k, k + 1) for k in range(len(network.stages)))


def choose(
    streams: tuple[Streams, Streams],
    lives: Lives,
    effort: Effort | None,
    streamed: Mapping[Cut, int] | None = None,
) -> Choice:
    """The cuts of the smallest memory, of these the ones with the fewest streamed stages.

    Without effort what the segments hold at their fullest is all that counts, and nothing is placed.
    `streamed` is what `segments` gives, if it is known.
    """
    if streamed is None:
        streamed = segments(streams, lives, effort)
    costs = {cut: _single(streams, lives, cut) for cut in singles(streams[0].network)} | dict(streamed)
    bound, cuts = _path(costs, lives.end)
    exact: set[Cut] = set()
    for _ in range(_ROUNDS[effort] if effort else 0):
        peak, cuts = _path(costs, lives.end)
        open_cuts = [c for c in cuts if c not in exact]
        for cut in open_cuts:
            problem = replace(Layout(streams, lives, (cut,)).problem(), bound=costs[cut])
            costs[cut] = place(problem, effort=Effort.FAST).arena
            exact.add(cut)
        if all(costs[cut] <= peak for cut in cuts):
            break
    return Choice(cuts, bound)


def segments(streams: tuple[Streams, Streams], lives: Lives, effort: Effort | None) -> dict[Cut, int]:
    """Every segment that may stream, and a bound on its memory in the better direction."""
    longest = _LONGEST[effort or Effort.FAST]
    forward, backward = (loads(s, lives, longest) for s in streams)
    return {Cut(*key): min(load, backward.get(key, load)) for key, load in forward.items()}


def without_feed(streamed: Mapping[Cut, int]) -> dict[Cut, int]:
    """The same for a resident input, from a network whose first stage feeds it: what follows is alike."""
    return {Cut(c.start - 1, c.stop - 1, c.spare): load for c, load in streamed.items() if c.start}


def _single(streams: tuple[Streams, Streams], lives: Lives, cut: Cut) -> int:
    """A stage alone: all that lives, less what its output may share with each dying input."""
    return lower_bound(Layout(streams, lives, (cut,)).problem())


def _path(costs: Mapping[Cut, int], end: int) -> tuple[int, tuple[Cut, ...]]:
    """The cheapest segments from the first stage to the last, by largest cost, then by streamed stages."""
    ending: list[list[Cut]] = [[] for _ in range(end + 1)]
    for cut in sorted(costs):
        ending[cut.stop].append(cut)
    peak = [0] * (end + 1)
    for stop in range(1, end + 1):
        peak[stop] = min(max(peak[c.start], costs[c]) for c in ending[stop])
    effort: list[float] = [0.0] + [float("inf")] * end
    before: list[Cut | None] = [None] * (end + 1)
    for stop in range(1, end + 1):
        for cut in ending[stop]:
            streamed = 0 if cut.stop - cut.start == 1 else (cut.stop - cut.start) * (2 + cut.spare)
            total = effort[cut.start] + streamed
            if costs[cut] <= peak[end] and total < effort[stop]:
                effort[stop], before[stop] = total, cut
    cuts: list[Cut] = []
    while end:
        last = before[end]
        assert last is not None
        cuts.append(last)
        end = last.start
    return peak[-1], tuple(reversed(cuts))
