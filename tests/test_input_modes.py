"""Inputs in the arena, in the caller's constant memory, or fed row by row: the same bytes come out."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest

from mode_programs import EXTERNAL, FED, WARN, compile_and_run, data_header, literal
from models import (
    Builder,
    assert_proven,
    assert_refused,
    command_line,
    converted,
    execute,
    make_model,
    make_node,
    save,
)
from networks import write_f32, write_int8
from pingponnx.build import build
from pingponnx.check import check
from pingponnx.check.rows import SCHEMA
from pingponnx.entry import Entry
from pingponnx.errors import UnsupportedError
from pingponnx.measure import measure, subject
from pingponnx.pipeline import Options, firmware
from pingponnx.plan import InputMode
from pingponnx.run import run
from pingponnx.samples import Sample, feeds, input_bytes, random_samples
from pingponnx.select import Goal
from pingponnx.targets import get_target

EXAMPLES = {
    "lenet5_f32": "lenet5/lenet5_f32.onnx",
    "lenet5_int8": "lenet5/lenet5_int8.onnx",
    "paper_cifar_int8": "paper_cifar/paper_cifar_int8.onnx",
}
SHARED = ["mlperf_kws_int8", "mlperf_ic_int8"]
SIGNALS = {"signal_f32": write_f32, "signal_int8": write_int8}
NAMES = [*EXAMPLES, *SHARED, *SIGNALS]


@pytest.fixture
def path(request: pytest.FixtureRequest, examples: Path, tmp_path: Path) -> Path:
    """The model that the test's parameter names."""
    name: str = request.param
    if name in EXAMPLES:
        return examples / EXAMPLES[name]
    if name in SIGNALS:
        return SIGNALS[name]("signal", tmp_path)
    folder: Path = request.getfixturevalue("shared_models")
    return folder / f"{name}.onnx"


def outputs_of(path: Path, samples: Sequence[Sample], **options: Any) -> list[bytes]:
    found = execute(converted(path, **options), samples, sanitize=True)
    return [b"".join(a.tobytes() for a in outputs) for outputs in found]


@pytest.mark.parametrize("path", NAMES, indirect=True)
def test_the_same_bytes_in_every_mode(path: Path, tmp_path: Path) -> None:
    """Rows in any portions, inputs in constant memory, the kernels of two goals: one reference for all."""
    resident, external, fed = (converted(path, goal=Goal.RAM, input_mode=mode) for mode in InputMode)
    samples = random_samples(resident.graph)[:2]
    found = execute(resident, samples, sanitize=True)
    data = data_header(resident, samples, [b"".join(a.tobytes() for a in outputs) for outputs in found])
    first = feeds(resident.graph, samples[0])[resident.graph.inputs[0]]
    constants = EXTERNAL.replace("DATA", f"{{{literal(first)}}}")
    fastest = converted(path, goal=Goal.CYCLES, input_mode=InputMode.EXTERNAL)
    programs = {"fed": (fed, FED.replace("SETUP", ""))}
    programs |= {"external": (external, constants), "fastest": (fastest, constants)}
    for name, (conversion, main) in programs.items():
        (tmp_path / name).mkdir()
        compile_and_run(conversion, main, data, tmp_path / name)


# -- measured on a board --------------------------------------------------------------------------------


@pytest.mark.qemu
@pytest.mark.parametrize(("mode", "arena"), [("resident", 1204), ("external", 820), ("rows", 980)])
def test_every_mode_is_measured(mode: str, arena: int, examples: Path) -> None:
    """`measure` compares the arena with the linked one, and the counts of two counters."""
    options = Options(goal=Goal.RAM, input_mode=InputMode(mode))
    what = subject(examples / EXAMPLES["lenet5_int8"], options, None, 3)
    row = measure(what, options)
    ram = row["ram"]
    assert ram["arena"] == arena and ram["total"] == arena + ram["static"] + ram["stack"]
    assert (row["input_mode"], row["input_obstacle"]) == (mode, None)
    assert row["equal_to_reference"]
    state = [e["bytes"] for e in row["ledger"] if e["owner"] == "state"]
    assert state == ([ram["static"]] if mode == "rows" else [])
    assert sum(n["instructions"] for n in row["nodes"]) > 0.98 * row["instructions"]


@pytest.mark.qemu
@pytest.mark.parametrize("mode", [InputMode.EXTERNAL, InputMode.ROWS])
@pytest.mark.parametrize("path", ["signal_f32", "mlperf_ic_int8"], indirect=True)
def test_the_linked_arena_is_the_planned_one(path: Path, mode: InputMode, tmp_path: Path) -> None:
    conversion = converted(path, goal=Goal.RAM, input_mode=mode, target="cortex-m4")
    image = firmware(conversion, tmp_path / "firmware")
    assert image.map.arenas == {"": conversion.plan.arena + conversion.state}
    assert (conversion.state > 0) == (mode is InputMode.ROWS)
    samples = random_samples(conversion.graph)[:1]
    found = run(image, input_bytes(conversion.graph, samples)).outputs
    wanted = execute(converted(path), samples)
    assert found == tuple(tuple(a.tobytes() for a in outputs) for outputs in wanted)


