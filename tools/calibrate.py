"""Fit kernels/predictions.toml: run the benchmark's networks with many choices of kernels, and compare.

Goals make the choices that matter most; besides, every node gets each of its candidates once. Of each form of
a kernel on a core, few factors are taken: the amount that helps the worst prediction most comes next.
"""

import argparse
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench import CORES, GOALS, NETWORKS, subjects
from rich.console import Console
from rich.progress import Progress

from pingponnx.costs import costs
from pingponnx.decide import Budget, Task, decide
from pingponnx.kernels import estimated
from pingponnx.kernels.predict import FILE, amounts, cycles
from pingponnx.measure import Subject
from pingponnx.ops import site_of
from pingponnx.output import write_file
from pingponnx.pipeline import Conversion, Options, conversion, firmware, task_of, wish_of
from pingponnx.plan import Effort
from pingponnx.samples import input_bytes
from pingponnx.select import Goal

_CHOSEN = 3  # weight of what a goal chooses
_ENOUGH = 0.03  # error with which no further factor is looked for
_SMALL = 500  # cycles below which an error is taken relative to these
_MOST = 4  # factors


@dataclass(frozen=True, slots=True)
class Layer:
    """A node that was run: the form of a kernel, what it does, and how many cycles it took."""

    core: str
    function: str
    where: str
    chosen: bool
    amounts: Mapping[str, float]
    cycles: int


# -- measuring --------------------------------------------------------------------------------------


def measured(core: str, what: Subject) -> Iterator[Layer]:
    """All layers of a network on a core."""
    base = Options(target=core)
    task = task_of(what.graph, base)
    for goal in GOALS:
        options = Options(target=core, goal=goal)
        wished = Task(task.graph, task.unfused, task.offers, wish_of(options))
        calls, memory = decide(wished, goal, Budget())
        yield from _run(what, conversion(wished, options, calls, memory), task, str(goal))
    for rank in range(max(map(len, task.offers))):
        options = Options(target=core, goal=(Goal.BALANCED, Goal.CYCLES)[rank % 2])
        forced = tuple(row[min(rank, len(row) - 1)] if row else None for row in task.offers)
        wished = Task(task.graph, task.unfused, task.offers, wish_of(options))
        memory = wished.plan(forced, Effort.FAST)
        yield from _run(what, conversion(wished, options, forced, memory), task, "")


def _run(what: Subject, made: Conversion, task: Task, goal: str) -> Iterator[Layer]:
    with tempfile.TemporaryDirectory(prefix="pingponnx-") as folder:
        spent = costs(firmware(made, Path(folder)), input_bytes(what.graph, what.samples[:1])[0]).nodes
    for index, node in enumerate(made.graph.nodes):
        call = made.calls[index]
        if call is None or index not in spent:
            continue
        site = site_of(made.graph, node, made.options.rounding)
        rank = next(r for r, offered in enumerate(task.offers[index]) if offered is call)
        before = estimated(node.op, site, made.target)[rank]
        form = before.form(by_rows=index in made.plan.streamed)
        where = f"{what.graph.name} {goal or 'forced'} {node.name}"
        found = amounts(before, form, site)
        yield Layer(made.options.target, form.function, where, bool(goal), found, spent[index]["cycles"])


def measure_all(networks: Sequence[str], cores: Sequence[str], console: Console) -> list[Layer]:
    """Two at a time."""
    with (
        tempfile.TemporaryDirectory(prefix="pingponnx-") as folder,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(2) as pool,
    ):
        what = subjects(networks, Path(folder))
        jobs = [(core, name) for core in cores for name in networks]
        bar = progress.add_task("measuring", total=len(jobs))

        def one(job: tuple[str, str]) -> list[Layer]:
            found = list(measured(job[0], what[job[1]]))
            progress.advance(bar)
            if not console.is_terminal:
                console.print(f"measured {job[1]}, {job[0]}", markup=False)
            return found

        return [layer for layers in pool.map(one, jobs) for layer in layers]


# -- fitting ----------------------------------------------------------------------------------------


def fit(layers: Sequence[Layer]) -> Mapping[str, float]:
    """Factors of one form on one core, none of them negative."""
    names = [n for n in layers[0].amounts if any(layer.amounts[n] for layer in layers)]
    distinct = len({tuple(layer.amounts.values()) for layer in layers})
    factors: Mapping[str, float] = _solved(layers, names[:1])  # the estimate, where there is one
    for _ in range(min(_MOST, distinct) - 1):
        if worst(layers, factors) < _ENOUGH:
            break
        tried = [_solved(layers, [*factors, name]) for name in names if name not in factors]
        better = min(tried, key=lambda f: _badness(layers, f), default=factors)
        if _badness(layers, better) > 0.95 * _badness(layers, factors):
            break
        factors = {name: value for name, value in better.items() if value}
    return factors


