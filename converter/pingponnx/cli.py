"""The command line: only this module and `terminal` print or exit."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pingponnx import __version__, process
from pingponnx.arguments import CONVERSION, AsJson, choice, with_options
from pingponnx.commands import COMMANDS
from pingponnx.errors import Error, MismatchError
from pingponnx.names import counted
from pingponnx.signals import catch_signals
from pingponnx.terminal import (
    EXIT_FAILED,
    EXIT_WORSE,
    guarded,
    plain,
    print_json,
    print_table,
    stderr,
    yes,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="ONNX models to C for Arm Cortex-M, and proof of what that costs.",
)

Model = Annotated[Path, typer.Argument(help="ONNX file", show_default=False)]
Samples = Annotated[Path | None, typer.Option("--samples", help=".npz with in0, in1, ... stacked")]
_MEASURED = tuple(name for name in CONVERSION if name not in ("variant", "target", "goal"))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"pingponnx {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def _globals(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks; also after the command")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version")
    ] = False,
) -> None:
    pass


@app.command()
@with_options(*CONVERSION)
def convert(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the C library")],
    options: Any,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="embed a sample, so that a device can prove itself")
    ] = False,
    samples: Annotated[
        Path | None, typer.Option("--samples", help=".npz whose first sample is embedded; else a made-up one")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the C library of a model; files and symbols are called after the ONNX file."""
    from pingponnx import pipeline
    from pingponnx.output import check_folder, write_folder
    from pingponnx.plan import InputMode
    from pingponnx.self_test import with_self_test

    check_folder(out)
    if samples and not self_test:
        raise Error("convert takes samples only for a self-test", "add --self-test")
    conversion = pipeline.convert(pipeline.normal_form(model, options), options)
    if self_test:
        conversion = with_self_test(conversion, samples)
    write_folder(out, conversion.sources)
    prefix, arena = conversion.entry.prefix, conversion.plan.arena
    steps = ("begin", "feed_rows", "finish") if options.input_mode is InputMode.ROWS else ("run",)
    functions = [f"{prefix}_{step}" for step in (*steps, *(["self_test"] if self_test else []))]
    constants = sum(call.constants for call in conversion.calls if call is not None)
    fallbacks = [
        {"node": node.name, "reason": call.fallback}
        for node, call in zip(conversion.graph.nodes, conversion.calls, strict=True)
        if call is not None and call.fallback
    ]
    if as_json:
        result: dict[str, Any] = {"model": conversion.graph.name}
        result |= {"files": sorted(conversion.sources), "arena": arena, "state": conversion.state}
        result["banks"] = {bank.name: bank.bytes for bank in conversion.plan.banks}
        result["hot_weights"] = conversion.hot.row(conversion.graph, prefix)
        result |= {"constants": constants, "strategy": conversion.plan.strategy, "fallbacks": fallbacks}
        print_json(result | {"header": f"{prefix}.h", "functions": functions})
        return
    hot = f", {conversion.hot.bytes:,} B of them in RAM" if conversion.hot.tables else ""
    state = f", state {conversion.state} B" if conversion.state else ""
    what = f"arena {arena:,} B{state}, constants {constants:,} B{hot}"
    print(plain(f"{out}: {prefix}.h declares {', '.join(functions)}; {what}"))
    for bank in conversion.plan.banks:
        print(f"  bank {bank.name}: {bank.bytes:,} of {bank.capacity:,} B")
    for item in fallbacks:
        print(plain(f"  {item['node']} runs our plain kernel: {item['reason']}"))


@app.command()
@with_options("input_shapes")
def quantize(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="the QDQ model")],
    samples: Annotated[Path, typer.Option("--samples", help=".npz with calibration inputs in0, in1, ...")],
    options: Any,
    per_tensor: Annotated[bool, typer.Option("--per-tensor", help="one weight scale per tensor")] = False,
    symmetric: Annotated[bool, typer.Option("--symmetric", help="symmetric activations")] = False,
    unsigned: Annotated[bool, typer.Option("--uint8", help="uint8 activations")] = False,
    wide: Annotated[bool, typer.Option("--int16", help="int16 activations, int8 weights")] = False,
) -> None:
    """Quantize a float32 model to int8, or int16 activations, as standard QDQ ONNX."""
    from pingponnx.calibrate import Scheme
    from pingponnx.calibrate import quantize as run_quantizer

    with stderr.status("calibrating"):
        scheme = Scheme(not per_tensor, symmetric, unsigned, wide_activations=wide)
        count = run_quantizer(model, out, samples, scheme, input_shapes=options.input_shapes)
    print(plain(f"{out}: quantized with {counted(count, 'sample')}"))


