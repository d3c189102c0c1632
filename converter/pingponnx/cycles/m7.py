"""Cortex-M7: two instructions a cycle, in order; a scoreboard over one block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pingponnx.cycles.instruction import Instruction, Kind
from pingponnx.cycles.pipeline import BlockCost, Table

_SLOTS = 2
_MULTIPLIES = (
    Kind.MULTIPLY,
    Kind.MULTIPLY_ACCUMULATE,
    Kind.MULTIPLY_LONG,
    Kind.MULTIPLY_ACCUMULATE_LONG,
)
_LOAD_UNIT, _DSP_UNIT, _SHIFTER = "load", "dsp", "shifter"
# Of each but the load unit there is one; the two ALUs can never be short. Others use none, or issue alone.
_UNITS: dict[Kind, str] = {
    Kind.SIMD: _DSP_UNIT,
    **dict.fromkeys(_MULTIPLIES, "multiplier"),
    **dict.fromkeys((Kind.LOAD, Kind.LOAD_PC, Kind.FP_LOAD), _LOAD_UNIT),
    **dict.fromkeys((Kind.STORE, Kind.FP_STORE), "store"),
    **dict.fromkeys((Kind.FP_ALU, Kind.FP_MULTIPLY_ACCUMULATE, Kind.FP_MOVE), "fp"),
    **dict.fromkeys(
        (Kind.BRANCH, Kind.BRANCH_CONDITIONAL, Kind.BRANCH_REGISTER, Kind.COMPARE_BRANCH, Kind.CALL), "branch"
    ),
}
_ALONE = (
    Kind.DIVIDE,
    Kind.FP_DIVIDE,
    Kind.LOAD_MULTIPLE,
    Kind.LOAD_MULTIPLE_PC,
    Kind.STORE_MULTIPLE,
    Kind.FP_LOAD_MULTIPLE,
    Kind.FP_STORE_MULTIPLE,
    Kind.TABLE_BRANCH,
    Kind.SYSTEM,
)
_SATURATING = ("ssat", "usat", "ssat16", "usat16", "qadd", "qsub", "qdadd", "qadd16", "qsub16")
_PREDICTED = (Kind.BRANCH_CONDITIONAL, Kind.COMPARE_BRANCH)


@dataclass(frozen=True, slots=True)
class DualIssue:
    """`busy`: cycles in which nothing else can be issued; `latency`: cycles until a result can be used."""

    table: Table  # the instruction and register columns are the busy cycles
    latency: Mapping[Kind, int] = field(default_factory=dict)
    part_word_latency: int = 1  # of loads that are not of a word
    saturating_latency: int = 1
    mispredicted: float = 0.0
    boundary: float = 0.0  # saved when the second slot is left for the next block

    def cost(self, block: Sequence[Instruction]) -> BlockCost:
        """Cycles until the block's last instruction is issued, and with its branch taken."""
        board = _Scoreboard(self)
        for instruction in block:
            board.issue(instruction)
        cycles = board.cycle + 1 - (self.boundary if board.issued == 1 else 0.0)
        last = block[-1]
        rare = self.mispredicted if last.kind in _PREDICTED else 0.0
        return BlockCost(cycles, self.table.when_taken(last), rare)

    def result_latency(self, instruction: Instruction) -> int:
        """Cycles until the next instruction can use what this one makes."""
        name = instruction.mnemonic
        if instruction.kind is Kind.LOAD and name != "ldr":
            return self.part_word_latency
        if instruction.kind is Kind.SIMD and name in _SATURATING:
            return self.saturating_latency
        return self.latency.get(instruction.kind, 1)


@dataclass(frozen=True, slots=True)
class _Result:
    """When a register is ready, and what made it."""

    cycle: int
    multiplied: bool = False
    written_back: bool = False


@dataclass(slots=True)
class _Scoreboard:
    core: DualIssue
    cycle: int = 0
    issued: int = 0  # in this cycle; _SLOTS when nothing more can be
    units: list[str] = field(default_factory=list)
    bank: int | None = None  # of the load in this cycle, where it is known
    ready: dict[str, _Result] = field(default_factory=dict)
    flags_ready: int = 0

    def issue(self, instruction: Instruction) -> None:
        """Wait for the operands and for a free slot, then issue."""
        if (start := self._operands_ready(instruction)) > self.cycle:
            self._advance(start)
        while not self._fits(instruction):
            self._advance(self.cycle + 1)
        self.units += _units(instruction)
        if instruction.kind is Kind.LOAD:
            self.bank = _bank(instruction)
        self.issued += 1
        self._write_results(instruction)
        if busy := int(self.core.table.cycles(instruction, default=0.0)):
            self.cycle += busy
            self.issued, self.units = _SLOTS, []
        elif _issues_alone(instruction):
            self.issued = _SLOTS

    def _advance(self, cycle: int) -> None:
        self.cycle, self.issued, self.units, self.bank = cycle, 0, [], None

    def _operands_ready(self, instruction: Instruction) -> int:
        start = self.flags_ready if instruction.reads_flags else 0
        for register in instruction.uses:
            if (result := self.ready.get(register)) is not None:
                start = max(start, result.cycle + _stage(instruction, register, result))
        return start

    def _fits(self, instruction: Instruction) -> bool:
        if self.issued >= _SLOTS or (self.issued and _issues_alone(instruction)):
            return False
        units = _units(instruction)
        if _DSP_UNIT in units and self.issued:  # only the first slot has one
            return False
        if _LOAD_UNIT in units and _LOAD_UNIT in self.units and not self._other_bank(instruction):
            return False
        return not any(unit in self.units for unit in units if unit != _LOAD_UNIT)

    def _other_bank(self, instruction: Instruction) -> bool:
        """Two loads in a cycle: words, from different banks, as far as that can be known."""
        bank = _bank(instruction)
        return bank is not None and self.bank is not None and bank != self.bank

    def _write_results(self, instruction: Instruction) -> None:
        cycle = self.cycle + self.core.result_latency(instruction)
        base = frozenset[str]()
        if instruction.writeback and instruction.kind in (Kind.LOAD, Kind.STORE):
            base = instruction.address_registers
        for register in instruction.defs:
            if register in base:  # the address is added early
                self.ready[register] = _Result(self.cycle, written_back=True)
            else:
                self.ready[register] = _Result(cycle, multiplied=instruction.kind in _MULTIPLIES)
        if instruction.sets_flags:
            self.flags_ready = self.cycle + 1


def _stage(instruction: Instruction, register: str, result: _Result) -> int:
    """How much earlier (or later) than the ALU needs it an operand is needed."""
    if register in instruction.address_registers:
        return 0 if result.written_back else 1
    if register in instruction.shifted:
        return 1
    if instruction.kind is Kind.STORE:
        return -1
    return -1 if register in instruction.accumulators and result.multiplied else 0


def _units(instruction: Instruction) -> list[str]:
    unit = _UNITS.get(instruction.kind)
    return [*([unit] if unit else []), *([_SHIFTER] if instruction.shifted else [])]


def _issues_alone(instruction: Instruction) -> bool:
    return instruction.kind in _ALONE or (
        instruction.kind in (Kind.FP_LOAD, Kind.FP_STORE) and instruction.count == 2
    )


def _bank(instruction: Instruction) -> int | None:
    """The memory bank of a word that is loaded, by the offset; None when it cannot be known."""
    if instruction.mnemonic != "ldr" or instruction.register_offset:
        return None
    return instruction.offset >> 2 & 1
