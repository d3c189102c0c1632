"""report.json and its renderings, stable to the byte: sorted keys, no dates, no paths."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pingponnx.check.rows import SCHEMA
from pingponnx.markdown import cell
from pingponnx.names import spreadsheet
from pingponnx.report.conversions import accuracy_rows, conversion_rows
from pingponnx.report.report_page import report_page
from pingponnx.report.sources import cycle_note, sample_note, versions
from pingponnx.report.tables import (
    TEXT_COLUMNS,
    frame,
    hot_rows,
    node_rows,
    notes,
    plan_rows,
    summary_rows,
)


def document(
    tool: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]], command: str
) -> dict[str, Any]:
    """The content of report.json; `command` is what makes it again."""
    rows = [dict(m) for m in measurements]
    return {"schema": SCHEMA, "tool": dict(tool), "command": command, "measurements": rows}


def to_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def render(content: Mapping[str, Any]) -> dict[str, str]:
    """{file name: text} of the four formats."""
    rows = content["measurements"]
    return {
        "report.json": to_json(content),
        "report.csv": _csv(rows),
        "report.md": _markdown(content),
        "report.html": report_page(content),
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    table = frame(rows).map(lambda value: spreadsheet(value) if isinstance(value, str) else value)
    return str(table.to_csv(index=False, lineterminator="\n"))


def _markdown(content: Mapping[str, Any]) -> str:
    parts = ["# pingponnx report", "", _table(summary_rows(content["measurements"])), ""]
    parts += ["RAM and flash in bytes; instructions are exact. " + cycle_note(content["measurements"]), ""]
    parts += [cell(sample_note(content["measurements"])), "", versions(content["tool"]), ""]
    parts += ["Again:", "", f"    {_line(content['command'])}", ""]
    for row in content["measurements"]:
        parts += [f"## {_title(row)}", "", _table(node_rows(row)), "", _table(plan_rows(row)), ""]
        parts += [_table(hot_rows(row)), ""] if hot_rows(row) else []
        for more in (accuracy_rows(row), conversion_rows(row)):
            parts += [_table(more), ""] if more else []
        parts += [f"- {cell(note)}" for note in notes(row)]
        parts += [""] if notes(row) else []
    return "\n".join(parts)


def _title(row: Mapping[str, Any]) -> str:
    setting = f"goal {row['goal']}, input {row['input_mode']}"
    return cell(f"{row['model']}, {row['variant']}, {row['target']}, {setting}")


def _line(text: str) -> str:
    """A string as a line of code in Markdown."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    table = pd.DataFrame([{k: cell(v) for k, v in row.items()} for row in rows])
    right = [c not in TEXT_COLUMNS for c in table.columns]
    align = ["right" if r else "left" for r in right]
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=align)) if rows else ""
