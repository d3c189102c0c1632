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

from pingponnx.calls import (
    ALL_ROWS,
    Accumulator,
    Argument,
    Call,
    First,
    Input,
    Inputs,
    Last,
    Local,
    Output,
    OutputRow,
    Part,
    RowPointers,
    Rows,
    RowValues,
    Scratch,
    ScratchBytes,
    Struct,
    Table,
    rows_of,
)
from pingponnx.ir import Array

ROOT = Path(__file__).resolve().parents[2]
_CTYPES = {"float32": "float", "float64": "double", "bool": "uint8_t"}
_CMSIS_SCRATCH = 4 * 4096
_SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_WARN = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion"]


@dataclass(frozen=True)
class Run:
    """One kernel call on data; with `shared`, that input and the output share memory at the declared D.

    With `order` it works by rows, forward (1) or backward (-1); with `shared`, within that input's rows.
    """

    call: Call
    inputs: tuple[Array, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shared: int | None = None
    order: int = 0

    @property
    def header(self) -> str:
        return self.call.rows.header if self.order and self.call.rows else self.call.header


def run_c(runs: Sequence[Run], tmp_path: Path, flags: Sequence[str] = ()) -> list[Array]:
    """Compile all runs into one sanitized program; returns the outputs."""
    main = ["int main(void) {", *(f"    case_{i}();" for i in range(len(runs))), "    return 0;", "}"]
    source, binary = tmp_path / "kernels.c", tmp_path / "kernels"
    source.write_text("\n".join([*includes(runs), *functions(runs), *main]) + "\n")
    include = [f"-I{ROOT / 'runtime_c'}", f"-I{ROOT / 'cmsis_baseline'}"]
    files = ["-o", str(binary), str(source)]
    command = [_cc(), *_WARN, *_SANITIZE, *include, *files, *flags, "-lm"]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    ran = subprocess.run([str(binary)], capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()[-4000:]
    return split_outputs(runs, ran.stdout)


def includes(runs: Sequence[Run]) -> list[str]:
    """What the runs' functions need, as C."""
    headers = sorted({run.header for run in runs})
    return ["#include <stdio.h>", "#include <stdlib.h>", *(f'#include "{h}"' for h in headers)]


def functions(runs: Sequence[Run]) -> list[str]:
    """A C function `case_<number>` for each run, which writes its output to stdout.

    What equal calls compile to is there once, whatever data and places they are run on: compiling takes
    most of the time of these tests.
    """
    source = _Source()
    for number, run in enumerate(runs):
        source.lines += (_row_case if run.order else _case)(source, number, run)
    return source.lines


def split_outputs(runs: Sequence[Run], data: bytes) -> list[Array]:
    """The runs' outputs out of what they wrote one after the other."""
    outputs, position = [], 0
    for run in runs:
        count = int(np.prod(run.shape)) * run.dtype.itemsize
        outputs.append(np.frombuffer(data[position : position + count], run.dtype).reshape(run.shape))
        position += count
    assert position == len(data)
    return outputs


@cache
def _cc() -> str:
    compiler = shutil.which("cc")
    assert compiler, "tests need a C compiler (cc) on the host"
    return compiler


class _Source:
    """C at file scope; what is declared in the same words is declared once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def declare(self, text: str) -> str:
        """The name of what a text declares, in which that name is spelled @."""
        if text not in self._names:
            self._names[text] = f"shared_{len(self._names)}"
            self.lines.append(text.replace("@", self._names[text]))
        return self._names[text]

    def array(self, data: Array) -> str:
        values = ", ".join(_spell(v) for v in data.ravel().tolist())
        return self.declare(f"static const _Alignas(8) {_c(data.dtype)} @[] = {{{values}}};")

    def function(self, parameters: Sequence[str], body: Sequence[str]) -> str:
        """One that is compiled for itself: its callers differ in data only."""
        head = f"static __attribute__((noinline)) void @({', '.join(parameters)}) {{"
        return self.declare("\n".join([head, *(f"    {line}" for line in body), "}"]))


def _case(source: _Source, number: int, run: Run) -> list[str]:
    """Buffers and one call; the result goes to stdout as bytes."""
    ctype, count = _c(run.dtype), int(np.prod(run.shape))
    inputs = [source.array(a) for a in run.inputs]
    lines, body, output = [], [], f"out_{number}"
    if run.shared is None:
        lines.append(f"static {ctype} {output}[{count}];")
    else:
        data = run.inputs[run.shared]
        distance = run.call.overlap[run.shared]
        origin = max(0, distance)
        assert origin % data.itemsize == 0
        length = origin + max(data.nbytes, count * run.dtype.itemsize - distance)
        lines.append(f"static _Alignas(8) uint8_t memory_{number}[{length}];")
        body.append(f"memcpy(memory_{number} + {origin}, {inputs[run.shared]}, {data.nbytes});")
        inputs[run.shared] = f"(const {_c(data.dtype)} *)(const void *)(memory_{number} + {origin})"
        output = f"({ctype} *)(void *)(memory_{number} + {origin - distance})"
    body.append(f"{_whole(source, run)}({', '.join([*inputs, output])});")
    body.append(f"fwrite({output}, sizeof *{output}, {count}, stdout);")
    return [*lines, f"static void case_{number}(void) {{", *(f"    {line}" for line in body), "}"]


def _parameters(run: Run) -> list[str]:
    inputs = [f"const {_c(a.dtype)} *in_{i}" for i, a in enumerate(run.inputs)]
    return [*inputs, f"{_c(run.dtype)} *output"]


def _whole(source: _Source, run: Run) -> str:
    """The function that does the call, of inputs and output."""
    names = [f"in_{i}" for i in range(len(run.inputs))]
    body = [f"(void){name};" for name in names]
    arguments = []
    for position, argument in enumerate(run.call.arguments):
        local, spelled = _argument(source, f"arg_{position}", argument, names, run.call.scratch)
        body += local
        arguments.append(spelled)
    call = f"{run.call.function}({', '.join(arguments)})"
    checked = f'if ({call} != 0) {{ puts("{run.call.function} failed"); }}'
    body.append(checked if run.call.checked else f"{call};")
    return source.function(_parameters(run), body)


def _argument(
    source: _Source, name: str, argument: Argument, inputs: Sequence[str], scratch: int
) -> tuple[list[str], str]:
    """Function-scope lines and the expression."""
    match argument:
        case Input(index):
            return [], inputs[index]
        case Output():
            return [], "output"
        case Inputs(ctype):
            return [f"const {ctype} *const {name}[] = {{{', '.join(inputs)}}};"], name
        case Local(ctype, count):
            return [f"{ctype}{name}[{count}];"], name
        case ScratchBytes():
            return [], str(scratch or _CMSIS_SCRATCH)
        case _:
            return [], _constant(source, argument, scratch)


def _constant(source: _Source, argument: Argument, scratch: int) -> str:
    """The expression of what is the same for the whole and for rows."""
    match argument:
        case Scratch():
            # of exactly as many bytes as asked for, words; CMSIS-NN's was not asked for
            return source.declare(f"static _Alignas(4) uint8_t @[{scratch or _CMSIS_SCRATCH}];")
        case Table(_, None):
            return "NULL"
        case Table(_, data):
            assert data is not None
            return source.array(data)
        case Struct(ctype, fields):
            values = ", ".join(_spell(v) for v in fields.values())
            return f"&{source.declare(f'static const {ctype} @ = {{{values}}};')}"
        case _:
            return _spell(argument)


# -- by rows ----------------------------------------------------------------------------------------


def _row_case(source: _Source, number: int, run: Run) -> list[str]:
    count = int(np.prod(run.shape))
    inputs = [source.array(a) for a in run.inputs]
    call = f"{_by_rows(source, run)}({', '.join([*inputs, f'out_{number}', str(run.order)])});"
    return [
        f"static {_c(run.dtype)} out_{number}[{count}];",
        f"static void case_{number}(void) {{",
        f"    {call}",
        f"    fwrite(out_{number}, sizeof *out_{number}, {count}, stdout);",
        "}",
    ]


def _by_rows(source: _Source, run: Run) -> str:
    """The function of inputs, output and order: every unit, on copies of its rows.

    The sanitizer sees what is read beside them. The input's rows and the output are separate, or with
    `shared` one of the rows is where the output is.
    """
    rows = run.call.rows
    assert rows is not None
    samples, count, values = rows_of(run.shape)
    sizes = {i: rows_of(run.inputs[i].shape) for i in rows.windows}
    units = rows.units
    if units == ALL_ROWS:
        ((_, units, _),) = sizes.values()
    setup, teardown, reads = _buffers(run, rows, sizes)
    arguments = [_row_argument(source, argument, run, sizes) for argument in rows.arguments]
    body = [
        *(f"(void)in_{i};" for i in range(len(run.inputs))),
        *setup,
        f"for (int32_t s = 0; s < {samples}; ++s)",
        f"for (int32_t a = 0; a < {count}; ++a)",
        f"for (int32_t b = 0; b < {units}; ++b) {{",
        f"    const int32_t r = order > 0 ? a : {count - 1} - a, q = order > 0 ? b : {units - 1} - b;",
        f"    const int32_t i = r * {rows.step} + q, first = b == 0, last = b == {units - 1};",
        "    (void)i, (void)first, (void)last;",
        *(f"    {line}" for line in reads),
        f"    {rows.function}({', '.join(arguments)});",
        f"    if (last) {{ memcpy(output + (s * {count} + r) * {values}, row, {values} * sizeof *row); }}",
        "}",
        *teardown,
    ]
    return source.function([*_parameters(run), "int32_t order"], body)


def _buffers(
    run: Run, rows: Rows, sizes: Mapping[int, tuple[int, int, int]]
) -> tuple[list[str], list[str], list[str]]:
    """Lines that make and free memory for one unit, and those that fill it with the rows of its windows."""
    size = rows_of(run.shape)[2] * run.dtype.itemsize
    setup, reads, owned = [], [], ["row_memory"]
    if rows.accumulator:
        setup.append(f"void *sums = malloc({rows.accumulator});")
        owned.append("sums")
    place = "row_memory"
    for i, window in rows.windows.items():
        ctype, (_, height, values) = _c(run.inputs[i].dtype), sizes[i]
        length = values * run.inputs[i].itemsize
        rooms = [f"row_{i}_{k}" for k in range(window.extent)]
        for room in rooms:
            setup.append(f"void *{room} = malloc({length});")
        owned += rooms
        if run.shared == i:
            assert length == size and window.extent == 1
            place = rooms[0]
        setup.append(f"void *const room_{i}[] = {{{', '.join(rooms)}}};")
        setup.append(f"const {ctype} *rows_{i}[{window.extent}];")
        reads += [
            f"for (int32_t k = 0; k < {window.extent}; ++k) {{",
            f"    const int32_t y = i * {window.stride} - ({window.pad}) + k;",
            f"    rows_{i}[k] = y < 0 || y >= {height} ? NULL : (const {ctype} *)room_{i}[k];",
            f"    if (rows_{i}[k] != NULL) {{",
            f"        memcpy(room_{i}[k], in_{i} + (s * {height} + y) * {values}, {length});",
            "    }",
            "}",
        ]
    setup.insert(0, f"void *row_memory = malloc({size});")
    setup.append(f"{_c(run.dtype)} *row = ({_c(run.dtype)} *){place};")
    return setup, [f"free({memory});" for memory in owned], reads


def _row_argument(
    source: _Source, argument: Argument, run: Run, sizes: Mapping[int, tuple[int, int, int]]
) -> str:
    match argument:
        case Input(index):
            return f"rows_{index}[0]" if index in sizes else f"in_{index}"
        case RowPointers(index):
            return f"rows_{index}"
        case Inputs(ctype):
            rows = ", ".join(f"rows_{i}[0]" for i in range(len(run.inputs)))
            return f"(const {ctype} *const[]){{{rows}}}"
        case Output():
            return "row"
        case OutputRow() | Part() | First() | Last() | Accumulator():
            return _UNIT[type(argument)]
        case RowValues(index):
            return str(sizes[index][2])
        case Scratch() | Table() | Struct() | int() | float():
            return _constant(source, argument, run.call.scratch)
        case _:
            raise AssertionError(f"{argument} has no meaning in rows")


_UNIT = {OutputRow: "r", Part: "q", First: "first", Last: "last", Accumulator: "sums"}


# -- spelling ---------------------------------------------------------------------------------------


def _c(dtype: np.dtype[Any]) -> str:
    return _CTYPES.get(dtype.name, f"{dtype.name}_t")


def _spell(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "{" + ", ".join(_spell(v) for v in value) + "}"
    if isinstance(value, int):
        named = {-(2**31): "INT32_MIN", -(2**63): "INT64_MIN"}
        return named.get(value) or f"{int(value)}{'u' if value >= 2**63 else ''}"
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
