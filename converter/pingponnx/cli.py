"""The command line; the only module that prints or exits."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pingponnx import __version__
from pingponnx.arguments import options_of
from pingponnx.errors import MismatchError
from pingponnx.terminal import (
    EXIT_FAILED,
    EXIT_WORSE,
    guarded,
    plain,
    print_json,
    print_table,
    read_json,
    stderr,
    yes,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="ONNX models to C for Arm Cortex-M, and proof of what that costs.",
)
_debug = False

Model = Annotated[Path, typer.Argument(help="ONNX file", show_default=False)]
Target = Annotated[str, typer.Option("--target", help="core, see `pingponnx targets`")]
VariantName = Annotated[str, typer.Option("--variant", help="optimised or cmsis-nn")]
GoalName = Annotated[str, typer.Option("--goal", help="balanced, ram or cycles")]
RoundingName = Annotated[str, typer.Option("--rounding", help="single (closest to onnxruntime) or tflite")]
FloatIo = Annotated[bool, typer.Option("--float-io", help="keep float32 inputs and outputs")]
NchwIo = Annotated[bool, typer.Option("--nchw-io", help="keep ONNX's n c h w order of images")]
InputShapes = Annotated[
    list[str] | None, typer.Option("--input-shape", help="NAME=1,3,32,32 for a dynamic input; repeatable")
]
CmsisNn = Annotated[Path | None, typer.Option("--cmsis-nn", help="checkout of CMSIS-NN")]
TargetsFile = Annotated[
    Path | None, typer.Option("--targets-file", help="TOML file with targets of your own")
]
Samples = Annotated[Path | None, typer.Option("--samples", help=".npz with in0, in1, ... stacked")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.callback(invoke_without_command=False)
def _globals(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="print the version")] = False,
) -> None:
    global _debug
    _debug = debug
    if version:
        print(f"pingponnx {__version__}")
        raise typer.Exit


@app.command()
def convert(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the C library")],
    variant: VariantName = "optimised",
    target: Target = "cortex-m4",
    goal: GoalName = "balanced",
    rounding: RoundingName = "single",
    float_io: FloatIo = False,
    nchw_io: NchwIo = False,
    input_shape: InputShapes = None,
    cmsis_nn: CmsisNn = None,
    targets_file: TargetsFile = None,
    as_json: AsJson = False,
) -> None:
    """Write the C library of a model."""
    from pingponnx import pipeline
    from pingponnx.output import write_folder

    options = options_of(
        variant=variant,
        target=target,
        goal=goal,
        rounding=rounding,
        float_io=float_io,
        nchw_io=nchw_io,
        input_shapes=input_shape,
        cmsis_nn=cmsis_nn,
        targets_file=targets_file,
    )
    conversion = pipeline.convert(pipeline.normal_form(model, options), options)
    write_folder(out, conversion.sources)
    constants = sum(call.constants for call in conversion.calls if call is not None)
    result: dict[str, Any] = {
        "model": conversion.graph.name,
        "files": sorted(conversion.sources),
        "constants": constants,
    }
    result |= {"arena": conversion.plan.arena, "strategy": conversion.plan.strategy}
    result["fallbacks"] = [
        {"node": node.name, "reason": call.fallback}
        for node, call in zip(conversion.graph.nodes, conversion.calls, strict=True)
        if call is not None and call.fallback
    ]
    if as_json:
        print_json(result)
        return
    sizes = f"arena {conversion.plan.arena:,} B, constants {constants:,} B"
    print(f"{out}: {len(conversion.sources)} files, {sizes}")
    for item in result["fallbacks"]:
        print(f"  {item['node']} runs our plain kernel: {item['reason']}")


@app.command()
def quantize(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="the QDQ model")],
    samples: Annotated[Path, typer.Option("--samples", help=".npz with calibration inputs in0, in1, ...")],
    per_tensor: Annotated[bool, typer.Option("--per-tensor", help="one weight scale per tensor")] = False,
    symmetric: Annotated[bool, typer.Option("--symmetric", help="symmetric activations")] = False,
    unsigned: Annotated[bool, typer.Option("--uint8", help="uint8 activations")] = False,
) -> None:
    """Quantize a float32 model to int8, as standard QDQ ONNX."""
    from pingponnx.calibrate import Scheme
    from pingponnx.calibrate import quantize as run_quantizer

    with stderr.status("calibrating"):
        scheme = Scheme(not per_tensor, symmetric, unsigned)
        count = run_quantizer(model, out, samples, scheme)
    print(f"{out}: quantized with {count} samples")


@app.command()
def plan(
    model: Model,
    variant: VariantName = "optimised",
    target: Target = "cortex-m4",
    goal: GoalName = "balanced",
    rounding: RoundingName = "single",
    input_shape: InputShapes = None,
    cmsis_nn: CmsisNn = None,
    as_json: AsJson = False,
) -> None:
    """Show the memory plan of a model, strategy by strategy."""
    from pingponnx import pipeline

    options = options_of(
        variant=variant,
        target=target,
        goal=goal,
        rounding=rounding,
        input_shapes=input_shape,
        cmsis_nn=cmsis_nn,
    )
    conversion = pipeline.convert(pipeline.normal_form(model, options), options)
    memory = conversion.plan
    result = {
        "model": conversion.graph.name,
        "strategies": dict(memory.strategies),
        "strategy": memory.strategy,
        "arena": memory.arena,
        "lower_bound": memory.lower_bound,
        "proven": memory.proven,
        "blocks": [
            {
                "name": b.name,
                "kind": b.kind,
                "offset": b.offset,
                "bytes": b.bytes,
                "first": b.first,
                "last": b.last,
            }
            for b in memory.blocks
        ],
    }
    if as_json:
        print_json(result)
        return
    print(f"{conversion.graph.name}: bytes of RAM, network input and output included")
    for name, size in memory.strategies.items():
        print(f"  {name:<12} {size:>10}{'  <- used' if name == memory.strategy else ''}")
    proof = "proven optimal" if memory.proven else f"lower bound {memory.lower_bound}"
    print(f"  {'arena':<12} {memory.arena:>10}  ({proof})")
    for b in memory.blocks:
        print(f"  {b.offset:>8} + {b.bytes:<8} nodes {b.first}..{b.last}  {plain(b.name)}")


@app.command()
def verify(
    model: Model,
    samples: Samples = None,
    target: Target = "host",
    variant: VariantName = "optimised",
    goal: GoalName = "balanced",
    rounding: RoundingName = "single",
    limit: Annotated[int, typer.Option("--limit", min=1, help="use at most this many samples")] = 50,
    input_shape: InputShapes = None,
    cmsis_nn: CmsisNn = None,
    as_json: AsJson = False,
) -> None:
    """Prove generated C against the integer reference and onnxruntime, node by node."""
    from pingponnx.reporting import verification_lines, verification_result, verify_model

    options = options_of(
        variant=variant,
        target=target,
        goal=goal,
        rounding=rounding,
        input_shapes=input_shape,
        cmsis_nn=cmsis_nn,
    )
    with stderr.status("verifying"):
        graph, found = verify_model(model, options, samples, limit)
    if as_json:
        print_json(verification_result(graph, found))
    else:
        for line in verification_lines(graph, found):
            print(plain(line))
    if not found.passed:
        raise typer.Exit(EXIT_WORSE)


@app.command()
def report(
    models: Annotated[list[Path], typer.Argument(help="ONNX files", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the report")],
    target: Annotated[list[str] | None, typer.Option("--target", help="repeatable; cortex-m4")] = None,
    variant: Annotated[list[str] | None, typer.Option("--variant", help="repeatable; both")] = None,
    goal: Annotated[list[str] | None, typer.Option("--goal", help="repeatable; balanced")] = None,
    rounding: RoundingName = "single",
    samples: Samples = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="use at most this many samples")] = 10,
    flash_model: Annotated[str | None, typer.Option("--flash-model", help="add waits for flash")] = None,
    by: Annotated[str, typer.Option("--by", help="print model, node or function rows")] = "model",
    board: Annotated[
        Path | None, typer.Option("--import-board", help="CSV of node,cycles of a board")
    ] = None,
    input_shape: InputShapes = None,
    cmsis_nn: CmsisNn = None,
    as_json: AsJson = False,
) -> None:
    """Build, run and compare: RAM, flash and instructions of every variant, side by side."""
    from pingponnx.cycles import get_flash_model
    from pingponnx.output import write_folder
    from pingponnx.report import cycle_note, render, tables
    from pingponnx.report.document import to_json
    from pingponnx.reporting import board_rows, measure_all

    base = options_of(rounding=rounding, input_shapes=input_shape, cmsis_nn=cmsis_nn)
    goals = [options_of(goal=g).goal for g in goal or ["balanced"]]
    content = measure_all(
        models,
        base,
        target or ["cortex-m4"],
        variant or ["optimised", "cmsis-nn"],
        goals,
        samples,
        limit,
        stderr,
        get_flash_model(flash_model) if flash_model else None,
    )
    write_folder(out, render(content))
    if as_json:
        print(to_json(content), end="")
    else:
        for title, rows in tables(content["measurements"], by):
            if title:
                print(plain(title))
            print_table(rows)
        print(cycle_note(content["measurements"]))
        for row in board_rows(content, board) if board else ():
            print(
                f"{plain(row.node)}: model {row.model:,.0f}, silicon {row.silicon:,}, ratio {row.ratio:.3f}"
            )
        print(f"report written to {out}")
    wrong = [m for m in content["measurements"] if not m["equal_to_reference"]]
    if wrong:
        names = ", ".join(f"{m['model']} ({m['variant']}, {m['target']})" for m in wrong)
        raise MismatchError(f"generated C differs from the reference: {names}", "run `pingponnx verify`")


@app.command()
def check(
    run: Annotated[Path, typer.Argument(help="report.json of this run", show_default=False)],
    baseline: Annotated[Path, typer.Option("--baseline", help="report.json to compare with")],
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="ram=0%, flash=1%, instructions=0%")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a report with a baseline: 0 nothing got worse, 1 something did, 2 cannot tell."""
    from dataclasses import asdict

    from pingponnx.report.compare import DEFAULT_LIMITS, compare, parse_limit

    limits = dict(DEFAULT_LIMITS) | dict(parse_limit(text) for text in limit or [])
    changes = compare(read_json(run), read_json(baseline), limits)
    worse = [c for c in changes if c.worse]
    if as_json:
        print_json({"worse": len(worse), "changes": [asdict(c) for c in changes]})
    else:
        for change in changes:
            print(plain(str(change)))
        print(f"{len(worse)} worse, {len(changes) - len(worse)} other changes")
    if worse:
        raise typer.Exit(EXIT_WORSE)


@app.command()
def targets(targets_file: TargetsFile = None, as_json: AsJson = False) -> None:
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
def doctor(cmsis_nn: CmsisNn = None, as_json: AsJson = False) -> None:
    """Show what is installed, and how to get what is missing; 2 when something is."""
    from dataclasses import asdict

    from pingponnx.doctor import examine

    findings = examine(cmsis_nn)
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        for f in findings:
            print(f"{'ok     ' if f.version else 'MISSING'} {f.name}: {f.version or f.hint}")
    if any(f.version is None for f in findings):
        raise typer.Exit(EXIT_FAILED)


def main() -> None:
    """Entry point of the `pingponnx` command."""
    sys.exit(guarded(app, lambda: _debug))
