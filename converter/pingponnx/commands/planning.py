"""`plan`: the memory plan of a model as text, JSON, a drawing or a page; or what can be had (`--pareto`)."""

import itertools
from pathlib import Path
from typing import Annotated, Any

import typer

from pingponnx.arguments import CONVERSION, AsJson, with_options
from pingponnx.errors import Error
from pingponnx.terminal import plain, print_json, print_table, stderr


@with_options(*CONVERSION)
def plan(
    model: Annotated[Path, typer.Argument(help="ONNX file", show_default=False)],
    options: Any,
    file: Annotated[Path | None, typer.Argument(help="with --html: the page; MODEL-plan.html here")] = None,
    drawing: Annotated[Path | None, typer.Option("--map", help="draw the plan: an SVG file")] = None,
    html: Annotated[bool, typer.Option("--html", help="draw the plan: a page; prints where it is")] = False,
    show: Annotated[bool, typer.Option("--open", help="with --html: open it in a browser")] = False,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="what RAM, flash and time can be had; --map draws that")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the memory plan of a model: strategies, certificate, segments and blocks."""
    from pingponnx import pipeline
    from pingponnx.output import write_file
    from pingponnx.report.memory_plan import plan_lines, plan_result
    from pingponnx.report.picture import picture
    from pingponnx.report.plan_map import plan_map

    if (file or show) and not html:
        raise Error("a page is written with --html only", "add --html")
    if html and pareto:
        raise Error("--pareto has no page", "draw it with --map FILE.svg")
    if pareto:
        _plan_front(model, options, drawing, as_json)
        return
    with stderr.status("planning"):
        conversion = pipeline.convert(pipeline.normal_form(model, options), options)
    if drawing:
        write_file(drawing, plan_map(picture(conversion.graph, conversion.plan)).encode())
    page = _plan_page(conversion, file, show) if html else None
    if as_json:
        print_json(plan_result(conversion) | ({"html": str(page)} if page else {}))
    elif page:
        print(page)
    else:
        for line in plan_lines(conversion):
            print(plain(line))


def _plan_page(conversion: Any, file: Path | None, show: bool) -> Path:
    import webbrowser

    from pingponnx.output import write_file
    from pingponnx.report.plan_page import plan_page

    path = file or Path(f"{conversion.entry.prefix}-plan.html")
    write_file(path, plan_page(conversion).encode())
    if show and not webbrowser.open(path.absolute().as_uri()):
        stderr.print("no browser could be started: open the page yourself")
    return path


def _plan_front(model: Path, options: Any, drawing: Path | None, as_json: bool) -> None:
    """`plan --pareto`."""
    from pingponnx.front import front
    from pingponnx.output import write_file
    from pingponnx.pipeline import normal_form
    from pingponnx.report.front_chart import front_chart, front_result, front_rows

    normal = normal_form(model, options)
    with stderr.status("choosing") as status:
        count = itertools.count(1)
        points = front(normal, options, lambda: status.update(f"choosing: {next(count)} tried"))
    if drawing:
        write_file(drawing, front_chart(normal.name, options, points).encode())
    if as_json:
        print_json(front_result(normal.name, options, points))
    else:
        print_table(list(front_rows(points)))
        print("arena: bytes of RAM; constants: bytes of flash beside the code; cycles: predicted, of one run")
