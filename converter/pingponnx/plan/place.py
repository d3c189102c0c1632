"""Offsets for blocks: dynamic storage allocation with signed minimum distances between pairs.

Two blocks alive at once must be disjoint, unless an operator's output may overlap its dying input: then
the output may also lie at any offset <= input - D (memory.md, C.2). The solver is a deterministic local
search over placement orders, each block at its lowest feasible offset, that stops at the lower bound.
Ping-pong is what it finds for a chain without overlap.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pingponnx.calls import Call
from pingponnx.ir import Graph
from pingponnx.plan.lifetimes import ALIGNMENT, Block, roots_of

_ITERATIONS = 3000  # for small networks; large ones get as many as cost about the same
_PAIR_CHECKS = 600_000
_SEED = 20070134  # any fixed number: the same network always gets the same plan


@dataclass(frozen=True, slots=True)
class Problem:
    """Sizes in bytes (aligned) and, for pairs (a, b) alive together, the forbidden offsets of b from a.

    `forbidden[a, b] = (low, high)`: offset(b) - offset(a) must not lie strictly between them.
    """

    sizes: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    forbidden: Mapping[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Solution:
    arena: int
    offsets: tuple[int, ...]


def _aligned(value: int) -> int:
    return -(-value // ALIGNMENT) * ALIGNMENT


def problem_of(
    graph: Graph, calls: Sequence[Call | None], blocks: Sequence[Block], allowed: Callable[[int], bool]
) -> Problem:
    """The placement problem of a network; `allowed` says which declared distances may be used."""
    sizes = tuple(_aligned(b.bytes) for b in blocks)
    distances = _distances(graph, calls, blocks, allowed)
    forbidden: dict[tuple[int, int], tuple[int, int]] = {}
    for a, x in enumerate(blocks):
        for b, y in enumerate(blocks):
            if a == b or x.first > y.last or y.first > x.last or (b, a) in forbidden:
                continue
            if (b, a) in distances:  # handled from the other side, where b is the dying input
                continue
            low = -sizes[b]
            if (a, b) in distances:
                low = max(low, -_aligned(distances[a, b]))
            if low < sizes[a]:
                forbidden[a, b] = (low, sizes[a])
    return Problem(sizes, tuple((b.first, b.last) for b in blocks), forbidden)


def _distances(
    graph: Graph, calls: Sequence[Call | None], blocks: Sequence[Block], allowed: Callable[[int], bool]
) -> dict[tuple[int, int], int]:
    """(input block, output block) -> D in bytes, where a node may overlap the two."""
    roots, index = roots_of(graph), {b.name: i for i, b in enumerate(blocks) if b.kind == "tensor"}
    found: dict[tuple[int, int], int] = {}
    for step, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        if call is None or len(node.outputs) != 1:
            continue
        y = index[roots[node.outputs[0]]]
        for root in {roots[n] for n in node.inputs if n in roots}:
            x = index[root]
            reads = [i for i, n in enumerate(node.inputs) if roots.get(n) == root]
            if blocks[x].last != step or blocks[y].first != step or not all(i in call.overlap for i in reads):
                continue
            distance = max(call.overlap[i] for i in reads)
            if allowed(distance):
                found[x, y] = distance
    return found


def lower_bound(problem: Problem) -> int:
    """Bytes that no placement can undercut: at every node, what is alive, less what pairs may share."""
    best = 0
    for step in range(-1, max((last for _, last in problem.spans), default=-1) + 1):
        alive = [i for i, (first, last) in enumerate(problem.spans) if first <= step <= last]
        total = sum(problem.sizes[i] for i in alive)
        for n, a in enumerate(alive):
            for b in alive[n + 1 :]:
                total -= max(_shareable(problem, a, b), _shareable(problem, b, a))
        best = max(best, total)
    return max(best, max(problem.sizes, default=0))


def _shareable(problem: Problem, a: int, b: int) -> int:
    """Most bytes that b (an output) can have in common with a (its dying input)."""
    if (a, b) not in problem.forbidden:
        return 0 if (b, a) in problem.forbidden else min(problem.sizes[a], problem.sizes[b])
    distance = -problem.forbidden[a, b][0]
    return min(problem.sizes[a], problem.sizes[b], max(problem.sizes[b] - max(distance, 0), 0))


def place(problem: Problem) -> Solution:
    """The best placement found; optimal when its arena equals `lower_bound(problem)`."""
    iterations = min(_ITERATIONS, _PAIR_CHECKS // (2 * len(problem.forbidden) + 1))
    count, bound = len(problem.sizes), lower_bound(problem)
    neighbours = _neighbours(problem)
    by_size = sorted(range(count), key=lambda i: (-problem.sizes[i], i))
    by_time = sorted(range(count), key=lambda i: (problem.spans[i], -problem.sizes[i]))
    by_area = sorted(
        range(count), key=lambda i: (-problem.sizes[i] * (problem.spans[i][1] - problem.spans[i][0] + 1), i)
    )
    best = Solution(sum(problem.sizes) + 1, ())
    rng = random.Random(_SEED)
    order: list[int] = []
    # outputs before their inputs: a chain of overlapping tensors then climbs by one distance per step
    for start in (by_size, by_area, by_time, by_time[::-1]):
        solution = _pack(problem, neighbours, start)
        if solution.arena < best.arena:
            best, order = solution, list(start)
    for _ in range(iterations):
        if best.arena <= bound or count < 2:
            break
        candidate = list(order)
        for _ in range(rng.choice((1, 1, 2, 3))):
            candidate.insert(rng.randrange(count), candidate.pop(rng.randrange(count)))
        solution = _pack(problem, neighbours, candidate)
        if solution.arena <= best.arena:
            best, order = solution, candidate
    return best


def _neighbours(problem: Problem) -> list[list[tuple[int, int, int]]]:
    """For every block: (other, low, high) with offset(block) - offset(other) not strictly between."""
    table: list[list[tuple[int, int, int]]] = [[] for _ in problem.sizes]
    for (a, b), (low, high) in problem.forbidden.items():
        table[b].append((a, low, high))
        table[a].append((b, -high, -low))
    return table


def _pack(problem: Problem, neighbours: list[list[tuple[int, int, int]]], order: Sequence[int]) -> Solution:
    """Each block, in order, at the lowest offset that its placed neighbours allow."""
    offsets = [-1] * len(problem.sizes)
    arena = 0
    for block in order:
        gaps = sorted(
            (offsets[other] + low, offsets[other] + high)
            for other, low, high in neighbours[block]
            if offsets[other] >= 0
        )
        at = 0
        moved = True
        while moved:
            moved = False
            for low, high in gaps:
                if low < at < high:
                    at, moved = high, True
        offsets[block] = at
        arena = max(arena, at + problem.sizes[block])
    return Solution(arena, tuple(offsets))
