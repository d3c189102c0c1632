"""The emitted text: strangers' names, reproducible bytes, golden files, and C that others can live with."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile import renamed
from models import HOST, converted, execute, save
from pingponnx._paths import cmsis_baseline, runtime_c
from pingponnx.evaluate import evaluate
from pingponnx.fixed_point import Rounding
from pingponnx.names import comment, identifier
from pingponnx.pipeline import Conversion, convert, firmware, normal_form
from pingponnx.samples import feeds, random_samples
from tiny_models import TINY, images, tiny

GOLDEN = Path(__file__).parent / "golden"
WARN = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
PRINTABLE = {"\n", *map(chr, range(32, 127))}
HOSTILE = [
    'it\'s "quoted"',
    "line\nbreak\r\n#error injected",
    "*/ #error injected /*",
    "// line comment \\",
    '#include "/etc/passwd"',
    "../../outside",
    "/absolute/path",
    "größe_π_模型_🙂",
    "right\u202eto left\u2028",
    "int",
    "while",
    "class",
    "%s%n $(touch x) `touch x` ${CMAKE}",
    "{{ prefix }} {% raw %}",
    "??/ trigraph ??= <: :>",
    "a-b",
    "a.b",
    "a b",
    "\x00nul\x07bell",
    "9starts_with_a_digit",
    "___",
    "x" * 10_000,
    "*/" * 5_000,
    '"); exit(1); //',
]


def _write(sources: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in sources.items():
        (folder / name).write_text(text, encoding="utf-8")


def _compile(folder: Path, output: str, *arguments: str) -> None:
    command = ["cc", "-std=c11", *WARN, "-I.", *arguments, "-o", output, "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]


def _run(program: Path) -> bytes:
    done = subprocess.run([str(program)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return done.stdout


# -- names ------------------------------------------------------------------------------------------


def _safe(conversion: Conversion) -> None:
    """No name that could harm stands in the C or CMake text, and the manifest is JSON."""
    harmful = [name for name in HOSTILE if comment(name) != name]
    for file, text in conversion.sources.items():
        if file.endswith(".json"):
            assert json.loads(text)["model"] == conversion.graph.name
            continue
        assert set(text) <= PRINTABLE, file
        assert not any(name in text for name in harmful), file
        assert not any(line.lstrip().startswith("#error") for line in text.splitlines()), file
        assert text.count("/*") == text.count("*/"), file


def test_hostile_names_inside_a_model(tmp_path: Path) -> None:
    """Names are rotated, so that every one is an input's, an output's, a constant's and a node's."""
    for turn in range(0, len(HOSTILE), 8):
        names = [n.replace("\x00", "") for n in HOSTILE[turn:] + HOSTILE[:turn]]
        path = save(renamed(images(), names), tmp_path / "model.onnx")
        conversion = converted(path)
        _safe(conversion)
        samples = random_samples(conversion.graph)[:1]
        (outputs,) = execute(conversion, samples)
        want = evaluate(conversion.graph, feeds(conversion.graph, samples[0]), Rounding.SINGLE)
        np.testing.assert_array_equal(outputs[0], want[conversion.graph.outputs[0]])


def test_hostile_names_of_models(tmp_path: Path) -> None:
    """All in one program: no symbol, macro or file of two models collides unless the prefixes are equal."""
    normal = normal_form(save(images(), tmp_path / "model.onnx"), HOST)
    seen: dict[str, str] = {}
    objects = []
    for name in HOSTILE:
        conversion = convert(replace(normal, name=name), HOST)
        _safe(conversion)
        prefix = conversion.entry.prefix
        assert prefix.isidentifier() and prefix.isascii() and len(prefix) <= 64
        files = set(conversion.sources)
        assert {f"{prefix}.c", f"{prefix}.h", f"{prefix}_data.c", f"{prefix}_data.h"} <= files
        assert all(Path(f).name == f for f in files)
        if prefix in seen:
            continue
        seen[prefix] = name
        _write(conversion.sources, tmp_path / "all")
        objects += [f"{prefix}.c", f"{prefix}_data.c"]
    assert len(seen) > len(HOSTILE) // 2
    main = "".join(f'#include "{p}.h"\n' for p in seen)
    main += "int main(void) {\n" + "".join(f"    {p}_arena {p}_a;\n    (void){p}_a;\n" for p in seen)
    main += "".join(f"    if ({p}_run(NULL) != 1) return 1;\n" for p in seen) + "    return 0;\n}\n"
    (tmp_path / "all" / "main.c").write_text("#include <stddef.h>\n" + main)
    _compile(tmp_path / "all", "program", "-O0", "main.c", *objects)
    _run(tmp_path / "all" / "program")


@given(st.text(max_size=60))
def test_identifier_and_comment_are_safe_for_any_text(text: str) -> None:
    name, note = identifier(text), comment(text)
    assert name.isidentifier() and name.isascii() and name == name.lower()
    assert note.isascii() and len(note) <= 80
    assert not set(note) & set('*/\\?"\n\r\0{}%$`')


# -- reproducible -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_emitted_twice_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    first, second = tiny(name, tmp_path), tiny(name, tmp_path / "other")
    assert list(first.sources) == sorted(first.sources)
    assert first.sources == second.sources


@pytest.mark.parametrize("name", TINY)
def test_golden_files(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    """What changes here changes for every user: look at the difference, then `pytest --update-golden`."""
    sources = tiny(name, tmp_path).sources
    made = {f: text for f, text in sources.items() if not _kernel(f).is_file()}
    folder = GOLDEN / name
    if request.config.getoption("--update-golden"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        _write(made, folder)
    assert {p.name for p in folder.iterdir()} == set(made)
    for file, text in made.items():
        assert text == (folder / file).read_text(encoding="utf-8"), file
    for file in set(sources) - set(made):
        assert sources[file] == _kernel(file).read_text(encoding="utf-8")


def _kernel(file: str) -> Path:
    found = runtime_c() / file
    return found if found.is_file() else cmsis_baseline() / file


# -- the C ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_shared_kernels_compute_the_same(tmp_path: Path, name: str) -> None:
    conversion = tiny(name, tmp_path, target="host")
    samples = random_samples(conversion.graph)
    alone = execute(conversion, samples)
    shared = execute(conversion, samples, defines=["PINGPONNX_SHARED_KERNELS"])
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert firmware(conversion, tmp_path, defines=["PINGPONNX_SHARED_KERNELS"]).path.is_file()


# Every node of the outer run is preceded by a whole run of the other instance.
TRACE = """
void nested(void);
#define PINGPONNX_NODE_BEGIN(node) nested()
#define PINGPONNX_NODE_END(node, data, bytes) ((void)(data))
"""
INTERLEAVED = """
#include "tiny_images.h"
#include <stdio.h>
#include <string.h>
static tiny_images_arena arenas[2];
static float inputs[2][TINY_IMAGES_INPUT_0_SIZE];
static int8_t alone[2][TINY_IMAGES_OUTPUT_0_SIZE];
static int nesting = -1;
static int runs;
static int start(int i) {
    memset(&arenas[i], 0x55 + i, sizeof arenas[i]);
    tiny_images_quantize_input_0(&arenas[i], inputs[i]);
    return tiny_images_run(&arenas[i]);
}
static int differs(int i) {
    return memcmp(alone[i], tiny_images_output_0(&arenas[i]), sizeof alone[i]) != 0;
}
void nested(void);
void nested(void) {
    if (nesting == 0) {
        nesting = 1;
        ++runs;
        if (start(1) != 0 || differs(1)) runs = -1000;
        nesting = 0;
    }
}
int main(void) {
    float real[TINY_IMAGES_OUTPUT_0_SIZE];
    for (int i = 0; i < 2; ++i) {
        for (int k = 0; k < TINY_IMAGES_INPUT_0_SIZE; ++k)
            inputs[i][k] = (float)((k * (i == 0 ? 7 : 5)) % 23 - 11) * 0.3f;
        if (start(i) != 0) return 1;
        memcpy(alone[i], tiny_images_output_0(&arenas[i]), sizeof alone[i]);
    }
    if (memcmp(alone[0], alone[1], sizeof alone[0]) == 0) return 2;
    nesting = 0;
    if (start(0) != 0 || differs(0) || runs < 3) return 3;
    void *odd = arenas[0].bytes + 1;
    if (tiny_images_run(odd) != TINY_IMAGES_BAD_ARENA) return 4;
    if (tiny_images_run(NULL) != TINY_IMAGES_BAD_ARENA) return 4;
    tiny_images_dequantize_output_0(&arenas[0], real);
    for (int k = 0; k < TINY_IMAGES_OUTPUT_0_SIZE; ++k) {
        float want = (float)(alone[0][k] - TINY_IMAGES_OUTPUT_0_ZERO_POINT) * TINY_IMAGES_OUTPUT_0_SCALE;
        if (real[k] != want) return 5;
    }
    return 0;
}
"""


def test_two_instances_interleaved_give_the_same_as_alone(tmp_path: Path) -> None:
    """All state is in the arena: instance 1 runs to its end inside every node of instance 0's run."""
    _write(tiny("tiny_images", tmp_path, target="host").sources, tmp_path / "c")
    _write({"pingponnx_trace.h": TRACE, "main.c": INTERLEAVED}, tmp_path / "c")
    files = ["main.c", "tiny_images.c", "tiny_images_data.c"]
    sanitize = ["-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-sanitize=alignment"]
    _compile(tmp_path / "c", "program", "-DPINGPONNX_TRACE", *sanitize, *files)
    _run(tmp_path / "c" / "program")


@pytest.mark.parametrize("name", TINY)
def test_headers_are_cpp17(tmp_path: Path, name: str) -> None:
    if shutil.which("g++") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have g++", pytrace=False)
        pytest.skip("g++ is not installed")
    _write(tiny(name, tmp_path, target="host").sources, tmp_path / "c")
    includes = f'#include "{name}.h"\n#include "{name}_data.h"\n#include "{name}.h"\n'
    main = f"int main() {{ static {name}_arena a; {name}_input_0(&a)[0] = 1; return {name}_run(&a); }}\n"
    _write({"main.cpp": includes + main}, tmp_path / "c")
    for source in (f"{name}.c", f"{name}_data.c"):
        _compile(tmp_path / "c", f"{source}.o", "-c", source)
    objects = [f"{name}.c.o", f"{name}_data.c.o"]
    command = ["g++", "-std=c++17", "-pedantic", *WARN, "-I.", "main.cpp", *objects, "-o", "program", "-lm"]
    done = subprocess.run(command, cwd=tmp_path / "c", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    _run(tmp_path / "c" / "program")
