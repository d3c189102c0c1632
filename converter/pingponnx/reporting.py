"""What the `verify` and `report` commands do, without printing."""

import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from pingponnx import cmsis
from pingponnx.arguments import spelled
from pingponnx.build import compiler_version
from pingponnx.cycles import BoardRow, import_board
from pingponnx.errors import Error
from pingponnx.ir import Graph
from pingponnx.measure import (
    Subject,
    compare_variants,
    find_samples,
    measure,
    subject,
    tool_versions,
)
from pingponnx.names import counted, printable, short
from pingponnx.oracle import Oracle
from pingponnx.pipeline import Options, convert, normal_form, target_of
from pingponnx.report import document, sample_note
from pingponnx.report.conversions import conversion_lines
from pingponnx.rewrite.unfolded import conversions
from pingponnx.samples import choose_samples, sample_row
from pingponnx.select import Goal, variant
from pingponnx.targets import get_target
from pingponnx.terminal import plain
from pingponnx.verification import Agreement, NodeDistance, Verification, verify

_WORKERS = 2
_NAMED = 5  # nodes in a line


@dataclass(frozen=True, slots=True)
class Matrix:
    """Which combinations are measured; what is named twice is measured once."""

    targets: Sequence[str]
    variants: Sequence[str] = ("optimised", "cmsis-nn")
    goals: Sequence[Goal] = (Goal.BALANCED,)

    def options(self, base: Options) -> list[Options]:
        """The options of every combination."""
        return [
            replace(base, target=target, variant=variant, goal=goal)
            for target in dict.fromkeys(self.targets)
            for goal in dict.fromkeys(self.goals)
            for variant in dict.fromkeys(self.variants)
        ]


def measure_all(
    models: Sequence[Path],
    base: Options,
    matrix: Matrix,
    samples: Path | None,
    limit: int,
    console: Console,
) -> dict[str, Any]:
    """Measure every combination, two at a time, with progress on `console`; the content of report.json."""
    settings = matrix.options(base)
    for options in settings:  # a name that is unknown is told before anything is measured
        target_of(options)
        variant(options.variant)
    names = [printable(path.stem) for path in models]
    if len(set(names)) != len(names):
        raise Error("two models have the same file name", "rename one: names identify measurements")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("measuring", total=len(models) * len(settings))
        subjects = [subject(path, base, samples, limit) for path in models]
        jobs = [(what, options) for what in subjects for options in settings]

        def one(job: tuple[Subject, Options]) -> dict[str, Any]:
            row = measure(job[0], job[1])
            if not console.is_terminal:
                console.print(
                    plain(f"measured {row['model']}, {row['variant']}, {row['target']}"), markup=False
                )
            progress.advance(task)
            return row

        with ThreadPoolExecutor(_WORKERS) as pool:
            rows = list(pool.map(one, jobs))
    gcc = compiler_version(get_target(matrix.targets[0], base.targets_file))
    library = cmsis.find(base.cmsis_nn) if "cmsis-nn" in matrix.variants else None
    beside = {what.file for what in subjects}
    if samples is None and len(beside) == 1:
        (samples,) = beside
    command = report_command(models, base, matrix, samples, limit)
    return document(tool_versions(gcc, library), compare_variants(rows), command)


def report_command(
    models: Sequence[Path],
    base: Options,
    matrix: Matrix,
    samples: Path | None,
    limit: int,
) -> str:
    """What a shell has to be told for the same measurements, beside the same files."""
    usual = Options()
    shared = replace(base, variant=usual.variant, target=usual.target, goal=usual.goal)
    words = ["pingponnx", "report", *(path.name for path in models)]
    words += [word for target in dict.fromkeys(matrix.targets) for word in ("--target", target)]
    words += [word for variant in dict.fromkeys(matrix.variants) for word in ("--variant", variant)]
    words += [word for goal in dict.fromkeys(matrix.goals) for word in ("--goal", str(goal))]
    words += ["--samples", samples.name] if samples else []
    return shlex.join([*words, "--limit", str(limit), *spelled(shared), "-o", "report"])


