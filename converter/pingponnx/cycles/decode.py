"""Executed blocks of an image -> instructions. The only module that uses the disassembler, capstone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, CS_MODE_V8, Cs
from capstone.arm import ARM_OP_MEM, ARM_OP_REG
from capstone.arm_const import ARM_INS_IT, ARM_REG_ENDING, ARMCC_AL, ARMCC_UNDEF

from pingponnx.cycles.image import Image
from pingponnx.cycles.instruction import (
    Instruction,
    Kind,
    always_reads_flags,
    core_kind,
    fp_kind,
    is_mve,
    mve_kind,
)
from pingponnx.errors import Error

# This mode has every instruction of v6-M to v8.1-M; none of them means something else on an older core.
_MODE = CS_MODE_THUMB | CS_MODE_MCLASS | CS_MODE_V8

_REGISTER = re.compile(r"(?:r|s|d|q)\d+")
_ELEMENT_BITS = re.compile(r"\.[a-z]*(\d+)$")
_VECTOR_BITS = 128

_TARGETED = {Kind.BRANCH, Kind.BRANCH_CONDITIONAL, Kind.COMPARE_BRANCH, Kind.CALL}
_SCATTERED = {Kind.MVE_LOAD: Kind.MVE_GATHER, Kind.MVE_STORE: Kind.MVE_SCATTER}
_INTO_PC = {
    Kind.LOAD: Kind.LOAD_PC,
    Kind.LOAD_MULTIPLE: Kind.LOAD_MULTIPLE_PC,
    Kind.ALU: Kind.BRANCH_REGISTER,
}
_LISTS = {
    Kind.LOAD_MULTIPLE,
    Kind.LOAD_MULTIPLE_PC,
    Kind.STORE_MULTIPLE,
    Kind.FP_LOAD_MULTIPLE,
    Kind.FP_STORE_MULTIPLE,
}
_SINGLES = {Kind.LOAD, Kind.LOAD_PC, Kind.STORE, Kind.FP_LOAD, Kind.FP_STORE}
_MEMORY = _LISTS | _SINGLES | _SCATTERED.keys() | set(_SCATTERED.values())
_CALLS = ("bl", "blx", "svc")
_SHIFTS = ("lsl", "lsr", "asr", "ror", "rrx")
_ROTATE_INTO_PLACE = ("sxtb16", "uxtb16")  # their rotation is no extra step
_IT_REACH = 5  # an IT and the instructions it can govern
_WRONG_FIRMWARE = "the profile must be one of this very firmware"


class Block(Protocol):
    """Instructions that ran one after the other: region -> (times executed, times left by a branch)."""

    @property
    def start(self) -> int: ...
    @property
    def instructions(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def counts(self) -> Mapping[int, tuple[int, int]]: ...


def decode(image: Image, blocks: Sequence[Block]) -> list[tuple[Instruction, ...]]:
    """The instructions of each block, in the order of `blocks`.

    QEMU may cut a block inside the instructions that an IT governs. The part behind the cut is decoded
    together with the IT: without it, its instructions would seem to be unconditional.
    """
    decoded: dict[tuple[int, int], tuple[Instruction, ...]] = {}
    open_it: dict[int, int] = {}  # end of a block -> address of the IT that reaches beyond it
    for block in sorted(blocks, key=lambda block: (block.start, block.bytes)):
        key = (block.start, block.bytes)
        if key in decoded:
            continue
        begin, end = open_it.get(block.start, block.start), block.start + block.bytes
        found = _disassemble(image, begin, end)
        decoded[key] = tuple(_instruction(raw, image) for raw in found if raw.address >= block.start)
        if len(decoded[key]) != block.instructions:
            raise Error(
                f"the profile counts {block.instructions} instructions at {block.start:#010x}, "
                f"the image has {len(decoded[key])}",
                _WRONG_FIRMWARE,
            )
        if (it := _open_it(found)) is not None:
            open_it[end] = it
    return [decoded[block.start, block.bytes] for block in blocks]


def _disassemble(image: Image, begin: int, end: int) -> list[Any]:
    """A disassembler of its own for each block, for it remembers an IT from one call to the next."""
    engine = Cs(CS_ARCH_ARM, _MODE)
    engine.detail = True
    code = image.read(begin, end - begin)
    found = list(engine.disasm(code, begin))
    after = found[-1].address + found[-1].size if found else begin
    if after != end:
        raise Error(f"cannot decode the instruction at {after:#010x}: {code[after - begin :][:4].hex(' ')}")
    return found


def _open_it(found: Sequence[Any]) -> int | None:
    """The address of an IT that governs more instructions than follow it: one and one for each t or e."""
    for following, raw in enumerate(reversed(found[-_IT_REACH:])):
        if raw.id == ARM_INS_IT:
            return raw.address if following < len(raw.mnemonic) - 1 else None
    return None


@cache
def _register_names() -> Mapping[int, str]:
    """Core and vector registers by the disassembler's number; others do not matter here."""
    engine = Cs(CS_ARCH_ARM, _MODE)
    names = ((number, engine.reg_name(number)) for number in range(1, ARM_REG_ENDING))
    return {number: name for number, name in names if name and _REGISTER.fullmatch(name)}


