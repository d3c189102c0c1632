"""What the cycle models are told of an instruction."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cycle_programs import START, Executed, program
from pingponnx.cycles import Image, read_image
from pingponnx.cycles.decode import decode
from pingponnx.cycles.instruction import Instruction, Kind
from pingponnx.errors import Error
from pingponnx.process import execute


def decoded(listing: str) -> tuple[Instruction, ...]:
    one = program([(listing, 1, 0)])
    return decode(one.image, one.blocks)[0]


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("4408 add r0, r1", {"defs": {"r0"}, "uses": {"r0", "r1"}, "kind": Kind.ALU}),
        ("1840 adds r0, r0, r1", {"sets_flags": True, "defs": {"r0"}, "uses": {"r0", "r1"}}),
        ("eb01 00c2 add.w r0, r1, r2, lsl #3", {"shifted": {"r2"}, "uses": {"r1", "r2"}}),
        ("ea4f 0081 lsl.w r0, r1, #2", {"shifted": {"r1"}}),
        ("fa01 f002 lsl.w r0, r1, r2", {"shifted": set(), "uses": {"r1", "r2"}}),
        ("fa2f f091 sxtb16 r0, r1, ror #8", {"shifted": set(), "kind": Kind.SIMD}),
        ("f851 0b04 ldr r0, [r1], #4", {"offset": 0, "writeback": True, "defs": {"r0", "r1"}}),
        ("f851 0f08 ldr r0, [r1, #8]!", {"offset": 8, "writeback": True, "loaded": {"r0"}}),
        ("f851 0c08 ldr r0, [r1, #-8]", {"offset": -8, "writeback": False}),
        ("f851 0022 ldr.w r0, [r1, r2, lsl #2]", {"register_offset": True, "shifted": set()}),
        ("e9d2 0102 ldrd r0, r1, [r2, #8]", {"kind": Kind.LOAD_MULTIPLE, "count": 2}),
        ("c806 ldm r0!, {r1, r2}", {"count": 2, "defs": {"r0", "r1", "r2"}, "loaded": {"r1", "r2"}}),
        ("b510 push {r4, lr}", {"kind": Kind.STORE_MULTIPLE, "count": 2, "address_registers": {"r13"}}),
        ("bd10 pop {r4, pc}", {"kind": Kind.LOAD_MULTIPLE_PC, "count": 2, "loaded": {"r4", "r15"}}),
        ("f85d 4b04 ldr r4, [sp], #4", {"kind": Kind.LOAD, "loaded": {"r4"}, "offset": 0}),
        ("f84d 0d04 str r0, [sp, #-4]!", {"kind": Kind.STORE, "defs": {"r13"}}),
        ("f8d0 f000 ldr.w pc, [r0]", {"kind": Kind.LOAD_PC}),
        ("4687 mov pc, r0", {"kind": Kind.BRANCH_REGISTER}),
        ("d902 bls .+8", {"kind": Kind.BRANCH_CONDITIONAL, "reads_flags": True}),
        ("f000 f802 bl .+8", {"kind": Kind.CALL, "uses": set(), "defs": {"r14"}}),
        ("b110 cbz r0, .+8", {"kind": Kind.COMPARE_BRANCH, "uses": {"r0"}}),
        ("fb01 3002 mla r0, r1, r2, r3", {"kind": Kind.MULTIPLY_ACCUMULATE, "accumulators": {"r3"}}),
        ("fbc2 01c3 smlald r0, r1, r2, r3", {"accumulators": {"r0", "r1"}, "uses": {"r0", "r1", "r2", "r3"}}),
        ("f363 00c6 bfi r0, r3, #3, #4", {"kind": Kind.SIMD, "uses": {"r0", "r3"}}),
        ("ed90 0b02 vldr d0, [r0, #8]", {"kind": Kind.FP_LOAD, "count": 2, "defs": {"d0"}}),
        ("ecb0 0b08 vldmia r0!, {d0-d3}", {"kind": Kind.FP_LOAD_MULTIPLE, "count": 8}),
        ("ec51 0b10 vmov r0, r1, d0", {"kind": Kind.FP_MOVE, "count": 2, "defs": {"r0", "r1"}}),
        ("eeb4 0a60 vcmp.f32 s0, s1", {"kind": Kind.FP_ALU, "defs": set(), "uses": {"s0", "s1"}}),
        ("eea0 0a81 vfma.f32 s0, s1, s2", {"kind": Kind.FP_MULTIPLY_ACCUMULATE, "uses": {"s0", "s1", "s2"}}),
        ("ecb0 1e10 vldrb.u8 q0, [r0], #16", {"kind": Kind.MVE_LOAD, "writeback": True}),
        ("fc90 0e02 vldrb.u8 q0, [r0, q1]", {"kind": Kind.MVE_GATHER, "elements": 16}),
        ("fc90 0f13 vldrh.u32 q0, [r0, q1, uxtw #1]", {"kind": Kind.MVE_GATHER, "elements": 4}),
        ("fd92 1e01 vldrw.u32 q0, [q1, #4]", {"kind": Kind.MVE_GATHER, "address_registers": set()}),
        ("eef0 0f22 vmladava.s8 r0, q0, q1", {"kind": Kind.MVE_REDUCE, "uses": {"r0", "q0", "q1"}}),
        ("ec01 0f00 vmov r0, r1, q0[2], q0[0]", {"kind": Kind.MVE_MOVE, "defs": {"r0", "r1"}}),
        ("ef22 0152 vmov q0, q1", {"kind": Kind.MVE_ALU}),
        ("ea50 01ef asrl r0, r1, #3", {"kind": Kind.ALU, "uses": {"r0", "r1"}}),
        ("f00f c007 le lr, .-8", {"kind": Kind.LOOP_END}),
    ],
)
def test_decoding(listing: str, expected: Mapping[str, Any]) -> None:
    (found,) = decoded(listing)
    assert {name: getattr(found, name) for name in expected} == expected


def test_predicated_vector_operations_are_what_they_are_without_predicate() -> None:
    kinds = [i.kind for i in decoded("fe71 0f4d vpst\necb0 1e10 vldrbt.u8 q0, [r0], #16")]
    assert kinds == [Kind.MVE_PREDICATE, Kind.MVE_LOAD]


def test_a_block_cut_behind_an_it() -> None:
    """The page of QEMU's that ends inside the instructions of an ITTT does not change what they are."""
    whole = decoded("bf02 ittt eq\n2001 moveq r0, #1\n2102 moveq r1, #2\n2203 moveq r2, #3\n2304 movs r3, #4")
    halves = program([("bf02\n2001", 1, 0), ("2102", 1, 0), ("2203\n2304", 1, 0)])
    # The order of the blocks does not matter.
    found = decode(halves.image, halves.blocks[::-1])[::-1]
    assert tuple(i for block in found for i in block) == whole
    assert [i.sets_flags for i in whole] == [False, False, False, False, True]


