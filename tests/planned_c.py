"""Runs generated libraries of many plans in one sanitized program that knows what each call may touch.

Before every call, unit or move of a row the whole arena is poisoned for AddressSanitizer except the bytes
that its step of the plan names; whatever reads or writes others ends the program. (The sanitizer counts in
granules of eight bytes, so that up to seven bytes before a place stay open.) Arenas, states, inputs and
fed rows are blocks of the heap, whose surroundings are poisoned anyway.
"""

import struct
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from footprints import Footprints
from pingponnx._paths import runtime_c
from pingponnx.emit import prefix_of
from pingponnx.pipeline import Conversion
from pingponnx.plan import InputMode, Plan

# Not for undefined behaviour, which triples compile time: `prove` looks for that.
_SANITIZE = ["-fsanitize=address"]
_COMPILE = ["cc", "-std=c11", "-O0", "-g1", *_SANITIZE, "-DPINGPONNX_TRACE", "-I."]
_NEW_RUN = 0xFFFFFFFF


class Crash(Exception):
    """The program ended early; the sanitizer's report."""


@dataclass(frozen=True)
class Job:
    """A library, the bytes of its inputs, and the plan whose footprints it must keep to."""

    conversion: Conversion
    inputs: Sequence[bytes]
    plan: Plan

    @classmethod
    def of(cls, conversion: Conversion, inputs: Sequence[bytes]) -> "Job":
        return cls(conversion, inputs, conversion.plan)


@dataclass(frozen=True)
class Ran:
    """Outputs, and what every marked piece of code wrote, as verification.joined takes it."""

    outputs: tuple[bytes, ...]
    trace: tuple[tuple[int, bytes], ...]


def run_all(jobs: Sequence[Job], folder: Path) -> list[Ran]:
    """One program, one run of each; the models' names must differ."""
    prefixes = [prefix_of(job.conversion.graph) for job in jobs]
    assert len(set(prefixes)) == len(prefixes)
    for job in jobs:
        for name, text in job.conversion.sources.items():
            (folder / name).write_text(text)
    main = [_SUPPORT, *(_case(job, prefix) for job, prefix in zip(jobs, prefixes, strict=True))]
    calls = "".join(f"    case_{prefix}();\n" for prefix in prefixes)
    (folder / "main.c").write_text("\n".join([*main, f"int main(void) {{\n{calls}    return 0;\n}}\n"]))
    _build(["main.c", *(name for p in prefixes for name in (f"{p}.c", f"{p}_data.c"))], folder)
    data = b"".join(piece for job in jobs for piece in job.inputs)
    environment = {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(["./program"], cwd=folder, input=data, capture_output=True, env=environment)
    if done.returncode:
        raise Crash(done.stderr.decode(errors="replace")[-3000:])
    return list(_runs(jobs, done.stdout))


def _build(files: Sequence[str], folder: Path) -> None:
    """Compiles by two at a time, and links."""

    def compile_some(some: Sequence[str]) -> None:
        _execute([*_COMPILE, f"-I{runtime_c() / 'port'}", "-c", *some], folder)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_some, (files[::2], files[1::2])))
    _execute(["cc", *_SANITIZE, *(f"{Path(f).stem}.o" for f in files), "-lm", "-o", "program"], folder)


