"""What a check found, as values that every format renders."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pingponnx.check.rows import USUAL

EXIT_FINE, EXIT_WORSE, EXIT_UNKNOWN = 0, 1, 2


class Status(StrEnum):
    """What one difference means; the order is that of the output."""

    WORSE = "worse"
    OVER_BUDGET = "over budget"
    UNKNOWN = "cannot tell"
    VANISHED = "vanished"
    BETTER = "better"
    CHANGED = "changed"
    NEW = "new"


_EXITS = {
    Status.WORSE: EXIT_WORSE,
    Status.OVER_BUDGET: EXIT_WORSE,
    Status.UNKNOWN: EXIT_UNKNOWN,
    Status.VANISHED: EXIT_UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """A part of the whole that changed: a node with its kernel, a function, a table, a tensor.

    `before` or `after` is None where there was or is no such part; `unit` is cycles, bytes, ...
    """

    what: str
    before: int | None
    after: int | None
    unit: str
    note: str = ""

    @property
    def delta(self) -> int:
        return (self.after or 0) - (self.before or 0)

    def __str__(self) -> str:
        known = self.before is not None and self.after is not None
        step = f" ({self.before:,} -> {self.after:,})" if known else ""
        word = "" if known else ", new" if self.before is None else ", gone"
        note = f"; {self.note}" if self.note else ""
        return f"{self.what}: {self.delta:+,} {self.unit}{step}{word}{note}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference of one measurement, or of the tools when `measurement` is empty."""

    measurement: tuple[str, ...]  # see rows.KEY
    metric: str
    status: Status
    before: int | str | None = None
    after: int | str | None = None
    note: str = ""
    causes: tuple[Cause, ...] = ()

    @property
    def subject(self) -> str:
        """The measurement by name, without settings that are as usual."""
        return (
            ", ".join(p for p, usual in zip(self.measurement, USUAL, strict=False) if p != usual) or "tools"
        )

    @property
    def change(self) -> str:
        """`4,096 -> 8,192 (+100.00 %)`, or the note where there is nothing to count."""
        if self.before is None and self.after is None:
            return self.note
        text = f"{_shown(self.before)} -> {_shown(self.after)}"
        if isinstance(self.before, int) and isinstance(self.after, int) and self.before:
            text += f" ({100 * (self.after / self.before - 1):+.2f} %)"
        return f"{text}; {self.note}" if self.note else text

    @property
    def sentence(self) -> str:
        return f"{self.metric} {self.change}"


def _measurements(count: int) -> str:
    return f"{count} measurement{'' if count == 1 else 's'}"


def _shown(value: int | str | None) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else value


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings, worst first; how many measurements were compared with a baseline (None: there is none),
    and how many were held against budgets."""

    findings: tuple[Finding, ...]
    compared: int | None
    budgeted: int = 0

    @property
    def exit_code(self) -> int:
        """1 when something is certainly worse, else 2 when something could not be told, else 0."""
        codes = {_EXITS.get(f.status, EXIT_FINE) for f in self.findings}
        return EXIT_WORSE if EXIT_WORSE in codes else max(codes, default=EXIT_FINE)

    @property
    def summary(self) -> str:
        """One line: `2 worse, 1 better, 0 cannot tell; 18 measurements compared`."""
        counts = Counter(f.status for f in self.findings)
        always = Status.OVER_BUDGET if self.compared is None else Status.WORSE
        parts = ", ".join(f"{counts[s]} {s}" for s in Status if counts[s] or s is always)
        if self.compared is None:
            return (
                f"{parts}; {_measurements(self.budgeted)} held against the budgets, none against a baseline"
            )
        return f"{parts}; {_measurements(self.compared)} compared"

    def of(self, *statuses: Status) -> Sequence[Finding]:
        return [f for f in self.findings if f.status in statuses]

    def result(self) -> dict[str, Any]:
        """The JSON of `check`."""
        findings = [
            asdict(f) | {"measurement": list(f.measurement), "status": str(f.status)} for f in self.findings
        ]
        return {"exit_code": self.exit_code, "summary": self.summary, "findings": findings}
