"""Charts for pages: Vega-Lite specifications as plain values, and the library that draws them in a browser.

A specification knows no colour of its own: `var(--c0)` and the like come from the page, light or dark. Names
are data, which the library writes as text, never as markup.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pingponnx.names import short
from pingponnx.terminal import plain

VEGA_LITE = "6.4"
COLOURS = 8
"""How many colours a page has: `--c0` and on."""

Row = Mapping[str, Any]
Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and what to call it; `name` is the id of its element, unique on a page."""

    name: str
    title: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the rows that are drawn; `kind` is quantitative, nominal or ordinal. Numbers get `unit`."""

    key: str
    title: str
    kind: str = "nominal"

    @property
    def number(self) -> bool:
        return self.kind == "quantitative"

    def encoded(self, **more: Any) -> dict[str, Any]:
        """The field as a channel, in the order of the rows."""
        order = {} if self.number else {"sort": None}
        return {"field": self.key, "type": self.kind, "title": self.title, **order, **more}

    def hint(self) -> dict[str, Any]:
        """The field as a line of a tooltip."""
        how = {"format": ","} if self.number else {}
        return {"field": self.key, "type": self.kind, "title": self.title, **how}


def quantity(key: str, title: str) -> Field:
    return Field(key, title, "quantitative")


def label(name: str) -> str:
    """A name from a model as text of a chart."""
    return plain(short(name))


@cache
def library() -> str:
    """The JavaScript of Vega, Vega-Lite and Vega-Embed, which defines `vegaEmbed`; about 900 KB."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))


def bars(
    rows: Sequence[Row],
    length: Field,
    place: Field,
    colour: Field,
    hints: Sequence[Field],
    *,
    grouped: bool = False,
    note: str = "",
    step: int = 22,
) -> Spec:
    """Horizontal bars, one per value of `place`: parts of a colour each, stacked, or beside if `grouped`.

    Parts of stacked bars are in the order of the rows. The field `note` stands at the bars' ends.
    """
    axis = {"format": "~s", "tickCount": 5, "labelOverlap": True}
    most = max(row[length.key] for row in rows)
    room = {"scale": {"domainMax": most * _ROOM}} if note and most else {}
    channels: dict[str, Any] = {
        "y": place.encoded(title=None, axis={"ticks": False, "domain": False, "labelLimit": _LIMIT}),
        "x": length.encoded(axis=axis, stack=None if grouped else "zero", **room),
        "tooltip": [hint.hint() for hint in hints],
    }
    if grouped:
        channels["yOffset"] = {"field": colour.key, "sort": None}
        mark: dict[str, Any] = {"type": "bar"}
    else:
        channels["order"] = {"field": "order", "type": "quantitative"}
        mark = {"type": "bar", "stroke": "var(--card)", "strokeWidth": 1}
    layers = [{"mark": mark, "encoding": {"color": _colour(colour, rows)}}]
    if note:
        text = {"type": "text", "align": "left", "dx": 4, "fontSize": 11, "color": _INK, "clip": False}
        layers.append({"mark": text, "encoding": {"text": {"field": note, "type": "nominal"}}})
    places, colours = ({row[field.key] for row in rows} for field in (place, colour))
    height = len(places) * (step * len(colours) + 6 if grouped else step)
    return _spec(_ordered(rows), {"layer": layers, "encoding": channels}, height)


def points(
    rows: Sequence[Row],
    across: Field,
    up: Field,
    colour: Field,
    shape: Field,
    hints: Sequence[Field],
    *,
    log: bool = False,
) -> Spec:
    """Points; those that have `front` set are joined by a line, those that have `above` lie above others."""
    scale = {"type": "log", "nice": False, "padding": 25} if log else {"zero": False, "nice": True}
    axis = {"format": "~s", "tickCount": 5, "labelOverlap": True, "gridOpacity": 0.6}
    place = {"x": across.encoded(scale=scale, axis=axis), "y": up.encoded(scale=scale, axis=axis)}
    shapes = {row[shape.key] for row in rows}
    # below the points: beside the one of colours there is no room on a phone
    legend = {"legend": {"orient": "bottom"} if len(shapes) > 1 and shape != colour else None}
    dots = {
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.9},
        "encoding": {
            **place,
            "color": _colour(colour, rows),
            "shape": shape.encoded(title=None, **legend),
            "tooltip": [hint.hint() for hint in hints],
            "order": {"field": "above", "type": "quantitative"},
        },
    }
    front = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "interpolate": "step-after", "color": "var(--soft)", "strokeDash": [4, 3]},
        "encoding": place,
    }
    return _spec(_ordered(rows), {"layer": [front, dots]}, 260)


def lines(rows: Sequence[Row], across: Field, up: Field, colour: Field, hints: Sequence[Field]) -> Spec:
    """A line per colour through the rows in their order, with a point at each."""
    return _spec(
        _ordered(rows),
        {
            "mark": {"type": "line", "point": {"size": 50}},
            "encoding": {
                "x": across.encoded(),
                "y": up.encoded(axis={"format": "~s"}, scale={"zero": False}),
                "color": _colour(colour, rows),
                "tooltip": [hint.hint() for hint in hints],
            },
        },
        220,
    )


def _ordered(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{**row, "order": index} for index, row in enumerate(rows)]


def _colour(field: Field, rows: Sequence[Row]) -> dict[str, Any]:
    """The same colours in the same order in every chart; the first value is the first colour."""
    domain = list(dict.fromkeys(row[field.key] for row in rows))
    colours = [f"var(--c{index % COLOURS})" for index in range(len(domain))]
    return field.encoded(title=None, scale={"domain": domain, "range": colours})


def _spec(rows: Sequence[Row], drawing: Spec, height: int) -> Spec:
    return {
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": None,
        "config": _CONFIG,
        "data": {"values": list(rows)},
        **drawing,
    }


_ROOM = 1.25  # of the longest bar: for the note at its end
# Names get a third of the chart, so that there is room for bars on a phone too.
_LIMIT = {"expr": "max(100, min(260, containerSize()[0] / 3))"}
_COLUMNS = {"expr": "max(2, floor(containerSize()[0] / 120))"}  # of a legend
_INK, _GRID, _FONT = "currentColor", "var(--line)", "system-ui, 'DejaVu Sans', sans-serif"
_CONFIG: Spec = {
    "font": _FONT,
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "gridColor": _GRID,
        "domainColor": _GRID,
        "tickColor": _GRID,
        "labelFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {
        "labelColor": _INK,
        "labelFontSize": 12,
        "orient": "top",
        "columns": _COLUMNS,
        "labelLimit": 150,
    },
    "view": {"stroke": None},
}
