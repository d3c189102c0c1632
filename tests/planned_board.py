"""Runs generated libraries of many plans in one firmware, under QEMU: planned_c's functions as one model.

What they want of the C library is here: memory between guards, inputs that are constants, outputs that follow
each other in the "model's" arena.
"""

from collections.abc import Sequence
from pathlib import Path

from pingponnx import cmsis
from pingponnx._paths import runtime_c
from pingponnx.build import build
from pingponnx.emit import prefix_of
from pingponnx.entry import Entry
from pingponnx.fixed_point import Rounding
from pingponnx.run import run
from pingponnx.targets import get_target
from planned_c import FEED, Job, Ran, case_of, runs_of

_GUARD = 32  # bytes before and after whatever is allocated


def run_board(jobs: Sequence[Job], core: str, folder: Path) -> list[Ran]:
    """One run of each on a core, compiled as firmware is; the models' names must differ."""
    target = get_target(core, None)
    graphs = [job.conversion.graph for job in jobs]
    total = sum(8 + sum(graph.tensors[n].bytes for n in graph.outputs) for graph in graphs)
    sources = {name: text for job in jobs for name, text in job.conversion.sources.items()}
    library = next((job.conversion.library for job in jobs if job.conversion.library), None)
    firmware = build(
        {**sources, "fleet.h": _header(total), "fleet.c": _source(jobs)},
        Entry("fleet", (), ((0, total),), 1),
        target,
        folder,
        defines=library.defines if library else (),
        include_dirs=[runtime_c(), *(library.include_dirs if library else ())],
        libraries=[cmsis.library(library, target, Rounding.SINGLE)] if library else [],
    )
    ((data,),) = run(firmware, [()]).outputs
    return list(runs_of(jobs, data))


def _header(total: int) -> str:
    return f"""#ifndef FLEET_H
#define FLEET_H
#include <stdint.h>
typedef union {{ uint64_t alignment; uint8_t bytes[{total}]; }} fleet_arena;
int fleet_run(fleet_arena *arena);
#endif
"""


def _source(jobs: Sequence[Job]) -> str:
    prefixes = [prefix_of(job.conversion.graph) for job in jobs]
    given = ",".join(str(byte) for job in jobs for piece in job.inputs for byte in piece)
    cases = [case_of(job, prefix) for job, prefix in zip(jobs, prefixes, strict=True)]
    calls = "".join(f"    taken = 0;\n    case_{prefix}();\n" for prefix in prefixes)
    return "\n".join(
        [
            f"#define GUARD {_GUARD}u",
            _SUPPORT,
            FEED,
            f"static const uint8_t given[] = {{{given}}};",
            _INPUT,
            *cases,
            "int fleet_run(fleet_arena *arena) {",
            "    written = arena->bytes;",
            f"{calls}    return failed;",
            "}\n",
        ]
    )


_SUPPORT = """#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "fleet.h"

static uint8_t *written;
static int failed;
static _Alignas(8) uint8_t heap[60000];
static size_t taken;

static void stop(const char *what) {
    (void)what;
    failed = 1;
}

/* The bytes' number, a guard, the bytes, a guard. */
static void *take(size_t bytes) {
    uint8_t *const place = heap + taken;
    const size_t room = (bytes + 7u) & ~(size_t)7u;
    taken += 8u + room + 2u * GUARD;
    if (taken > sizeof heap) {
        stop("no memory");
        return heap;
    }
    memcpy(place, &bytes, sizeof bytes);
    memset(place + 8, 0xC3, GUARD + room + GUARD);
    return place + 8 + GUARD;
}

static void give_back(const void *memory) {
    const uint8_t *const bytes = memory;
    size_t size;
    memcpy(&size, bytes - GUARD - 8, sizeof size);
    for (size_t i = 0; i < GUARD; ++i) {
        if (bytes[i - GUARD] != 0xC3 || bytes[size + i] != 0xC3) {
            stop("written beyond");
        }
    }
}

#define malloc(bytes) take(bytes)
#define free(memory) give_back(memory)
#define fwrite(from, size, count, file) write_out(from, (size) * (count))

static void write_out(const void *from, size_t bytes) {
    memcpy(written, from, bytes);
    written += bytes;
}

static void record(uint32_t node, const void *data, uint32_t bytes) {
    const uint32_t head[2] = {node, bytes};
    (void)data;
    write_out(head, sizeof head);
}

static void watch(void *arena, size_t bytes, const uint32_t *places) {
    (void)places;
    memset(arena, 0x5A, bytes);
}

static void check(int status) {
    if (status != 0) {
        stop("the run failed");
    }
}
"""

_INPUT = """
static size_t fed;

static void *input(size_t bytes) {
    void *const data = take(bytes);
    memcpy(data, given + fed, bytes);
    fed += bytes;
    return data;
}
"""
