"""Offsets for blocks: dynamic storage allocation with signed minimum distances between pairs.

A deterministic local search over placement orders and directions, each block at its lowest feasible
offset, that stops at the lower bound. Ping-pong is what it finds for a chain without overlap. `exact`
closes the gap if one is left.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pingponnx.errors import BudgetError
from pingponnx.plan import exact
from pingponnx.plan.problem import (
    LIMIT,
    Item,
    Pair,
    Problem,
    Rule,
    Solution,
    bank_starts,
    bound_in_units,
    in_units,
    lower_bound,
    round_up,
    windows,
)

__all__ = [
    "Effort",
    "Item",
    "NoRoom",
    "Pair",
    "Problem",
    "Rule",
    "Solution",
    "bank_starts",
    "lower_bound",
    "place",
]


class Effort(StrEnum):
    """How long to look for a smaller arena."""

    FAST = "fast"
    NORMAL = "normal"
    EXACT = "exact"  # normal, then CP-SAT unless the arena is proven already


# What a search may cost, in visits of neighbours: so it never depends on the machine.
_VISITS = {Effort.FAST: 300_000, Effort.NORMAL: 4_000_000, Effort.EXACT: 4_000_000}
_STALL = 300  # tries without progress until the search starts over
_SEED = 20070134  # any fixed number: the same problem always gets the same placement
_UNPLACED = -LIMIT  # an offset so low that no rule reaches the arena from there


class NoRoom(BudgetError):
    """`bank` has no room for `item`, both by index."""

    def __init__(self, bank: int, item: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.bank = bank
        self.item = item


def place(problem: Problem, *, effort: Effort) -> Solution:
    """The best placement found; NoRoom when none is found that fits the banks."""
    units, unit = in_units(problem)
    bound = bound_in_units(units)
    found = _search(units, bound, _VISITS[effort])
    offsets = tuple(unit * offset for offset in found.offsets)
    solution = Solution(unit * found.arena, offsets, tuple(found.backward), found.arena == bound)
    if effort is Effort.EXACT and not solution.proven:
        solution = exact.solve(problem, hint=solution)
    _check_banks(problem, solution)
    return solution


def _check_banks(problem: Problem, solution: Solution) -> None:
    end = bank_starts(problem)[-1]
    if not problem.banks or solution.arena <= end:
        return
    outside = [i for i, offset in enumerate(solution.offsets) if offset >= end]
    index = max(outside, key=lambda i: problem.items[i].bytes)
    item = problem.items[index]
    bank = max(range(len(problem.banks)), key=problem.banks.__getitem__) if item.bank is None else item.bank
    beside = " beside the others" if item.bytes <= problem.banks[bank] else ""
    room = f"bank {bank} of {problem.banks[bank]} bytes has no room"
    raise NoRoom(
        bank,
        index,
        f"{room} for block {index} of {item.bytes} bytes{beside}",
        "give the bank more bytes, pin fewer blocks to it, or add a bank",
    )


# -- packing ------------------------------------------------------------------------------------------

_Row = list[tuple[int, int, int]]
"""(other, low, high): the offset must not lie strictly between the other's offset + low and + high."""


@dataclass(frozen=True, slots=True)
class _Packing:
    """A placement and how it came about; `heights[n]` is the arena of the first n items of the order."""

    order: Sequence[int]
    backward: Sequence[bool]
    rows: dict[int, _Row]
    offsets: list[int]
    heights: list[int]

    @property
    def arena(self) -> int:
        return self.heights[-1]


