"""Runs generated libraries of many plans in one program, sanitized or as fast as they are delivered.

The sanitized one knows what each call may touch: before every call, unit or move of a row the whole arena is
poisoned for AddressSanitizer except the bytes that its step of the plan names; whatever reads or writes
others ends the program. (The sanitizer counts in granules of eight bytes, so that up to seven bytes before a
place stay open.) Arenas are as large as planned; they, states, inputs and fed rows are blocks of the heap
between poisoned zones. All libraries are one translation unit, for kernels that they share compile once.
"""

import re
import struct
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from footprints import Footprints
from pingponnx._paths import runtime_c
from pingponnx.build import _MODEL_FLAGS, OPTIMISATION
from pingponnx.emit import prefix_of
from pingponnx.pipeline import Conversion
from pingponnx.plan import InputMode, Plan

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_SANITIZED = ("-std=c11", "-O0", "-g1", "-DPINGPONNX_TRACE", *SANITIZERS)
# gcc has that false alarm for kernels of Cortex-M4 on this computer, though not for their core.
_FAST = (*_MODEL_FLAGS, "-Werror", "-Wno-aggressive-loop-optimizations", OPTIMISATION)
_ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0:redzone=256", "UBSAN_OPTIONS": "print_stacktrace=1"}
_NEW_RUN = 0xFFFFFFFF
_PRIVATE = re.compile(r"\b(?:n\d+_|MADE_|KEPT_|ROWS_)\w+")
"""Names that several libraries have for themselves."""


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


def run_all(jobs: Sequence[Job], folder: Path, libraries: Sequence[Path] = ()) -> list[Ran]:
    """One sanitized program, one run of each; the models' names must differ.

    `libraries` are archives that they call, sanitized or not. Raises Crash.
    """
    prefixes = _write(jobs, folder)
    for prefix in prefixes:
        for name in (f"{prefix}.c", f"{prefix}_data.c"):
            text = (folder / name).read_text()
            (folder / name).write_text(_PRIVATE.sub(lambda found, own=prefix: f"{own}_{found[0]}", text))
    main = [f'#include "{prefix}{part}.c"' for prefix in prefixes for part in ("", "_data")]
    _write_main(jobs, folder, main)
    command = ["cc", *_SANITIZED, *_includes(jobs), "main.c", *map(str, libraries), "-lm", "-o", "program"]
    _execute(command, folder)
    return _run(jobs, folder)


def run_fast(jobs: Sequence[Job], folder: Path, libraries: Sequence[Path] = ()) -> list[Ran]:
    """The same compiled as a user does, file by file and optimised; without traces. Raises Crash."""
    prefixes = _write(jobs, folder)
    _write_main(jobs, folder, [])
    files = ["main.c", *(f"{prefix}{part}.c" for prefix in prefixes for part in ("", "_data"))]

    def compile_some(some: Sequence[str]) -> None:
        _execute(["cc", *_FAST, *_includes(jobs), "-c", *some], folder)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_some, (files[::2], files[1::2])))
    objects = [f"{Path(file).stem}.o" for file in files]
    _execute(["cc", *objects, *map(str, libraries), "-lm", "-o", "program"], folder)
    return _run(jobs, folder)


def _write(jobs: Sequence[Job], folder: Path) -> list[str]:
    """The libraries' files; their prefixes."""
    prefixes = [prefix_of(job.conversion.graph) for job in jobs]
    assert len(set(prefixes)) == len(prefixes)
    for job in jobs:
        for name, text in job.conversion.sources.items():
            (folder / name).write_text(text)
    return prefixes


def _write_main(jobs: Sequence[Job], folder: Path, first: Sequence[str]) -> None:
    prefixes = [prefix_of(job.conversion.graph) for job in jobs]
    cases = [case_of(job, prefix) for job, prefix in zip(jobs, prefixes, strict=True)]
    calls = "".join(f"    case_{prefix}();\n" for prefix in prefixes)
    program = f"int main(void) {{\n{calls}    return 0;\n}}\n"
    (folder / "main.c").write_text("\n".join([*first, _SUPPORT, FEED, *cases, program]))


def _includes(jobs: Sequence[Job]) -> list[str]:
    """Folders of headers, and what CMSIS-NN's glue wants to know, where it is called."""
    used = [job.conversion.library for job in jobs if job.conversion.library is not None]
    options = [f"-I{folder}" for library in used for folder in library.include_dirs]
    options += [f"-D{define}" for library in used for define in library.defines]
    return ["-I.", f"-I{runtime_c() / 'port'}", *dict.fromkeys(options)]


def _execute(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def _run(jobs: Sequence[Job], folder: Path) -> list[Ran]:
    data = b"".join(piece for job in jobs for piece in job.inputs)
    program = [str(folder / "program")]
    done = subprocess.run(program, input=data, capture_output=True, env=_ENVIRONMENT, timeout=300)
    if done.returncode:
        raise Crash(done.stderr.decode(errors="replace")[-3000:])
    return list(runs_of(jobs, done.stdout))


def runs_of(jobs: Sequence[Job], data: bytes) -> Iterator[Ran]:
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

static void stop(const char *what) {
    fflush(stdout);
    fputs(what, stderr);
    exit(9);
}

#if defined(PINGPONNX_TRACE)
void __asan_poison_memory_region(const volatile void *, size_t);
void __asan_unpoison_memory_region(const volatile void *, size_t);

static uint8_t *watched;        /* the arena that runs */
static size_t watched_bytes;
static const uint32_t *expected; /* per event: node, count, then offset and bytes of each place */

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

#endif

static void record(uint32_t node, const void *data, uint32_t bytes) {
    const uint32_t head[2] = {node, bytes};
    fwrite(head, sizeof head, 1, stdout);
    if (bytes > 0) {
        fwrite(data, 1, bytes, stdout);
    }
}

#if defined(PINGPONNX_TRACE)
void pingponnx_node_end(unsigned node, const void *data, unsigned bytes) {
    record(node, data, bytes);
}
#endif

static void watch(void *arena, size_t bytes, const uint32_t *places) {
    memset(arena, 0x5A, bytes);
#if defined(PINGPONNX_TRACE)
    watched = arena;
    watched_bytes = bytes;
    expected = places;
#else
    (void)places;
#endif
}

static void *input(size_t bytes) {
    void *const data = malloc(bytes + (bytes == 0));
    if (fread(data, 1, bytes, stdin) != bytes) {
        stop("no input");
    }
    return data;
}

static void check(int status) {
#if defined(PINGPONNX_TRACE)
    if (*expected != UINT32_MAX) {
        stop("the run ended early");
    }
#endif
    if (status != 0) {
        stop("the run failed");
    }
}

"""

FEED = """
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


def case_of(job: Job, prefix: str) -> str:
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
        f'_Static_assert(sizeof({prefix}_arena) == {memory.arena}, "the arena is as large as planned");',
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
