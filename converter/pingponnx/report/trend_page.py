"""RAM, flash and cycles through time: a table for the terminal, and charts on a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from pingponnx.check.rows import USUAL
from pingponnx.history import Entry, Key, Measured, breaks, series
from pingponnx.report.charts import Chart, Field, label, lines, quantity
from pingponnx.report.page import page

_DRAWN = {"ram": "RAM, bytes", "flash": "flash, bytes", "cycles": "modelled cycles"}
_TEXT = ("measurement", "since", "until", "commit", "date", "changed", "what")
History = Sequence[tuple[Entry, Measured]]


def trend_rows(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """Every measurement: its commits, and how far it has come since the first."""
    return [
        {
            "measurement": label(_name(key)),
            "commits": str(len(history)),
            **{title.partition(",")[0]: _step(history, metric) for metric, title in _DRAWN.items()},
        }
        for key, history in series(entries).items()
    ]


def trend_result(entries: Sequence[Entry]) -> dict[str, Any]:
    """The JSON of `trend`."""
    return {
        "commits": [{"commit": e.commit, "date": e.date} for e in entries],
        "series": [
            {
                "measurement": list(key),
                "points": [
                    {"commit": e.commit, **m.metrics, "note": note}
                    for (e, m), note in zip(history, breaks(history), strict=True)
                ],
            }
            for key, history in series(entries).items()
        ],
    }


def trend_page(entries: Sequence[Entry]) -> str:
    """The text of an HTML file, which needs nothing else."""
    found = series(entries)
    subjects = dict.fromkeys((key[0], key[2]) for key in found)
    groups = []
    for number, (model, target) in enumerate(subjects):
        mine = {key: history for key, history in found.items() if (key[0], key[2]) == (model, target)}
        drawn = [
            Chart(f"{metric}-{number}", title, _chart(mine, entries, metric, title))
            for metric, title in _DRAWN.items()
        ]
        groups.append({"title": label(f"{model}, {target}"), "drawings": drawn})
    return page(
        "trend.html.j2",
        charts=True,
        title="Measurements through time",
        count=len(entries),
        groups=groups,
        rows=trend_rows(entries),
        text_columns=_TEXT,
    )


def _name(key: Key) -> str:
    return ", ".join(part for part, usual in zip(key, USUAL, strict=True) if part != usual)


def _step(history: History, metric: str) -> str:
    values = [v for _, m in history if (v := m.metrics[metric]) is not None]
    if not values:
        return "n/a"
    change = (
        f" ({100 * (values[-1] / values[0] - 1):+.1f} %)" if values[0] and values[-1] != values[0] else ""
    )
    return f"{values[-1]:,}{change}"


def _chart(
    histories: Mapping[Key, History], entries: Sequence[Entry], metric: str, title: str
) -> Mapping[str, Any]:
    """A line for each variant and setting; commits from left to right."""
    rows = [
        {
            "commit": entry.label,
            metric: measured.metrics[metric],
            "line": _line(key),
            "note": note or "-",
        }
        for place in entries
        for key, history in histories.items()
        for (entry, measured), note in zip(history, breaks(history), strict=True)
        if entry.commit == place.commit and measured.metrics[metric] is not None
    ]
    hints = (
        Field("line", "variant"),
        Field("commit", "commit"),
        quantity(metric, title),
        Field("note", "besides"),
    )
    return lines(
        rows, Field("commit", "commit", "ordinal"), quantity(metric, title), Field("line", "variant"), hints
    )


def _line(key: Key) -> str:
    """Variant and settings: what differs among the lines of a chart."""
    _model, variant, _target, *settings = key
    unusual = [part for part, usual in zip(settings, USUAL[3:], strict=True) if part != usual]
    return label(", ".join([variant, *unusual]))
