"""Generated C under other compilers, at odd addresses, in threads; what it needs of the system around it."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from c_matrix import CORES, HOST, LEVELS, Case, case, compare, compile_arm, run_host, wrong

from models import Builder, save
from pingponnx import cmsis
from pingponnx.pipeline import Options, convert, firmware, normal_form
from pingponnx.select import Goal
from pingponnx.stack import Function, parse_call_graph, stack_bound

ROOT = Path(__file__).resolve().parents[1]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "float32": ("examples/lenet5/lenet5_f32.onnx", {}),
    "streamed": ("examples/lenet5/lenet5_int8.onnx", {"goal": Goal.RAM}),
    "recurrent": ("tests/exports/gru.dynamo.18.onnx", {}),
    "dsp": ("examples/paper_cifar/paper_cifar_int8.onnx", {"goal": Goal.CYCLES, "samples": 1}),
    "attention": ("tests/exports/transformer.dynamo.18.onnx", {}),
}
NAMES = list(CASES)


@cache
def _case(name: str, **changes: Any) -> Case:
    path, options = CASES[name]
    return case(ROOT / path, **{**options, **changes})


# -- compilers ------------------------------------------------------------------------------------------


@pytest.mark.compilers
@pytest.mark.parametrize("name", NAMES)
def test_compilers_languages_and_levels_give_the_same_bytes(name: str) -> None:
    """Four builds a library, so that every compiler has every level once; `make c-matrix` takes all."""
    builds = [(c, LEVELS[(NAMES.index(name) + i) % len(LEVELS)]) for i, c in enumerate(HOST)]
    assert compare(_case(name), builds) == ""


@pytest.mark.compilers
@pytest.mark.parametrize("name", NAMES)
def test_gcc_and_clang_compile_it_for_arm(name: str) -> None:
    turn = NAMES.index(name)
    compile_arm(_case(name), "gcc", CORES[turn], LEVELS[turn])
    compile_arm(_case(name), "clang", CORES[turn + 1], LEVELS[-turn])


def _huge() -> Builder:
    """Two tensors of more than 16 MiB each."""
    net = Builder()
    net.add("Concat", "x", net.add("Neg", net.add("Abs", "x")), axis=1)
    return net


def _image() -> Builder:
    """Streamed, in more than 64 KiB."""
    net = Builder()
    x = net.add("Relu", net.conv("x", 2, 4, pads=[1, 1, 1, 1]))
    net.conv(x, 4, 2, pads=[1, 1, 1, 1])
    return net


def _signal() -> Builder:
    """Streamed in more steps than 16 bits count."""
    net = Builder()
    x = net.add("Relu", net.add("Conv", "x", net.normal(2, 1, 3), net.normal(2), pads=[1, 1]))
    net.add("Conv", x, net.normal(1, 2, 3), net.normal(1), pads=[1, 1])
    return net


@pytest.mark.parametrize(
    ("make", "shape", "bits"),
    [(_huge, [1, 4_300_000], 24), (_image, [1, 2, 96, 160], 16), (_signal, [1, 1, 33_000], 16)],
)
def test_big_arenas(make: Any, shape: list[int], bits: int, tmp_path: Path) -> None:
    net = make()
    path = save(net.model({"x": shape}, net.nodes[-1].output[0]), tmp_path / "big.onnx")
    found = case(path, samples=1, goal=Goal.RAM)
    assert found.conversion.plan.arena > 1 << bits
    assert make is not _huge or max(found.conversion.plan.offsets.values()) > 1 << bits
    assert ("    int32_t at[" in found.conversion.sources["big.c"]) == (make is _signal)
    assert compare(found, [("gcc", "-O2")]) == ""


CHECKS = "undefined,implicit-conversion,float-cast-overflow,float-divide-by-zero,pointer-overflow"


@pytest.mark.compilers
@pytest.mark.parametrize("name", NAMES)
def test_no_undefined_behaviour_nor_implicit_loss(name: str) -> None:
    """clang's checks, which gcc's do not contain, as traps; arenas at the least alignment make it strict."""
    found = _case(name)
    options = (f"-fsanitize={CHECKS}", f"-fsanitize-trap={CHECKS}")
    assert wrong(found, run_host(found, "clang", "-O1", options)) == []


# -- what the library consists of ---------------------------------------------------------------------

# What a library may need: the C library's memory and mathematical functions, the compiler's own support.
NEEDED = re.compile(
    r"mem(cpy|set|move)|__aeabi_\w+|__(gnu_)?\w+[sdt]i\d?|"
    r"(exp|expm1|log|log1p|tanh|sinh?|cosh?|tan|asinh?|acosh?|atanh?|sqrt|pow|erf|floor|ceil|rint|nearbyint|round|fmod|fabs)f?"
)


def _variants() -> list[Any]:
    return [
        *NAMES,
        pytest.param("cmsis", marks=pytest.mark.cmsis),
        pytest.param("cmsis float32", marks=pytest.mark.cmsis),
    ]


@pytest.mark.compilers
def test_constants_are_as_aligned_as_declared() -> None:
    """clang loads vectors of arrays that do not say that they are aligned to less than x86-64's ABI wants."""
    assert compare(_case("streamed", target="cortex-m0"), [("clang", "-O2"), ("gcc", "-O3")]) == ""


