"""Cortex-M55: scalar instructions one a cycle; Helium instructions overlap unless they share a unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from pingponnx.cycles.instruction import Instruction, Kind
from pingponnx.cycles.pipeline import BlockCost, Table

_LOADS = (Kind.LOAD, Kind.LOAD_MULTIPLE)
_MEMORY, _MULTIPLIER, _ALU = "memory", "multiplier", "alu"
_UNITS = {
    Kind.MVE_LOAD: _MEMORY,
    Kind.MVE_STORE: _MEMORY,
    Kind.MVE_GATHER: _MEMORY,
    Kind.MVE_SCATTER: _MEMORY,
    Kind.MVE_MULTIPLY: _MULTIPLIER,
    Kind.MVE_REDUCE: _MULTIPLIER,
    Kind.MVE_ALU: _ALU,
    Kind.MVE_MOVE: _ALU,
    Kind.MVE_PREDICATE: None,
}


@dataclass(frozen=True, slots=True)
class Helium:
    """The table's costs, a load-use delay for scalars, and a beat more for neighbours on one unit."""

    table: Table
    load_use: float = 0.0
    same_unit: float = 0.0
    element: float = 0.0  # of a gather or scatter

    def cost(self, block: Sequence[Instruction]) -> BlockCost:
        """Cycles without and with the taken branch."""
        cycles = 0.0
        previous: Instruction | None = None
        for instruction in block:
            cycles += self._alone(instruction) + self._extra(previous, instruction)
            previous = instruction
        return BlockCost(cycles, self.table.when_taken(block[-1]))

    def _alone(self, instruction: Instruction) -> float:
        if instruction.kind in (Kind.MVE_GATHER, Kind.MVE_SCATTER):
            return self.element * instruction.elements
        return self.table.cycles(instruction)

    def _extra(self, previous: Instruction | None, instruction: Instruction) -> float:
        if previous is None:
            return 0.0
        if instruction.kind in _UNITS:
            unit = _UNITS[instruction.kind]
            return self.same_unit if unit and _UNITS.get(previous.kind) == unit else 0.0
        if previous.kind in _LOADS and previous.loaded & instruction.uses:
            return self.load_use
        return 0.0
