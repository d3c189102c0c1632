"""The tables that every format shows."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import pandas as pd

from pingponnx.names import short

Rows = Sequence[Mapping[str, Any]]

TEXT_COLUMNS = frozenset(
    {
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
        "what",
        "same bytes",
        "vs onnxruntime",
        "why",
        "node vs onnxruntime",
        "conversion",
        "reason",
        "beside",
        "tool",
        "version",
        "SHA-256 of the file",
    }
)
"""The columns of words; all others are numbers."""

_COLUMNS = {
    "model": "model",
    "variant": "variant",
    "target": "target",
    "goal": "goal",
    "input": "input_mode",
    "rounding": "rounding",
    "dtype": "dtype",
    "RAM": "ram.total",
    "arena": "ram.arena",
    "static": "ram.static",
    "stack": "ram.stack",
    "flash": "flash.total",
    "code": "flash.code",
    "constants": "flash.constants",
    "MACs": "macs",
    "instructions": "instructions",
    "cycles": "cycles",
    "= reference": "equal_to_reference",
    "= other variant": "equal_to_other_variant",
    "max LSB": "onnxruntime.max_lsb",
    "top-1 agreement": "onnxruntime.top1_agreement",
}


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for key in path.split("."):
        value = value[key]
    return value


def frame(rows: Rows) -> pd.DataFrame:
    """One line per measurement, whole numbers kept whole, unknown values missing."""
    table = pd.DataFrame(
        [{title: _at(r, path) for title, path in _COLUMNS.items()} for r in rows], dtype=object
    )
    return table.reindex(columns=list(_COLUMNS))


def summary_rows(rows: Rows) -> list[dict[str, str]]:
    """The comparison for people: sizes, and each variant relative to the CMSIS-NN one where there is one."""
    base = baselines(rows)
    return [
        {
            "model": r["model"],
            "target": r["target"],
            "variant": r["variant"],
            "goal": r["goal"],
            "input": "resident instead" if r["input_obstacle"] else r["input_mode"],
            "RAM": _number(r["ram"]["total"]),
            "RAM vs CMSIS-NN": _relative(r, base.get(setting(r)), "ram"),
            "flash": _number(r["flash"]["total"]),
            "cycles": _number(r["cycles"]),
            "speed vs CMSIS-NN": _speed(r, base.get(setting(r))),
            "instructions": _number(r["instructions"]),
            "arena": _number(r["ram"]["arena"]),
            "stack": _number(r["ram"]["stack"]),
            "code": _number(r["flash"]["code"]),
            "constants": _number(r["flash"]["constants"]),
            "CMSIS-NN nodes": _calls(r),
            "same bytes": _same(r),
            "vs onnxruntime": _distance(r),
        }
        for r in rows
    ]


def setting(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What the variants that are compared have in common."""
    return tuple(str(row[key]) for key in ("model", "target", "goal", "rounding", "input_mode"))


def groups(rows: Rows) -> list[list[Mapping[str, Any]]]:
    """The rows by setting, in their order."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(setting(row), []).append(row)
    return list(found.values())


def baselines(rows: Rows) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """The CMSIS-NN row of each setting where anything of it runs."""
    return {setting(r): r for r in rows if r["variant"] == "cmsis-nn" and not _only_ours(r)}


def _number(value: int | None) -> str:
    return "n/a" if value is None else f"{value:,}"


def _relative(row: Mapping[str, Any], base: Mapping[str, Any] | None, kind: str) -> str:
    if base is None or row is base or not base[kind]["total"] or row[kind]["total"] is None:
        return ""
    return f"{100 * (row[kind]['total'] / base[kind]['total'] - 1):+.1f} %"


def _only_ours(row: Mapping[str, Any]) -> bool:
    """True when no node of a CMSIS-NN measurement calls CMSIS-NN, as for float32."""
    return len(row["fallbacks"]) == len(row["nodes"])


def _calls(row: Mapping[str, Any]) -> str:
    if row["variant"] != "cmsis-nn":
        return ""
    return f"{len(row['nodes']) - len(row['fallbacks'])} of {len(row['nodes'])}"


def _speed(row: Mapping[str, Any], base: Mapping[str, Any] | None) -> str:
    """How many times as fast as the CMSIS-NN variant, by modelled cycles."""
    if base is None or row is base or not row["cycles"] or not base["cycles"]:
        return ""
    return f"{base['cycles'] / row['cycles']:.2f}x"


def _same(row: Mapping[str, Any]) -> str:
    reference = "= reference" if row["equal_to_reference"] else "NOT the reference"
    other = {True: ", = other variant", False: ", NOT the other variant", None: ""}
    return reference + other[row["equal_to_other_variant"]]


def _distance(row: Mapping[str, Any]) -> str:
    ort = row["onnxruntime"]
    gap = f"{ort['max_abs']:.2g}" if ort["max_lsb"] is None else f"{ort['max_lsb']} LSB"
    return f"{gap}, top-1 {_top1(ort)} of {ort['samples']}"


def _top1(ort: Mapping[str, Any]) -> str:
    return "n/a" if ort["top1_agreement"] is None else f"{100 * ort['top1_agreement']:.1f} %"


def function_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """What each function of one measurement costs itself; kernels are inlined into the run function."""
    return [
        {
            "function": short(f["name"]),
            "instructions": _number(f["instructions"]),
            "cycles": _number(f["cycles"]),
        }
        for f in row["functions"] or []
    ]


def ledger_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every byte of the linked image."""
    return [
        {"memory": e["memory"], "owner": e["owner"], "what": short(e["what"]), "bytes": _number(e["bytes"])}
        for e in row["ledger"] or []
    ]


