"""How much worse is still fine, and what may not be exceeded at all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pingponnx.arguments import byte_count
from pingponnx.check.rows import METRICS
from pingponnx.errors import Error

DEFAULT_LIMITS: Mapping[str, float] = {"ram": 0.0, "flash": 1.0, "cycles": 2.0, "instructions": 2.0}
"""Metric -> how many per cent it may grow."""

_THOUSANDS = {"": 1, "K": 10**3, "M": 10**6}
ACCEPTABLE = ("tools", "models")


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as worse.

    `limits`: per cent that a metric may grow; `budgets`: what it may be at most (bytes or counts), for
    measurements of `budget_variant`. `accepted`: differences that do not make numbers incomparable, of
    ACCEPTABLE.
    """

    limits: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    budgets: Mapping[str, int] = field(default_factory=dict)
    budget_variant: str = "optimised"
    accepted: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in self.accepted:
            if name not in ACCEPTABLE:
                raise Error(f"cannot accept {name!r}", f"choose of: {', '.join(ACCEPTABLE)}")


def parse_limit(text: str) -> tuple[str, float]:
    """`ram=0%` -> ("ram", 0.0); raises Error for unknown metrics."""
    match = re.fullmatch(r"(\w+)=(\d+(?:\.\d+)?)%?", text.strip())
    if match is None or match[1] not in METRICS:
        raise Error(
            f"cannot read the limit {text!r}", f"write METRIC=PERCENT%, METRIC one of {', '.join(METRICS)}"
        )
    return match[1], float(match[2])


def parse_budget(text: str) -> tuple[str, int]:
    """`ram=16K` -> ("ram", 16384), `cycles=2M` -> ("cycles", 2000000); raises Error for others."""
    metric, _, amount = text.strip().partition("=")
    match = re.fullmatch(r"(\d+)([KM]?)", amount.upper())
    if match is None or metric not in METRICS:
        raise Error(
            f"cannot read the budget {text!r}",
            f"write METRIC=AMOUNT like ram=16K, METRIC one of {', '.join(METRICS)}",
        )
    if metric in ("ram", "flash"):
        return metric, byte_count(amount)
    return metric, int(match[1]) * _THOUSANDS[match[2]]