@pytest.mark.parametrize(
    ("mode", "float_io"), [(InputMode.EXTERNAL, False), (InputMode.ROWS, False), (InputMode.ROWS, True)]
)
def test_every_node_is_proven(mode: InputMode, float_io: bool, examples: Path) -> None:
    """Also where float32 rows are quantized, of an image with one channel in front of its rows."""
    path = examples / EXAMPLES["lenet5_int8"]
    found = assert_proven(path, Options(target="host", goal=Goal.RAM, input_mode=mode, float_io=float_io))
    crossings = ["QuantizeLinear", "DequantizeLinear"] if float_io else []
    assert [n.op for n in found.nodes if n.op in ("QuantizeLinear", "DequantizeLinear")] == crossings


@pytest.mark.qemu
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_counts_are_exact_with_arguments(core: str, tmp_path: Path) -> None:
    """However many there are: some are passed in registers, others on the stack."""
    header = "#include <stdint.h>\ntypedef union { uint32_t align; uint8_t bytes[8]; } tiny_arena;\n"
    for given in (1, 5):
        parameters = "".join(f", const uint8_t *x{i}" for i in range(given))
        declaration = f"int tiny_run(tiny_arena *arena{parameters})"
        code = (
            f'#include "tiny.h"\n__attribute__((naked)) {declaration} {{\n'
            '    __asm volatile("movs r0, #0\\n\\tbx lr");\n}\n'
        )
        unused = '#pragma GCC diagnostic ignored "-Wunused-parameter"\n'
        sources = {"tiny.h": f"{header}{declaration};\n", "tiny.c": unused + code}
        entry = Entry("tiny", ((None, 4),) * given, ((4, 4),), 1)
        image = build(sources, entry, get_target(core), tmp_path / str(given))
        execution = run(image, [[b"abcd"] * given])
        assert (execution.instructions, execution.stack) == (2, 0)
        assert image.map.arena == 8


# -- what cannot be -------------------------------------------------------------------------------------


def _dense() -> onnx.ModelProto:
    net = Builder()
    return net.model({"x": (1, 12)}, net.add("Gemm", "x", net.normal(4, 12), transB=1))


def _softmax() -> onnx.ModelProto:
    net = Builder()
    return net.model({"x": (1, 3, 8)}, net.add("Softmax", "x", axis=1))


def _two_inputs() -> onnx.ModelProto:
    return make_model([make_node("Add", ["a", "b"], "y")], {"a": (1, 2, 4), "b": (1, 2, 4)}, ["y"])


def _input_as_output() -> onnx.ModelProto:
    net = Builder()
    return net.model({"x": (1, 3, 4)}, net.add("Flatten", "x"), net.add("Relu", "x"))


REFUSED: Mapping[str, tuple[Callable[[], onnx.ModelProto], str, str]] = {
    "dense": (_dense, "rows", "has a single row"),
    "softmax": (_softmax, "rows", "Softmax node 'softmax_t0': reads the input 'x' as a whole"),
    "two inputs": (_two_inputs, "rows", "the model has 2 inputs"),
    "output is input": (_input_as_output, "external", "output 't0' is an input itself"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_said(case: str, tmp_path: Path) -> None:
    make, mode, message = REFUSED[case]
    path = save(make(), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError, match=message) as raised:
        converted(path, input_mode=InputMode(mode))
    assert "--input resident" in raised.value.hint
    done = command_line("convert", path, "-o", tmp_path / "c", "--input", mode)
    assert_refused(done.returncode, done.stdout, done.stderr)


def test_several_external_inputs(tmp_path: Path) -> None:
    path = save(_two_inputs(), tmp_path / "model.onnx")
    samples = random_samples(converted(path).graph)
    assert outputs_of(path, samples, input_mode=InputMode.EXTERNAL) == outputs_of(path, samples)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (3, 3, 8, 8)])
def test_a_fed_input_that_is_needed_as_a_whole(shape: tuple[int, ...], tmp_path: Path) -> None:
    """The skip connection keeps all of it; and a batch is fed sample after sample."""
    net = Builder()
    y = net.add("Add", net.conv(net.conv("x", 3, 3), 3, 3, pads=[2] * 4), "x")
    path = save(net.model({"x": shape}, y), tmp_path / "model.onnx")
    conversion = converted(path, goal=Goal.RAM, input_mode=InputMode.ROWS)
    samples = random_samples(conversion.graph)[:2]
    data = data_header(conversion, samples, outputs_of(path, samples))
    compile_and_run(conversion, FED.replace("SETUP", ""), data, tmp_path)


# -- the command line -----------------------------------------------------------------------------------


