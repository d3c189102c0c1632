"""A report against a baseline and budgets: pure, from two JSON documents to a Verdict."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pingponnx.check.causes import causes
from pingponnx.check.limits import Rules
from pingponnx.check.rows import KEY, METRICS, Row, rows_of, value
from pingponnx.check.verdict import Finding, Status, Verdict
from pingponnx.errors import Error

_CODE_TOOLS = ("gcc", "optimisation")
"""Tools that make the measured code: with another one, a change says nothing about the converter."""


_USUAL = Rules()


def check(run: Any, baseline: Any | None, rules: Rules = _USUAL) -> Verdict:
    """Everything that differs, worst first. Raises Error when a document is not a report, when the two
    have no measurement in common, or when no measurement is of the variant that budgets are for."""
    new = rows_of(run)
    findings = [*_over_budget(new, rules)]
    compared = None
    if baseline is not None:
        old = rows_of(baseline)
        if not new.keys() & old.keys():
            raise Error(
                f"the report and the baseline have no measurement in common: {_apart(new, old)}",
                "measure the same models in the same way",
            )
        compared = len(new.keys() & old.keys())
        findings += _tools(run["tool"], baseline["tool"], rules)
        foreign = _foreign_tools(run["tool"], baseline["tool"], rules)
        for key in sorted(new.keys() | old.keys()):
            findings += _measurement(key, new.get(key), old.get(key), rules, foreign)
    order = list(Status)
    budgeted = sum(r["variant"] == rules.budget_variant for r in new.values()) if rules.budgets else 0
    return Verdict(tuple(sorted(findings, key=lambda f: order.index(f.status))), compared, budgeted)


def _apart(new: Collection[tuple[str, ...]], old: Collection[tuple[str, ...]]) -> str:
    """The parts of their keys in which two reports have nothing in common, else the keys."""
    parts = []
    for index, name in enumerate(KEY):
        here, there = ({key[index] for key in keys} for keys in (new, old))
        if here and there and not here & there:
            parts.append(f"{name} {', '.join(sorted(here))} here, {name} {', '.join(sorted(there))} there")
    return "; ".join(parts) or "no two have the same " + ", ".join(KEY)


def _over_budget(rows: Mapping[tuple[str, ...], Row], rules: Rules) -> Iterator[Finding]:
    if not rules.budgets:
        return
    bound = {key: row for key, row in rows.items() if row["variant"] == rules.budget_variant}
    if not bound:
        raise Error(
            f"no measurement is of the variant {rules.budget_variant!r}, which the budgets are for",
            "name another one with --budget-variant",
        )
    for key, row in bound.items():
        for metric, most in rules.budgets.items():
            found = value(row, metric)
            if found is None:
                note = f"the budget is {most:,}, but the report does not say"
                yield Finding(key, metric, Status.UNKNOWN, None, None, note)
            elif found > most:
                note = f"{found:,} of {most:,}, {found - most:,} too many"
                yield Finding(key, metric, Status.OVER_BUDGET, None, None, note)


def _tools(new: Mapping[str, Any], old: Mapping[str, Any], rules: Rules) -> Iterator[Finding]:
    """One finding a tool whose version differs."""
    for name in sorted(new.keys() | old.keys()):
        before, after = _version(old.get(name)), _version(new.get(name))
        if before == after:
            continue
        decides = name in (*_CODE_TOOLS, "cmsis_nn") and "tools" not in rules.accepted
        note = "not the converter's doing; compare all the same with --accept tools" if decides else ""
        yield Finding((), name, Status.UNKNOWN if decides else Status.CHANGED, before, after, note)


def _version(tool: Any) -> str:
    if isinstance(tool, Mapping):
        return ", ".join(f"{tool[k]}" for k in sorted(tool))
    return "none" if tool is None else str(tool)


def _foreign_tools(new: Mapping[str, Any], old: Mapping[str, Any], rules: Rules) -> frozenset[str]:
    """The tools that make two builds incomparable and differ."""
    if "tools" in rules.accepted:
        return frozenset()
    return frozenset(n for n in (*_CODE_TOOLS, "cmsis_nn") if new.get(n) != old.get(n))


def _measurement(
    key: tuple[str, ...], new: Row | None, old: Row | None, rules: Rules, foreign: frozenset[str]
) -> Iterator[Finding]:
    if old is None or new is None:
        status, note = (Status.NEW, "not in the baseline")
        if new is None:
            status, note = (Status.VANISHED, "in the baseline, but not measured")
        yield Finding(key, "measurement", status, None, None, note)
        return
    comparable = not (foreign - {"cmsis_nn"}) and not ("cmsis_nn" in foreign and new["variant"] == "cmsis-nn")
    if old["model_sha256"] != new["model_sha256"]:
        accepted = "models" in rules.accepted
        comparable &= accepted
        note = "" if accepted else "another network; compare all the same with --accept models"
        status = Status.CHANGED if accepted else Status.UNKNOWN
        yield Finding(key, "model file", status, _short(old), _short(new), note)
    yield from _correctness(key, new, old)
    for metric in METRICS:
        yield from _metric(key, metric, new, old, rules, comparable)


def _short(row: Row) -> str:
    return f"sha256 {str(row['model_sha256'])[:12]}"


def _correctness(key: tuple[str, ...], new: Row, old: Row) -> Iterator[Finding]:
    """Equality that was lost is worse whatever else changed; equality that is not known any more is not."""
    for flag in ("equal_to_reference", "equal_to_other_variant"):
        if old.get(flag) and not new.get(flag):
            wrong = new.get(flag) is False
            status = Status.WORSE if wrong else Status.UNKNOWN
            yield Finding(key, flag.replace("_", " "), status, "yes", "no" if wrong else "unknown")


def _metric(
    key: tuple[str, ...], metric: str, new: Row, old: Row, rules: Rules, comparable: bool
) -> Iterator[Finding]:
    before, after = value(old, metric), value(new, metric)
    model = _cycle_models(old, new) if metric == "cycles" else ""
    if before == after and not model:
        return
    status, note = Status.CHANGED, model
    if before is None:
        note = "was not known"
    elif after is None:
        status, note = Status.UNKNOWN, str(new.get(f"{metric}_missing") or "is not known any more")
    else:
        limit = rules.limits.get(metric, 0.0)
        grown = after > before * (1 + limit / 100)
        status = Status.WORSE if grown else Status.BETTER if after < before else Status.CHANGED
        note = f"limit {limit:g} %" if grown else model
        if not comparable or (model and "tools" not in rules.accepted):
            status, note = Status.UNKNOWN, model or "not comparable"
    yield Finding(key, metric, status, before, after, note, causes(metric, old, new))


def _cycle_models(old: Row, new: Row) -> str:
    """How the two cycle models differ; empty when they are one."""
    before, after = old.get("cycles_model"), new.get("cycles_model")
    if before == after or before is None or after is None:
        return ""
    return f"cycle model {_model(before)} -> {_model(after)}"


def _model(model: Mapping[str, Any]) -> str:
    return f"{model['name']} v{model['version']}{', flash ' + model['flash'] if model['flash'] else ''}"