@pytest.mark.compilers
def test_assembly_finds_its_registers_on_the_smallest_core() -> None:
    """At -Os gcc did not find them, where two loops are in one function."""
    for level in LEVELS:
        compile_arm(_case("streamed", target="cortex-m0"), "gcc", "cortex-m0", level)


@pytest.mark.qemu
@pytest.mark.parametrize("name", _variants())
def test_no_heap_no_globals_no_recursion_and_a_bounded_stack(name: str, tmp_path: Path) -> None:
    """Of the very objects that reports measure; -Wvla is part of the matrix."""
    if name.startswith("cmsis"):
        conversion = _case("float32" if "float32" in name else "streamed", variant="cmsis-nn").conversion
    else:
        conversion = _case(name).conversion
    built = firmware(conversion, tmp_path)
    objects = sorted((tmp_path / "model").glob("*.o"))
    archives = []
    if conversion.library is not None:
        archives = [cmsis.library(conversion.library, conversion.target, conversion.options.rounding)]
    assert _faults([*objects, *archives], built.call_graph) == []
    prefix = conversion.entry.prefix
    assert all(symbol.startswith(f"{prefix}_") for symbol, kind in _symbols(objects) if kind in "TRDBC")


WRONG = """
#include <stdlib.h>
int counter;
int *heap(int n) { return malloc((size_t)n); }
int deep(int n) { return n == 0 ? 0 : n + counter / deep(n - 1); }
int sized(int n) { char bytes[n]; char *volatile p = bytes; return p[n - 1]; }
int through(int (*call)(int), int n) { return call(n) + 1; }
"""


@pytest.mark.qemu
def test_what_would_be_wrong_is_seen(tmp_path: Path) -> None:
    (tmp_path / "wrong.c").write_text(WRONG)
    options = ["-mcpu=cortex-m4", "-mthumb", "-O1", "-w", "-fcallgraph-info=su"]
    subprocess.run(["arm-none-eabi-gcc", *options, "-c", "wrong.c"], cwd=tmp_path, check=True)
    found = _faults([tmp_path / "wrong.o"], (tmp_path / "wrong.ci").read_text())
    assert found == [
        "needs malloc",
        "data: counter",
        "no bound: deep",
        "no bound: sized",
        "no bound: through",
    ]


def _faults(objects: Sequence[Path], call_graph: str) -> list[str]:
    """Calls of the system, variables, and functions whose stack has no bound at compile time."""
    symbols = _symbols(objects)
    defined = {symbol for symbol, kind in symbols if kind != "U"}
    needed = sorted({symbol for symbol, kind in symbols if kind == "U"} - defined)
    found = [f"needs {symbol}" for symbol in needed if not NEEDED.fullmatch(symbol)]
    found += [f"data: {symbol}" for symbol, kind in sorted(symbols) if kind not in "TtRrUW"]
    functions = parse_call_graph([call_graph])
    for name in sorted(functions):
        if stack_bound(functions, name, lambda _: Function(0, frozenset())).bytes is None:
            found.append(f"no bound: {name}")
    return found


