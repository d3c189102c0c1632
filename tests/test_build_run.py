"""build and run with hand-written libraries: results, exact counts, memory, and everything that can fail."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from pingponnx.build import Firmware, build, compile_library, compiler_version
from pingponnx.entry import Entry
from pingponnx.errors import Error, MemoryPlanError, ToolchainError
from pingponnx.memory_map import FILL
from pingponnx.run import qemu_version, run
from pingponnx.targets import get_target

CORES = ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]

HEADER = """
#include <stdint.h>
typedef union { uint64_t alignment; uint8_t bytes[24]; } tiny_arena;
int tiny_run(tiny_arena *arena);
"""

MARKERS = """
#ifdef PINGPONNX_TRACE
#include "pingponnx_trace.h"
#else
#define PINGPONNX_NODE_BEGIN(node)
#define PINGPONNX_NODE_END(node, data, bytes) (void)(data)
#endif
"""

# bytes: 0 first input (4), 4 second input (2), 8 sum (4), 12 output (4)
TWO_NODES = """
int tiny_run(tiny_arena *arena) {
    uint8_t *b = arena->bytes;
    PINGPONNX_NODE_BEGIN(0);
    for (int i = 0; i < 4; i++) { b[8 + i] = (uint8_t)(b[i] + b[4 + i % 2]); }
    PINGPONNX_NODE_END(0, b + 8, 4);
    PINGPONNX_NODE_BEGIN(1);
    for (int i = 0; i < 4; i++) { b[12 + i] = b[8 + i] ^ 0x33; }
    PINGPONNX_NODE_END(1, b + 12, 4);
    return 0;
}
"""
TWO_NODES_ENTRY = Entry("tiny", inputs=((0, 4), (4, 2)), outputs=((12, 4), (8, 2)), nodes=2)

# 2 n + 2 instructions, and one for the call.
SPIN = """
__attribute__((naked, noipa)) static void NAME(void) {
    __asm volatile(".syntax unified\\n\\t"
                   "ldr r3, =TURNS\\n"
                   "1: subs r3, r3, #1\\n\\t"
                   "bne 1b\\n\\t"
                   "bx lr\\n\\t"
                   ".ltorg");
}
"""

SAMPLES = [[b"\x01\x02\x03\xff", b"\x10\x20"], [b"abcd", b"\x00\xff"], [b"wxyz", b"\x80\x01"]]


def two_nodes(sample: list[bytes]) -> tuple[bytes, bytes]:
    first, second = sample
    total = bytes((value + second[index % 2]) & 0xFF for index, value in enumerate(first))
    return bytes(value ^ 0x33 for value in total), total


def library(code: str) -> dict[str, str]:
    return {"tiny.h": HEADER, "tiny.c": f'#include "tiny.h"\n{MARKERS}\n{code}'}


def body(statements: str, before: str = "") -> dict[str, str]:
    return library(f"{before}\nint tiny_run(tiny_arena *arena) {{ (void)arena; {statements} return 0; }}")


def spin(name: str, turns: int) -> str:
    return SPIN.replace("NAME", name).replace("TURNS", str(turns))


def make(sources: Mapping[str, str], target: str, folder: Path, *, trace: bool = False) -> Firmware:
    return build(sources, Entry("tiny", (), (), 2), get_target(target), folder, trace=trace)


on_each_core = pytest.mark.parametrize("core", [pytest.param(core, marks=pytest.mark.qemu) for core in CORES])
on_each_target = pytest.mark.parametrize(
    "name", ["host", *(pytest.param(core, marks=pytest.mark.qemu) for core in CORES)]
)


@on_each_target
@pytest.mark.parametrize("trace", [False, True])
def test_outputs_and_traces(name: str, trace: bool, tmp_path: Path) -> None:
    target = get_target(name)
    firmware = build(
        library(TWO_NODES), TWO_NODES_ENTRY, target, tmp_path, trace=trace, sanitize=target.is_host
    )
    execution = run(firmware, SAMPLES, dump=trace)
    expected = [two_nodes(sample) for sample in SAMPLES]
    assert execution.outputs == tuple((xored, total[:2]) for xored, total in expected)
    if trace:
        assert execution.traces == tuple(((0, total), (1, xored)) for xored, total in expected)
    assert (execution.instructions is None) == target.is_host
    assert (execution.stack is None) == (target.is_host or trace)
    assert (execution.node_instructions is None) == (target.is_host or not trace)


@on_each_core
@pytest.mark.parametrize("turns", [1, 50, 1_000_000])
def test_instructions_of_a_call_are_exact(core: str, turns: int, tmp_path: Path) -> None:
    code = spin("spin", turns).replace("static void spin(void)", "int tiny_run(tiny_arena *arena)")
    code = code.replace("(tiny_arena *arena)", "(tiny_arena *arena __attribute__((unused)))")
    code = code.replace('"bx lr', '"movs r0, #0\\n\\tbx lr')
    firmware = make(library(code), core, tmp_path)
    assert {run(firmware, [[]]).instructions for _ in range(3)} == {2 * turns + 3}


@on_each_core
def test_instructions_of_nodes_are_exact_whether_dumped_or_not(core: str, tmp_path: Path) -> None:
    code = """
