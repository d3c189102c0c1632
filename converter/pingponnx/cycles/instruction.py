"""What the cycle models need to know of an instruction, whatever decoded it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

_NONE: frozenset[str] = frozenset()


class Kind(StrEnum):
    """Instructions that the models treat alike; `cores.toml` uses these names."""

    ALU = "alu"
    SIMD = "simd"  # DSP extension without a multiplication, saturation, bit fields
    IT = "it"
    MULTIPLY = "multiply"
    MULTIPLY_ACCUMULATE = "multiply_accumulate"
    MULTIPLY_LONG = "multiply_long"
    MULTIPLY_ACCUMULATE_LONG = "multiply_accumulate_long"
    DIVIDE = "divide"
    LOAD = "load"
    LOAD_PC = "load_pc"
    LOAD_MULTIPLE = "load_multiple"  # LDM, POP, LDRD
    LOAD_MULTIPLE_PC = "load_multiple_pc"
    STORE = "store"
    STORE_MULTIPLE = "store_multiple"  # STM, PUSH, STRD
    BRANCH = "branch"
    BRANCH_CONDITIONAL = "branch_conditional"
    BRANCH_REGISTER = "branch_register"  # BX, BLX, and arithmetic that writes the PC
    COMPARE_BRANCH = "compare_branch"
    CALL = "call"
    TABLE_BRANCH = "table_branch"
    SYSTEM = "system"
    FP_ALU = "fp_alu"
    FP_MULTIPLY_ACCUMULATE = "fp_multiply_accumulate"
    FP_DIVIDE = "fp_divide"
    FP_MOVE = "fp_move"
    FP_LOAD = "fp_load"
    FP_LOAD_MULTIPLE = "fp_load_multiple"
    FP_STORE = "fp_store"
    FP_STORE_MULTIPLE = "fp_store_multiple"
    LOOP_START = "loop_start"
    LOOP_WHILE = "loop_while"
    LOOP_END = "loop_end"
    MVE_LOAD = "mve_load"
    MVE_STORE = "mve_store"
    MVE_GATHER = "mve_gather"
    MVE_SCATTER = "mve_scatter"
    MVE_MULTIPLY = "mve_multiply"
    MVE_REDUCE = "mve_reduce"
    MVE_ALU = "mve_alu"
    MVE_MOVE = "mve_move"
    MVE_PREDICATE = "mve_predicate"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; registers are named r0..r15, s0.., d0.., q0...

    `count` is the registers (32-bit words for floating point) that it moves, `elements` the lanes of a
    gather or scatter. `shifted` are registers that pass the shifter before the ALU, `accumulators` those
    that a multiplication adds to. `offset` is the immediate that is added before a word is accessed.
    `wide_target`: it branches to a 32-bit instruction that is not word-aligned, which takes two fetches.
    """

    address: int
    size: int
    mnemonic: str  # without condition, width, "s" and data type
    kind: Kind
    count: int = 1
    elements: int = 1
    defs: frozenset[str] = _NONE
    uses: frozenset[str] = _NONE
    address_registers: frozenset[str] = _NONE
    accumulators: frozenset[str] = _NONE
    shifted: frozenset[str] = _NONE
    offset: int = 0
    register_offset: bool = False
    writeback: bool = False
    sets_flags: bool = False
    reads_flags: bool = False
    wide_target: bool = False

    @property
    def loaded(self) -> frozenset[str]:
        """The registers that a load fills from memory, the written-back base not among them."""
        return self.defs - self.address_registers if self.writeback else self.defs


