"""Rows -> report.json, .csv, .md and .html, and the comparison with a baseline. pandas lives only here."""

from pingponnx.report.compare import Change, Limits, compare, parse_limit
from pingponnx.report.document import cycle_note, document, render
from pingponnx.report.tables import short, summary_rows, tables

__all__ = [
    "Change",
    "Limits",
    "compare",
    "cycle_note",
    "document",
    "parse_limit",
    "render",
    "short",
    "summary_rows",
    "tables",
]
