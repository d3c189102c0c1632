"""The profiler: every count is exact, equal to icount's, the same each time, on every core."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from pingponnx.build import Firmware, build
from pingponnx.entry import Entry
from pingponnx.errors import Error, ToolchainError
from pingponnx.pipeline import Options, convert, firmware, normal_form
from pingponnx.profile import OUTSIDE, Accesses, Block, Count, FlashLines, Profile, profile
from pingponnx.run import run
from pingponnx.samples import input_bytes, random_samples
from pingponnx.targets import get_target

ROOT = Path(__file__).resolve().parents[1]
LENET = ROOT / "examples" / "lenet5" / "lenet5_int8.onnx"
DS_CNN = ROOT.parent / "shared" / "models" / "mlperf_kws_int8.onnx"
CORES = ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]

# Functions of known cost, called once: instructions inside, and one for the call.
TINY = """
#include "tiny.h"
#ifdef PINGPONNX_TRACE
#include "pingponnx_trace.h"
#else
#define PINGPONNX_NODE_BEGIN(node) ((void)0)
#define PINGPONNX_NODE_END(node, data, bytes) ((void)0)
#endif
__attribute__((used)) static const uint32_t table[8] = {1, 2, 3, 4, 5, 6, 7, 8};
#define ASM(...) __asm volatile(__VA_ARGS__ ::: "memory")
FUNCTIONS
int tiny_run(tiny_arena *arena) {
    (void)table;
    PINGPONNX_NODE_BEGIN(0);
    first(arena);
    PINGPONNX_NODE_END(0, arena->bytes, 8);
    PINGPONNX_NODE_BEGIN(1);
    second();
    PINGPONNX_NODE_END(1, arena->bytes, 8);
    return 0;
}
"""
HEADER = """
#include <stdint.h>
typedef union { uint64_t alignment; uint8_t bytes[64]; } tiny_arena;
int tiny_run(tiny_arena *arena);
"""


def naked(name: str, *lines: str) -> str:
    text = "\\n\\t".join([".syntax unified", *lines])
    parameter = "tiny_arena *a __attribute__((unused))" if name == "first" else "void"
    return f'__attribute__((naked, noipa)) static void {name}({parameter}) {{ ASM("{text}"); }}'


def spin(name: str, turns: int) -> str:
    """2 turns + 2 instructions."""
    return naked(name, f"ldr r3, ={turns}", "1: subs r3, r3, #1", "bne 1b", "bx lr", ".ltorg")


def tiny(core: str, folder: Path, *functions: str, trace: bool = False) -> Firmware:
    sources = {"tiny.h": HEADER, "tiny.c": TINY.replace("FUNCTIONS", "\n".join(functions))}
    return build(sources, Entry("tiny", (), (), 2), get_target(core), folder, trace=trace)


def total(found: Profile) -> int:
    return sum(found.node_instructions) + found.instructions(found.run)


def at(blocks: Sequence[Block], region: int, instructions: int) -> list[Count]:
    return [b.counts[region] for b in blocks if region in b.counts and b.instructions == instructions]


on_each_core = pytest.mark.parametrize("core", CORES)
pytestmark = pytest.mark.qemu


# -- known programs ---------------------------------------------------------------------------------


@on_each_core
@pytest.mark.parametrize("turns", [1, 2, 1_000_000])
def test_loops_of_known_length(core: str, turns: int, tmp_path: Path) -> None:
    image = tiny(core, tmp_path, spin("first", turns), spin("second", 7))
    found = profile(image, [[]])
    assert found.node_instructions == (2 * turns + 3, 17)
    assert total(found) == run(image, [[]]).instructions
    # ldr, subs, bne: once; then subs, bne; each left by the branch except the last time
    assert Count(1, min(turns - 1, 1)) in at(found.blocks, found.region(0), 3)
    if turns > 1:
        assert at(found.blocks, found.region(0), 2) == [Count(turns - 1, turns - 2)]


@on_each_core
def test_a_traced_firmware_is_counted_by_its_markers(core: str, tmp_path: Path) -> None:
    image = tiny(core, tmp_path, spin("first", 1000), spin("second", 1), trace=True)
    assert profile(image, [[]]).node_instructions == run(image, [[]]).node_instructions == (2004, 5)


LOADS = naked(
    "first",
    "push {r4, r5, r6, lr}",  # 4 words stored to the stack
    "ldr r1, [r0]",
    "ldrh r1, [r0, #2]",
    "ldrb r1, [r0, #1]",
    "str r1, [r0, #4]",
    "strh r1, [r0, #6]",
    "strb r1, [r0, #7]",
    "ldr r2, =table",  # a word from flash
    "ldmia r2!, {r3, r4, r5, r6}",  # 4 words from flash
    "pop {r4, r5, r6, pc}",  # 4 words loaded from the stack
    ".ltorg",
)


@on_each_core
def test_known_loads_and_stores(core: str, tmp_path: Path) -> None:
    image = tiny(core, tmp_path, LOADS, spin("second", 100_003))
    found = profile(image, [[]], memory=True)
    node = found.traffic[found.region(0)]
    assert node.by_place["ram"] == Accesses(loads=7, load_bytes=23, stores=7, store_bytes=23)
    assert node.by_place["flash"] == Accesses(loads=5, load_bytes=20, stores=0, store_bytes=0)
    assert node.by_place["other"] == Accesses(0, 0, 0, 0)
    assert node.unaligned == 0
    assert found.stack == node.stack == run(image, [[]]).stack
    assert found.traffic[found.region(1)].by_place["flash"].loads == 1
    assert found.blocks == profile(image, [[]]).blocks


UNALIGNED = naked(
    "first",
    "ldr r1, [r0, #1]",
    "ldrh r1, [r0, #3]",
    "str r1, [r0, #6]",
    "strh r1, [r0, #8]",  # aligned
    "ldrd r2, r3, [r0, #4]",  # two words, aligned for a core that knows no larger access
    "bx lr",
)


@pytest.mark.parametrize("core", CORES[1:])
def test_unaligned_accesses(core: str, tmp_path: Path) -> None:
    found = profile(tiny(core, tmp_path, UNALIGNED, spin("second", 1)), [[]], memory=True)
    node = found.traffic[found.region(0)]
    assert node.unaligned == 3
    assert node.by_place["ram"] == Accesses(loads=4, load_bytes=14, stores=2, store_bytes=6)


def test_vectors_count_per_element(tmp_path: Path) -> None:
    vectors = naked("first", "vldrb.8 q0, [r0]", "vstrw.32 q0, [r0, #16]", "bx lr")
    found = profile(tiny("cortex-m55", tmp_path, vectors, spin("second", 1)), [[]], memory=True)
    assert found.traffic[1].by_place["ram"] == Accesses(16, 16, 4, 16)


def test_code_that_straddles_pages(tmp_path: Path) -> None:
    """QEMU translates M-profile code in pages of 1 KiB; two thousand 32-bit instructions cross several."""
    wide = naked("first", "nop", ".rept 2000", "add.w r1, r1, #1", ".endr", "bx lr")
    found = profile(tiny("cortex-m4", tmp_path, wide, spin("second", 1)), [[]])
    assert found.node_instructions == (2003, 5)
    blocks = [b for b in found.blocks if found.region(0) in b.counts]
    assert sum(b.instructions for b in blocks) == 2003 and sum(b.bytes for b in blocks) == 8004 + 4


# -- flash lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lines", "misses"), [(16, 4), (3, 400)])
def test_code_lines(lines: int, misses: int, tmp_path: Path) -> None:
    """A loop of 4 lines: it fits, or each line is gone when it is needed again."""
    body = [".p2align 4", "1:", *["nop"] * 30, "subs r3, #1", "bne 1b"]
    loop = naked("first", "movs r3, #100", "b 1f", *body, "bx lr")
    found = profile(
        tiny("cortex-m4", tmp_path, loop, spin("second", 1)), [[]], flash_model=FlashLines(lines, 1, 16)
    )
    got = found.traffic[found.region(0)].code_misses
    assert got is not None and misses <= got <= misses + 5  # the call, the function's start and end
    assert profile(tiny("cortex-m4", tmp_path, loop, spin("second", 1)), [[]]).traffic == ()


@pytest.mark.parametrize(("lines", "misses"), [(1, 400), (2, 2)])
def test_data_lines(lines: int, misses: int, tmp_path: Path) -> None:
    """Two words of the table that are in different lines, by turns; RAM has no lines."""
    body = ["1: ldr r1, [r2]", "ldr r1, [r2, #16]", "str r1, [r0]", "subs r3, #1", "bne 1b"]
    loop = naked("first", "adr r2, 2f", "movs r3, #200", *body, "bx lr", ".p2align 4", "2: .space 32")
    image = tiny("cortex-m4", tmp_path, loop, spin("second", 1))
    found = profile(image, [[]], flash_model=FlashLines(64, lines, 16))
    assert found.traffic[found.region(0)].data_misses == misses


@pytest.mark.parametrize("wrong", [(0, 1, 8), (1, 0, 8), (1, 70_000, 8), (1, 1, 2), (1, 1, 24)])
def test_impossible_flash_lines_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(Error):
        FlashLines(*wrong)


# -- networks ---------------------------------------------------------------------------------------


def networks() -> list[ParameterSet]:
    variants = {"optimised": [], "cmsis-nn": [pytest.mark.cmsis]}
    models = [(LENET, core) for core in CORES]
    if DS_CNN.exists():
        models += [(DS_CNN, core) for core in ("cortex-m0", "cortex-m4", "cortex-m55")]
    return [
        pytest.param(model, core, variant, marks=marks, id=f"{model.stem}-{core}-{variant}")
        for model, core in models
        for variant, marks in variants.items()
    ]


@pytest.mark.parametrize(("model", "core", "variant"), networks())
def test_networks(model: Path, core: str, variant: str, tmp_path: Path) -> None:
    options = Options(target=core, variant=variant)
    conversion = convert(normal_form(model, options), options)
    samples = [list(s) for s in input_bytes(conversion.graph, random_samples(conversion.graph, 1))]

    # Not disturbed: all of the run is counted as without a profiler, three times the same.
    plain = firmware(conversion, tmp_path / "plain")
    counted, found = run(plain, samples), profile(plain, samples, memory=True)
    assert total(found) == counted.instructions
    assert found.stack == counted.stack
    assert (found.outputs,) == counted.outputs
    steps = sum(len(segment.steps) for segment in conversion.plan.segments)
    assert found.instructions(found.run) < 60 + 15 * steps  # around the nodes are only the loops of streams
    assert found == profile(plain, samples, memory=True) == profile(plain, samples, memory=True)

    # The same traced firmware counted both ways: on no node one instruction differs.
    traced = firmware(conversion, tmp_path / "traced", trace=True)
    by_marker = profile(traced, samples)
    assert by_marker.node_instructions == run(traced, samples).node_instructions

    # Told apart by debug information, each node has the same few instructions more: those of the marker
    # behind it, or behind each of its streamed rows. A handful is at the border of two nodes.
    by_line = profile(replace(traced, trace=False), samples)
    pairs = zip(by_marker.node_instructions, by_line.node_instructions, strict=True)
    rows = Counter(step.node for segment in conversion.plan.segments for step in segment.steps)
    more = [(line - marker) / (rows[k] or 1) for k, (marker, line) in enumerate(pairs) if marker or line]
    assert max(more) < 400
    assert max(more) - min(more) < 40


# -- what can go wrong ------------------------------------------------------------------------------


def test_the_host_cannot_be_profiled(tmp_path: Path) -> None:
    code = '#include "tiny.h"\nint tiny_run(tiny_arena *arena) { return arena == 0; }\n'
    image = build({"tiny.h": HEADER, "tiny.c": code}, Entry("tiny", (), (), 2), get_target("host"), tmp_path)
    with pytest.raises(Error, match="cannot be profiled"):
        profile(image, [[]])


def test_a_sample_is_needed(tmp_path: Path) -> None:
    with pytest.raises(Error, match="needs a sample"):
        profile(tiny("cortex-m4", tmp_path, spin("first", 1), spin("second", 1)), [])


def test_a_failing_model_is_reported(tmp_path: Path) -> None:
    image = tiny("cortex-m4", tmp_path, naked("first", "udf #0"), spin("second", 1))
    with pytest.raises(ToolchainError, match="fault"):
        profile(image, [[]])


def test_an_incomplete_report_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = tiny("cortex-m4", tmp_path, spin("first", 1), spin("second", 1))

    def cut(*_: object, **__: object) -> tuple[tuple[bytes, ...], str]:
        return (), "block 40 3 6\ncount 1 1 0\n"

    monkeypatch.setattr("pingponnx.profile.observe", cut)
    with pytest.raises(ToolchainError, match="not complete"):
        profile(image, [[]])


def test_regions_are_numbered() -> None:
    counts: Mapping[int, Count] = {1: Count(3, 2)}
    found = Profile(2, (Block(0, 4, 8, counts),), (), (), (0, 12, 0, 0))
    assert (OUTSIDE, found.region(0), found.region(1), found.run) == (0, 1, 2, 3)
    assert found.node_instructions == (12, 0) and found.stack is None
