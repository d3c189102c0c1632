"""Which of its candidates runs each node: predicted cycles against bytes of flash and RAM.

Flash is the sum of the constants, so that the dearest byte can go first. RAM is the arena of a whole plan:
kernels are exchanged where it is fullest, and then everything is planned anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pingponnx.calls import Call
from pingponnx.errors import BudgetError
from pingponnx.ir import Graph
from pingponnx.plan import Calls, Effort, InputMode, Plan, Wish, plan, smallest
from pingponnx.select import Goal, Offers, window

_FLASH_OF_BALANCED = 1.15
"""What balanced may spend on speed, times the smallest constants."""

_TRIALS = 3
"""Nodes that goal ram tries to speed up one by one."""

_AMOUNTS = 7
"""Amounts of scratch that it tries for all nodes at once."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that must not be exceeded; None: whatever it takes."""

    ram: int | None = None  # of the arena
    flash: int | None = None  # of the constants


@dataclass(frozen=True, eq=False)
class Task:
    """A network to decide for: `unfused` is the graph before max-pools were fused, for comparisons."""

    graph: Graph
    unfused: Graph
    offers: Offers
    wish: Wish
    known: dict[tuple[object, ...], tuple[int, ...]] = field(default_factory=dict, repr=False)
    plans: dict[tuple[object, ...], Plan] = field(default_factory=dict, repr=False)

    def plan(self, calls: Calls, effort: Effort) -> Plan:
        """The plan of chosen calls; those of the same needs have the same."""
        wish = replace(self.wish, effort=effort)
        needs = (effort, wish.streaming, *(call and call.needs for call in calls))
        if needs not in self.plans:
            self.plans[needs] = plan(self.graph, calls, self.unfused, wish)
        return self.plans[needs]

    def arenas(self, calls: Calls, *, place: bool = False) -> tuple[int, ...]:
        """About the arena of the plan, and of the one with fed rows, or only what they cannot undercut.

        Calls of the same needs have the same.
        """
        needs = (place, *(call and call.needs for call in calls))
        if needs not in self.known:
            feedable = len(self.graph.inputs) == 1  # if it must be and is not, `plan` says so
            modes = {self.wish.mode} - {InputMode.ROWS} | ({InputMode.ROWS} if feedable else set())
            self.known[needs] = tuple(
                smallest(self.graph, calls, mode, placed=place) for mode in sorted(modes)
            )
        return self.known[needs]


def decide(task: Task, goal: Goal, budget: Budget) -> tuple[Calls, Plan]:
    """One call a node and their plan; raises BudgetError that says how near the nearest choice comes."""
    found = [_decided(way, goal_of_way, budget) for way, goal_of_way in _ways(task, goal, budget)]
    fitting = [(c, m) for c, m in found if budget.ram is None or m.arena <= budget.ram]
    if fitting:
        return min(fitting, key=lambda way: predicted(*way))
    calls, memory = found[0] if goal is Goal.RAM else _decided(task, Goal.RAM, budget)
    if budget.ram is not None and memory.arena > budget.ram:
        message = f"{task.graph.name}: the smallest arena found takes {memory.arena:,} bytes of RAM"
        fed = (memory.strategies["row_fed"] or budget.ram + 1) <= budget.ram
        advice = "feed the input by rows (--input rows)" if fed else "make the model or its input smaller"
        raise BudgetError(f"{message}, the budget is {budget.ram:,}", advice)
    return calls, memory


def predicted(calls: Calls, memory: Plan) -> int:
    """Cycles of a run, as predicted."""
    return sum(c.predicted(by_rows=k in memory.streamed) for k, c in enumerate(calls) if c)


def _ways(task: Task, goal: Goal, budget: Budget) -> Iterator[tuple[Task, Goal]]:
    """What may reach a goal: layers as a whole are fastest, but when RAM is short streaming may leave
    more of it to fast kernels."""
    if goal is Goal.CYCLES:
        yield replace(task, wish=replace(task.wish, streaming=False)), goal
    if goal is not Goal.CYCLES or budget.ram is not None:
        yield task, goal
    if goal is Goal.CYCLES and budget.ram is not None:
        yield task, Goal.BALANCED


def _decided(task: Task, goal: Goal, budget: Budget) -> tuple[Calls, Plan]:
    """The calls for a goal and their plan, which may take more than the budget of RAM."""
    flash = budget.flash
    if goal is Goal.BALANCED:
        task = replace(task, offers=tuple(_streamable(row) for row in task.offers), known={})
        least = round(_FLASH_OF_BALANCED * _constants(_pick(task.offers, lambda c: (c.constants, c.cycles))))
        flash = least if flash is None else min(flash, least)
    if goal is Goal.RAM:
        calls = _small(task, flash)
    else:
        calls = _within_ram(task, _within_flash(task.offers, _fastest, flash), goal, budget)
    return calls, task.plan(calls, task.wish.effort)


def _streamable(row: Sequence[Call]) -> tuple[Call, ...]:
    """Without the calls that only work as a whole, if there are others: they would end every segment."""
    return tuple(call for call in row if call.rows) or tuple(row)


def _fastest(call: Call) -> tuple[int, ...]:
    return call.cycles, call.scratch, call.constants


def _leanest(call: Call) -> tuple[int, ...]:
    return call.rows is None, call.scratch, window(call), call.cycles, call.constants


def _pick(offers: Offers, key: Callable[[Call], tuple[int, ...]]) -> Calls:
    return tuple(min(candidates, key=key) if candidates else None for candidates in offers)


def _constants(calls: Calls) -> int:
    return sum(call.constants for call in calls if call)


