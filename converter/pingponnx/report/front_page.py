"""What `plan --pareto` says, as a page: cycles against RAM and against flash, and how to get each point."""

from collections.abc import Sequence

from pingponnx.front import Point
from pingponnx.names import short
from pingponnx.pipeline import Options
from pingponnx.report.charts import Chart, Field, points, quantity
from pingponnx.report.front_chart import front_result, front_rows, stairs
from pingponnx.report.page import page

_GOAL, _HOW = Field("goal", "goal"), Field("arguments", "convert with")
_CYCLES = quantity("cycles", "predicted cycles")
_RAM, _FLASH = quantity("arena", "arena, bytes of RAM"), quantity("constants", "constants, bytes of flash")


def front_page(name: str, options: Options, found: Sequence[Point]) -> str:
    """The text of an HTML file; the same for the same points."""
    return page(
        "front.html.j2",
        charts=True,
        title=f"RAM, flash and time of {short(name)} on {options.target}",
        drawings=[_chart(name, options, found, "arena"), _chart(name, options, found, "constants")],
        points=list(front_rows(found)),
        text_columns=("how to get it",),
    )


def _chart(name: str, options: Options, found: Sequence[Point], key: str) -> Chart:
    up = {"arena": _RAM, "constants": _FLASH}[key]
    fastest = stairs(found, key)
    rows = [
        {**row, "front": number in fastest, "point": str(number + 1)}
        for number, row in enumerate(front_result(name, options, found)["points"])
    ]
    hints = (Field("point", "point"), _CYCLES, _RAM, _FLASH, _HOW)
    return Chart(f"front-{key}", up.title, points(rows, _CYCLES, up, _GOAL, _GOAL, hints, log=True))