int tiny_run(tiny_arena *arena) {
    PINGPONNX_NODE_BEGIN(0);
    first();
    PINGPONNX_NODE_END(0, arena, sizeof *arena);
    PINGPONNX_NODE_BEGIN(1);
    second();
    PINGPONNX_NODE_END(1, arena, sizeof *arena);
    return 0;
}"""
    sources = library(spin("first", 7) + spin("second", 123_456) + code)
    counts = set()
    for trace in (False, True):
        firmware = make(sources, core, tmp_path / str(trace), trace=trace)
        for dump in (False, trace):
            execution = run(firmware, [[], []], dump=dump)
            counts.add(execution.node_instructions)
            assert execution.instructions is not None
            # The rest is the call's own prologue and epilogue.
            assert 0 <= execution.instructions - (2 * 7 + 3) - (2 * 123_456 + 3) <= 12
    assert counts == {None, (2 * 7 + 3, 2 * 123_456 + 3)}


@pytest.mark.qemu
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_the_count_survives_a_wrap_of_the_counter(core: str, tmp_path: Path) -> None:
    turns = 450_000_000  # 900 million instructions; the counter wraps at 671 or 839 million
    sources = body("PINGPONNX_NODE_BEGIN(0); f(); PINGPONNX_NODE_END(0, arena, 1);", spin("f", turns))
    firmware = make(sources, core, tmp_path, trace=True)
    assert run(firmware, [[]]).node_instructions == (2 * turns + 3, 0)


@on_each_core
def test_stack_is_what_the_model_wrote(core: str, tmp_path: Path) -> None:
    before = """
__attribute__((noinline)) static void use(void) {
    volatile uint8_t block[512];
    for (uint32_t i = 0; i < sizeof block; i++) { block[i] = 1; }
}"""
    stack = run(make(body("use();", before), core, tmp_path / "a"), [[]]).stack
    assert stack is not None and 512 <= stack <= 512 + 24
    assert run(make(body(""), core, tmp_path / "b"), [[]]).stack == 0


OVERRUN = body("arena->bytes[offset] = 1;", "static volatile uint32_t offset = sizeof(tiny_arena) + 3;")


@on_each_target
def test_writing_behind_the_arena_is_detected(name: str, tmp_path: Path) -> None:
    with pytest.raises(MemoryPlanError, match=r"behind the end of its arena \(byte 3\)"):
        run(make(OVERRUN, name, tmp_path), [[]])


def test_the_sanitizer_sees_the_end_of_the_arena(tmp_path: Path) -> None:
    firmware = build(OVERRUN, Entry("tiny", (), (), 0), get_target("host"), tmp_path, sanitize=True)
    with pytest.raises(ToolchainError, match="exit status 1") as raised:
        run(firmware, [[]])
    assert "tiny.c" in raised.value.output


@on_each_core
def test_a_fault_is_reported(core: str, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=rf"tiny on {core}, sample 0: fault at address 0x[0-9a-f]*[1-9]"):
        run(make(body("__builtin_trap();"), core, tmp_path), [[]])


@pytest.mark.qemu
def test_an_unaligned_access_faults_on_v6m_as_on_silicon(tmp_path: Path) -> None:
    sources = body(
        "return (int)*(volatile uint32_t *)(address + 1);",
        "static uint32_t word; static volatile uintptr_t address = (uintptr_t)&word;",
    )
    with pytest.raises(ToolchainError, match="fault at"):
        run(make(sources, "cortex-m0", tmp_path / "m0"), [[]])
    assert run(make(sources, "cortex-m3", tmp_path / "m3"), [[]]).outputs == ((),)


@on_each_core
def test_an_exhausted_stack_is_an_error(core: str, tmp_path: Path) -> None:
    before = """
