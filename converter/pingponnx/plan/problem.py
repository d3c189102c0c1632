"""A placement problem as values, what no solution can undercut, and the form in which it is solved.

Two blocks that are needed at once must keep apart, but an output may lie over its dying input if the
distance between the two is right; how far, and on which side, depends on the direction in which their
segment runs. So there is an offset to choose for every block, and one bit for every segment.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

Rule = tuple[int, int] | None
"""offset(b) - offset(a) must not lie strictly between the two; None: no rule."""

LIMIT = 1 << 60  # bytes, more than any memory has


@dataclass(frozen=True, slots=True)
class Item:
    """A block to place: its offset is a multiple of `alignment` within its bank."""

    bytes: int
    alignment: int = 4
    bank: int | None = None  # pinned to this one; None: anywhere


@dataclass(frozen=True, slots=True)
class Pair:
    """Two items that must keep apart; which rule holds is decided by the direction of the group."""

    a: int
    b: int
    group: int
    forward: Rule
    backward: Rule

    def rule(self, backward: bool) -> Rule:
        return self.backward if backward else self.forward


@dataclass(frozen=True, slots=True)
class Problem:
    """What to place; `directions` are, per group, those allowed (True is backward).

    No placement can undercut `bound` bytes: the caller knows it, e.g. from loads. `banks` are capacities
    in bytes, in order of preference; none: a single one without limit. Offsets count through all banks.
    """

    items: tuple[Item, ...]
    pairs: tuple[Pair, ...]
    directions: tuple[tuple[bool, ...], ...]
    bound: int = 0
    banks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Solution:
    """`arena` is the end of the highest block, `backward` is per group; proven: no arena is smaller."""

    arena: int
    offsets: tuple[int, ...]
    backward: tuple[bool, ...]
    proven: bool


# -- banks --------------------------------------------------------------------------------------------


def bank_starts(problem: Problem) -> tuple[int, ...]:
    """The first offset of every bank and, last, the one behind all; each a multiple of every alignment."""
    grain = math.lcm(*(item.alignment for item in problem.items))
    starts = [0]
    for capacity in problem.banks:
        starts.append(round_up(starts[-1] + capacity, grain))
    return tuple(starts)


def windows(problem: Problem) -> list[list[tuple[int, int]]]:
    """By item: from where to where it may lie, best first. The last is behind all banks: nothing fits."""
    starts = bank_starts(problem)
    banks = [(start, start + capacity) for start, capacity in zip(starts, problem.banks, strict=False)]
    behind = (starts[-1], starts[-1] + LIMIT)
    return [[*(banks if i.bank is None else banks[i.bank : i.bank + 1]), behind] for i in problem.items]


def round_up(value: int, grain: int) -> int:
    return -(-value // grain) * grain


# -- units --------------------------------------------------------------------------------------------


def in_units(problem: Problem) -> tuple[Problem, int]:
    """The same problem with tight rules, counted in the largest unit that divides all its numbers."""
    pairs = [
        replace(p, forward=_tight(problem, p, p.forward), backward=_tight(problem, p, p.backward))
        for p in problem.pairs
    ]
    rules = [rule for p in pairs for rule in (p.forward, p.backward) if rule]
    sizes = [n for item in problem.items for n in (item.bytes, item.alignment)]
    unit = math.gcd(*sizes, *chain(*rules), *problem.banks) or 1

    def scaled(rule: Rule) -> Rule:
        return rule and (rule[0] // unit, rule[1] // unit)

    units = Problem(
        tuple(replace(i, bytes=i.bytes // unit, alignment=i.alignment // unit) for i in problem.items),
        tuple(replace(p, forward=scaled(p.forward), backward=scaled(p.backward)) for p in pairs),
        problem.directions,
        round_up(problem.bound, unit) // unit,
        tuple(capacity // unit for capacity in problem.banks),
    )
    return units, unit


def _tight(problem: Problem, pair: Pair, rule: Rule) -> Rule:
    """Two offsets differ by a multiple of what their alignments have in common."""
    if rule is None:
        return None
    grain = math.gcd(problem.items[pair.a].alignment, problem.items[pair.b].alignment)
    low, high = rule[0] // grain * grain, round_up(rule[1], grain)
    return (low, high) if high - low > grain else None


# -- lower bound --------------------------------------------------------------------------------------


def lower_bound(problem: Problem) -> int:
    """Bytes that no placement can undercut."""
    units, unit = in_units(problem)
    return unit * bound_in_units(units)


def bound_in_units(problem: Problem) -> int:
    """`lower_bound` of a problem in units."""
    starts, sizes = bank_starts(problem), [item.bytes for item in problem.items]
    best = max((problem.bound, *(i.bytes + (starts[i.bank] if i.bank else 0) for i in problem.items)))
    groups: list[list[Pair]] = [[] for _ in problem.directions]
    shared: list[dict[int, int]] = [{} for _ in sizes]
    for pair in problem.pairs:
        groups[pair.group].append(pair)
        _share(shared, sizes, pair, min(_span(sizes, pair, d) for d in problem.directions[pair.group]))
    for pairs, allowed in zip(groups, problem.directions, strict=True):
        best = max(best, min(_bound_facing(sizes, shared, pairs, d) for d in allowed))
    return best


def _bound_facing(
    sizes: Sequence[int], shared: Sequence[dict[int, int]], pairs: Sequence[Pair], backward: bool
) -> int:
    """A bound that holds when the group of these pairs runs in this direction, whatever the others do."""
    members = sorted({item for pair in pairs for item in (pair.a, pair.b)})
    facing = list(shared)
    for item in members:
        facing[item] = dict(shared[item])
    best = 0
    for pair in pairs:
        span = _span(sizes, pair, backward)
        _share(facing, sizes, pair, span)
        best = max(best, span)
    return max((best, *(_clique(sizes, facing, item) for item in members)))


def _share(shared: Sequence[dict[int, int]], sizes: Sequence[int], pair: Pair, span: int) -> None:
    """Notes how many bytes two items can have in common at most."""
    common = max(sizes[pair.a] + sizes[pair.b] - span, 0)
    shared[pair.a][pair.b] = shared[pair.b][pair.a] = min(common, shared[pair.a].get(pair.b, common))


def _span(sizes: Sequence[int], pair: Pair, backward: bool) -> int:
    """The fewest bytes from the lower end of two items to the upper end."""
    a, b, rule = sizes[pair.a], sizes[pair.b], pair.rule(backward)
    deltas = (min(rule[0], max(0, a - b)), max(rule[1], min(0, a - b))) if rule else (0,)
    return min(max(a, delta + b) - min(0, delta) for delta in deltas)


def _clique(sizes: Sequence[int], shared: Sequence[dict[int, int]], seed: int) -> int:
    """Bytes of items around the seed, each counted if it adds more than it can share with those before.

    Any two of them have a rule, so their sum less what each two can share at most lies in the arena.
    """
    total = sizes[seed]
    gain = {item: sizes[item] - common for item, common in shared[seed].items()}
    while gain:
        item = max(gain, key=lambda i: (gain[i], -i))
        if gain[item] <= 0:
            break
        total += gain.pop(item)
        gain = {i: left - shared[item][i] for i, left in gain.items() if i in shared[item]}
    return total
