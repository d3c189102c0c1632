"""What a caller may get wrong about memory is found by the compiler, or told by a status."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mode_programs import CHECK, WARN, compile_and_run
from models import converted
from pingponnx.pipeline import Conversion
from pingponnx.plan import InputMode
from pingponnx.select import Goal

LENET = "lenet5/lenet5_int8.onnx"

# THING is what a caller provides: the arena, a state, or a bank of it.
PLACED = f"""{CHECK}
static uint8_t pool[sizeof(net_THING) + 64] __attribute__((aligned(16)));
static uint8_t small[sizeof(net_THING) - 1] __attribute__((aligned(16)));
static struct {{ uint32_t word; uint8_t bytes[sizeof(net_THING)]; }} placed;
static net_THING proper;
_Static_assert(NET_WHAT_FITS(pool) && NET_WHAT_FITS(proper), "large and aligned enough");
_Static_assert(!NET_WHAT_FITS(small), "too small");
_Static_assert(!NET_WHAT_FITS(placed.bytes), "not aligned enough");
int main(void) {{
    uint8_t *const from = pool + NET_ARENA_ALIGNMENT; /* and to nothing more */
    CHECK((uint8_t *)net_place_THING(from, sizeof pool - NET_ARENA_ALIGNMENT) == from);
    CHECK((uint8_t *)net_place_THING(pool, sizeof(net_THING)) == pool);
    CHECK(net_place_THING(pool, sizeof(net_THING) - 1) == NULL && net_place_THING(pool, 0) == NULL);
    CHECK(net_place_THING(NULL, sizeof pool) == NULL);
    for (size_t i = 1; i < NET_ARENA_ALIGNMENT; ++i)
        CHECK(net_place_THING(pool + i, sizeof pool - i) == NULL);
    (void)small, (void)placed, (void)proper;
    MORE
    return 0;
}}
"""
HELPERS = """
    static float real[NET_INPUT_0_SIZE];
    net_arena *const arena = net_place_arena(from, sizeof pool - NET_ARENA_ALIGNMENT);
    const void *odd = (const char *)real + 2;
    CHECK(net_quantize_input_0(NULL, real) == NET_BAD_ARENA);
    CHECK(net_quantize_input_0(arena, NULL) == NET_BAD_POINTER);
    CHECK(net_quantize_input_0(arena, (const float *)odd) == NET_BAD_POINTER);
    CHECK(net_quantize_input_0(arena, real) == NET_OK);
    CHECK(net_run(net_place_arena(small, sizeof small)) == NET_BAD_ARENA);
    CHECK(net_run(arena) == NET_OK);
    CHECK(net_dequantize_output_0(NULL, real) == NET_BAD_ARENA);
    CHECK(net_dequantize_output_0(arena, NULL) == NET_BAD_POINTER);
    CHECK(net_dequantize_output_0(arena, real) == NET_OK);
"""
CASES: dict[str, dict[str, Any]] = {
    "arena": {},
    "state": {"input_mode": InputMode.ROWS},
    "sram": {"banks": (("dtcm", 600), ("sram", 2000))},
}


def _program(conversion: Conversion, thing: str) -> str:
    more = HELPERS if thing == "arena" else ""
    return PLACED.replace("MORE", more).replace("THING", thing).replace("WHAT", thing.upper())


@pytest.mark.parametrize("thing", CASES)
def test_memory_of_ones_own(thing: str, examples: Path, tmp_path: Path) -> None:
    """Of a pool, anywhere that is aligned enough; NULL, too small and unaligned memory is refused."""
    conversion = converted(examples / LENET, goal=Goal.RAM, **CASES[thing])
    compile_and_run(conversion, _program(conversion, thing), "", tmp_path)


@pytest.mark.parametrize("language", ["c", "c++"])
def test_memory_that_does_not_fit_does_not_compile(language: str, examples: Path, tmp_path: Path) -> None:
    conversion = converted(examples / LENET)
    (tmp_path / "lenet5_int8.h").write_text(conversion.sources["lenet5_int8.h"])
    keyword = {"c": "_Static_assert", "c++": "static_assert"}[language]
    standard = {"c": "-std=c11", "c++": "-std=c++17"}[language]
    compiler = shutil.which("g++" if language == "c++" else "cc")
    assert compiler is not None
    for declaration, fits in (
        ("uint8_t mine[LENET5_INT8_ARENA_BYTES] __attribute__((aligned(4)));", True),
        ("uint8_t mine[LENET5_INT8_ARENA_BYTES - 1] __attribute__((aligned(4)));", False),
        ("struct { uint8_t odd, mine[LENET5_INT8_ARENA_BYTES]; } pool;", False),
        ("lenet5_int8_arena mine;", True),
    ):
        name = "pool.mine" if "pool" in declaration else "mine"
        text = f'#include "lenet5_int8.h"\n{declaration}\n{keyword}(LENET5_INT8_ARENA_FITS({name}), "no");\n'
        (tmp_path / "main").write_text(text)
        command = [compiler, "-x", language, standard, *WARN[1:], "-pedantic", "-fsyntax-only", "main"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode == 0) == fits, f"{text}\n{done.stderr}"
        assert fits or 'assertion failed: "no"' in done.stderr or "assertion failed: no" in done.stderr