def test_the_same_code_twice() -> None:
    one = program([("2001\n2102", 1, 0)])
    tail = Executed(START + 2, 1, 2, {2: (5, 0)})
    first, second, third = decode(
        one.image, [one.blocks[0], tail, replace(one.blocks[0], counts={3: (1, 1)})]
    )
    assert first == third
    assert second == first[1:]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Executed(START, 2, 2, {}), "counts 2 instructions at 0x00001000, the image has 1"),
        (Executed(START, 1, 8, {}), "no code at 0x00001000"),
        (Executed(0x2000, 1, 2, {}), "no code at 0x00002000"),
        (Executed(START + 2, 1, 4, {}), "cannot decode the instruction at 0x00001002: ff ff ff ff"),
    ],
)
def test_a_profile_of_another_firmware(block: Executed, message: str) -> None:
    image = Image(((START, bytes.fromhex("0020 ffff ffff")),))
    with pytest.raises(Error, match=re.escape(message)):
        decode(image, [block])


HELIUM = """
#include <arm_mve.h>
#define LOOP(T, name, expr) \
    void name(T *restrict d, const T *restrict a, const T *restrict b, int n) { \
        for (int i = 0; i < n; i++) { d[i] = expr; } \
    }
LOOP(int8_t, add, (int8_t)(a[i] + b[i]))
LOOP(int16_t, multiply, (int16_t)(a[i] * b[i]))
LOOP(int32_t, maximum, a[i] > b[i] ? a[i] : b[i])
LOOP(float, accumulate, a[i] * b[i] + d[i])
LOOP(_Float16, half, a[i] + b[i])
int32_t dot(const int8_t *a, const int8_t *b, int n) {
    int32_t s = 0;
    for (int i = 0; i < n; i++) { s += a[i] * b[i]; }
    return s;
}
void narrow(int8_t *d, const int32_t *s, int n) {
    for (int i = 0; i < n; i++) { d[i] = (int8_t)(s[i] >> 3); }
}
int32_t predicated(const int8_t *a, const int8_t *b, int n) {
    int32_t s = 0;
    for (; n > 0; n -= 16, a += 16, b += 16) {
        const mve_pred16_t p = vctp8q((uint32_t)n);
        s = vmladavaq_p_s8(s, vldrbq_z_s8(a, p), vldrbq_z_s8(b, p), p);
    }
    return s;
}
void requantize(int8_t *d, const int32_t *s, int32_t m, int32_t shift, int n) {
    for (; n > 0; n -= 4, s += 4, d += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)n);
        int32x4_t v = vrshlq_n_s32(vqrdmulhq_n_s32(vldrwq_z_s32(s, p), m), shift);
        v = vminq_x_s32(vmaxq_s32(v, vdupq_n_s32(-128)), vdupq_n_s32(127), p);
        vstrbq_p_s32(d, v, p);
    }
}
void gather(int32_t *d, const int32_t *s, const uint32_t *index) {
    const uint32x4_t at = vldrwq_u32(index);
    vstrwq_scatter_shifted_offset_s32(d, at, vldrwq_gather_shifted_offset_s32(s, at));
    vst4q_u8((uint8_t *)d + 64, vld4q_u8((const uint8_t *)s));
}
int64_t wide(int64_t s, int16x8_t a, int16x8_t b) { return asrl(vmlaldavaq_s16(s, a, b), 3); }
"""


@pytest.mark.qemu
def test_no_helium_instruction_is_unknown(tmp_path: Path) -> None:
    """Vectorised loops and intrinsics: all code is decoded, and falls into the kinds that it should."""
    (tmp_path / "helium.c").write_text(HELIUM, encoding="utf-8")
    flags = ["-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard", "-O3", "-ffreestanding", "-mpure-code"]
    link = ["-nostdlib", "-Wl,--entry=0", "-o", "helium.elf"]
    execute(["arm-none-eabi-gcc", *flags, *link, "helium.c"], cwd=tmp_path)
    image = read_image(tmp_path / "helium.elf")
    kinds = set()
    for start, size, name in image.functions:
        assert image.function_at(start + size - 2) == name
        code = image.read(start, size)
        count, position = 0, 0
        while position < size:
            position += 4 if code[position + 1] >> 3 >= 0b11101 else 2
            count += 1
        (instructions,) = decode(image, [Executed(start, count, size, {})])
        kinds |= {i.kind for i in instructions}
    assert len(image.functions) == 11
    assert {kind for kind in Kind if kind.startswith(("mve_", "loop_"))} - {
        Kind.LOOP_WHILE,
        Kind.MVE_MOVE,
    } <= kinds
