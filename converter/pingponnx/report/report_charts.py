"""The charts of a report: rows of measurements -> charts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pingponnx.pareto import dominates
from pingponnx.report.charts import Chart, Field, bars, label, points, quantity
from pingponnx.report.tables import setting

Rows = Sequence[Mapping[str, Any]]

_VARIANT = Field("variant", "variant")
_MOST = 16  # of the largest pieces of flash that get a bar of their own
_NOT_THE_MODELS = ("startup and harness", "alignment")


def group_charts(rows: Rows, name: str) -> list[Chart]:
    """The charts of the variants of one setting; `name` begins the ids of their elements."""
    made = [_strategies(rows, name), _nodes(rows, name), _flash(rows, name)]
    return [chart for chart in made if chart]


def _strategies(rows: Rows, name: str) -> Chart:
    """The arena by strategy, one bar a variant."""
    ladder = dict.fromkeys(s for row in rows for s in row["plan"]["strategies"])
    steps = [
        {"strategy": step, "variant": row["variant"], "bytes": size, "used": used, "note": _said(size, used)}
        for step in (*ladder, "lower bound")
        for row in rows
        for size, used in [_step(row["plan"], step)]
        if size is not None
    ]
    size, place = quantity("bytes", "arena, bytes"), Field("strategy", "strategy")
    hints = (place, _VARIANT, size, Field("used", "used"))
    spec = bars(steps, size, place, _VARIANT, hints, grouped=True, note="note", step=14)
    return Chart(f"{name}-strategies", "RAM by strategy: bytes of the arena", spec)


def _step(plan: Mapping[str, Any], step: str) -> tuple[int | None, str]:
    if step == "lower bound":
        return plan["lower_bound"], "-"
    return plan["strategies"].get(step), "yes" if step == plan["strategy"] else "no"


def _said(size: int | None, used: str) -> str:
    return f"{size:,}{', used' if used == 'yes' else ''}"


def _nodes(rows: Rows, name: str) -> Chart | None:
    """One stack a variant, a part a node in the order in which they run."""
    key = "cycles" if all(row["cycles"] for row in rows) else "instructions"
    parts = [
        {
            "variant": row["variant"],
            "node": label(node["name"]),
            "operator": node["op"],
            "kernel": node["kernel"],
            "count": node[key],
            "share": f"{100 * node[key] / max(row[key], 1):.1f} %",
        }
        for row in rows
        for node in row["nodes"]
        if node[key] is not None
    ]
    if not parts:
        return None
    count, operator = quantity("count", key), Field("operator", "operator")
    hints = (Field("node", "node"), operator, Field("kernel", "kernel"), count, Field("share", "share"))
    spec = bars(parts, count, _VARIANT, operator, hints, step=44)
    modelled = "modelled cycles" if key == "cycles" else "instructions"
    return Chart(f"{name}-nodes", f"{modelled.capitalize()} by node, in the order in which they run", spec)


def _flash(rows: Rows, name: str) -> Chart | None:
    """Constants by node, code by kernel and by library; the largest ones, and the rest as one bar."""
    sizes: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        for entry in row["ledger"] or ():
            if entry["memory"] == "flash" and entry["owner"] not in _NOT_THE_MODELS:
                sizes[entry["owner"], entry["what"], row["variant"]] += entry["bytes"]
    largest: Counter[tuple[str, str]] = Counter()
    for (owner, what, _), size in sizes.items():
        largest[owner, what] = max(largest[owner, what], size)
    shown = sorted(largest, key=lambda piece: (-largest[piece], piece))[:_MOST]
    parts = [
        {"piece": label(what), "owner": owner, "variant": variant, "bytes": sizes[owner, what, variant]}
        for owner, what in shown
        for variant in dict.fromkeys(row["variant"] for row in rows)
        if sizes[owner, what, variant]
    ]
    for row in rows:
        rest = sum(n for (*piece, v), n in sizes.items() if v == row["variant"] and tuple(piece) not in shown)
        if rest:
            parts.append({"piece": "all others", "owner": "-", "variant": row["variant"], "bytes": rest})
    if not parts:
        return None
    flash, piece = quantity("bytes", "flash, bytes"), Field("piece", "what")
    hints = (piece, Field("owner", "kind"), _VARIANT, flash)
    spec = bars(parts, flash, piece, _VARIANT, hints, grouped=True, step=11)
    return Chart(f"{name}-flash", "Flash by node (constants), kernel and library (code): bytes", spec)


def pareto_charts(rows: Rows) -> list[Chart]:
    """RAM against cycles, one chart a model and target that was measured in more than one way."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["cycles"] and row["ram"]["total"]:
            groups.setdefault((row["model"], row["target"]), []).append(row)
    return [
        Chart(f"pareto-{index}", label(f"{model}, {target}"), _pareto(group))
        for index, ((model, target), group) in enumerate(groups.items())
        if len(group) > 1
    ]


def _pareto(rows: Rows) -> Mapping[str, Any]:
    dots = [
        {
            "variant": row["variant"],
            "way": ", ".join(setting(row)[2:]),
            "goal": f"goal {row['goal']}",
            "cycles": row["cycles"],
            "ram": row["ram"]["total"],
            "flash": row["flash"]["total"],
            "front": (best := not any(dominates(_costs(other), _costs(row)) for other in rows)),
            "above": int(best),
        }
        for row in sorted(rows, key=lambda row: (row["cycles"], row["ram"]["total"]))
    ]
    cycles, ram = quantity("cycles", "modelled cycles"), quantity("ram", "RAM, bytes")
    way, goal = Field("way", "goal, rounding, input"), Field("goal", "goal")
    return points(dots, cycles, ram, _VARIANT, goal, (_VARIANT, way, cycles, ram, quantity("flash", "flash")))


def _costs(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["cycles"], row["ram"]["total"]
