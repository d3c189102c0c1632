"""report.json read with care: its measurements by what identifies them, and their metrics."""

from collections.abc import Mapping
from typing import Any

from pingponnx.errors import Error

SCHEMA = 1
KEY = ("model", "variant", "target", "goal", "rounding", "input_mode")
"""What identifies a measurement."""

USUAL = (None, None, None, "balanced", "single", "resident")
"""The parts of KEY that are not worth saying."""

METRICS = {
    "ram": ("ram", "total"),
    "flash": ("flash", "total"),
    "cycles": ("cycles",),
    "instructions": ("instructions",),
}
"""Metric -> where it is in a measurement. RAM and flash are bytes."""

_ASSUMED = {"input_mode": "resident"}  # in reports that do not say

Row = Mapping[str, Any]


def rows_of(report: Any) -> dict[tuple[str, ...], Row]:
    """The measurements of a report by KEY. Raises Error when the document is not a report."""
    try:
        if report["schema"] != SCHEMA:
            raise Error(f"report schema {report['schema']!r} is unknown", "use a matching pingponnx")
        rows = {tuple(str({**_ASSUMED, **row}[k]) for k in KEY): row for row in report["measurements"]}
        for row in rows.values():
            for metric in METRICS:
                value(row, metric)
            for name in ("nodes", "model_sha256", "equal_to_reference"):
                row[name]
        dict(report["tool"])
        return rows
    except (KeyError, TypeError, ValueError) as error:
        raise Error(
            "this is not a pingponnx report", "give the report.json that `pingponnx report` wrote"
        ) from error


def value(row: Row, metric: str) -> int | None:
    """A metric of a measurement; None where it is not known."""
    found: Any = row
    for key in METRICS[metric]:
        found = found[key]
    return None if found is None else int(found)
