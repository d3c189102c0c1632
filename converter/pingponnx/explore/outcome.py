"""A measured choice, and which of many are worth having."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pingponnx.explore.choices import Choice
from pingponnx.pareto import not_dominated


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a choice costs: bytes of RAM and flash, modelled cycles of a run, and how often its top answer is
    another than the float32 model's (a share of the samples, None without a reference)."""

    choice: Choice
    result: Mapping[str, Any]
    cached: bool = False

    @property
    def failed(self) -> str | None:
        reason = self.result.get("failed")
        return None if reason is None else str(reason)

    @property
    def ram(self) -> int:
        return int(self.result["ram"]["total"])

    @property
    def flash(self) -> int:
        return int(self.result["flash"]["total"])

    @property
    def cycles(self) -> int:
        """Modelled; where there is no model, instructions."""
        return int(self.result["cycles"] or self.result["instructions"])

    @property
    def agreement(self) -> float | None:
        top = self.result["agreement"]["top1_agreement"]
        return None if top is None else float(top)

    @property
    def costs(self) -> tuple[float, ...]:
        """What should be small."""
        return self.ram, self.flash, self.cycles, 1.0 - (self.agreement or 0.0)

    def fits(self, ram: int | None, flash: int | None) -> bool:
        """Within budgets of bytes."""
        return (ram is None or self.ram <= ram) and (flash is None or self.flash <= flash)

    def row(self) -> dict[str, Any]:
        """The JSON of an outcome."""
        return {**self.choice.settings, **self.result, "cached": self.cached}


def front(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The Pareto set of each target, for cycles of different cores say nothing of one another."""
    by_target: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_target.setdefault(outcome.choice.target, []).append(outcome)
    return [best for group in by_target.values() for best in not_dominated(group, lambda o: o.costs)]


def peak_lines(outcome: Outcome, most: int = 4) -> Sequence[str]:
    """What fills the arena at its fullest, the largest first."""
    blocks = [b for b in outcome.result["peak"] if b["what"] != "not in use at the peak"]
    return [f"{b['bytes']:,} B {b['what']}" for b in blocks[:most]]
