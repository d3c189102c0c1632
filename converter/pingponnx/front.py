"""What can be had of a network for how much RAM, flash and time: the front of all choices, as predicted.

Budgets are tried from loose to tight, and decide.py makes of each what `convert` would make of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pingponnx.decide import Budget, Task, decide, predicted
from pingponnx.errors import BudgetError
from pingponnx.ir import Graph
from pingponnx.pareto import not_dominated
from pingponnx.pipeline import Options, task_of
from pingponnx.select import Goal

_FLASH_STEPS = 4  # from the most constants to the fewest, in equal steps
_RAM_STEPS = 6  # from the largest arena to the smallest, in equal ratios


@dataclass(frozen=True, slots=True)
class Point:
    """A choice of kernels with its plan: what it takes, and the goal and budgets that lead to it."""

    goal: Goal
    budget: Budget
    arena: int  # bytes of RAM
    constants: int  # bytes of flash
    cycles: int  # predicted

    @property
    def costs(self) -> tuple[int, int, int]:
        """What is to be small."""
        return self.arena, self.constants, self.cycles

    @property
    def arguments(self) -> str:
        """What to give to `convert`."""
        budgets = (("--ram", self.budget.ram), ("--flash", self.budget.flash))
        return " ".join([f"--goal {self.goal}", *(f"{name} {n}" for name, n in budgets if n is not None)])


def front(normal: Graph, options: Options, tried: Callable[[], None] = lambda: None) -> tuple[Point, ...]:
    """Points of which none is better in one respect without being worse in another, fastest first.

    The options' goal does not matter, their budgets hold for all points; raises BudgetError when nothing
    keeps them. `tried` is called after every choice that was tried.
    """
    sweep = _Sweep(task_of(normal, options), options, tried)
    return tuple(sorted(not_dominated(sweep.points(), _costs), key=_fastest))


def _costs(point: Point) -> tuple[int, int, int]:
    return point.costs


def _fastest(point: Point) -> tuple[int, int, int]:
    return point.cycles, point.arena, point.constants


@dataclass(frozen=True, slots=True)
class _Sweep:
    task: Task
    options: Options
    tried: Callable[[], None]

    def points(self) -> Iterator[Point]:
        """The goals as they are, then stairs of smaller arenas, each with less flash than the one before."""
        limits = Budget(self.options.ram, self.options.flash)
        fastest = self._point(Goal.CYCLES, limits)
        yield fastest
        yield from self._try(Goal.BALANCED, limits)
        least = sum(min(call.constants for call in row) for row in self.task.offers if row)
        yield from self._stairs(limits)
        for step in range(1, _FLASH_STEPS + 1):
            flash = fastest.constants - (fastest.constants - least) * step // _FLASH_STEPS
            if flash < fastest.constants:
                yield from self._stairs(Budget(limits.ram, flash))

    def _stairs(self, top: Budget) -> Iterator[Point]:
        """The fastest choices for less and less RAM."""
        bottom = list(self._try(Goal.RAM, top))
        yield from bottom
        highest = list(self._try(Goal.CYCLES, top))
        yield from highest
        if not bottom or not highest:
            return
        most, least, now = highest[0].arena, bottom[0].arena, highest[0].arena
        for step in range(1, _RAM_STEPS):
            limit = round(most * (least / most) ** (step / _RAM_STEPS)) if least < most else least
            if limit < now:
                for point in self._try(Goal.CYCLES, replace(top, ram=limit)):
                    now = point.arena
                    yield point

    def _try(self, goal: Goal, budget: Budget) -> Iterator[Point]:
        try:
            yield self._point(goal, budget)
        except BudgetError:
            return

    def _point(self, goal: Goal, budget: Budget) -> Point:
        calls, memory = decide(self.task, goal, budget)
        self.tried()
        constants = sum(call.constants for call in calls if call)
        return Point(goal, budget, memory.arena, constants, predicted(calls, memory))
