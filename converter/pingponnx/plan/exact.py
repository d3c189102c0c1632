"""The best placement there is, by constraint programming: closes the gap that the local search leaves."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from pingponnx.errors import Error
from pingponnx.plan.problem import (
    Pair,
    Problem,
    Rule,
    Solution,
    bank_starts,
    bound_in_units,
    in_units,
    windows,
)

_SEED = 20070134  # any fixed number


def solve(
    problem: Problem, *, hint: Solution, workers: int = 1, limit_deterministic: float = 60.0
) -> Solution:
    """The optimum, or the best found within the limit (CP-SAT's own measure of work, roughly seconds).

    `hint` is a placement to undercut. It comes back, at most newly proven, when nothing smaller is found;
    if it lies behind the banks, then nothing that fits them was found.
    """
    cp = _cp_sat()
    units, unit = in_units(problem)
    highest = hint.arena // unit
    if units.banks:
        highest = min(highest, bank_starts(units)[-1])
    ranges = _ranges(units, highest)
    if bound_in_units(units) > highest or not all(ranges):
        return hint
    model = _Model(cp, units, highest, ranges)
    if hint.arena <= unit * highest:
        model.start_from([offset // unit for offset in hint.offsets], hint.backward)
    solver = cp.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.interleave_search = workers > 1  # otherwise the workers race each other
    solver.parameters.random_seed = _SEED
    solver.parameters.max_deterministic_time = limit_deterministic
    status = solver.solve(model.cp_model)
    if status not in (cp.OPTIMAL, cp.FEASIBLE):
        return hint
    arena, proven = unit * solver.value(model.arena), status == cp.OPTIMAL
    if arena == hint.arena:  # the hint does not depend on the solver's version
        return replace(hint, proven=proven)
    offsets = tuple(unit * solver.value(offset) for offset in model.offsets)
    return Solution(arena, offsets, tuple(map(solver.boolean_value, model.backward)), proven)


def _cp_sat() -> Any:
    """OR-tools are optional, so they are imported when they are needed."""
    try:
        return import_module("ortools.sat.python.cp_model")
    except ImportError as error:
        raise Error("effort exact needs OR-tools", "pip install 'pingponnx[exact]'") from error


def _ranges(problem: Problem, highest: int) -> list[list[list[int]]]:
    """By item: from where to where its offset may be, counted in its alignment."""
    return [
        [
            [start // item.alignment, (min(end, highest) - item.bytes) // item.alignment]
            for start, end in allowed
            if start + item.bytes <= min(end, highest)
        ]
        for item, allowed in zip(problem.items, windows(problem), strict=True)
    ]


def _cliques(problem: Problem) -> set[tuple[int, ...]]:
    """Sets of items of which no two may ever share a byte, one around every item."""
    sizes = [item.bytes for item in problem.items]
    apart: list[set[int]] = [set() for _ in sizes]
    for pair in problem.pairs:
        rules = [pair.rule(backward) for backward in problem.directions[pair.group]]
        if all(rule and rule[0] <= -sizes[pair.b] and rule[1] >= sizes[pair.a] for rule in rules):
            apart[pair.a].add(pair.b)
            apart[pair.b].add(pair.a)
    cliques = set()
    for seed, others in enumerate(apart):
        clique = [seed]
        for item in sorted(others, key=lambda i: (-sizes[i], i)):
            if apart[item].issuperset(clique):
                clique.append(item)
        cliques.add(tuple(sorted(clique)))
    return {clique for clique in cliques if len(clique) > 2}


class _Model:
    """The problem in CP-SAT's terms."""

    def __init__(self, cp: Any, problem: Problem, highest: int, ranges: Sequence[list[list[int]]]) -> None:
        self.cp_model = model = cp.CpModel()
        domains = map(cp.Domain.from_intervals, ranges)
        self._alignments = [item.alignment for item in problem.items]
        self._places = [model.new_int_var_from_domain(domain, "place") for domain in domains]
        self.offsets = [place * n for place, n in zip(self._places, self._alignments, strict=True)]
        self.backward = [
            model.new_int_var_from_domain(cp.Domain.from_values(allowed), "backward")
            for allowed in problem.directions
        ]
        self.arena = model.new_int_var(bound_in_units(problem), highest, "arena")
        for offset, item in zip(self.offsets, problem.items, strict=True):
            model.add(offset + item.bytes <= self.arena)
        for pair in problem.pairs:
            self._keep_apart(pair, problem.directions[pair.group])
        for clique in sorted(_cliques(problem)):  # implied, but the solver learns more from it
            blocks = [(self.offsets[i], problem.items[i].bytes) for i in clique]
            model.add_no_overlap(model.new_fixed_size_interval_var(*block, "block") for block in blocks)
        model.minimize(self.arena)

    def _keep_apart(self, pair: Pair, directions: Sequence[bool]) -> None:
        rules = {backward: pair.rule(backward) for backward in directions}
        if len(set(rules.values())) == 1:
            self._forbid(pair, rules[directions[0]], [])
            return
        backward = self.backward[pair.group]
        self._forbid(pair, pair.forward, [~backward])
        self._forbid(pair, pair.backward, [backward])

    def _forbid(self, pair: Pair, rule: Rule, when: list[Any]) -> None:
        if rule is None:
            return
        delta = self.offsets[pair.b] - self.offsets[pair.a]
        below = self.cp_model.new_bool_var("below")
        self.cp_model.add(delta <= rule[0]).only_enforce_if(*when, below)
        self.cp_model.add(delta >= rule[1]).only_enforce_if(*when, ~below)

    def start_from(self, offsets: Sequence[int], backward: Sequence[bool]) -> None:
        for place, offset, alignment in zip(self._places, offsets, self._alignments, strict=True):
            self.cp_model.add_hint(place, offset // alignment)
        for direction, known in zip(self.backward, backward, strict=True):
            self.cp_model.add_hint(direction, int(known))