def board_rows(content: Mapping[str, Any], path: Path) -> tuple[BoardRow, ...]:
    """Cycles that a board counted (CSV: node, cycles) next to the modelled ones of the only measurement."""
    if len(content["measurements"]) != 1:
        raise Error("--import-board compares one measurement", "give one model, one --target, one --variant")
    (row,) = content["measurements"]
    return import_board(path, {n["name"]: n["cycles"] for n in row["nodes"] if n["cycles"] is not None})


@dataclass(frozen=True, slots=True)
class Proof:
    """A model that was verified, and with which samples."""

    graph: Graph
    found: Verification
    samples: Mapping[str, Any]


def verify_model(
    path: Path, options: Options, samples: Path | None, limit: int, tolerance: float | None = None
) -> Proof:
    """Convert one model and prove it; see `verification.verify`."""
    normal = normal_form(path, options)
    conversion = convert(normal, options)
    file = samples or find_samples(path)
    found = choose_samples(normal, file, limit)
    proof = verify(conversion, Oracle(path, options.input_shapes), found, tolerance)
    return Proof(conversion.graph, proof, sample_row(file, len(found)))


def verification_result(proof: Proof) -> dict[str, Any]:
    """The JSON of `verify`."""
    graph, found = proof.graph, proof.found
    return {
        "model": graph.name,
        "passed": found.passed,
        "samples": dict(proof.samples),
        "first_difference": asdict(found.difference) if found.difference else None,
        "outputs": found.outputs.row(),
        "expected_outputs": found.expected.row() if found.expected else None,
        "first_unexpected": asdict(found.unexpected) if found.unexpected else None,
        "worst_node": found.worst.row() if found.worst else None,
        "broken_nodes": list(found.broken),
        "nodes": [n.row() for n in found.nodes],
        "conversions": [asdict(c) for c in conversions(graph)],
    }


def verification_lines(proof: Proof) -> list[str]:
    """`verify` for people: every node's distance, then the verdict."""
    graph, found = proof.graph, proof.found
    lines = ["reference against onnxruntime, each node fed onnxruntime's own inputs:"]
    lines += [_node_line(n) for n in found.nodes]
    if any(n.undecided for n in found.nodes):
        lines.append("  (undecided: exactly halfway between two steps, where float32 noise decides)")
    if found.worst:
        lines.append(f"worst node: {_node_line(found.worst).lstrip()}")
    if found.broken:
        names = ", ".join(map(short, found.broken[:_NAMED]))
        count = counted(len(found.broken), "node")
        lines.append(f"{count} further from onnxruntime than docs/integer-contract.md allows: {names}")
    lines += conversion_lines(graph)
    difference = found.difference
    if difference is None:
        how = "exactly" if all(n.integer for n in found.nodes) else "(float32: within 1e-5 or 1e-4)"
        count = counted(found.outputs.samples, "sample")
        lines.append(f"generated C equals the reference {how} in every node, {count}")
    else:
        lines.append(f"generated C DIFFERS from the reference, first at {difference}")
    lines.append(f"outputs against onnxruntime: {_agreement(found.outputs)}")
    if found.expected:
        lines.append(f"outputs against the samples' own: {_agreement(found.expected)}")
    if found.unexpected:
        lines.append(f"outputs are NOT what the samples expect, first of {found.unexpected}")
        lines.append(
            "  (expected are this model's outputs, by onnxruntime without optimizations; those of the float32"
            " model that it was made from are further away: give --tolerance, or leave out0 out)"
        )
    lines.append(sample_note([{"model": graph.name, "samples": proof.samples}]))
    lines.append(f"{graph.name}: {'passed' if found.passed else 'FAILED'}")
    return lines


def _node_line(n: NodeDistance) -> str:
    share = 100 * n.equal / max(n.values, 1)
    gap = f"max {n.max_lsb} LSB" if n.integer else f"max {n.max_abs:.2g}"
    ties = f", {n.undecided} undecided" if n.undecided else ""
    return f"  {n.op:<16} {share:8.4f} % equal, {gap}{ties}  {short(n.node)}"


def _agreement(found: Agreement) -> str:
    row = found.row()
    gap = f"max {row['max_abs']:.3g}" + ("" if row["max_lsb"] is None else f" ({row['max_lsb']} LSB)")
    return f"{gap}, top-1 agreement {100 * (row['top1_agreement'] or 0):.2f} % of {row['samples']}"
