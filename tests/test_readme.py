"""The README's commands do what it says."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^    \.venv/bin/(pingponnx .+)$", re.MULTILINE)


def commands() -> list[str]:
    return COMMAND.findall(README)


@pytest.mark.qemu
@pytest.mark.cmsis
def test_commands_for_a_model_of_ones_own(tmp_path: Path) -> None:
    example = ROOT / "examples" / "lenet5"
    shutil.copy(example / "lenet5_f32.onnx", tmp_path / "model.onnx")
    shutil.copy(example / "calibration.npz", tmp_path / "calibration.npz")
    shutil.copy(example / "calibration.npz", tmp_path / "test.npz")
    assert len(commands()) >= 4
    for command in commands():
        _, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, "-m", "pingponnx", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "firmware" / "model" / "model_int8.h").is_file()
    assert (tmp_path / "reports" / "model" / "report.html").is_file()


# What the examples need of their surroundings: how the library was made, and what is theirs.
EXAMPLES = {
    "arena": ([], "static float real_values[1024];"),
    "rows": (
        ["--input", "rows"],
        "static int8_t line[MODEL_INT8_INPUT_0_ROW_SIZE]; static int lines = MODEL_INT8_INPUT_0_ROWS;"
        "static int camera_line(int8_t *to) { (void)to; return lines-- > 0; }",
    ),
}


def _pool() -> list[str]:
    """What the README says of memory that is no arena."""
    (pool,) = re.findall(r"`(alignas\(.+?;)`", README)
    assert (
        "`MODEL_INT8_ARENA_FITS(pool)`" in README and "`model_int8_place_arena(pool, sizeof pool)`" in README
    )
    fits = '_Static_assert(MODEL_INT8_ARENA_FITS(pool), "too small");'
    return [
        "#include <stdalign.h>",
        pool,
        fits,
        "void *placed(void);",
        "void *placed(void) {",
        "return model_int8_place_arena(pool, sizeof pool); }",
    ]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_c_examples_name_what_the_generated_header_declares(kind: str, tmp_path: Path) -> None:
    options, before = EXAMPLES[kind]
    shutil.copy(ROOT / "examples" / "lenet5" / "lenet5_int8.onnx", tmp_path / "model_int8.onnx")
    command = [sys.executable, "-m", "pingponnx", "convert", "model_int8.onnx", "-o", "out", *options]
    subprocess.run(command, cwd=tmp_path, check=True)
    examples = re.findall(r"```c\n(.+?)```", README, re.DOTALL)
    assert len(examples) == len(EXAMPLES)
    lines = [line for line in examples[list(EXAMPLES).index(kind)].splitlines() if line]
    include, static = lines[0], [line for line in lines if line.startswith("static ")]
    statements = lines[1 + len(static) :]
    main = [
        include,
        before,
        *(_pool() if kind == "arena" else []),
        *static,
        "int main(void) {",
        *statements,
        "return 0; }",
    ]
    (tmp_path / "out" / "main.c").write_text("\n".join(main).replace("{\n    const", "{\n    (void)0; const"))
    compiler = ["cc", "-std=c11", "-Wall", "-Wno-unused-variable", "-Werror", "-o", "main"]
    sources = ["main.c", "model_int8.c", "model_int8_data.c", "-lm"]
    subprocess.run([*compiler, *sources], cwd=tmp_path / "out", check=True)
    subprocess.run(["./main"], cwd=tmp_path / "out", check=True)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_make_help_names_every_target() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    named = {line.split()[0] for line in done.stdout.splitlines() if len(line.split()) > 1}
    (phony,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == set(phony.split())


def test_demo_table_is_the_committed_measurement() -> None:
    baseline = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
    rows = [m for m in baseline["measurements"] if m["target"] == "cortex-m4"]
    assert len(rows) == 6
    for row in rows:
        numbers = (row["ram"]["total"], row["ram"]["arena"], row["flash"]["total"], row["instructions"])
        (line,) = [
            line
            for line in README.splitlines()
            if line.startswith(f"| {row['model']}") and f"| {row['variant']} |" in line
        ]
        for number in (*numbers, row["cycles"]):
            assert f"| {number:,} |" in line
