"""`make bench`: our engine against CMSIS-NN, network by network, on every core, for every goal.

The complete run is compared with reports/bench.json, `--update` writes it. `--subset` is what CI can afford:
see SUBSET. Networks come with this repository, those without trained weights from tests/networks.py.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from networks import write_int8
from pingponnx import cmsis
from pingponnx.build import compiler_version
from pingponnx.measure import Subject, measure, tool_versions
from pingponnx.oracle import Oracle
from pingponnx.output import write_file
from pingponnx.pipeline import Options, normal_form
from pingponnx.report.document import to_json
from pingponnx.samples import random_samples
from pingponnx.select import Goal
from pingponnx.targets import get_target
from pingponnx.terminal import print_table

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ROOT / "reports" / "bench.json"
SHIPPED = {
    "lenet5_int8": "examples/lenet5/lenet5_int8.onnx",
    "lenet5_f32": "examples/lenet5/lenet5_f32.onnx",
    "paper_cifar_int8": "examples/paper_cifar/paper_cifar_int8.onnx",
}
BUILT = ("ds_cnn", "resnet8", "mobilenet_v1_025_96")
NETWORKS = (*SHIPPED, *(f"{name}_int8" for name in BUILT))
CORES = tuple(f"cortex-{core}" for core in ("m4", "m7", "m33", "m3", "m0", "m55"))
GOALS = (Goal.CYCLES, Goal.BALANCED, Goal.RAM)

M4 = {  # the least ratio to CMSIS-NN's cycles, by goal
    "lenet5_int8": (6.0, 5.5, 1.5),
    "lenet5_f32": (1.5, 1.5, None),
    "paper_cifar_int8": (3.2, 2.5, 1.5),
    "ds_cnn_int8": (2.8, 2.3, 1.5),
    "resnet8_int8": (3.3, 2.3, 1.5),
    "mobilenet_v1_025_96_int8": (3.0, 2.5, 1.5),
}
OTHERS = {"cortex-m7": 1.8, "cortex-m33": 1.8, "cortex-m3": 1.3, "cortex-m0": 1.3, "cortex-m55": 1.1}
PREDICTED = 0.10  # the error of a node's predicted cycles, at most
ALLOWANCE = 150  # cycles: what a few branches more or less are in nodes that take hardly more
CONSTANTS = 1.15  # times CMSIS-NN's, at most, on Cortex-M4 with goal balanced


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A measurement: CMSIS-NN's variant has one for all goals."""

    network: str
    core: str
    goal: Goal | None

    @property
    def options(self) -> Options:
        """What it is converted with."""
        if self.goal is None:
            return Options(variant="cmsis-nn", target=self.core)
        return Options(target=self.core, goal=self.goal)

    @property
    def key(self) -> str:
        """Its name in bench.json."""
        return f"{self.network} {self.core} {self.goal or 'cmsis-nn'}"


def cells(networks: Sequence[str], cores: Sequence[str], goals: Sequence[Goal | None]) -> list[Cell]:
    """All combinations, core by core."""
    return [Cell(n, core, goal) for core in cores for n in networks for goal in goals]


SUBSET = cells([n for n in NETWORKS if n != "lenet5_f32"], ["cortex-m4"], (Goal.CYCLES, Goal.BALANCED))


# -- measuring --------------------------------------------------------------------------------------


def subjects(networks: Sequence[str], folder: Path) -> dict[str, Subject]:
    """The networks with one sample each; what is not shipped is built in `folder`."""
    found = {}
    for name in networks:
        path = ROOT / SHIPPED[name] if name in SHIPPED else write_int8(name.removesuffix("_int8"), folder)
        graph = normal_form(path, Options())
        samples = tuple(random_samples(graph, 1))
        oracle = Oracle(path, {})
        found[name] = Subject(path, graph, samples, tuple(oracle.outputs(s) for s in samples), ())
    return found


def measure_cells(chosen: Sequence[Cell], console: Console) -> dict[str, dict[str, Any]]:
    """One row a cell, by its key, two at a time."""
    with (
        tempfile.TemporaryDirectory(prefix="pingponnx-") as folder,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(2) as pool,
    ):
        task = progress.add_task("measuring", total=len(chosen))
        what = subjects(list(dict.fromkeys(cell.network for cell in chosen)), Path(folder))

        def one(cell: Cell) -> dict[str, Any]:
            found = row(measure(what[cell.network], cell.options))
            progress.advance(task)
            if not console.is_terminal:
                console.print(f"measured {cell.key}", markup=False)
            return found

        return dict(zip((cell.key for cell in chosen), pool.map(one, chosen), strict=True))


def row(measured: Mapping[str, Any]) -> dict[str, Any]:
    """What bench.json keeps of a measurement."""
    flash, ram = measured["flash"], measured["ram"]
    return {
        "instructions": measured["instructions"],
        "cycles": measured["cycles"],
        "arena": ram["arena"],
        "ram": ram["total"],
        "constants": flash["constants"],
        "code": flash["code"],
        "exact": measured["equal_to_reference"],
        "nodes": {
            node["name"]: [node["kernel"], node["predicted_cycles"], node["cycles"]]
            for node in measured["nodes"]
        },
    }