__attribute__((noinline)) static int deeper(volatile int *last) {
    volatile int here[64] = {0};
    return *last == 1 ? 0 : deeper(here) + here[1];
}"""
    with pytest.raises(ToolchainError):
        run(
            make(body("volatile int zero = 0; return deeper(&zero);", before), core, tmp_path),
            [[]],
            timeout=30,
        )


@pytest.mark.qemu
def test_a_stack_that_reaches_the_static_data_is_reported(tmp_path: Path) -> None:
    sources = body("pingponnx_stack_limit[0] = 1;", "extern volatile uint32_t pingponnx_stack_limit[];")
    with pytest.raises(ToolchainError, match="stack grew into the static data"):
        run(make(sources, "cortex-m4", tmp_path), [[]])


@on_each_target
def test_the_model_s_error_is_reported(name: str, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"sample 0: the model returned the error -3$"):
        run(make(body("return -3;"), name, tmp_path), [[]])


@pytest.mark.parametrize("name", ["host", pytest.param("cortex-m4", marks=pytest.mark.qemu)])
def test_a_model_that_does_not_end_is_stopped(name: str, tmp_path: Path) -> None:
    firmware = make(body("while (go) { }", "static volatile int go = 1;"), name, tmp_path)
    with pytest.raises(ToolchainError, match="did not finish within 1 s"):
        run(firmware, [[]], timeout=1)


def test_missing_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = make(body(""), "host", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ToolchainError, match="arm-none-eabi-gcc is not installed") as raised:
        make(body(""), "cortex-m4", tmp_path)
    assert "libnewlib-arm-none-eabi" in raised.value.hint
    with pytest.raises(ToolchainError, match="cc is not installed"):
        compiler_version(get_target("host"))
    on_board = Firmware(
        firmware.path, get_target("cortex-m4"), firmware.entry, False, firmware.map, firmware.compiler
    )
    with pytest.raises(ToolchainError, match="qemu-system-arm is not installed") as raised:
        run(on_board, [[]])
    assert "apt-get install" in raised.value.hint
    assert qemu_version() is None


@pytest.mark.parametrize("name", ["host", pytest.param("cortex-m4", marks=pytest.mark.qemu)])
def test_a_compiler_error_shows_command_and_output(name: str, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="failed with exit status 1") as raised:
        make(body("int16_t narrow = offset; (void)narrow;", "static int offset = 70000;"), name, tmp_path)
    assert "-Wconversion" in raised.value.command
    assert "narrow" in raised.value.output


@pytest.mark.qemu
def test_a_model_too_large_for_the_board(tmp_path: Path) -> None:
    sources = {name: text.replace("bytes[24]", "bytes[5000000]") for name, text in body("").items()}
    with pytest.raises(ToolchainError, match="overflowed") as raised:
        make(sources, "cortex-m4", tmp_path)
    assert "too large" in raised.value.hint


def test_wrong_uses_and_no_samples(tmp_path: Path) -> None:
    host = get_target("host")
    with pytest.raises(Error, match="not a C identifier"):
        Entry("tiny;", (), (), 0)
    with pytest.raises(Error, match="not a plain file name"):
        make({"../tiny.c": ""}, "host", tmp_path)
    with pytest.raises(Error, match="sanitizers"):
        build(body(""), Entry("tiny", (), (), 0), get_target("cortex-m4"), tmp_path, sanitize=True)
    with pytest.raises(ToolchainError, match="leaves the arena"):
        build(body(""), Entry("tiny", ((20, 5),), (), 0), host, tmp_path)
    firmware = build(library(TWO_NODES), TWO_NODES_ENTRY, host, tmp_path)
    with pytest.raises(Error, match=r"sample 1 has inputs of \[4\] bytes, the model takes \[4, 2\]"):
        run(firmware, [SAMPLES[0], [b"abcd"]])
    with pytest.raises(Error, match="trace=True"):
        run(firmware, SAMPLES, dump=True)
    assert run(firmware, []).outputs == ()


@pytest.mark.qemu
def test_equal_sources_give_equal_firmware_in_any_folder(tmp_path: Path) -> None:
    first = make(body(""), "cortex-m4", tmp_path / "a")
    second = make(body(""), "cortex-m4", tmp_path / "deeper" / "b")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.compiler.startswith("arm-none-eabi-gcc") and "/" not in first.compiler
    assert (qemu_version() or "").startswith("QEMU")


# Constants, strings that the linker merges, data, bss, 64-bit division (libgcc) and a function of libm.
MIXED = """
#include <math.h>
static const int16_t table[100] = {1, 2, 3};
static volatile uint32_t counter = 5;
static volatile float scratch[10];
static volatile uint64_t wide = 1000;
static const char *volatile texts[] = {"one", "two", "and two", "two"};
int tiny_run(tiny_arena *arena) {
    counter += (uint32_t)table[arena->bytes[0] % 100];
    wide = wide / (counter + 1u);
    scratch[arena->bytes[1] % 10] = expf((float)counter) + (float)texts[1][0];
    return 0;
}
"""


def section_sizes(path: Path) -> dict[str, int]:
    output = subprocess.run(
        ["arm-none-eabi-size", "-A", str(path)], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split() for line in output.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}


@on_each_core
def test_the_map_sums_to_the_sections(core: str, tmp_path: Path) -> None:
    firmware = make(library(MIXED), core, tmp_path)
    rows = {*firmware.map.flash, *firmware.map.ram}
    every = [*firmware.map.flash, *(row for row in firmware.map.ram if row.kind == "bss")]
    sizes = section_sizes(firmware.path)
    for section in (".vectors", ".text", ".rodata", ".data", ".bss"):
        assert sum(row.bytes for row in every if row.section == section) == sizes[section], section
        del sizes[section]
    assert all(name.startswith((".comment", ".ARM.attributes", ".debug")) for name in sizes)

    assert firmware.map.arena == 24
    named = {(row.object, row.name): row for row in rows}
    assert named["tiny.o", "table"].bytes == 200
    assert named["tiny.o", "table"].kind == "constants"
    assert named["tiny.o", "scratch"].kind == "bss"
    assert named["tiny.o", "tiny_run"].is_model
    assert not named["startup.o", "pingponnx_reset"].is_model
    assert any(row.object.startswith("libm.a(") and row.is_model for row in rows)
    assert any(row.object == FILL for row in rows)
    assert firmware.map.constants >= 200 and firmware.map.static_ram >= 4 + 40 + 8 + 16


@on_each_core
@pytest.mark.parametrize("trace", [False, True])
def test_the_harness_brings_no_library_code(core: str, trace: bool, tmp_path: Path) -> None:
    firmware = make(body(""), core, tmp_path, trace=trace)
    objects = {row.object for row in (*firmware.map.flash, *firmware.map.ram)}
    assert objects <= {"tiny.o", "harness.o", "port_semihosting.o", "startup.o", FILL}
    assert firmware.map.code == sum(row.bytes for row in firmware.map.flash if row.name == "tiny_run")
    assert firmware.map.constants == firmware.map.static_ram == 0


def write_library(folder: Path) -> list[Path]:
    """Two files of one name, as libraries have them, with a warning that must not matter."""
    for child, value in (("a", 40), ("b", 2)):
        (folder / child).mkdir(parents=True)
        text = f"int value_{child}(void) {{ int unused; return {value}; }}\n"
        (folder / child / "value.c").write_text(text)
    return [folder / "a" / "value.c", folder / "b" / "value.c"]


@on_each_target
def test_a_library_is_linked_and_counted_as_the_model_s(name: str, tmp_path: Path) -> None:
    target = get_target(name)
    sources = write_library(tmp_path / "third-party")
    archive = compile_library(sources, target, tmp_path / "libs" / "libvalue.a")
    assert {path.name for path in archive.parent.iterdir()} == {"libvalue.a", "libvalue.ci"}
    code = body(
        "arena->bytes[0] = (uint8_t)(value_a() + value_b());", "int value_a(void); int value_b(void);"
    )
    entry = Entry("tiny", (), ((0, 1),), 1)
    firmware = build(code, entry, target, tmp_path / "build", libraries=[archive])
    assert run(firmware, [[]]).outputs == ((b"\x2a",),)
    if not target.is_host:
        members = {row.object for row in firmware.map.flash if row.is_model}
        assert members == {"tiny.o", "libvalue.a(value.o)", "libvalue.a(value_.o)"}


def test_a_library_that_fails_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "bad.c"
    source.write_text("this is not C\n")
    out = tmp_path / "libs" / "bad.a"
    with pytest.raises(ToolchainError, match="failed"):
        compile_library([source], get_target("host"), out)
    assert list(out.parent.iterdir()) == []


def test_defines_include_dirs_and_optimisation(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "answer.h").write_text("#define ANSWER 6\n")
    code = body("arena->bytes[0] = ANSWER * FACTOR;", '#include "answer.h"')
    firmware = build(
        code,
        Entry("tiny", (), ((0, 1),), 0),
        get_target("host"),
        tmp_path / "build",
        defines=["FACTOR=7"],
        include_dirs=[tmp_path / "include"],
        optimisation="-Os",
    )
    shutil.rmtree(tmp_path / "include")
    assert run(firmware, [[]]).outputs == ((b"\x2a",),)
