"""`convert --self-test`: a device proves its constants and what it computes; damage is told."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import Builder, command_line, converted, save
from pingponnx import cmsis
from pingponnx.build import Firmware, build
from pingponnx.entry import Entry
from pingponnx.errors import ToolchainError
from pingponnx.pipeline import Conversion
from pingponnx.plan import InputMode
from pingponnx.run import run
from pingponnx.select import Goal
from pingponnx.self_test import with_self_test

LENET = "lenet5/lenet5_int8.onnx"
FLOAT = "lenet5/lenet5_f32.onnx"
CONSTANTS, OUTPUT = 16, 17
WARN = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZE = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def _status(conversion: Conversion, folder: Path, thing: str = "arena", before: str = "") -> int:
    """What the self-test returns on this machine."""
    prefix = conversion.entry.prefix
    call = f"{prefix}_self_test"
    main = f"""#include "{prefix}_self_test.h"
static {prefix}_{thing} it;
int main(void) {{
    {before}
    return {call}(NULL) == {prefix.upper()}_BAD_ARENA ? {call}(&it) : 99;
}}
"""
    folder.mkdir(exist_ok=True)
    for name, text in {**conversion.sources, "main.c": main}.items():
        (folder / name).write_text(text, encoding="utf-8")
    sources = ["main.c", *(name for name in conversion.sources if name.endswith(".c"))]
    command = ["cc", "-std=c11", *WARN, *SANITIZE, "-o", "main", *sources, "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    cpp = ["g++", "-x", "c++", "-std=c++17", *WARN, "-fsyntax-only", f"{prefix}_self_test.c"]
    subprocess.run(cpp, cwd=folder, check=True)
    return subprocess.run(["./main"], cwd=folder).returncode


def _changed(conversion: Conversion, suffix: str, pattern: str, to: str) -> Conversion:
    """With another text in the first place where the pattern is found."""
    file = f"{conversion.entry.prefix}{suffix}"
    text, count = re.subn(pattern, to, conversion.sources[file], count=1)
    assert count == 1
    return replace(conversion, sources={**conversion.sources, file: text})


def _flipped(conversion: Conversion) -> Conversion:
    """The lowest bit of the first weight of the last layer is another."""
    return _changed(conversion, "_data.c", r"(_n\d+_weights\[\d+\] = \{\n    )(?!.*_weights\[)", r"\g<1>1 ^ ")


MODES: dict[str, tuple[dict[str, Any], str, str]] = {
    "resident": ({}, "arena", ""),
    "external": ({"input_mode": InputMode.EXTERNAL}, "arena", ""),
    "rows": ({"input_mode": InputMode.ROWS}, "state", ""),
    "banks": (
        {"banks": (("dtcm", 600), ("sram", 2000))},
        "arena",
        "static lenet5_int8_dtcm dtcm; static lenet5_int8_sram sram; it.dtcm = &dtcm; it.sram = &sram;",
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_input_mode_passes(mode: str, examples: Path, tmp_path: Path) -> None:
    options, thing, before = MODES[mode]
    conversion = with_self_test(converted(examples / LENET, goal=Goal.RAM, **options))
    assert _status(conversion, tmp_path, thing, before) == 0


def test_state_is_zero_afterwards(tmp_path: Path) -> None:
    model = Path(__file__).with_name("exports") / "lstm_state.dynamo.18.onnx"
    conversion = with_self_test(converted(model, states=(("h", "h_out"), ("c", "c_out"))))
    prefix = conversion.entry.prefix
    assert f"{prefix}_reset(arena);" in conversion.sources[f"{prefix}_self_test.c"]
    assert _status(conversion, tmp_path) == 0


def test_damage_is_told(examples: Path, tmp_path: Path) -> None:
    """A bit of a weight; and a device that computes something else, here because it takes something else."""
    conversion = with_self_test(converted(examples / LENET))
    assert _status(_flipped(conversion), tmp_path / "weights") == CONSTANTS
    other = "memset(lenet5_int8_input_0(arena), 5, 512);\n    const int status"
    assert _status(_changed(conversion, "_self_test.c", "const int status", other), tmp_path / "c") == OUTPUT


def test_floats_are_compared_as_floats(examples: Path, tmp_path: Path) -> None:
    """Within what docs/integer-contract.md promises; with a sample of the user's."""
    conversion = with_self_test(converted(examples / FLOAT), examples / "lenet5" / "calibration.npz")
    assert "the first sample of calibration.npz" in conversion.sources["lenet5_f32_self_test.h"]
    assert _status(conversion, tmp_path / "whole") == 0
    wrong = _changed(conversion, "_self_test.c", r"(expected_0\[\] = \{\n    )", r"\g<1>0.01f + ")
    assert _status(wrong, tmp_path / "wrong") == OUTPUT


def test_without_constants_and_with_nan(tmp_path: Path) -> None:
    net = Builder()
    y = net.add("Log", net.add("Neg", net.add("Abs", "x")))
    path = save(net.model({"x": [1, 4]}, y), tmp_path / "m.onnx")
    np.savez(tmp_path / "s.npz", in0=np.array([[0, 1, -2, 3]], np.float32))
    conversion = with_self_test(converted(path), tmp_path / "s.npz")
    assert "NAN" in conversion.sources["m_self_test.c"] and "INFINITY" in conversion.sources["m_self_test.c"]
    assert "crc" not in conversion.sources["m_self_test.c"]
    assert _status(conversion, tmp_path / "c") == 0


SHIM = """
#include "lenet5_int8_self_test.h"
typedef lenet5_int8_arena proof_arena;
static inline int proof_run(proof_arena *arena) { return lenet5_int8_self_test(arena); }
"""


@pytest.mark.qemu
@pytest.mark.cmsis
@pytest.mark.parametrize("variant", ["optimised", "cmsis-nn"])
def test_on_cortex_m4(variant: str, examples: Path, tmp_path: Path) -> None:
    """The harness runs the self-test in the model's place; a flipped bit of a weight fails there too."""
    conversion = with_self_test(converted(examples / LENET, variant=variant, target="cortex-m4"))
    run(_proof(conversion, tmp_path / "whole"), [()])
    with pytest.raises(ToolchainError, match=f"returned the error {CONSTANTS}"):
        run(_proof(_flipped(conversion), tmp_path / "damaged"), [()])


def _proof(conversion: Conversion, folder: Path) -> Firmware:
    """A firmware that runs the self-test."""
    folder.mkdir()
    source, options = conversion.library, conversion.options
    return build(
        {**conversion.sources, "proof.h": SHIM},
        Entry("proof", (), (), 0),
        conversion.target,
        folder,
        include_dirs=source.include_dirs if source else (),
        libraries=[cmsis.library(source, conversion.target, options.rounding)] if source else (),
        defines=source.defines if source else (),
    )


def test_command_line(examples: Path, tmp_path: Path) -> None:
    done = command_line("convert", examples / LENET, "-o", tmp_path / "c", "--self-test")
    assert done.returncode == 0 and "lenet5_int8_self_test" in done.stdout
    assert (tmp_path / "c" / "lenet5_int8_self_test.c").is_file()
    assert "lenet5_int8_self_test.c)" in (tmp_path / "c" / "CMakeLists.txt").read_text()
    samples = examples / "lenet5" / "calibration.npz"
    done = command_line("convert", examples / LENET, "-o", tmp_path / "d", "--samples", samples)
    assert done.returncode == 2 and "add --self-test" in done.stderr and not (tmp_path / "d").exists()