_CORE_KINDS = (
    ("it", Kind.IT),
    ("b", Kind.BRANCH),
    ("bl", Kind.CALL),
    ("bl?x(ns)?", Kind.BRANCH_REGISTER),
    ("cbn?z", Kind.COMPARE_BRANCH),
    ("tb[bh]", Kind.TABLE_BRANCH),
    ("dls(tp)?", Kind.LOOP_START),
    ("wls(tp)?", Kind.LOOP_WHILE),
    ("le(tp)?", Kind.LOOP_END),
    ("ldrd|ldm.*|pop", Kind.LOAD_MULTIPLE),
    ("strd|stm.*|push", Kind.STORE_MULTIPLE),
    ("(ldr|lda).*", Kind.LOAD),
    ("(str|stl).*", Kind.STORE),
    ("[us]div", Kind.DIVIDE),
    ("mul|smul[bt][bt]|smulw[bt]|smu[as]dx?|smmulr?", Kind.MULTIPLY),
    ("ml[as]|smla[bt][bt]|smlaw[bt]|sml[as]dx?|smml[as]r?", Kind.MULTIPLY_ACCUMULATE),
    ("[us]mull", Kind.MULTIPLY_LONG),
    ("umaal|[us]mlal|smlal[bt][bt]|sml[as]ldx?", Kind.MULTIPLY_ACCUMULATE_LONG),
    ("(u?q|u?h|s|sh|u)(add|sub)(8|16)|(u?q|u?h|s|sh|u)(asx|sax)|qd?(add|sub)", Kind.SIMD),
    ("pkh(bt|tb)|[us]xta?b16|[us]xta[bh]|[us]sat(16)?|[us]bfx|bf[ic]|sel|usada?8", Kind.SIMD),
    ("bkpt|svc|msr|mrs|dsb|dmb|isb|cps|udf|sg", Kind.SYSTEM),
)
_FP_KINDS = (
    ("vldr", Kind.FP_LOAD),
    ("vstr", Kind.FP_STORE),
    ("vldm.*|vpop", Kind.FP_LOAD_MULTIPLE),
    ("vstm.*|vpush", Kind.FP_STORE_MULTIPLE),
    ("vf?n?ml[as]|vfn?m[as]", Kind.FP_MULTIPLY_ACCUMULATE),
    ("vdiv|vsqrt", Kind.FP_DIVIDE),
    ("vmov|vmrs|vmsr", Kind.FP_MOVE),
)
_MVE_KINDS = (
    ("vld.*", Kind.MVE_LOAD),
    ("vst.*", Kind.MVE_STORE),
    (r"vr?ml[as]l?dav.*|vaddl?v.*|v(max|min)(a|nm|nma)?v|vabav", Kind.MVE_REDUCE),
    ("v(q?r?d?mul|mla|qr?dml|fm[as]|cmul|cmla).*", Kind.MVE_MULTIPLY),
    ("vp.*|vcmp|vctp", Kind.MVE_PREDICATE),
    ("vmov", Kind.MVE_MOVE),
)
_FLAG_READERS = re.compile("adc|sbc|sel|cs(el|inc|inv|neg)")


@cache
def core_kind(mnemonic: str) -> Kind:
    """The kind of an instruction that works on core registers."""
    return _find(mnemonic, _CORE_KINDS, Kind.ALU)


@cache
def fp_kind(mnemonic: str) -> Kind:
    """The kind of a scalar floating-point instruction."""
    return _find(mnemonic, _FP_KINDS, Kind.FP_ALU)


@cache
def mve_kind(mnemonic: str) -> Kind:
    """The kind of a Helium instruction; a gather is a load, a scatter a store here."""
    return _find(mnemonic, _MVE_KINDS, Kind.MVE_ALU)


def is_mve(mnemonic: str, registers: frozenset[str]) -> bool:
    """Whether a mnemonic that starts with v is Helium's."""
    return any(name[0] == "q" for name in registers) or mnemonic in ("vctp", "vpst", "vpnot")


@cache
def always_reads_flags(mnemonic: str) -> bool:
    """Whether it reads flags also when it is not conditional."""
    return _FLAG_READERS.fullmatch(mnemonic) is not None


def _find(mnemonic: str, kinds: tuple[tuple[str, Kind], ...], default: Kind) -> Kind:
    return next((kind for pattern, kind in kinds if re.fullmatch(pattern, mnemonic)), default)
