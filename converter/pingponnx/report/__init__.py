"""Rows -> report.json, .csv, .md and .html. pandas lives only here."""

from pingponnx.names import short
from pingponnx.report.document import document, render
from pingponnx.report.sources import cycle_note, sample_note
from pingponnx.report.tables import obstacles, summary_rows, tables

__all__ = [
    "cycle_note",
    "document",
    "obstacles",
    "render",
    "sample_note",
    "short",
    "summary_rows",
    "tables",
]
