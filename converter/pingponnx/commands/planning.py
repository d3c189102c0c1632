"""`plan`: the memory plan of a model as text, JSON, a drawing or a page; or what can be had (`--pareto`)."""

import itertools
from dataclasses import dataclass
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
    file: Annotated[
        Path | None, typer.Argument(help="with --html: the page; else MODEL-plan.html here")
    ] = None,
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
    from pingponnx.names import identifier
    from pingponnx.output import write_file
    from pingponnx.report.memory_plan import plan_lines, plan_result
    from pingponnx.report.picture import picture
    from pingponnx.report.plan_map import plan_map
    from pingponnx.report.plan_page import plan_page

    if (file or show) and not html:
        raise Error("a page is written with --html only", "add --html")
    if pareto:
        _plan_front(model, options, drawing, _Page(file, show) if html else None, as_json)
        return
    with stderr.status("planning"):
        conversion = pipeline.convert(pipeline.normal_form(model, options), options)
    if drawing:
        write_file(drawing, plan_map(picture(conversion.graph, conversion.plan)).encode())
    result = plan_result(conversion)
    page = _Page(file, show) if html else None
    if page:
        result |= page.write(plan_page(conversion), f"{identifier(conversion.graph.name)}-plan.html", as_json)
    if as_json:
        print_json(result)
    elif not page:
        for line in plan_lines(conversion):
            print(plain(line))


@dataclass
class _Page:
    """Where a page goes and whether a browser is to show it."""

    file: Path | None
    show: bool

    def write(self, text: str, name: str, as_json: bool) -> dict[str, str]:
        """Write it, by default under `name` here; what JSON says of it, else it is said on stdout."""
        import webbrowser

        from pingponnx.output import write_file

        path = self.file or Path(name)
        write_file(path, text.encode())
        if self.show and not webbrowser.open(path.absolute().as_uri()):
            stderr.print("no browser could be started: open the page yourself")
        if not as_json:
            print(plain(str(path)))
        return {"html": str(path)}


def _plan_front(model: Path, options: Any, drawing: Path | None, page: _Page | None, as_json: bool) -> None:
    """`plan --pareto`."""
    from pingponnx.front import front
    from pingponnx.names import identifier
    from pingponnx.output import write_file
    from pingponnx.pipeline import normal_form
    from pingponnx.report.front_chart import front_chart, front_result, front_rows
    from pingponnx.report.front_page import front_page

    normal = normal_form(model, options)
    with stderr.status("choosing") as status:
        count = itertools.count(1)
        points = front(normal, options, lambda: status.update(f"choosing: {next(count)} tried"))
    if drawing:
        write_file(drawing, front_chart(normal.name, options, points).encode())
    result = front_result(normal.name, options, points)
    if page:
        result |= page.write(
            front_page(normal.name, options, points), f"{identifier(normal.name)}-pareto.html", as_json
        )
    if as_json:
        print_json(result)
    elif not page:
        print_table(list(front_rows(points)))
        print("arena: bytes of RAM; constants: bytes of flash beside the code; cycles: predicted, of one run")