def share(size: int | None, whole: int | None) -> str:
    """Per cent, or a dash for what does not exist."""
    return "-" if size is None or not whole else f"{100 * size / whole:.1f} %"


def plan_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The arena of one measurement by strategy, and what the used strategy cannot undercut."""
    plan = row["plan"]
    sizes = {**plan["strategies"], "lower bound": plan["lower_bound"]}
    return [
        {
            "strategy": f"{name} (used)" if name == plan["strategy"] else name,
            "arena": "-" if size is None else _number(size),
            "of ping_pong": share(size, plan["strategies"]["ping_pong"]),
        }
        for name, size in sizes.items()
    ]


def hot_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The constants that are kept in RAM, and how often a run reads each of their bytes (estimated)."""
    hot = row["hot_weights"]
    return [
        {
            "hot table of node": short(t["node"]),
            "role": t["role"],
            "bytes": _number(t["bytes"]),
            "reads": f"{t['reads']:,.0f}",
        }
        for t in (hot["tables"] if hot else [])
    ]


def node_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """What each node of one measurement costs."""
    return [
        {
            "node": short(n["name"]),
            "operator": n["op"],
            "kernel": n["kernel"],
            "MACs": _number(n["macs"]),
            "instructions": _number(n["instructions"]),
            "cycles": _number(n["cycles"]),
            "cycles/MAC": f"{n['cycles'] / n['macs']:.2f}" if n["cycles"] and n["macs"] else "",
            "loads": _number(n["loads"]),
            "stores": _number(n["stores"]),
            "flash bytes read": _number(n["flash_bytes"]),
            "scratch": _number(n["scratch"]),
        }
        for n in row["nodes"]
    ]


def notes(row: Mapping[str, Any]) -> list[str]:
    """What a CMSIS-NN measurement could not have as it was asked for, and why."""
    nodes = [n for n in row["nodes"] if n["fallback"]]
    return [*obstacles(row).values(), *(f"{n['name']} runs our plain kernel: {n['fallback']}" for n in nodes)]


def obstacles(row: Mapping[str, Any]) -> dict[str, str]:
    """What a measurement as a whole could not have as it was asked for, and why."""
    found = {
        "(input)": ("its input is resident", row["input_obstacle"]),
        "(budget)": ("OVER BUDGET, measured without --ram and --flash", row["budget_obstacle"]),
    }
    return {what: f"{effect}: {why}" for what, (effect, why) in found.items() if why}


def fallback_rows(rows: Rows) -> list[dict[str, str]]:
    """The same as rows, of all measurements."""
    return [
        {
            "model": r["model"],
            "target": r["target"],
            "variant": r["variant"],
            "node": short(node),
            "operator": operator,
            "kernel": kernel,
            "why": why,
        }
        for r in rows
        for node, operator, kernel, why in (
            *((what, "", "", why) for what, why in obstacles(r).items()),
            *((n["name"], n["op"], n["kernel"], n["fallback"]) for n in r["nodes"] if n["fallback"]),
        )
    ]


def agreement_rows(rows: Rows) -> list[dict[str, str]]:
    """How near each measurement's outputs are to the reference's and to onnxruntime's."""
    return [
        {
            "model": r["model"],
            "target": r["target"],
            "variant": r["variant"],
            "goal": r["goal"],
            "same bytes": _same(r),
            "samples": _number(r["onnxruntime"]["samples"]),
            "max LSB": _number(r["onnxruntime"]["max_lsb"]),
            "max error": f"{r['onnxruntime']['max_abs']:.3g}",
            "top-1 agreement": _top1(r["onnxruntime"]),
        }
        for r in rows
    ]


class By(StrEnum):
    """What a row of the terminal's tables is of."""

    MODEL = "model"
    NODE = "node"
    FUNCTION = "function"


def tables(rows: Rows, by: By) -> list[tuple[str, list[dict[str, str]]]]:
    """(title, table) pairs for the terminal: one of all models, or one a measurement by node or function."""
    if by is By.MODEL:
        return [("", summary_rows(rows))]
    make = node_rows if by is By.NODE else function_rows
    return [(f"{r['model']}, {r['variant']}, {r['target']}", make(r)) for r in rows]
