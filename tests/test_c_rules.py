"""The rules of docs/c-rules.md, by clang-tidy and cppcheck, on the kernels and on generated C."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from c_matrix import Case, case

from pingponnx._paths import runtime_c
from pingponnx.select import Goal
from pingponnx.self_test import with_self_test

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ARM = ["--target=arm-none-eabi", "-mcpu=cortex-m4", "-mthumb", "-isystem", "/usr/lib/arm-none-eabi/include"]
CASES = {
    "dsp": ("examples/paper_cifar/paper_cifar_int8.onnx", {"goal": Goal.CYCLES}),
    "helium": ("examples/lenet5/lenet5_int8.onnx", {"target": "cortex-m55"}),
    "float32": ("tests/exports/gru.dynamo.18.onnx", {}),
}


def _tidy(folder: Path, file: str, *options: str) -> str:
    (folder / ".clang-tidy").write_text((ROOT / ".clang-tidy").read_text())
    command = [BIN / "clang-tidy", "-quiet", file, "--", *options, "-std=c11", "-I."]
    return _findings(command, folder)


def _cppcheck(folder: Path, file: str) -> str:
    checks = ["--enable=warning,style,performance,portability", "--error-exitcode=1"]
    suppressions = f"--suppressions-list={ROOT / '.cppcheck-suppressions'}"
    return _findings([BIN / "cppcheck", "-q", "--std=c11", *checks, suppressions, "-I.", file], folder)


def _findings(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return f"{done.stdout}{done.stderr}"[-4000:] if done.returncode else ""


def _write(found: Case, folder: Path) -> str:
    for name, text in found.conversion.sources.items():
        (folder / name).write_text(text, encoding="utf-8")
    return f"{found.conversion.entry.prefix}.c"


@pytest.mark.parametrize("options", [[], ARM], ids=["host", "dsp"])
def test_all_kernels(options: list[str], tmp_path: Path) -> None:
    """In one file, so that headers of others are read once; also the parts for the DSP extension."""
    names = sorted(path.name for path in runtime_c().glob("*.h"))
    assert len(names) > 80
    (tmp_path / "all.c").write_text("".join(f'#include "{runtime_c() / name}"\n' for name in names))
    assert _tidy(tmp_path, "all.c", *options, f"-I{runtime_c()}") == ""


@pytest.mark.parametrize("name", CASES)
def test_generated_c(name: str, tmp_path: Path) -> None:
    path, options = CASES[name]
    found = case(ROOT / path, **options)
    file = _write(replace(found, conversion=with_self_test(found.conversion)), tmp_path)
    for source in (file, file.replace(".c", "_self_test.c")):
        assert _tidy(tmp_path, source) == ""
        assert _cppcheck(tmp_path, source) == ""


WRONG = """
int f(int *p, int n);
int f(int *p, int n) {
    int values[4] = {0};
    if (n == 0)
        return f(p, n);
    if (p == 0) *p = values[4];
    return n;
}
"""


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    (tmp_path / "wrong.c").write_text(WRONG)
    found = _tidy(tmp_path, "wrong.c")
    for check in (
        "readability-braces-around-statements",
        "misc-no-recursion",
        "clang-analyzer-security.ArrayBound",
    ):
        assert check in found
    assert "arrayIndexOutOfBounds" in _cppcheck(tmp_path, "wrong.c")
