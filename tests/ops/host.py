"""Kernels as C on the host: a sanitized program is made of calls and data, its outputs are read back."""

import importlib.util
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pingponnx.calls import Argument, Call, Input, Inputs, Local, Output, Scratch, ScratchBytes, Struct, Table
from pingponnx.ir import Array

ROOT = Path(__file__).resolve().parents[2]
_CTYPES = {"float32": "float"}
_SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_WARN = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion"]


@dataclass(frozen=True)
class Run:
    """One kernel call on data; with `shared`, that input and the output share memory at the declared D."""

    call: Call
    inputs: tuple[Array, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shared: int | None = None


def run_c(runs: Sequence[Run], tmp_path: Path, flags: Sequence[str] = ()) -> list[Array]:
    """Compile all runs into one sanitized program; returns the outputs."""
    headers = sorted({run.call.header for run in runs})
    text = ["#include <stdio.h>", *(f'#include "{h}"' for h in headers)]
    text += [line for i, run in enumerate(runs) for line in _function(i, run)]
    text += ["int main(void) {", *(f"    case_{i}();" for i in range(len(runs))), "    return 0;", "}"]
    source, binary = tmp_path / "kernels.c", tmp_path / "kernels"
    source.write_text("\n".join(text) + "\n")
    include = [f"-I{ROOT / 'runtime_c'}", f"-I{ROOT / 'cmsis_baseline'}"]
    files = ["-o", str(binary), str(source)]
    command = [_cc(), *_WARN, *_SANITIZE, *include, *files, *flags, "-lm"]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    ran = subprocess.run([str(binary)], capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()[-4000:]
    outputs, position = [], 0
    for run in runs:
        count = int(np.prod(run.shape)) * run.dtype.itemsize
        data = ran.stdout[position : position + count]
        outputs.append(np.frombuffer(data, run.dtype).reshape(run.shape))
        position += count
    assert position == len(ran.stdout)
    return outputs


@cache
def _cc() -> str:
    compiler = shutil.which("cc")
    assert compiler, "tests need a C compiler (cc) on the host"
    return compiler


def _function(number: int, run: Run) -> list[str]:
    """Constants, buffers and one call; the result goes to stdout as bytes."""
    ctype, count = _c(run.dtype), int(np.prod(run.shape))
    names = {i: f"in_{number}_{i}" for i in range(len(run.inputs))}
    lines = [_array(f"in_{number}_{i}", a) for i, a in enumerate(run.inputs)]
    body, output = [], f"out_{number}"
    if run.shared is None:
        lines.append(f"static {ctype} {output}[{count}];")
    else:
        data = run.inputs[run.shared]
        distance = run.call.overlap[run.shared]
        origin = max(0, distance)
        assert origin % data.itemsize == 0
        length = origin + max(data.nbytes, count * run.dtype.itemsize - distance)
        lines.append(f"static _Alignas(8) uint8_t memory_{number}[{length}];")
        body.append(f"memcpy(memory_{number} + {origin}, in_{number}_{run.shared}, {data.nbytes});")
        names[run.shared] = f"((const {_c(data.dtype)} *)(const void *)(memory_{number} + {origin}))"
        output = f"(({ctype} *)(void *)(memory_{number} + {origin - distance}))"
    arguments = []
    for position, argument in enumerate(run.call.arguments):
        declared, local, spelled = _argument(f"arg_{number}_{position}", argument, names, output)
        lines += declared
        body += local
        arguments.append(spelled)
    call = f"{run.call.function}({', '.join(arguments)})"
    checked = f"if ({call} != 0) {{ puts({_quoted(run.call.function)}); }}"
    body.append(checked if run.call.checked else f"{call};")
    body.append(f"fwrite({output}, sizeof *{output}, {count}, stdout);")
    return [*lines, f"static void case_{number}(void) {{", *(f"    {line}" for line in body), "}"]


def _quoted(text: str) -> str:
    return f'"{text} failed"'


def _argument(
    name: str, argument: Argument, inputs: Mapping[int, str], output: str
) -> tuple[list[str], list[str], str]:
    """File-scope lines, function-scope lines, and the expression."""
    match argument:
        case Input(index):
            return [], [], inputs[index]
        case Output():
            return [], [], output
        case Inputs(ctype):
            return [], [f"const {ctype} *const {name}[] = {{{', '.join(inputs.values())}}};"], name
        case Table(_, None):
            return [], [], "NULL"
        case Table(_, data):
            assert data is not None
            return [_array(name, data)], [], name
        case Struct(ctype, fields):
            values = ", ".join(_spell(v) for v in fields.values())
            return [f"static const {ctype} {name} = {{{values}}};"], [], f"&{name}"
        case Local(ctype, count):
            return [], [f"{ctype}{name}[{count}];"], name
        case Scratch():
            return [f"static int32_t {name}[4096];"], [], name
        case ScratchBytes():
            return [], [], "4 * 4096"
        case _:
            return [], [], _spell(argument)


def _c(dtype: np.dtype[Any]) -> str:
    return _CTYPES.get(dtype.name, f"{dtype.name}_t")


def _array(name: str, data: Array) -> str:
    values = ", ".join(_spell(v) for v in data.ravel().tolist())
    return f"static const {_c(data.dtype)} {name}[] = {{{values}}};"


def _spell(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "{" + ", ".join(_spell(v) for v in value) + "}"
    if isinstance(value, int):
        return str(value)
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return "NAN" if np.isnan(value) else f"{float(np.float32(value)).hex()}f"


def cmsis_nn_objects(folder: str, tmp_path: Path) -> tuple[list[str], list[Path]]:
    """Flags for CMSIS-NN 4.0.0 (in the wheel bakenn), and one of its folders compiled for the host."""
    spec = importlib.util.find_spec("bakenn")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("CMSIS-NN sources are missing: pip install bakenn==1.0.0")
    root = Path(spec.submodule_search_locations[0]) / "backend/cmsis_nn/vendor/cmsis_nn"
    # CMSIS-NN's own switch for plain C on a host
    flags = ["-D__GNUC_PYTHON__", "-D__RESTRICT=__restrict", "-isystem", str(root / "Include")]
    objects = []
    for source in sorted((root / "Source" / folder).glob("*.c")):
        objects.append(tmp_path / f"{source.stem}.o")
        command = [_cc(), "-w", "-O1", *_SANITIZE, *flags, "-c", str(source), "-o", str(objects[-1])]
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stderr[-4000:]
    return flags, objects
