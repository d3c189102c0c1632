"""`explore`: what if the model were built in other ways, and where would it fit?"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from pingponnx.arguments import AsJson, byte_count, choice, with_options
from pingponnx.terminal import EXIT_WORSE, plain, print_json, print_table, stderr

if TYPE_CHECKING:
    from pingponnx.explore.outcome import Outcome
    from pingponnx.explore.prepare import Exploration

_Several = list[str] | None


@with_options("input_shapes")
def explore(
    model: Annotated[Path, typer.Argument(help="ONNX file", show_default=False)],
    options: Any,
    dtype: Annotated[_Several, typer.Option("--dtype", help="repeatable; float32 and int8")] = None,
    goal: Annotated[_Several, typer.Option("--goal", help="repeatable; all")] = None,
    target: Annotated[_Several, typer.Option("--target", help="repeatable; cortex-m4")] = None,
    level: Annotated[_Several, typer.Option("-O", "--level", help="repeatable; O3, O2, Os")] = None,
    rounding: Annotated[_Several, typer.Option("--rounding", help="repeatable; single, tflite")] = None,
    samples: Annotated[Path | None, typer.Option("--samples", help=".npz with in0, in1, ... stacked")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="run at most this many samples")] = 10,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="processes; one per core")] = os.cpu_count() or 1,
    dask: Annotated[str | None, typer.Option("--dask", help="address of a Dask scheduler")] = None,
    everything: Annotated[bool, typer.Option("--all", help="list all ways, not the best alone")] = False,
    ram: Annotated[
        str | None, typer.Option("--ram", help="all RAM of a run may be no more, like 16K")
    ] = None,
    flash: Annotated[
        str | None, typer.Option("--flash", help="code and constants may be no more, like 128K")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="write a page to this file")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model in many ways at once: which are worth having, and which microcontrollers hold it."""
    from pingponnx.explore import Space
    from pingponnx.explore import shown as showing
    from pingponnx.explore.prepare import dtypes_of, prepare
    from pingponnx.fixed_point import Rounding
    from pingponnx.output import write_file
    from pingponnx.select import Goal

    options = replace(
        options, **{k: byte_count(v) for k, v in (("ram", ram), ("flash", flash)) if v is not None}
    )
    space = Space(dtypes_of(model, options, dtype or []))
    wished: dict[str, Any] = {
        "goals": tuple(choice(Goal, name, "goal") for name in goal or []),
        "targets": tuple(target or []),
        "levels": tuple(name.lstrip("-") for name in level or []),
        "roundings": tuple(choice(Rounding, name, "rounding") for name in rounding or []),
    }
    space = replace(space, **{name: values for name, values in wished.items() if values})
    with stderr.status("preparing"):
        exploration = prepare(model, options, space, samples, limit)
    outcomes = _measured(exploration, jobs, dask)
    if html:
        from pingponnx.report.explore_page import explore_page

        write_file(html, explore_page(exploration, outcomes, options.ram, options.flash).encode())
    if as_json:
        print_json(showing.result(exploration.name, outcomes, options.ram, options.flash))
    else:
        _print(exploration, outcomes, options.ram, options.flash, everything)
    measured = [o for o in outcomes if not o.failed]
    if not any(o.fits(options.ram, options.flash) for o in measured):
        raise typer.Exit(EXIT_WORSE)


def _measured(exploration: "Exploration", jobs: int, dask: str | None) -> "list[Outcome]":
    """All outcomes, with a bar on stderr, or a line each where that is no terminal."""
    from pingponnx.explore import explore as run

    total = len(exploration.works)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        task, count = progress.add_task("measuring", total=total), 0

        def done(outcome: "Outcome") -> None:
            nonlocal count
            count += 1
            progress.advance(task)
            if not stderr.is_terminal and not outcome.cached:
                stderr.print(plain(f"{count} of {total}: {outcome.choice}"), markup=False)

        return run(exploration.works, jobs, dask, done)


def _print(
    exploration: "Exploration",
    outcomes: "Sequence[Outcome]",
    ram: int | None,
    flash: int | None,
    everything: bool,
) -> None:
    from pingponnx.explore import front
    from pingponnx.explore import shown as showing

    measured = [o for o in outcomes if not o.failed]
    print_table(showing.choice_rows(measured if everything else front(measured), ram, flash))
    print(exploration.note)
    if not everything:
        print("Of these none takes less of one without more of another; --all lists the others.")
    for line in showing.peak_notes(measured):
        print(plain(line))
    print_table(showing.part_rows(measured))
    for reason in dict.fromkeys(o.failed for o in outcomes if o.failed):
        print(plain(f"failed: {reason}"))
    print(showing.verdict(outcomes, ram, flash))
