"""Cortex-M33: in order, pairs of independent 16-bit instructions are issued together."""

from collections.abc import Sequence
from dataclasses import dataclass

from pingponnx.cycles.instruction import Instruction, Kind
from pingponnx.cycles.pipeline import BlockCost, Table

_LOADS = (Kind.LOAD, Kind.LOAD_MULTIPLE, Kind.FP_LOAD)
_FIRST_OF_PAIR = (Kind.ALU, Kind.SIMD, Kind.IT)
_SECOND_OF_PAIR = (Kind.ALU, Kind.SIMD, Kind.BRANCH, Kind.BRANCH_CONDITIONAL)


@dataclass(frozen=True, slots=True)
class LimitedDualIssue:
    """The table's costs, a load-use delay, and nothing for the second instruction of a pair."""

    table: Table
    load_use: float = 0.0

    def cost(self, block: Sequence[Instruction]) -> BlockCost:
        """Cycles without and with the taken branch."""
        cycles, paired = 0.0, False
        previous: Instruction | None = None
        for instruction in block:
            alone = self.table.cycles(instruction) + self._delay(previous, instruction)
            paired = alone == 1.0 and previous is not None and not paired and _can_pair(previous, instruction)
            cycles += 0.0 if paired else alone
            previous = instruction
        return BlockCost(cycles, self.table.when_taken(block[-1]))

    def _delay(self, previous: Instruction | None, instruction: Instruction) -> float:
        if previous is None or previous.kind not in _LOADS:
            return 0.0
        return self.load_use if previous.loaded & instruction.uses else 0.0


def _can_pair(first: Instruction, second: Instruction) -> bool:
    if first.size != 2 or second.size != 2:
        return False
    if first.kind not in _FIRST_OF_PAIR or second.kind not in _SECOND_OF_PAIR:
        return False
    if first.defs & (second.uses | second.defs):
        return False
    # A conditional branch may be issued together with the comparison that decides it.
    needs_flags = second.reads_flags and second.kind is not Kind.BRANCH_CONDITIONAL
    return not (first.sets_flags and needs_flags)
