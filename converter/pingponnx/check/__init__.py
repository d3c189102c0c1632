"""A run of `report` against a baseline and budgets: what got worse, by how much, and what caused it."""

from pingponnx.check.compare import check
from pingponnx.check.limits import ACCEPTABLE, DEFAULT_LIMITS, Rules, parse_budget, parse_limit
from pingponnx.check.rows import rows_of
from pingponnx.check.verdict import Cause, Finding, Status, Verdict

__all__ = [
    "ACCEPTABLE",
    "DEFAULT_LIMITS",
    "Cause",
    "Finding",
    "Rules",
    "Status",
    "Verdict",
    "check",
    "parse_budget",
    "parse_limit",
    "rows_of",
]
