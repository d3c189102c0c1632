"""report.json and its renderings, stable to the byte: sorted keys, no dates, no paths."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pingponnx.check.rows import SCHEMA
from pingponnx.markdown import cell
from pingponnx.report.conversions import accuracy_rows, conversion_rows
from pingponnx.report.tables import (
    frame,
    function_rows,
    hot_rows,
    ledger_rows,
    node_rows,
    notes,
    plan_rows,
    summary_rows,
)

_TEXT = {
    "model",
    "node",
    "target",
    "variant",
    "goal",
    "input",
    "operator",
    "kernel",
    "function",
    "memory",
    "owner",
    "strategy",
    "hot table of node",
    "role",
} | {
    "node vs onnxruntime",
    "conversion",
    "reason",
    "beside",
    "what",
    "same bytes",
    "vs onnxruntime",
}


def document(tool: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of report.json."""
    return {"schema": SCHEMA, "tool": dict(tool), "measurements": [dict(m) for m in measurements]}


def to_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def render(content: Mapping[str, Any]) -> dict[str, str]:
    """{file name: text} of the four formats."""
    rows = content["measurements"]
    return {
        "report.json": to_json(content),
        "report.csv": frame(rows).to_csv(index=False, lineterminator="\n"),
        "report.md": _markdown(content),
        "report.html": _html(content),
    }


def _markdown(content: Mapping[str, Any]) -> str:
    parts = ["# pingponnx report", "", _table(summary_rows(content["measurements"])), ""]
    parts += ["RAM and flash in bytes; instructions are exact. " + cycle_note(content["measurements"]), ""]
    parts += [_versions(content["tool"]), ""]
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


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    table = pd.DataFrame([{k: cell(v) for k, v in row.items()} for row in rows])
    right = [c not in _TEXT for c in table.columns]
    align = ["right" if r else "left" for r in right]
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=align)) if rows else ""


def _versions(tool: Mapping[str, Any]) -> str:
    cmsis = tool["cmsis_nn"]
    named = f"CMSIS-NN {cmsis['version']} ({cmsis['source']})" if cmsis else ""
    parts = [
        f"pingponnx {tool['pingponnx']}",
        f"{tool['gcc']} {tool['optimisation']}" if tool["gcc"] else "",
        tool["qemu"],
        named,
        f"onnxruntime {tool['onnxruntime']}",
    ]
    return "Made with " + ", ".join(p for p in parts if p) + "."


def cycle_note(rows: Sequence[Mapping[str, Any]]) -> str:
    """What has to be said wherever modelled cycles are shown: which model, and how wrong it may be."""
    notes = set()
    for row in rows:
        model = row["cycles_model"]
        if model is None:
            notes.add(f"{row['target']}: {row['cycles_missing']}")
        else:
            flash = f", flash model {model['flash']}" if model["flash"] else ", memory without wait states"
            notes.add(f"{row['target']}: model {model['name']} v{model['version']}, {model['error']}{flash}")
    return "Cycles are modelled: " + "; ".join(sorted(notes)) + "." if notes else ""


def _tables(row: Mapping[str, Any]) -> list[list[dict[str, str]]]:
    makers = (node_rows, plan_rows, hot_rows, function_rows, ledger_rows)
    return [table for table in (make(row) for make in makers) if table]


def _html(content: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("pingponnx"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = content["measurements"]
    return environment.get_template("report.html.j2").render(
        summary=summary_rows(rows),
        versions=_versions(content["tool"]),
        cycle_note=cycle_note(rows),
        text_columns=sorted(_TEXT),
        details=[{"title": _title(r), "tables": _tables(r), "notes": notes(r)} for r in rows],
    )
