"""What the models of all cores share: tables by kind of instruction, and the cost of a block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from pingponnx.cycles.instruction import Instruction, Kind


@dataclass(frozen=True, slots=True)
class BlockCost:
    """Cycles of a block for each time it runs, and more for each time it is left by a taken branch.

    `mispredicted` is added for each time its branch goes the way it goes less often.
    """

    cycles: float
    taken: float
    mispredicted: float = 0.0

    def total(self, executed: int, taken: int) -> float:
        """The cycles of all of its executions."""
        rare = min(taken, executed - taken)
        return executed * self.cycles + taken * self.taken + rare * self.mispredicted


class Pipeline(Protocol):
    """The model of a core: what a block costs, given what is known at compile time."""

    def cost(self, block: Sequence[Instruction]) -> BlockCost: ...


@dataclass(frozen=True, slots=True)
class Table:
    """Cycles by kind: `instruction` (others take `default`), more per register moved, more when taken."""

    instruction: Mapping[Kind, float] = field(default_factory=dict)
    register: Mapping[Kind, float] = field(default_factory=dict)
    taken: Mapping[Kind, float] = field(default_factory=dict)

    def cycles(self, instruction: Instruction, default: float = 1.0) -> float:
        """An instruction on its own; a 64-bit bus moves two registers a cycle, hence the ceiling."""
        kind = instruction.kind
        moved = ceil(self.register.get(kind, 0.0) * instruction.count)
        return self.instruction.get(kind, default) + moved

    def when_taken(self, instruction: Instruction) -> float:
        """Refilling the pipeline behind a taken branch."""
        return self.taken.get(instruction.kind, 0.0)
