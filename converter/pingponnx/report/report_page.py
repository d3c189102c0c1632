"""report.html: everything that was measured, for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pingponnx.report.conversions import accuracy_rows, conversion_rows
from pingponnx.report.page import page
from pingponnx.report.picture import Picture
from pingponnx.report.plan_map import embedded_map
from pingponnx.report.report_charts import group_charts, pareto_charts
from pingponnx.report.sources import cycle_note, model_rows, sample_note, version_rows
from pingponnx.report.tables import (
    TEXT_COLUMNS,
    agreement_rows,
    baselines,
    fallback_rows,
    function_rows,
    groups,
    hot_rows,
    ledger_rows,
    node_rows,
    plan_rows,
    summary_rows,
)

Row = Mapping[str, Any]

_OPEN = 3  # of the details; more of them start closed


def report_page(content: Mapping[str, Any]) -> str:
    """The text of the page; `content` is that of report.json."""
    rows = content["measurements"]
    found = groups(rows)
    bases = baselines(rows)
    return page(
        "report.html.j2",
        charts=True,
        title="pingponnx report",
        cards=[_card(group, bases) for group in found],
        summary=summary_rows(rows),
        cycle_note=cycle_note(rows),
        sample_note=sample_note(rows),
        details=[_detail(group, index, len(found)) for index, group in enumerate(found)],
        pareto=pareto_charts(rows),
        accuracy=agreement_rows(rows),
        fallbacks=fallback_rows(rows),
        versions=version_rows(content["tool"]),
        models=model_rows(rows),
        command=content["command"],
        text_columns=sorted(TEXT_COLUMNS),
    )


def _title(group: Sequence[Row]) -> dict[str, str]:
    row = group[0]
    settings = [row["target"], row["dtype"], f"goal {row['goal']}", f"input {row['input_mode']}"]
    settings += [f"{row['rounding']} rounding"] if row["dtype"] != "float32" else []
    return {"model": row["model"], "setting": ", ".join(settings)}


def _card(group: Sequence[Row], bases: Mapping[tuple[str, ...], Row]) -> dict[str, Any]:
    """Our variant of a setting, or else the first, beside the CMSIS-NN one."""
    row = next((r for r in group if r["variant"] == "optimised"), group[0])
    base = next((b for b in bases.values() if any(b is r for r in group) and b is not row), None)
    return {
        **_title(group),
        "variant": row["variant"],
        "compared": base is not None,
        "figures": [_figure(name, of(row), of(base) if base else None) for name, of in _FIGURES.items()],
        "right": all(r["equal_to_reference"] and r["equal_to_other_variant"] is not False for r in group),
    }


_SPEED = "modelled cycles"
_FIGURES: Mapping[str, Callable[[Row], int | None]] = {
    "RAM, bytes": lambda row: row["ram"]["total"],
    "flash, bytes": lambda row: row["flash"]["total"],
    _SPEED: lambda row: row["cycles"],
}


def _figure(name: str, value: int | None, base: int | None) -> dict[str, str]:
    """A number, and how it compares: by how many per cent it differs, or how many times as fast it is."""
    change = ""
    if value and base:
        change = f"{base / value:.2f}x as fast" if name == _SPEED else f"{100 * (value / base - 1):+.1f} %"
    verdict = "" if not value or not base or value == base else "good" if value < base else "bad"
    shown = "n/a" if value is None else f"{value:,}"
    return {"name": name, "value": shown, "change": change, "verdict": verdict}


def _detail(group: Sequence[Row], index: int, count: int) -> dict[str, Any]:
    return {
        **_title(group),
        "name": f"setting-{index}",
        "open": count <= _OPEN or index == 0,
        "charts": group_charts(group, f"setting-{index}"),
        "variants": [_variant(row) for row in group],
    }


def _variant(row: Row) -> dict[str, Any]:
    tables = {
        "Arena by strategy": plan_rows(row),
        "Nodes": node_rows(row),
        "Each node against onnxruntime": accuracy_rows(row),
        "Conversions to and from float32 that did not fold": conversion_rows(row),
        "Constants in RAM": hot_rows(row),
        "Functions": function_rows(row),
        "Every byte of the image": ledger_rows(row),
    }
    return {
        "name": row["variant"],
        "map": Markup(embedded_map(Picture.from_row(row["plan"]["picture"]))),
        "tables": {title: rows for title, rows in tables.items() if rows},
    }
