"""Hot weights: which constants a run reads most per byte, to be kept in RAM as far as a budget goes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pingponnx.constants import Constant
from pingponnx.ir import Graph

_ALIGNMENT = 4  # of every table, see model_data.c.j2


@dataclass(frozen=True, slots=True)
class HotWeights:
    """The tables that start-up code copies to RAM; `room` is what they take there, gaps included."""

    budget: int
    tables: tuple[Constant, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)

    @property
    def room(self) -> int:
        return sum(_room(table) for table in self.tables)

    def row(self, graph: Graph, prefix: str) -> dict[str, Any] | None:
        """The `hot_weights` of a report; None without a budget."""
        if not self.budget:
            return None
        tables = [
            {
                "symbol": f"{prefix}_{table.name}",
                "node": graph.nodes[table.node].name,
                "role": table.role,
                "bytes": table.bytes,
                "reads": round(table.reads, 2),
            }
            for table in self.tables
        ]
        return {"budget": self.budget, "bytes": self.bytes, "tables": tables}


def hottest(tables: Iterable[Constant], budget: int) -> HotWeights:
    """The tables that are read most often, whole, while they fit; of equals the first.

    The more reads a byte has, the more of the flash's wait states its place in RAM saves.
    """
    chosen: list[Constant] = []
    left = budget
    for table in sorted(tables, key=lambda table: -table.reads):
        if _room(table) <= left:
            chosen.append(table)
            left -= _room(table)
    return HotWeights(budget, tuple(chosen))


def _room(table: Constant) -> int:
    return -(-table.bytes // _ALIGNMENT) * _ALIGNMENT