def worst(layers: Sequence[Layer], factors: Mapping[str, float]) -> float:
    """The largest relative error of those that a goal chose, or of all where none was."""
    chosen = [layer for layer in layers if layer.chosen] or layers
    return max(abs(error(layer, factors)) for layer in chosen)


def error(layer: Layer, factors: Mapping[str, float]) -> float:
    """Relative, with leave for tiny layers."""
    return (round(cycles(factors, layer.amounts)) - layer.cycles) / max(layer.cycles, _SMALL)


def _badness(layers: Sequence[Layer], factors: Mapping[str, float]) -> float:
    """The worst error counts, and a little the mean one."""
    return worst(layers, factors) + float(np.mean([abs(error(layer, factors)) for layer in layers]))


def _solved(layers: Sequence[Layer], names: Sequence[str]) -> dict[str, float]:
    """Least squares of relative errors with weights that then favour the worst, by coordinate descent."""
    scale = np.array([max(layer.cycles, _SMALL) for layer in layers], float)
    a = np.array([[layer.amounts[n] for n in names] for layer in layers], float) / scale[:, None]
    y = np.array([layer.cycles for layer in layers]) / scale
    size = np.maximum(a.max(axis=0), 1e-30)
    a = a / size
    weight = np.array([_CHOSEN if layer.chosen else 1 for layer in layers], float)
    x = np.zeros(len(names))
    for _ in range(16):
        gram, target = (a * weight[:, None]).T @ a, (a * weight[:, None]).T @ y
        for _ in range(400):
            for k in range(len(names)):
                x[k] = max(0.0, x[k] + (target[k] - gram[k] @ x) / max(gram[k, k], 1e-30))
        off = np.abs(a @ x - y)
        weight = weight * (0.3 + off / max(off.max(), 1e-12))
    return {name: float(f"{value:.3g}") for name, value in zip(names, x / size, strict=True)}


def fitted(layers: Sequence[Layer]) -> dict[str, dict[str, Mapping[str, float]]]:
    """By core and function."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for core in dict.fromkeys(layer.core for layer in layers):
        for function in sorted({layer.function for layer in layers if layer.core == core}):
            alike = [layer for layer in layers if (layer.core, layer.function) == (core, function)]
            found.setdefault(core, {})[function] = fit(alike)
    return found


def to_toml(factors: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The file's text."""
    lines = ["# Made by tools/calibrate.py; kernels/predict.py says what the amounts are. Cycles of each."]
    for core, functions in sorted(factors.items()):
        lines += ["", f"[{core}]"]
        for function, of in sorted(functions.items()):
            lines.append(f"{function} = {{ {', '.join(f'{n} = {v:g}' for n, v in of.items())} }}")
    return "\n".join(lines) + "\n"


def report(layers: Sequence[Layer], factors: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """For each form the worst errors: of what goals chose, and of all."""
    for core, functions in factors.items():
        for function, of in functions.items():
            alike = [layer for layer in layers if (layer.core, layer.function) == (core, function)]
            bad = max(alike, key=lambda layer: (layer.chosen, abs(error(layer, of))))
            every = max(abs(error(layer, of)) for layer in alike)
            chosen = sum(layer.chosen for layer in alike)
            errors = (
                f"{100 * error(bad, of):+6.1f} % of {bad.cycles:,} ({bad.where}), of all {100 * every:.1f} %"
            )
            yield f"{core} {function}: {chosen} chosen of {len(alike)}; {errors}; {dict(of)}"


def main() -> int:
    """Measure, or read layers that were measured, fit and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", action="append", choices=NETWORKS, help="repeatable; all")
    parser.add_argument("--core", action="append", choices=CORES, help="repeatable; all")
    parser.add_argument("--layers", type=Path, action="append", help="measured before; repeatable")
    parser.add_argument("--keep", type=Path, help="where to write the measured layers")
    given = parser.parse_args()
    if given.layers:
        layers = [Layer(**row) for path in given.layers for row in json.loads(path.read_text())]
    else:
        layers = measure_all(given.network or NETWORKS, given.core or CORES, Console(stderr=True))
    if given.keep:
        write_file(given.keep, json.dumps([asdict(layer) for layer in layers]).encode())
    factors = fitted(layers)
    before = tomllib.loads(FILE.read_text(encoding="utf-8"))  # other cores keep theirs
    write_file(FILE, to_toml(before | factors).encode())
    print("\n".join(report(layers, factors)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