class _Packer:
    """Places items one after the other, each at the lowest offset that those before it allow."""

    def __init__(self, problem: Problem) -> None:
        self.items = problem.items
        self._windows = windows(problem)
        self._members: list[set[int]] = [set() for _ in problem.directions]
        self._links: list[list[tuple[int, int, Rule, Rule]]] = [[] for _ in problem.items]
        for p in problem.pairs:
            self._members[p.group] |= {p.a, p.b}
            self._links[p.b].append((p.a, p.group, p.forward, p.backward))
            self._links[p.a].append((p.b, p.group, _mirrored(p.forward), _mirrored(p.backward)))
        self._groups = [sorted({link[1] for link in links}) for links in self._links]
        self._rows: dict[tuple[int, ...], _Row] = {}

    def packing(self, order: Sequence[int], backward: Sequence[bool]) -> _Packing:
        rows = {item: self._row(item, backward) for item in order}
        packing = _Packing(order, backward, rows, [_UNPLACED] * len(self.items), [0])
        self._place(packing, 0, 2 * LIMIT)
        return packing

    def varied(self, old: _Packing, order: Sequence[int], first: int, flip: int | None) -> _Packing | None:
        """The packing of an order, the same up to `first`, with a group turned; None if it is larger."""
        backward, rows = old.backward, old.rows
        if flip is not None:
            backward = [d != (group == flip) for group, d in enumerate(backward)]
            rows = rows | {i: self._row(i, backward) for i in self._members[flip] if i in rows}
            first = 0
        new = _Packing(order, backward, rows, list(old.offsets), old.heights[: first + 1])
        for item in order[first:]:
            new.offsets[item] = _UNPLACED
        return new if self._place(new, first, old.arena) else None

    def _row(self, item: int, backward: Sequence[bool]) -> _Row:
        key = (item, *(backward[group] for group in self._groups[item]))
        row = self._rows.get(key)
        if row is None:
            links = self._links[item]
            rules = ((other, back if backward[group] else fore) for other, group, fore, back in links)
            row = self._rows[key] = [(other, *rule) for other, rule in rules if rule]
        return row

    def _place(self, packing: _Packing, first: int, limit: int) -> bool:
        """Places the items of the order from `first` on; gives up when the arena exceeds the limit."""
        rows, offsets, heights = packing.rows, packing.offsets, packing.heights
        height = heights[-1]
        for item in packing.order[first:]:
            gaps = []
            for other, low, high in rows[item]:
                start = offsets[other]
                if start + high > 0:
                    gaps.append((start + low, start + high))
            gaps.sort()
            size, alignment = self.items[item].bytes, self.items[item].alignment
            for at, end in self._windows[item]:
                for low, high in gaps:
                    if low >= at:
                        break  # and so are all that follow
                    if high > at:
                        at = round_up(high, alignment)
                if at + size <= end:
                    break
            offsets[item] = at
            height = max(height, at + size)
            if height > limit:
                return False
            heights.append(height)
        return True


def _mirrored(rule: Rule) -> Rule:
    return rule and (-rule[1], -rule[0])


# -- search -------------------------------------------------------------------------------------------

_Start = tuple[Sequence[int], Sequence[bool]]  # an order, and a direction per group


def _search(problem: Problem, bound: int, visits: int) -> _Packing:
    """The best packing found with about as many visits of neighbours, or one that reaches the bound."""
    packer = _Packer(problem)
    kernel, easy = _kernel(problem, bound)
    crowd = set(kernel)
    inside = [p for p in problem.pairs if p.a in crowd and p.b in crowd]
    turning = {p.group for p in inside if p.forward != p.backward}
    free = [g for g, allowed in enumerate(problem.directions) if len(allowed) > 1 and g in turning]
    tries = visits // (len(kernel) + 2 * len(inside) + 1)
    if math.factorial(len(kernel)) << len(free) <= tries:
        best = _first(packer, bound, _all_starts(problem, kernel, free))
    else:
        best = _first(packer, bound, _good_starts(problem, kernel))
        best = _climb(packer, best, bound, free, tries)
    return packer.packing([*best.order, *easy], best.backward)


