"""The cycle models: what is decoded, what it costs, frozen results, and one network against silicon."""

import copy
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fc32 import ENTRY, SILICON, sample, sources

from pingponnx import cmsis
from pingponnx.build import build, execute
from pingponnx.cycles import (
    Image,
    attribute,
    by_function,
    by_region,
    cycle_model,
    cycles,
    flash_cycles,
    get_flash_model,
    hottest,
    import_board,
    load_models,
    read_image,
)
from pingponnx.cycles.decode import decode
from pingponnx.cycles.instruction import Instruction, Kind
from pingponnx.cycles.model import build_model, model_tables
from pingponnx.errors import Error
from pingponnx.fixed_point import Rounding
from pingponnx.profile import OUTSIDE, profile
from pingponnx.targets import get_target

PROGRAMS = Path(__file__).parent / "data" / "cycles" / "programs.toml"
START = 0x1000
# An M3 has no FPU, so that the frozen programs cannot hold the numbers it inherits for one.
NO_FPU = ("m3", "m3-trm")


@dataclass(frozen=True)
class Executed:
    """A block with one region."""

    start: int
    instructions: int
    bytes: int
    counts: Mapping[int, tuple[int, int]]


@dataclass(frozen=True)
class Program:
    image: Image
    blocks: tuple[Executed, ...]
    cycles: Mapping[str, float]


def machine_code(listing: str) -> list[bytes]:
    """Instructions of a listing: halfwords in hexadecimal, then text that does not matter."""
    rows = [re.match(r"([0-9a-f]{4})(?: ([0-9a-f]{4}))?(?:\s|$)", line) for line in listing.split("\n") if line]
    assert all(rows)
    return [
        b"".join(int(half, 16).to_bytes(2, "little") for half in row.groups() if half) for row in rows if row
    ]


def program(blocks: list[tuple[str, int, int]], expected: Mapping[str, float] | None = None) -> Program:
    """Blocks, as (listing, executed, taken), that follow each other in memory."""
    code, executed = b"", []
    for listing, times, taken in blocks:
        instructions = machine_code(listing)
        size = sum(map(len, instructions))
        executed.append(Executed(START + len(code), len(instructions), size, {1: (times, taken)}))
        code += b"".join(instructions)
    return Program(Image(((START, code),)), tuple(executed), expected or {})


def frozen_programs() -> dict[str, Program]:
    data = tomllib.loads(PROGRAMS.read_text(encoding="utf-8"))
    return {
        item["name"]: program(
            [(block["code"], block["executed"], block["taken"]) for block in item["block"]], item["cycles"]
        )
        for item in data["program"]
    }


FROZEN = frozen_programs()


def decoded(listing: str) -> tuple[Instruction, ...]:
    one = program([(listing, 1, 0)])
    return decode(one.image, one.blocks)[0]


# -- frozen results ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "model"), [(n, m) for n, p in FROZEN.items() for m in p.cycles])
def test_frozen_programs(name: str, model: str) -> None:
    """Every number is exact: a change that is meant also raises the model's version."""
    frozen = FROZEN[name]
    assert cycles(load_models()[model], frozen.image, frozen.blocks) == {1: frozen.cycles[model]}


def test_versions() -> None:
    assert {name: model.version for name, model in load_models().items()} == dict.fromkeys(
        ("m0", "m0p", "m4-trm", "m4", "m3-trm", "m3", "m33", "m7", "m55"), 1
    )


@pytest.mark.parametrize("name", load_models())
def test_the_frozen_programs_notice_every_number(name: str) -> None:
    instructions = {n: decode(p.image, p.blocks) for n, p in FROZEN.items()}

    def totals(tables: Mapping[str, Any]) -> dict[str, float]:
        pipeline = build_model(name, tables).pipeline
        return {
            n: sum(
                pipeline.cost(code).total(*block.counts[1])
                for code, block in zip(instructions[n], p.blocks, strict=True)
            )
            for n, p in FROZEN.items()
            if name in p.cycles
        }

    unnoticed = []
    tables, before = model_tables(name), totals(model_tables(name))
    for table in ("instruction", "register", "taken", "latency", "rules"):
        for key in tables.get(table, {}):
            changed = copy.deepcopy(tables)
            changed[table][key] += 1
            if totals(changed) == before and not (name in NO_FPU and key.startswith("fp_")):
                unnoticed.append(f"{table}.{key}")
    assert not unnoticed


# -- silicon ----------------------------------------------------------------------------------------


@pytest.mark.qemu
@pytest.mark.cmsis
def test_a_network_measured_on_silicon(tmp_path: Path) -> None:
    """bakenn's 32-16-4 network on an nRF52840, flash wait states and another compiler included."""
    target, library = get_target("cortex-m4"), cmsis.find()
    firmware = build(
        sources(),
        ENTRY,
        target,
        tmp_path,
        include_dirs=library.include_dirs,
        libraries=[cmsis.library(library, target, Rounding.TFLITE)],
    )
    found = profile(firmware, [sample()])
    spent = cycles(cycle_model(target), read_image(firmware.path), found.blocks)
    nodes = sum(spent[found.region(node)] for node in range(ENTRY.nodes))
    assert nodes == pytest.approx(SILICON, rel=0.12)
    assert nodes == pytest.approx(3358, rel=0.02)  # gcc 12.2, design/measurement.md
    assert set(spent) == {OUTSIDE, 1, 2, found.run}


# -- decoding ---------------------------------------------------------------------------------------

PLAIN = Instruction(START, 2, "", Kind.ALU)


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
        ("fc90 1e40 vldrb.u32 q0, [r0, q0]", None),
        ("fc90 0e02 vldrb.u8 q0, [r0, q1]", {"kind": Kind.MVE_GATHER, "elements": 16}),
        ("fd92 1e01 vldrw.u32 q0, [q1, #4]", None),
        ("ea50 013f asrl r0, r1, #3", None),
    ],
)
def test_decoding(listing: str, expected: Mapping[str, Any] | None) -> None:
    if expected is None:
        pytest.skip("to be filled in")
    (found,) = decoded(listing)
    assert found.mnemonic in listing
    assert {name: getattr(found, name) for name in expected} == expected
