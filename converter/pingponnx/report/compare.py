"""A run against a baseline: what got worse, beyond which limit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pingponnx.errors import Error
from pingponnx.report.document import SCHEMA

_METRICS = {"ram": ("ram", "total"), "flash": ("flash", "total"), "instructions": ("instructions",)}
_KEY = ("model", "variant", "target", "goal", "rounding", "input_mode")
_ASSUMED = {"input_mode": "resident"}  # in reports that do not say

Limits = Mapping[str, float]
"""Metric -> how many percent it may grow."""

DEFAULT_LIMITS: Limits = {"ram": 0.0, "flash": 1.0, "instructions": 0.0}


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of one measurement that is not what it was; `worse` when it is beyond its limit.

    `metric` is `measurement` for rows that appeared or vanished, and `correctness` for lost equality.
    """

    measurement: str
    metric: str
    before: int | str | None
    after: int | str | None
    worse: bool

    def __str__(self) -> str:
        if self.metric == "measurement":
            return f"{'WORSE' if self.worse else 'new'}: {self.measurement}: {self.after}"
        sign, step = "WORSE" if self.worse else "changed", ""
        if isinstance(self.before, int) and isinstance(self.after, int) and self.before:
            step = f" ({100 * (self.after / self.before - 1):+.2f} %)"
            sign = sign if self.worse or self.after > self.before else "better"
        return f"{sign}: {self.measurement}: {self.metric} {self.before} -> {self.after}{step}"


def parse_limit(text: str) -> tuple[str, float]:
    """`ram=0%` -> ("ram", 0.0); raises Error for unknown metrics."""
    match = re.fullmatch(r"(\w+)=(\d+(?:\.\d+)?)%?", text.strip())
    if match is None or match[1] not in _METRICS:
        raise Error(
            f"cannot read the limit {text!r}", f"write METRIC=PERCENT%, METRIC one of {', '.join(_METRICS)}"
        )
    return match[1], float(match[2])


def compare(run: Mapping[str, Any], baseline: Mapping[str, Any], limits: Limits) -> list[Change]:
    """Everything that differs, worst first. Raises Error when a document is not a report."""
    new, old = _rows(run), _rows(baseline)
    if not new.keys() & old.keys():
        raise Error("the report and the baseline have no measurement in common", "measure the same models")
    changes: list[Change] = []
    for key in sorted(new.keys() | old.keys()):
        name = ", ".join(key)
        if key not in old:
            changes.append(Change(name, "measurement", None, "new", False))
        elif key not in new:
            changes.append(Change(name, "measurement", "measured", "vanished", True))
        else:
            changes += _row_changes(name, new[key], old[key], limits)
    return sorted(changes, key=lambda c: not c.worse)


def _rows(report: Mapping[str, Any]) -> dict[tuple[str, ...], Mapping[str, Any]]:
    try:
        if report["schema"] != SCHEMA:
            raise Error(f"report schema {report['schema']!r} is unknown", "use a matching pingponnx")
        rows = {tuple(str({**_ASSUMED, **row}[k]) for k in _KEY): row for row in report["measurements"]}
        for row in rows.values():
            for path in _METRICS.values():
                _value(row, path)
        return rows
    except (KeyError, TypeError, ValueError) as error:
        raise Error(
            "this is not a pingponnx report", "give the report.json that `pingponnx report` wrote"
        ) from error


def _value(row: Mapping[str, Any], path: Sequence[str]) -> int | None:
    value: Any = row
    for key in path:
        value = value[key]
    return None if value is None else int(value)


def _row_changes(name: str, new: Mapping[str, Any], old: Mapping[str, Any], limits: Limits) -> list[Change]:
    changes = []
    for metric, path in _METRICS.items():
        before, after = _value(old, path), _value(new, path)
        if before == after:
            continue
        lost = after is None
        grown = (
            before is not None and after is not None and after > before * (1 + limits.get(metric, 0.0) / 100)
        )
        changes.append(Change(name, metric, before, after, lost or grown))
    for flag in ("equal_to_reference", "equal_to_other_variant"):
        if old.get(flag) and not new.get(flag):
            changes.append(Change(name, flag, "yes", "no" if new.get(flag) is False else "unknown", True))
    if old.get("model_sha256") != new.get("model_sha256"):
        changes.append(Change(name, "model file", "the baseline's", "another", False))
    return changes