def _kernel(problem: Problem, target: int) -> tuple[list[int], list[int]]:
    """Items that can get in each other's way, and the easy ones in the order in which to place them after.

    An item that has more places below the target than its neighbours together can forbid always fits.
    """
    count = len(problem.items)
    if problem.banks:
        return list(range(count)), []
    forbidden: list[dict[int, int]] = [{} for _ in range(count)]
    for p in problem.pairs:
        rules = map(p.rule, problem.directions[p.group])
        width = max(rule[1] - rule[0] - 1 if rule else 0 for rule in rules)
        for item, other in ((p.a, p.b), (p.b, p.a)):
            places = -(-width // problem.items[item].alignment)
            forbidden[item][other] = forbidden[item].get(other, 0) + places
    kernel, easy, doubtful = set(range(count)), list[int](), list(range(count))
    while doubtful:
        item = doubtful.pop()
        last = (target - problem.items[item].bytes) // problem.items[item].alignment
        if item in kernel and sum(forbidden[item].values()) <= last:
            kernel.remove(item)
            easy.append(item)
            for other in forbidden[item]:
                del forbidden[other][item]
                doubtful.append(other)
    return sorted(kernel), easy[::-1]


def _all_starts(problem: Problem, kernel: Sequence[int], free: Sequence[int]) -> Iterator[_Start]:
    """For kernels so small that trying everything takes no longer than a search."""
    directions = [allowed if g in free else allowed[:1] for g, allowed in enumerate(problem.directions)]
    return itertools.product(itertools.permutations(kernel), itertools.product(*directions))


def _good_starts(problem: Problem, kernel: Sequence[int]) -> Iterator[_Start]:
    """What is often good already; a chain zigzags, i.e. its segments run in turns up and down the arena."""
    neighbours = Counter(i for p in problem.pairs for i in (p.a, p.b))
    by_size = sorted(kernel, key=lambda i: -problem.items[i].bytes)
    by_area = sorted(kernel, key=lambda i: -problem.items[i].bytes * neighbours[i])
    zigzag = [allowed[group % 2 % len(allowed)] for group, allowed in enumerate(problem.directions)]
    zagzig = [allowed[(group + 1) % 2 % len(allowed)] for group, allowed in enumerate(problem.directions)]
    same = [[allowed[end] for allowed in problem.directions] for end in (0, -1)]
    return itertools.product((by_size, by_area, kernel, kernel[::-1]), (*same, zigzag, zagzig))


def _first(packer: _Packer, bound: int, starts: Iterable[_Start]) -> _Packing:
    """The best packing, or the first that reaches the bound."""
    best: _Packing | None = None
    for start in starts:
        packing = packer.packing(*start)
        if best is None or packing.arena < best.arena:
            best = packing
        if best.arena <= bound:
            break
    assert best is not None
    return best


def _climb(packer: _Packer, best: _Packing, bound: int, free: Sequence[int], tries: int) -> _Packing:
    """From the best start, then from random ones: moves an item in the order or turns a group, or both."""
    rng = random.Random(_SEED)
    now, stall, count = best, 0, len(best.order)
    for _ in range(tries):
        if best.arena <= bound:
            break
        if stall == _STALL:
            now, stall = packer.packing(*_random_start(packer, now, free, rng)), 0
        order, first, flip, kind = now.order, count, None, rng.random()
        if free and kind < 0.35:
            flip = rng.choice(free)
        if not free or kind > 0.2:
            source, target = int(rng.random() * count), int(rng.random() * count)
            order, first = list(order), min(source, target)
            order.insert(target, order.pop(source))
        new = packer.varied(now, order, first, flip)
        stall = 0 if new and new.arena < now.arena else stall + 1
        now = new or now
        if now.arena < best.arena:
            best = now
    return best


def _random_start(packer: _Packer, old: _Packing, free: Sequence[int], rng: random.Random) -> _Start:
    """Large items first, more or less."""
    weight = {i: packer.items[i].bytes * (0.5 + rng.random()) for i in sorted(old.order)}
    turned = {group for group in free if rng.random() < 0.5}
    return sorted(weight, key=lambda i: -weight[i]), [d != (g in turned) for g, d in enumerate(old.backward)]