def test_an_unknown_mode(examples: Path) -> None:
    for option, names in (("--input", "resident, external, rows"), ("--effort", "fast, normal, exact")):
        done = command_line("plan", examples / EXAMPLES["lenet5_int8"], option, "all")
        assert_refused(done.returncode, done.stdout, done.stderr)
        assert f"choose one of: {names}" in done.stderr


def test_every_effort_finds_the_proven_arena(examples: Path) -> None:
    for effort in ("fast", "exact"):
        options = ["--goal", "ram", "--effort", effort, "--json"]
        done = command_line("plan", examples / EXAMPLES["lenet5_int8"], *options)
        found = json.loads(done.stdout)
        assert (found["effort"], found["arena"], found["proven"]) == (effort, 1204, True)


def test_convert_says_what_a_state_takes(examples: Path, tmp_path: Path) -> None:
    model, options = examples / EXAMPLES["lenet5_int8"], ["--goal", "ram", "--input", "rows"]
    done = command_line("convert", model, "-o", tmp_path / "c", *options)
    assert "arena 980 B, state 12 B" in done.stdout
    done = command_line("convert", model, "-o", tmp_path / "c", *options, "--json")
    assert (json.loads(done.stdout)["arena"], json.loads(done.stdout)["state"]) == (980, 12)


@pytest.mark.qemu
@pytest.mark.cmsis
def test_a_report_compares_with_cmsis_nn_as_far_as_that_can(examples: Path, tmp_path: Path) -> None:
    """Its kernels read whole tensors: from the caller's memory, but not row by row."""
    model = examples / EXAMPLES["lenet5_int8"]
    with pytest.raises(UnsupportedError, match="Conv node 'node_conv2d': reads the input"):
        converted(model, variant="cmsis-nn", target="cortex-m4", input_mode=InputMode.ROWS)
    reports = {}
    for mode in ("rows", "external"):
        done = command_line("report", model, "-o", tmp_path / mode, "--input", mode, "--goal", "ram")
        assert done.returncode == 0, done.stderr
        assert ("its input is resident: Conv node" in done.stdout) == (mode == "rows")
        rows = json.loads((tmp_path / mode / "report.json").read_text())["measurements"]
        reports[mode] = {row["variant"]: row for row in rows}
        assert all(row["equal_to_other_variant"] and row["input_mode"] == mode for row in rows)
        assert ("resident instead" in (tmp_path / mode / "report.md").read_text()) == (mode == "rows")
    assert reports["rows"]["cmsis-nn"]["input_obstacle"].startswith("Conv node 'node_conv2d': reads")
    assert reports["external"]["cmsis-nn"]["input_obstacle"] is None
    fed, baseline = (tmp_path / mode / "report.json" for mode in ("rows", "external"))
    done = command_line("check", fed, "--baseline", baseline)
    assert done.returncode == 2 and "no measurement in common" in done.stderr


def test_reports_of_before_were_of_resident_inputs() -> None:
    row: dict[str, Any] = dict.fromkeys(["model", "variant", "target", "goal", "rounding"], "x")
    row |= {"ram": {"total": 1}, "flash": {"total": 1}, "cycles": 1, "instructions": 1}
    row |= {"nodes": [], "model_sha256": "0", "equal_to_reference": True}
    old = {"schema": SCHEMA, "tool": {}, "measurements": [row]}
    new = {"schema": SCHEMA, "tool": {}, "measurements": [{**row, "input_mode": "resident"}]}
    assert check(new, old).findings == ()


# -- the header -----------------------------------------------------------------------------------------


@pytest.mark.qemu
@pytest.mark.parametrize("mode", InputMode)
@pytest.mark.parametrize("spread", [False, True])
def test_headers_are_cpp17(mode: InputMode, spread: bool, examples: Path, tmp_path: Path) -> None:
    banks = (("dtcm", 512), ("sram", 4096)) if spread else ()
    conversion = converted(examples / EXAMPLES["lenet5_int8"], goal=Goal.RAM, input_mode=mode, banks=banks)
    assert ("LENET5_INT8_BAD_ROWS" in conversion.sources["lenet5_int8.h"]) == (mode is InputMode.ROWS)
    for name in ("lenet5_int8.h", "kernel.h"):
        (tmp_path / name).write_text(conversion.sources[name], encoding="utf-8")
    handle = "lenet5_int8_state" if mode is InputMode.ROWS else "lenet5_int8_arena"
    given = "" if mode is InputMode.RESIDENT else ", x"
    (tmp_path / "main.cpp").write_text(
        '#include "lenet5_int8.h"\n#include "lenet5_int8.h"\n'
        f"int f({handle} *a, const int8_t *x);\n"
        f"int f({handle} *a, const int8_t *x) {{ return *x + lenet5_int8_run(a{given}); }}\n"
    )
    command = ["arm-none-eabi-g++", "-mcpu=cortex-m4", "-std=c++17", "-pedantic", *WARN[1:], "-c", "main.cpp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
