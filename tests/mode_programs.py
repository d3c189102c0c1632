"""C programs that use a generated library as its users do, in every mode of its input."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pingponnx.emit.literals import C_TYPES
from pingponnx.ir import Array
from pingponnx.pipeline import Conversion
from pingponnx.samples import Sample, feeds

WARN = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZE = ["-g1", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def literal(data: Array) -> str:
    values = data.ravel().tolist()
    return ", ".join(float(v).hex() + "f" if data.dtype.kind == "f" else str(v) for v in values)


def data_header(conversion: Conversion, samples: Sequence[Sample], outputs: Sequence[bytes]) -> str:
    """The samples' input and outputs as constants of a C program."""
    name = conversion.graph.inputs[0]
    inputs = [feeds(conversion.graph, s)[name] for s in samples]
    ctype = C_TYPES[str(inputs[0].dtype)]
    rows = ",\n".join(f"{{{literal(a)}}}" for a in inputs)
    wanted = ",\n".join(f"{{{', '.join(map(str, data))}}}" for data in outputs)
    size = conversion.graph.tensors[name].size
    return (
        f"typedef {ctype} value;\nstatic const value inputs[{len(inputs)}][{size}] = {{{rows}}};\n"
        f"static const uint8_t wanted[{len(outputs)}][{len(outputs[0])}] = {{{wanted}}};\n"
    )


def compile_and_run(conversion: Conversion, main: str, data: str, folder: Path) -> None:
    """The library with a program in which net_ and NET_ stand for its prefix; it prints only failures."""
    prefix = conversion.entry.prefix
    text = f'#include "{prefix}.h"\n#include <stdio.h>\n#include <string.h>\n{data}\n{main}'
    text = text.replace("NET_", f"{prefix.upper()}_").replace("net_", f"{prefix}_")
    for name, content in {**conversion.sources, "main.c": text}.items():
        (folder / name).write_text(content, encoding="utf-8")
    sources = ["main.c", *(name for name in conversion.sources if name.endswith(".c"))]
    done = subprocess.run(
        ["cc", *WARN, *SANITIZE, "-o", "main", *sources, "-lm"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["./main"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


CHECK = """
#define CHECK(what) do { if (!(what)) { printf("line %d: %s\\n", __LINE__, #what); return 1; } } while (0)
"""
# SETUP points the states to their banks, where there are some.
FED = f"""{CHECK}
enum {{ ROWS = NET_INPUT_0_ROWS, SIZE = NET_INPUT_0_ROW_SIZE }};
static net_state states[2];
static value rows[ROWS * SIZE];

/* From a buffer that is overwritten at once. */
static int feed(net_state *state, int sample, int from, int count) {{
    memcpy(rows, inputs[sample] + from * SIZE, (size_t)(count * SIZE) * sizeof(value));
    const int status = net_feed_rows(state, rows, count);
    memset(rows, 0x5E, sizeof rows);
    return status;
}}

static int same(const void *output, int sample) {{
    return memcmp(output, wanted[sample], sizeof wanted[0]) == 0;
}}

static int chunks(int size) {{
    net_state *const state = &states[0];
    uint8_t output[sizeof wanted[0]] __attribute__((aligned(4)));
    memset(state->at, 0x77, sizeof state->at);
    CHECK(net_begin(state) == NET_OK);
    for (int row = 0; row < ROWS; row += size) {{
        CHECK(net_finish(state, (void *)output) == NET_BAD_ROWS);
        CHECK(feed(state, 0, row, size < ROWS - row ? size : ROWS - row) == NET_OK);
    }}
    CHECK(net_feed_rows(state, inputs[0], 0) == NET_OK);
    CHECK(net_feed_rows(state, inputs[0], 1) == NET_BAD_ROWS);
    CHECK(net_finish(state, (void *)output) == NET_OK);
    CHECK(same(output, 0) && same(net_output_0(state), 0));
    CHECK(net_finish(state, (void *)output) == NET_BAD_ROWS);
    CHECK(net_feed_rows(state, inputs[0], 1) == NET_BAD_ROWS);
    return 0;
}}

/* Two runs at a time, rows in turns; and a run that starts while another was not finished. */
static int interleaved(void) {{
    uint8_t output[2][sizeof wanted[0]] __attribute__((aligned(4)));
    CHECK(net_begin(&states[0]) == NET_OK && feed(&states[0], 1, 0, ROWS - 1) == NET_OK);
    for (int i = 0; i < 2; ++i) CHECK(net_begin(&states[i]) == NET_OK);
    for (int row = 0; row < ROWS; ++row)
        for (int i = 0; i < 2; ++i) CHECK(feed(&states[i], i, row, 1) == NET_OK);
    for (int i = 0; i < 2; ++i) CHECK(net_finish(&states[i], (void *)output[i]) == NET_OK);
    for (int i = 0; i < 2; ++i) CHECK(same(output[i], i));
    return 0;
}}

int main(void) {{
    SETUP
    CHECK(net_run(&states[0], inputs[1]) == NET_OK && same(net_output_0(&states[0]), 1));
    CHECK(net_run(NULL, inputs[1]) == NET_BAD_ARENA);
    CHECK(net_begin((void *)((char *)states + 2)) == NET_BAD_ARENA);
    CHECK(net_run(&states[0], NULL) == NET_BAD_POINTER);
    CHECK(net_feed_rows(NULL, inputs[0], 1) == NET_BAD_ARENA);
    CHECK(net_finish(NULL, (void *)rows) == NET_BAD_ARENA);
    CHECK(net_begin(&states[0]) == NET_OK && net_feed_rows(&states[0], NULL, 1) == NET_BAD_POINTER);
    CHECK(net_feed_rows(&states[0], inputs[0], -1) == NET_BAD_ROWS);
    CHECK(net_finish(&states[0], NULL) == NET_BAD_POINTER);
    CHECK(chunks(1) == 0 && chunks(2) == 0 && chunks(3) == 0 && chunks(ROWS) == 0);
    CHECK(net_begin(&states[0]) == NET_OK);
    CHECK(feed(&states[0], 0, 0, ROWS - 1) == NET_OK);
    CHECK(net_feed_rows(&states[0], inputs[0] + (ROWS - 1) * SIZE, 2) == NET_BAD_ROWS);
    return interleaved();
}}
"""

# The inputs are constants, which cannot be written to; integers lie as unaligned as they may.
EXTERNAL = f"""{CHECK}
static const struct {{
    value before[sizeof(value) == 1 ? 1 : 2];
    value input[sizeof inputs[0] / sizeof(value)];
}} placed __attribute__((aligned(4))) = {{{{0}}, DATA}};
int main(void) {{
    static net_arena arena;
    CHECK(net_run(&arena, placed.input) == NET_OK);
    CHECK(memcmp(net_output_0(&arena), wanted[0], sizeof wanted[0]) == 0);
    CHECK(net_run(&arena, inputs[1]) == NET_OK);
    CHECK(memcmp(net_output_0(&arena), wanted[1], sizeof wanted[0]) == 0);
    CHECK(net_run(NULL, inputs[0]) == NET_BAD_ARENA);
    CHECK(net_run(&arena, NULL) == NET_BAD_POINTER);
    const void *const odd = (const char *)inputs[0] + 1;
    CHECK(net_run(&arena, (const value *)odd) == (sizeof(value) > 1 ? NET_BAD_POINTER : NET_OK));
    return 0;
}}
"""