def _execute(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def _runs(jobs: Sequence[Job], data: bytes) -> Iterator[Ran]:
    """Records of the program's output; after _NEW_RUN follow a model's outputs."""
    at, trace, waiting = 0, list[tuple[int, bytes]](), list(jobs)
    while at < len(data):
        node, size = struct.unpack_from("<2I", data, at)
        at += 8
        if node != _NEW_RUN:
            trace.append((node, data[at : at + size]))
            at += size
            continue
        graph, outputs = waiting.pop(0).conversion.graph, list[bytes]()
        for name in graph.outputs:
            outputs.append(data[at : at + graph.tensors[name].bytes])
            at += graph.tensors[name].bytes
        yield Ran(tuple(outputs), tuple(trace))
        trace = []
    assert not waiting


# -- C ------------------------------------------------------------------------------------------------

_SUPPORT = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
void __asan_poison_memory_region(const volatile void *, size_t);
void __asan_unpoison_memory_region(const volatile void *, size_t);

static uint8_t *watched;        /* the arena that runs */
static size_t watched_bytes;
static const uint32_t *expected; /* per event: node, count, then offset and bytes of each place */

static void stop(const char *what) {
    fflush(stdout);
    fputs(what, stderr);
    exit(9);
}

void pingponnx_node_begin(unsigned node) {
    if (*expected++ != node) {
        stop("another node than planned");
    }
    __asan_poison_memory_region(watched, watched_bytes);
    for (uint32_t count = *expected++; count > 0; --count, expected += 2) {
        __asan_unpoison_memory_region(watched + expected[0], expected[1]);
    }
}

void pingponnx_node_stop(void) {
    __asan_unpoison_memory_region(watched, watched_bytes);
}

static void record(uint32_t node, const void *data, uint32_t bytes) {
    const uint32_t head[2] = {node, bytes};
    fwrite(head, sizeof head, 1, stdout);
    if (bytes > 0) {
        fwrite(data, 1, bytes, stdout);
    }
}

void pingponnx_node_end(unsigned node, const void *data, unsigned bytes) {
    record(node, data, bytes);
}

static void watch(void *arena, size_t bytes, const uint32_t *places) {
    memset(arena, 0x5A, bytes);
    watched = arena;
    watched_bytes = bytes;
    expected = places;
}

static void *input(size_t bytes) {
    void *const data = malloc(bytes + (bytes == 0));
    if (fread(data, 1, bytes, stdin) != bytes) {
        stop("no input");
    }
    return data;
}

static void check(int status) {
    if (status != 0 || *expected != UINT32_MAX) {
        stop("the run failed or ended early");
    }
}

/* A row from a block of its own that is gone when its function returns. */
#define FEED(function, state, image, row_bytes, count)                              \\
    do {                                                                            \\
        void *const rows = malloc((size_t)(row_bytes) * (count));                   \\
        memcpy(rows, image, (size_t)(row_bytes) * (count));                         \\
        if (function(state, rows, count) != 0) {                                    \\
            stop("rows were refused");                                              \\
        }                                                                           \\
        free(rows);                                                                 \\
    } while (0)
"""


def _case(job: Job, prefix: str) -> str:
    """The places of a plan, and a function that runs its library."""
    graph, memory = job.conversion.graph, job.conversion.plan
    numbers = list[int]()
    for event in Footprints(graph, job.conversion.calls, job.plan).events():
        numbers += [event.node, len(event.places), *(n for place in event.places for n in place)]
    values = ", ".join(f"{n}u" for n in [*numbers, 0xFFFFFFFF])
    sizes = [graph.tensors[n].bytes for n in graph.inputs]
    body = {InputMode.RESIDENT: _resident, InputMode.EXTERNAL: _external, InputMode.ROWS: _fed}
    lines = [
        f'#include "{prefix}.h"',
        f"static const uint32_t places_{prefix}[] = {{{values}}};",
        f"static void case_{prefix}(void) {{",
        *(f"    void *const input_{i} = input({size});" for i, size in enumerate(sizes)),
        *(f"    {line}" for line in body[memory.input_mode](job, prefix)),
        *(f"    free(input_{i});" for i in range(len(sizes))),
        "}",
    ]
    return "\n".join(lines)


def _arena(prefix: str) -> list[str]:
    return [
        f"{prefix}_arena *const arena = malloc(sizeof *arena);",
        f"watch(arena, sizeof *arena, places_{prefix});",
    ]


def _outputs(job: Job, prefix: str) -> list[str]:
    sizes = [job.conversion.graph.tensors[n].bytes for n in job.conversion.graph.outputs]
    lines = [f"fwrite({prefix}_output_{i}(arena), 1, {size}, stdout);" for i, size in enumerate(sizes)]
    return [f"record({_NEW_RUN}u, NULL, 0);", *lines, "free(arena);"]


def _resident(job: Job, prefix: str) -> list[str]:
    graph = job.conversion.graph
    copies = [
        f"memcpy({prefix}_input_{i}(arena), input_{i}, {graph.tensors[n].bytes});"
        for i, n in enumerate(graph.inputs)
    ]
    return [*_arena(prefix), *copies, f"check({prefix}_run(arena));", *_outputs(job, prefix)]


def _external(job: Job, prefix: str) -> list[str]:
    """The caller's inputs are still the same afterwards."""
    graph = job.conversion.graph
    before, after = list[str](), list[str]()
    for i, n in enumerate(graph.inputs):
        size = graph.tensors[n].bytes
        before += [f"void *const copy_{i} = malloc({size});", f"memcpy(copy_{i}, input_{i}, {size});"]
        after += [f'if (memcmp(copy_{i}, input_{i}, {size})) {{ stop("an input has changed"); }}']
        after += [f"free(copy_{i});"]
    names = ", ".join(f"input_{i}" for i in range(len(graph.inputs)))
    run = f"check({prefix}_run(arena, {names}));"
    return [*_arena(prefix), *before, run, *after, *_outputs(job, prefix)]


def _fed(job: Job, prefix: str) -> list[str]:
    """Rows come one by one and in pairs; the outputs go to memory of the caller's."""
    graph, macro = job.conversion.graph, prefix.upper()
    row = f"{macro}_INPUT_0_ROW_SIZE * {graph.tensors[graph.inputs[0]].dtype.bytes}"
    sizes = [graph.tensors[n].bytes for n in graph.outputs]
    return [
        f"{prefix}_state *const state = malloc(sizeof *state);",
        "memset(state, 0xA5, sizeof *state);",
        f"watch(&state->arena, sizeof state->arena, places_{prefix});",
        f"{prefix}_begin(state);",
        f"for (int32_t r = 0, count; r < {macro}_INPUT_0_ROWS; r += count) {{",
        f"    count = r % 3 == 1 && r + 1 < {macro}_INPUT_0_ROWS ? 2 : 1;",
        f"    FEED({prefix}_feed_rows, state, (uint8_t *)input_0 + r * ({row}), {row}, count);",
        "}",
        *(f"void *const output_{i} = malloc({size});" for i, size in enumerate(sizes)),
        f"check({prefix}_finish(state{''.join(f', output_{i}' for i in range(len(sizes)))}));",
        f"record({_NEW_RUN}u, NULL, 0);",
        *(f"fwrite(output_{i}, 1, {size}, stdout); free(output_{i});" for i, size in enumerate(sizes)),
        "free(state);",
    ]