# -- judging ----------------------------------------------------------------------------------------


def target_of(cell: Cell) -> float | None:
    """The least speed compared with CMSIS-NN's that issue 5 asks for."""
    assert cell.goal is not None
    if cell.core == "cortex-m4":
        return M4[cell.network][GOALS.index(cell.goal)]
    return None if cell.goal is Goal.RAM or cell.network == "lenet5_f32" else OTHERS[cell.core]


def regressions(run: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[str]:
    """Cells that execute more instructions than in the baseline, or are missing from it."""
    for key, now in run.items():
        before = baseline.get(key)
        if before is None:
            yield f"{key}: not in the baseline"
        elif now["instructions"] > before["instructions"]:
            yield f"{key}: {before['instructions']:,} -> {now['instructions']:,} instructions"


def table(rows: Mapping[str, Mapping[str, Any]], chosen: Sequence[Cell]) -> Iterator[dict[str, str]]:
    """The lines that are printed; ours beside CMSIS-NN's, where that was measured."""
    for cell in chosen:
        if cell.goal is None:
            continue
        ours, theirs = rows[cell.key], rows.get(Cell(cell.network, cell.core, None).key)
        cells_of = {"network": cell.network, "core": cell.core, "goal": str(cell.goal)}
        cells_of |= {"instructions": f"{ours['instructions']:,}", "cycles": f"{ours['cycles']:,}"}
        cells_of |= {key: f"{ours[key]:,}" for key in ("ram", "constants", "code")}
        cells_of["prediction"] = f"{100 * worst_prediction(ours)[0]:+.1f} %"
        if theirs:
            cells_of |= {f"{key} CMSIS-NN": f"{theirs[key]:,}" for key in ("ram", "constants", "code")}
            ratio, least = theirs["cycles"] / ours["cycles"], target_of(cell)
            cells_of["ratio"] = f"{ratio:.2f}"
            cells_of["target"] = "-" if least is None else f"{least:.1f} {_verdict(ratio, least)}"
            cells_of["also"] = ", ".join(_limits(cell, ours, theirs)) or "-"
        yield cells_of


def _verdict(ratio: float, least: float) -> str:
    return "met" if ratio >= least else f"missed by {100 * (1 - ratio / least):.1f} %"


def _limits(cell: Cell, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Limits of balanced on Cortex-M4 that do not hold, and outputs that are not the reference's."""
    if cell.core == "cortex-m4" and cell.goal is Goal.BALANCED and cell.network != "lenet5_f32":
        if ours["ram"] > theirs["ram"]:
            yield "RAM missed"
        if ours["constants"] > CONSTANTS * theirs["constants"]:
            yield f"constants {ours['constants'] / theirs['constants']:.2f}x, missed"
    if not ours["exact"]:
        yield "WRONG OUTPUT"


def worst_prediction(row: Mapping[str, Any]) -> tuple[float, str]:
    """The largest error of a node's predicted cycles, and where it is; ALLOWANCE cycles are none."""
    errors = [
        (p / c - 1, f"{name} ({kernel})")
        for name, (kernel, p, c) in row["nodes"].items()
        if p and abs(p - c) > ALLOWANCE  # CMSIS-NN's calls have no prediction
    ]
    return max(errors, key=lambda e: abs(e[0]), default=(0.0, ""))


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is committed."""
    error, where = worst_prediction(row)
    kept = {key: value for key, value in row.items() if key != "nodes"}
    return kept | ({"worst_prediction": [round(error, 4), where]} if where else {})


# -- command ----------------------------------------------------------------------------------------


def main() -> int:
    """Measure, print, and compare with the baseline or replace its rows; 1 when something got worse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subset", action="store_true", help="what CI measures")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="repeatable; all")
    parser.add_argument("--core", action="append", choices=CORES, help="repeatable; all")
    parser.add_argument("--update", action="store_true", help="replace the baseline's rows")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = parser.parse_args()
    chosen = SUBSET if given.subset else cells(given.network or NETWORKS, given.core or CORES, (*GOALS, None))
    rows = measure_cells(chosen, Console(stderr=True))
    baseline = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {"rows": {}}
    versions = tool_versions(compiler_version(get_target("cortex-m4")), cmsis.find(None))
    if given.json:
        print(to_json(rows), end="")
    else:
        print_table(list(table(baseline["rows"] | rows, chosen)))
        print(f"{versions['gcc']}; CMSIS-NN {versions['cmsis_nn']['version']}, both -O3; cycles are modelled")
    if given.update:
        kept = baseline["rows"] | {key: _kept(found) for key, found in rows.items()}
        write_file(BASELINE, to_json({"tool": versions, "rows": kept}).encode())
        return 0
    worse = list(regressions(rows, baseline["rows"]))
    for line in worse:
        print(f"worse: {line}", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