@dataclass(frozen=True, slots=True)
class _Raw:
    """What is asked of the disassembler about an instruction, once, for each question is slow."""

    mnemonic: str
    text: str  # the mnemonic with condition and data type
    size: int
    registers: tuple[str, ...]  # the operands that are registers
    shifted: tuple[str, ...]  # those of them that are shifted
    operands: int
    memory: Any  # the operand in brackets
    base: str
    index: str

    @property
    def is_stack(self) -> bool:
        """Written as push or pop, without the base register."""
        return self.text.removeprefix("v").startswith(("push", "pop"))


def _read(raw: Any) -> _Raw:
    names, operands = _register_names(), raw.operands
    registers = [operand for operand in operands if operand.type == ARM_OP_REG]
    memory = next((operand for operand in operands if operand.type == ARM_OP_MEM), None)
    return _Raw(
        mnemonic=raw.insn_name(),
        text=raw.mnemonic,
        size=raw.size,
        registers=tuple(names.get(operand.reg, "") for operand in registers),
        shifted=tuple(names.get(operand.reg, "") for operand in registers if operand.shift.type),
        operands=len(operands),
        memory=memory,
        base="" if memory is None else names.get(memory.mem.base, ""),
        index="" if memory is None else names.get(memory.mem.index, ""),
    )


def _instruction(raw: Any, image: Image) -> Instruction:
    r, names = _read(raw), _register_names()
    read, written = (
        frozenset(names[number] for number in registers if number in names) for registers in raw.regs_access()
    )
    if r.mnemonic in _CALLS:  # that they use the stack pointer is the compiler's view, not the core's
        read -= {"r13"}
    kind = _kind(raw, r, read, written)
    is_memory = kind in _MEMORY
    conditional = raw.cc not in (ARMCC_AL, ARMCC_UNDEF)
    return Instruction(
        address=raw.address,
        size=r.size,
        mnemonic=r.mnemonic,
        kind=kind,
        count=_count(r, kind),
        elements=_elements(r) if kind in _SCATTERED.values() else 1,
        defs=written,
        uses=read,
        address_registers=_address(r) if is_memory else frozenset(),
        accumulators=_accumulators(r, kind, written),
        shifted=_shifted(r),
        offset=0 if r.memory is None or raw.post_index else _displacement(r.memory),
        register_offset=r.index != "",
        writeback=is_memory and (raw.writeback or r.is_stack),
        sets_flags=raw.update_flags,
        reads_flags=kind is not Kind.IT and (conditional or always_reads_flags(r.mnemonic)),
        wide_target=kind in _TARGETED and _is_wide_target(image, raw.operands[-1].imm),
    )


def _kind(raw: Any, r: _Raw, read: frozenset[str], written: frozenset[str]) -> Kind:
    if r.mnemonic[0] != "v":
        kind = core_kind(r.mnemonic)
        if kind is Kind.BRANCH and raw.cc != ARMCC_AL:
            return Kind.BRANCH_CONDITIONAL
        return _INTO_PC.get(kind, kind) if "r15" in written else kind
    registers = read | written
    if not is_mve(r.mnemonic, registers):
        return fp_kind(r.mnemonic)
    kind = mve_kind(r.mnemonic)
    if kind in _SCATTERED and "q" in r.base + r.index:
        return _SCATTERED[kind]
    if kind is Kind.MVE_MOVE and not any(name[0] == "r" for name in registers):
        return Kind.MVE_ALU
    return kind


def _count(r: _Raw, kind: Kind) -> int:
    if kind is Kind.FP_MOVE:
        return 2 if r.operands > 2 else 1
    if kind in (Kind.FP_LOAD, Kind.FP_STORE):
        return 2 if r.registers[0][0] == "d" else 1
    if kind not in _LISTS:
        return 1
    has_base = not r.is_stack and r.memory is None
    moved = r.registers[1:] if has_base else r.registers
    return sum(2 if name[0] == "d" else 1 for name in moved)


def _elements(r: _Raw) -> int:
    bits = _ELEMENT_BITS.search(r.text)
    return _VECTOR_BITS // int(bits[1]) if bits else 1


def _address(r: _Raw) -> frozenset[str]:
    if r.memory is not None:
        return frozenset(name for name in (r.base, r.index) if name and name[0] == "r")
    return frozenset({"r13"} if r.is_stack else r.registers[:1])


def _accumulators(r: _Raw, kind: Kind, written: frozenset[str]) -> frozenset[str]:
    if kind is Kind.MULTIPLY_ACCUMULATE:
        return frozenset(r.registers[3:])
    return written if kind is Kind.MULTIPLY_ACCUMULATE_LONG else frozenset()


def _shifted(r: _Raw) -> frozenset[str]:
    """The operand that is shifted first. A 32-bit shift by a constant is a MOV with such an operand."""
    if r.mnemonic in _ROTATE_INTO_PLACE:
        return frozenset()
    if r.mnemonic in _SHIFTS and r.size == 4 and len(r.registers) == 2:
        return frozenset(r.registers[1:])
    return frozenset(r.shifted)


def _displacement(memory: Any) -> int:
    return -int(memory.mem.disp) if memory.subtracted else int(memory.mem.disp)


def _is_wide_target(image: Image, target: int) -> bool:
    return target % 4 != 0 and image.is_wide(target)
