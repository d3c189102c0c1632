"""Cortex-M0, M0+, M3, M4: one instruction at a time, in order; memory accesses overlap with neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

from pingponnx.cycles.instruction import Instruction, Kind
from pingponnx.cycles.pipeline import BlockCost, Table

_LOADS = (Kind.LOAD, Kind.FP_LOAD)
_STORES = (Kind.STORE, Kind.FP_STORE)


@dataclass(frozen=True, slots=True)
class SingleIssue:
    """Every cost is the table's, and for single loads and stores an extra that depends on the predecessor."""

    table: Table
    load_after_load: float = 0.0  # unless the address is what the load before made
    load_after_store: float = 0.0
    load_first: float = 0.0  # after anything else
    store_after_store: float = 0.0
    wide_target: float = 0.0  # a taken branch that needs two fetches

    def cost(self, block: Sequence[Instruction]) -> BlockCost:
        """Cycles without and with the taken branch."""
        cycles, previous = 0.0, None
        for instruction in block:
            cycles += self._alone(instruction) + self._extra(previous, instruction)
            previous = instruction
        last = block[-1]
        return BlockCost(cycles, self.table.when_taken(last) + self.wide_target * last.wide_target)

    def _alone(self, instruction: Instruction) -> float:
        if _is_double(instruction):
            return 1.0 + instruction.count
        return self.table.cycles(instruction)

    def _extra(self, previous: Instruction | None, instruction: Instruction) -> float:
        if _is_double(instruction):
            return 0.0
        after_store = previous is not None and previous.kind is Kind.STORE
        if instruction.kind in _STORES:
            return self.store_after_store if after_store else 0.0
        if instruction.kind not in _LOADS:
            return 0.0
        if after_store:
            return self.load_after_store
        if previous is None or previous.kind not in _LOADS or _is_double(previous):
            return self.load_first
        return 0.0 if previous.defs & instruction.address_registers else self.load_after_load


def _is_double(instruction: Instruction) -> bool:
    """VLDR and VSTR of 64 bits: two accesses, like a multiple of two."""
    return instruction.kind in (Kind.FP_LOAD, Kind.FP_STORE) and instruction.count == 2