def _within_flash(offers: Offers, key: Callable[[Call], tuple[int, ...]], limit: int | None) -> Calls:
    """The best by a key; while the constants take too much, exchanges that cost the fewest cycles a byte."""
    calls = _pick(offers, key)
    while limit is not None and _constants(calls) > limit:
        exchanges = [
            ((other.cycles - now.cycles) / (now.constants - other.constants), index, rank, other)
            for index, now in enumerate(calls)
            if now
            for rank, other in enumerate(offers[index])
            if other.constants < now.constants
        ]
        if not exchanges:
            message = f"the constants take {_constants(calls):,} bytes at least"
            raise BudgetError(f"{message}, the budget is {limit:,}", "make the model smaller, or quantize it")
        _, index, _, other = min(exchanges, key=lambda e: e[:3])
        calls = _exchanged(calls, index, other)
    return calls


def _exchanged(calls: Calls, index: int, call: Call) -> Calls:
    return (*calls[:index], call, *calls[index + 1 :])


# -- RAM --------------------------------------------------------------------------------------------


def _within_ram(task: Task, calls: Calls, goal: Goal, budget: Budget) -> Calls:
    """Exchanges kernels at the fullest moment for leaner ones until the arena is small enough.

    The budget of flash is kept; where that leaves no exchange, the arena stays too large.

    Without a budget balanced may take what the paper's ping-pong takes, cycles any arena.
    """
    while True:
        memory = task.plan(calls, Effort.FAST)
        limit = budget.ram
        if goal is Goal.BALANCED and not task.wish.banks:
            ping_pong = memory.strategies["ping_pong"]
            limit = ping_pong if limit is None else min(limit, ping_pong or limit)
        if limit is None or memory.arena <= limit:
            return calls
        offers = _affordable(task.offers, calls, budget.flash)
        leaner = list(_leaner(offers, calls, fullest(memory))) or list(
            _leaner(offers, calls, range(len(calls)))
        )
        if not leaner:
            return calls
        _, index, call = min(leaner, key=lambda e: e[:2])
        calls = _exchanged(calls, index, call)


def _affordable(offers: Offers, calls: Calls, flash: int | None) -> Offers:
    """What can be exchanged for a call, one at a time, within a budget of constants."""
    if flash is None:
        return offers
    left = flash - _constants(calls)
    return tuple(
        tuple(c for c in row if now and c.constants - now.constants <= left)
        for row, now in zip(offers, calls, strict=True)
    )


def _leaner(offers: Offers, calls: Calls, nodes: Sequence[int]) -> Iterator[tuple[float, int, Call]]:
    """For each node the next leaner call, with its price in cycles a byte of scratch."""
    for index in nodes:
        now = calls[index]
        if now is None:
            continue
        others = [c for c in offers[index] if _leanest(c)[:3] < _leanest(now)[:3]]
        if others:
            best = min(others, key=lambda c: c.cycles)
            saved = max(now.scratch - best.scratch, 1)
            yield (best.cycles - now.cycles) / saved, index, best


def fullest(memory: Plan) -> tuple[int, ...]:
    """The nodes of the segment in which most bytes of the arena are in use."""

    def used(nodes: Sequence[int]) -> int:
        return max(sum(b.bytes for b in memory.blocks if b.first <= n <= b.last) for n in nodes)

    return max((s.nodes for s in memory.segments if s.nodes), key=used, default=())


def _small(task: Task, flash: int | None) -> Calls:
    """The smallest arena, and then the fastest kernels that do not enlarge it."""
    lean = calls = _within_flash(task.offers, _leanest, flash)
    least = task.arenas(calls)
    amounts = sorted({c.scratch for candidates in task.offers for c in candidates})
    amounts = amounts[:: max(1, -(-len(amounts) // _AMOUNTS))]
    low, high = 0, len(amounts)  # the largest scratch that changes nothing, by bisection
    while low < high:
        middle = (low + high) // 2
        allowed = (
            tuple(c for c in row if _fits(c, lean[i], amounts[middle])) for i, row in enumerate(task.offers)
        )
        faster = _within_flash(tuple(allowed), _fastest, flash)
        if _no_worse(task.arenas(faster), least):
            calls, low = faster, middle + 1
        else:
            high = middle
    quick = calls
    gains = sorted((_gain(task, calls, i), i) for i, call in enumerate(calls) if call)[:_TRIALS]
    for gain, index in gains:
        if gain < 0:
            quick = _sped_up(task, quick, index, least, flash)
    placed = task.arenas(lean, place=True)  # what cannot be undercut need not be reached
    return next(c for c in (quick, calls, lean) if _no_worse(task.arenas(c, place=True), placed))


def _no_worse(now: tuple[int, ...], least: tuple[int, ...]) -> bool:
    return all(a <= b for a, b in zip(now, least, strict=True))


def _fits(call: Call, lean: Call | None, scratch: int) -> bool:
    """Among the calls that need no more rows of their inputs than the leanest, those of little scratch."""
    return lean is not None and window(call) <= window(lean) and call.scratch <= max(scratch, lean.scratch)


def _gain(task: Task, calls: Calls, index: int) -> int:
    now = calls[index]
    assert now is not None
    return min(c.cycles for c in task.offers[index]) - now.cycles


def _sped_up(task: Task, calls: Calls, index: int, least: tuple[int, ...], flash: int | None) -> Calls:
    """With the fastest call of a node that leaves the arenas as they are."""
    now = calls[index]
    assert now is not None
    for call in sorted((c for c in task.offers[index] if c.cycles < now.cycles), key=_fastest):
        tried = _exchanged(calls, index, call)
        if flash is not None and _constants(tried) > flash:
            continue
        if _no_worse(task.arenas(tried), least):
            return tried
    return calls
