"""What `plan --pareto` says: the front as a table, as JSON, and as a picture."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

from pingponnx.front import Point
from pingponnx.names import short
from pingponnx.pipeline import Options
from pingponnx.report.charts import VEGA_LITE
from pingponnx.terminal import plain

Spec = dict[str, Any]
Colours = tuple[str, str]  # of the least and of the most

_BLUE, _RED = ("#d3e3f3", "#174a80"), ("#f7dccd", "#a3350b")
_WIDTH, _HEIGHT = 430, 380
_NUMBER = "format(datum.value, ',')"  # Vega's expression for a label
_CELLS = 28  # into which a panel is divided: points in the same one lie on each other


def front_result(name: str, options: Options, points: Sequence[Point]) -> dict[str, Any]:
    """The JSON of `plan --pareto`: bytes, and predicted cycles."""
    return {"model": name, "target": options.target, "points": [_row(point) for point in points]}


def front_rows(points: Sequence[Point]) -> Iterator[dict[str, str]]:
    """A line for each point; numbers are those in the picture."""
    for number, point in enumerate(points, 1):
        yield {
            "point": str(number),
            "cycles": f"{point.cycles:,}",
            "arena": f"{point.arena:,}",
            "constants": f"{point.constants:,}",
            "how to get it": f"convert {point.arguments}",
        }


def front_chart(name: str, options: Options, points: Sequence[Point]) -> str:
    """The text of an SVG file: cycles against RAM and against flash; the same for the same points."""
    import vl_convert  # takes a moment, and only pictures need it

    return str(vl_convert.vegalite_to_svg(_specification(name, options, points), vl_version=VEGA_LITE))


def _row(point: Point) -> dict[str, Any]:
    return {
        "goal": str(point.goal),
        "ram": point.budget.ram,
        "flash": point.budget.flash,
        "arena": point.arena,
        "constants": point.constants,
        "cycles": point.cycles,
        "arguments": point.arguments,
    }


def _specification(name: str, options: Options, points: Sequence[Point]) -> dict[str, Any]:
    """Vega-Lite's: cycles against RAM, and against flash; the other one is a shade."""
    ram = ("arena", "arena, bytes of RAM")
    flash = ("constants", "constants, bytes of flash")
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "title": plain(f"{short(name)} on {options.target}: RAM, flash and predicted cycles"),
        "background": "#ffffff",
        "hconcat": [_panel(points, ram, flash, _RED), _panel(points, flash, ram, _BLUE)],
        "resolve": {"scale": {"color": "independent"}},
    }


def _panel(
    points: Sequence[Point], across: tuple[str, str], shade: tuple[str, str], colours: Colours
) -> Spec:
    """Steps are the fastest for what is drawn across; a point has its number in the table."""
    (x, title), (z, legend) = across, shade
    rows = [
        {"label": label, "stairs": number in stairs(points, x), **_row(point)}
        for number, (point, label) in enumerate(zip(points, _labels(points, x), strict=True))
    ]
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "data": {"values": rows},
        "encoding": {"x": _axis(points, x, title), "y": _axis(points, "cycles", "predicted cycles")},
        "layer": [
            {
                "transform": [{"filter": "datum.stairs"}],
                "mark": {
                    "type": "line",
                    "interpolate": "step-after",
                    "color": "#9aa4b0",
                    "strokeDash": [4, 3],
                },
            },
            {
                "mark": {"type": "circle", "size": 110, "opacity": 1, "stroke": colours[1]},
                "encoding": {
                    "color": {
                        "field": z,
                        "type": "quantitative",
                        "scale": {"range": list(colours)},
                        # a gradient would have a new name in every picture
                        "legend": {
                            "type": "symbol",
                            "title": legend,
                            "labelExpr": _NUMBER,
                            "orient": "bottom",
                        },
                    }
                },
            },
            {
                "mark": {"type": "text", "dx": 8, "dy": -8, "align": "left", "fontSize": 10},
                "encoding": {"text": {"field": "label"}},
            },
        ],
    }


def _axis(points: Sequence[Point], key: str, title: str) -> Spec:
    values = [_row(point)[key] for point in points]
    scale = {"type": "log", "nice": False, "domain": [0.9 * min(values) or 1, 1.15 * max(values) or 2]}
    axis = {"format": "~s" if key == "cycles" else ",", "labelOverlap": True, "gridOpacity": 0.5}
    return {"field": key, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def stairs(points: Sequence[Point], key: str) -> set[int]:
    """Points that are the fastest for what they take of RAM, or of flash; `points` by cycles."""
    values = [_row(point)[key] for point in points]
    return {n for n, value in enumerate(values) if value < min(values[:n], default=value + 1)}


def _labels(points: Sequence[Point], key: str) -> list[str]:
    """Numbers of points; the first of those that lie on each other has all."""
    groups: dict[tuple[int, ...], list[int]] = {}
    spans = {k: [log(max(_row(p)[k], 1)) for p in points] for k in (key, "cycles")}
    for n in range(len(points)):
        cell = tuple(round(_CELLS * (v[n] - min(v)) / ((max(v) - min(v)) or 1)) for v in spans.values())
        groups.setdefault(cell, []).append(n)
    first = {numbers[0]: ", ".join(str(n + 1) for n in numbers) for numbers in groups.values()}
    return [first.get(n, "") for n in range(len(points))]