def _symbols(files: Sequence[Path]) -> set[tuple[str, str]]:
    done = subprocess.run(["arm-none-eabi-nm", "-A", *files], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {(words[-1], words[-2]) for words in lines if len(words) > 2 and not words[-1].startswith("$")}


# -- threads ----------------------------------------------------------------------------------------------

THREADS = """
#include <pthread.h>
#include <stdio.h>
#include <string.h>
INCLUDES
enum { ROUNDS = 12, EACH = 2 };
typedef struct { int library; int failed; unsigned char arena[LARGEST] __attribute__((aligned(16))); } job;
static job jobs[LIBRARIES * EACH];
static unsigned char alone[LIBRARIES][LARGEST];

/* Values that are numbers as float32, and something as bytes. */
static void fill(void *input, int words) {
    for (int i = 0; i < words; ++i) {
        const float value = (float)(i % 11) * 0.1f;
        memcpy((char *)input + 4 * i, &value, 4);
    }
}

static int run(int library, void *memory, unsigned char *output) {
    memset(memory, library, LARGEST);
    switch (library) {
CASES
    default: return -1;
    }
}

static void *work(void *argument) {
    job *const mine = argument;
    unsigned char output[LARGEST];
    for (int i = 0; i < ROUNDS; ++i) {
        memcpy(output, alone[mine->library], LARGEST);
        mine->failed |= run(mine->library, mine->arena, output);
        mine->failed |= memcmp(output, alone[mine->library], LARGEST);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[LIBRARIES * EACH];
    for (int i = 0; i < LIBRARIES; ++i) if (run(i, jobs[i].arena, alone[i]) != 0) return 1;
    for (int i = 0; i < LIBRARIES * EACH; ++i) {
        jobs[i].library = i % LIBRARIES;
        if (pthread_create(&threads[i], NULL, work, &jobs[i]) != 0) return 2;
    }
    for (int i = 0; i < LIBRARIES * EACH; ++i) pthread_join(threads[i], NULL);
    for (int i = 0; i < LIBRARIES * EACH; ++i) if (jobs[i].failed) return 3;
    return 0;
}
"""


@pytest.mark.cmsis
def test_two_threads_each_of_three_libraries_at_once(tmp_path: Path) -> None:
    """Under gcc's thread sanitizer: equal bytes, no memory that two instances share."""
    options = Options(target="host", variant="cmsis-nn")
    lenet = normal_form(ROOT / CASES["streamed"][0], options)
    baseline = convert(replace(lenet, name="baseline"), options)
    assert baseline.library is not None
    libraries = [_case("streamed").conversion, _case("recurrent").conversion, baseline]
    sources: list[str] = []
    cases, largest = "", 0
    for number, found in enumerate(libraries):
        prefix = found.entry.prefix
        for name, text in found.sources.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        sources += [f"{prefix}.c", f"{prefix}_data.c"]
        largest = max(largest, found.plan.arena)
        size = found.graph.tensors[found.graph.outputs[0]].bytes
        fills = "".join(
            f"fill({prefix}_input_{i}(arena), {bytes_ // 4}); "
            for i, (_, bytes_) in enumerate(found.entry.inputs)
        )
        cases += (
            f"    case {number}: {{\n"
            f"        {prefix}_arena *const arena = {prefix}_place_arena(memory, LARGEST);\n"
            f"        {fills}if ({prefix}_run(arena) != 0) return -1;\n"
            f"        memcpy(output, {prefix}_output_0(arena), {size});\n        return 0;\n    }}\n"
        )
    includes = "".join(f'#include "{found.entry.prefix}.h"\n' for found in libraries)
    includes += f"enum {{ LIBRARIES = {len(libraries)}, LARGEST = {largest} }};\n"
    (tmp_path / "main.c").write_text(THREADS.replace("INCLUDES", includes).replace("CASES", cases))
    archive = cmsis.library(baseline.library, baseline.target, options.rounding)
    flags = [
        *(f"-I{d}" for d in baseline.library.include_dirs),
        *(f"-D{d}" for d in baseline.library.defines),
    ]
    command = [
        "gcc",
        "-std=c11",
        "-O1",
        "-g",
        "-fsanitize=thread",
        "-I.",
        *flags,
        "main.c",
        *sources,
        str(archive),
    ]
    subprocess.run([*command, "-lm", "-lpthread", "-o", "program"], cwd=tmp_path, check=True)
    done = subprocess.run(["./program"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
