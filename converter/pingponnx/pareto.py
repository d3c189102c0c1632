"""Pareto sets: what is not beaten in everything."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Costs = tuple[float, ...]
_Item = TypeVar("_Item")


def dominates(better: Costs, worse: Costs) -> bool:
    """True when the first costs are nowhere larger and somewhere smaller."""
    return better != worse and all(a <= b for a, b in zip(better, worse, strict=True))


def not_dominated(items: Iterable[_Item], costs: Callable[[_Item], Costs]) -> list[_Item]:
    """The items that none of the others dominates, in their order; of those with equal costs the first."""
    first: dict[Costs, _Item] = {}
    for item in items:
        first.setdefault(costs(item), item)
    return [item for cost, item in first.items() if not any(dominates(other, cost) for other in first)]