@app.command()
@with_options(*CONVERSION, target="host")
def verify(
    model: Model,
    options: Any,
    samples: Samples = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="use at most this many samples")] = 50,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            min=0,
            help="of out0, ... in the samples, as a part of the largest: 1e-4, quantized 0.02",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove generated C against the integer reference and onnxruntime, node by node."""
    from pingponnx.reporting import verification_lines, verification_result, verify_model

    with stderr.status("verifying"):
        proof = verify_model(model, options, samples, limit, tolerance)
    if as_json:
        print_json(verification_result(proof))
    else:
        for line in verification_lines(proof):
            print(plain(line))
    if not proof.found.passed:
        raise typer.Exit(EXIT_WORSE)


@app.command()
@with_options(*_MEASURED)
def report(
    models: Annotated[list[Path], typer.Argument(help="ONNX files", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the report")],
    options: Any,
    target: Annotated[list[str] | None, typer.Option("--target", help="repeatable; cortex-m4")] = None,
    variant: Annotated[list[str] | None, typer.Option("--variant", help="repeatable; both")] = None,
    goal: Annotated[list[str] | None, typer.Option("--goal", help="repeatable; balanced")] = None,
    samples: Samples = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="use at most this many samples")] = 10,
    by: Annotated[str, typer.Option("--by", help="print rows by model, node or function")] = "model",
    board: Annotated[Path | None, typer.Option("--import-board", help="CSV of a board's node,cycles")] = None,
    as_json: AsJson = False,
) -> None:
    """Build, run and compare: RAM, flash, instructions and cycles of every variant, side by side."""
    from pingponnx.output import check_folder, write_folder
    from pingponnx.report import render
    from pingponnx.report.document import to_json
    from pingponnx.report.tables import By
    from pingponnx.reporting import Matrix, measure_all
    from pingponnx.select import Goal

    check_folder(out)
    goals = [choice(Goal, name, "goal") for name in goal or ["balanced"]]
    listing = choice(By, by, "listing")
    matrix = Matrix(target or ["cortex-m4"], variant or ["optimised", "cmsis-nn"], goals)
    content = measure_all(models, options, matrix, samples, limit, stderr)
    write_folder(out, render(content))
    if as_json:
        print(to_json(content), end="")
    else:
        _print_report(content, listing, board)
        print(plain(f"report written to {out}"))
    wrong = [m for m in content["measurements"] if not m["equal_to_reference"]]
    if wrong:
        names = ", ".join(f"{m['model']} ({m['variant']}, {m['target']})" for m in wrong)
        raise MismatchError(f"generated C differs from the reference: {names}", "run `pingponnx verify`")


def _print_report(content: dict[str, Any], by: Any, board: Path | None) -> None:
    from pingponnx.report import cycle_note, obstacles, sample_note, tables
    from pingponnx.reporting import board_rows

    for title, rows in tables(content["measurements"], by):
        if title:
            print(plain(title))
        print_table(rows)
    for row in content["measurements"]:
        for note in obstacles(row).values():
            print(plain(f"{row['model']}, {row['variant']}: {note}"))
    print(plain(sample_note(content["measurements"])))
    print(cycle_note(content["measurements"]))
    for row in board_rows(content, board) if board else ():
        ratio = f"ratio {row.ratio:.3f}"
        print(f"{plain(row.node)}: model {row.model:,.0f}, silicon {row.silicon:,}, {ratio}")


@app.command()
def targets(
    targets_file: Annotated[Path | None, typer.Option("--targets-file", help="TOML file of your own")] = None,
    as_json: AsJson = False,
) -> None:
    """List the cores that code can be made for."""
    from pingponnx.targets import load_targets

    rows = [
        {
            "target": t.name,
            "dsp": t.dsp,
            "mve": t.mve,
            "fpu": t.fpu,
            "board": t.board.machine if t.board else None,
            "flags": " ".join(t.flags),
        }
        for t in load_targets(targets_file).values()
    ]
    print_json(rows) if as_json else print_table([{k: yes(v) for k, v in row.items()} for row in rows])


@app.command()
def operators(as_json: AsJson = False) -> None:
    """List the ONNX operators that are supported."""
    from pingponnx.operators import describe

    rows = describe()
    print_json(rows) if as_json else print_table([{k: yes(v) for k, v in row.items()} for row in rows])


@app.command()
@with_options("cmsis_nn")
def doctor(options: Any, as_json: AsJson = False) -> None:
    """Show what is installed, and how to get what is missing; 2 when something is."""
    from dataclasses import asdict

    from pingponnx.doctor import examine

    findings = examine(options.cmsis_nn)
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        for f in findings:
            state = "ok     " if f.version else "MISSING" if f.needed else "absent "
            print(f"{state} {f.name}: {f.version or f.hint}")
    if any(f.version is None and f.needed for f in findings):
        raise typer.Exit(EXIT_FAILED)


for command in COMMANDS:
    app.command()(command)


def run() -> int:
    """Do what `sys.argv` says; the exit code."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    catch_signals(process.stop)
    code = guarded(app, debug)
    if code == EXIT_FAILED:
        for name in (a for a in sys.argv[1:] if a.startswith("-") and Path(a).is_file()):
            print(plain(f"hint: write ./{name} for the file, else it is read as an option"), file=sys.stderr)
    return code
