"""Which node, kernel, function, table or tensor made a metric change, from two rows of a report."""

from collections.abc import Callable, Mapping

from pingponnx.check.rows import Row
from pingponnx.check.verdict import Cause

Amounts = Mapping[str, int]

_OWNERS = {"arena": "in the arena at its fullest:", "constants": "constants of", "code": "code of"}


def causes(metric: str, old: Row, new: Row) -> tuple[Cause, ...]:
    """The parts that changed, the largest change first; empty when the reports do not tell."""
    return _EXPLAINED[metric](old, new)


def _differences(before: Amounts, after: Amounts, unit: str) -> list[Cause]:
    """One cause for every part whose amount changed."""
    found = [
        Cause(name, before.get(name), after.get(name), unit)
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]
    return sorted(found, key=lambda c: -abs(c.delta))


def _node(node: Row) -> str:
    return f"{node['op']} node {node['name']!r}"


def _counts(metric: str) -> Callable[[Row, Row], tuple[Cause, ...]]:
    """Cycles or instructions by node; a node is told with the kernel that runs it."""

    def explain(old: Row, new: Row) -> tuple[Cause, ...]:
        before = {_node(n): n for n in old["nodes"]}
        after = {_node(n): n for n in new["nodes"]}
        notes = {name: _kernel(before.get(name), after.get(name)) for name in (*before, *after)}
        changed = _differences(_amounts(before, metric), _amounts(after, metric), metric)
        found = [Cause(c.what, c.before, c.after, c.unit, notes[c.what]) for c in changed]
        return tuple(found or _differences(_functions(old, metric), _functions(new, metric), metric))

    return explain


def _amounts(nodes: Mapping[str, Row], metric: str) -> dict[str, int]:
    return {name: int(n[metric]) for name, n in nodes.items() if n.get(metric) is not None}


def _functions(row: Row, metric: str) -> dict[str, int]:
    return {f"function {f['name']}": int(f[metric]) for f in row.get("functions") or ()}


def _kernel(old: Row | None, new: Row | None) -> str:
    """Which kernel runs a node, and why it is another one than before where that is known."""
    if old is None or new is None:
        return f"kernel {(new or old or {})['kernel']}"
    if old["kernel"] == new["kernel"]:
        return f"kernel {new['kernel']}"
    reason = f" ({new['fallback']})" if new.get("fallback") else ""
    return f"kernel {old['kernel']} -> {new['kernel']}{reason}"


def _flash(old: Row, new: Row) -> tuple[Cause, ...]:
    return tuple(_differences(_ledger(old, "flash"), _ledger(new, "flash"), "bytes"))


def _ledger(row: Row, memory: str) -> dict[str, int]:
    """Bytes by what takes them, without the harness, which is in no total."""
    amounts: dict[str, int] = {}
    for entry in row.get("ledger") or ():
        if entry["memory"] == memory and entry["owner"] not in ("startup and harness", "alignment"):
            name = f"{_OWNERS.get(entry['owner'], entry['owner'])} {entry['what']!r}"
            amounts[name] = amounts.get(name, 0) + int(entry["bytes"])
    return amounts


def _ram(old: Row, new: Row) -> tuple[Cause, ...]:
    """Arena, static data and stack; then what lies in them where the arena is at its fullest."""
    notes = {"arena": _strategy(old, new), "stack": _deepest(new)}
    changed = _differences(_ram_parts(old), _ram_parts(new), "bytes")
    told = [Cause(c.what, c.before, c.after, c.unit, notes.get(c.what, "")) for c in changed]
    return (*told, *_differences(_ledger(old, "ram"), _ledger(new, "ram"), "bytes"))


def _ram_parts(row: Row) -> dict[str, int]:
    return {
        part: int(row["ram"][part]) for part in ("arena", "static", "stack") if row["ram"][part] is not None
    }


def _strategy(old: Row, new: Row) -> str:
    before, after = old["plan"]["strategy"], new["plan"]["strategy"]
    return f"strategy {before} -> {after}" if before != after else f"strategy {after}"


def _deepest(row: Row) -> str:
    bound = row.get("stack_bound")
    return f"deepest path {' > '.join(bound['path'])}" if bound and bound.get("path") else ""


_EXPLAINED: Mapping[str, Callable[[Row, Row], tuple[Cause, ...]]] = {
    "ram": _ram,
    "flash": _flash,
    "cycles": _counts("cycles"),
    "instructions": _counts("instructions"),
}
