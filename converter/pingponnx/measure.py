"""One row of a report: a model, as one variant, on one target: what it costs and whether it is right."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from pingponnx import __version__, cmsis
from pingponnx.accounts import account
from pingponnx.build import OPTIMISATION, Firmware
from pingponnx.costs import Costs, costs, unavailable
from pingponnx.cycles import FlashModel
from pingponnx.errors import BudgetError, MismatchError, UnsupportedError
from pingponnx.evaluate import evaluate
from pingponnx.ir import CODES, Array, DType, Graph
from pingponnx.oracle import Oracle
from pingponnx.pipeline import Conversion, Options, convert, firmware, flash_of, normal_form
from pingponnx.plan import InputMode
from pingponnx.report.picture import picture
from pingponnx.rewrite.unfolded import conversions
from pingponnx.run import Execution, qemu_version, run
from pingponnx.samples import Sample, choose_samples, feeds, input_bytes, sample_row
from pingponnx.select import variant
from pingponnx.verification import (
    Agreement,
    NodeDistance,
    decode,
    distances,
    noisy,
    worst_of,
    wrong,
)
from pingponnx.workspace import temporary_folder

DEFAULT_SAMPLES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A model ready to be measured: its normal form, samples, and onnxruntime's outputs for them."""

    path: Path
    graph: Graph
    samples: tuple[Sample, ...]
    golden: tuple[tuple[Array, ...], ...]
    distances: tuple[
        NodeDistance, ...
    ] = ()  # each node of `graph` from onnxruntime, fed onnxruntime's inputs
    file: Path | None = None  # of the samples; None when they are made up


def subject(path: Path, options: Options, samples: Path | None, limit: int = DEFAULT_SAMPLES) -> Subject:
    """Load a model; without a samples file, the .npz beside it is used, else made-up samples."""
    graph = normal_form(path, options)
    file = find_samples(path) if samples is None else samples
    chosen = choose_samples(graph, file, limit)
    oracle = Oracle(path, options.input_shapes)
    golden = tuple(oracle.outputs(s) for s in chosen)
    nodes = tuple(distances(graph, oracle, chosen, options.rounding))
    return Subject(path, graph, tuple(chosen), golden, nodes, file)


def find_samples(path: Path) -> Path | None:
    """`model.npz` beside `model.onnx`, or one shared by its float32 and int8 forms (`model_samples.npz`)."""
    family = path.stem.split("_f32")[0].split("_int8")[0]
    candidates = (path.with_suffix(".npz"), path.with_name(f"{family}_samples.npz"))
    return next((c for c in candidates if c.is_file()), None)


def measure(what: Subject, options: Options) -> dict[str, Any]:
    """Build, run and judge one variant on one target; the keys are those of report.json's measurements.

    Raises MismatchError when prediction, link and execution disagree about memory or instructions.
    """
    conversion, obstacles = _converted(what, options)
    with temporary_folder() as folder:
        plain = firmware(conversion, folder)
        execution = run(plain, input_bytes(what.graph, what.samples))
        accounts = None if plain.target.is_host else account(conversion, plain, execution.stack)
        counted = _count(what, conversion, plain, execution, flash_of(options))
    row = (
        _identity(conversion)
        | {"input_mode": str(options.input_mode), "input_obstacle": None, "budget_obstacle": None}
        | obstacles
        | {"samples": sample_row(what.file, len(what.samples))}
        | _memory(conversion, plain, execution)
        | {"plan": conversion.plan.row() | {"picture": picture(conversion.graph, conversion.plan).row()}}
        | {"hot_weights": conversion.hot.row(conversion.graph, conversion.entry.prefix)}
        | _judgement(what, conversion, execution)
        | {"accuracy": _accuracy(what.distances, options)}
        | (accounts.row() if accounts else {"ledger": None, "stack_bound": None})
    )
    nodes = _nodes(conversion, counted.nodes)
    return row | {
        "macs": sum(n["macs"] for n in nodes),
        "instructions": execution.instructions,
        "cycles": counted.costs.cycles if counted.costs else None,
        "cycles_model": counted.costs.described() if counted.costs else None,
        "cycles_missing": counted.missing or None,
        "functions": list(counted.costs.functions) if counted.costs else None,
        "fallbacks": [n["name"] for n in nodes if n["fallback"]],
        "conversions": _conversions(conversion.graph, nodes),
        "nodes": nodes,
    }


def _converted(what: Subject, options: Options) -> tuple[Conversion, dict[str, str]]:
    """The conversion, and what the CMSIS-NN variant, which is there to compare with, cannot have, and why.

    Where its kernels cannot be fed rows it has its input in the arena; where it exceeds budgets it has none.
    """
    try:
        return convert(what.graph, options), {}
    except (UnsupportedError, BudgetError) as error:
        if not variant(options.variant).needs_cmsis_nn:
            raise
        if isinstance(error, BudgetError):
            found, others = _converted(what, replace(options, ram=None, flash=None))
            return found, others | {"budget_obstacle": error.message}
        if options.input_mode is not InputMode.ROWS:
            raise
        found, others = _converted(what, replace(options, input_mode=InputMode.RESIDENT))
        return found, others | {"input_obstacle": str(error.items[0])}


@dataclass(frozen=True, slots=True)
class _Counted:
    """Counts by node index; `missing` says why there are no cycles."""

    nodes: Mapping[int, Mapping[str, int]]
    costs: Costs | None = None
    missing: str = ""


def _count(
    what: Subject, conversion: Conversion, plain: Firmware, execution: Execution, flash: FlashModel | None
) -> _Counted:
    """Profile the measured firmware itself; without the profiler, count a build with markers by icount."""
    first = input_bytes(what.graph, what.samples[:1])
    missing = unavailable(plain)
    if not missing:
        found = costs(plain, first[0], flash)
        if found.instructions != execution.instructions:
            raise MismatchError(
                f"{what.graph.name}: the profiler counts {found.instructions} instructions, "
                f"QEMU's icount {execution.instructions}"
            )
        return _Counted(found.nodes, found)
    if plain.target.is_host:
        return _Counted({}, missing=missing)
    with temporary_folder() as folder:
        traced = run(firmware(conversion, folder, trace=True), first)
    if execution.outputs[:1] != traced.outputs:
        raise MismatchError(f"{what.graph.name}: two builds of the same C give different outputs")
    counts = enumerate(traced.node_instructions or ())
    return _Counted({index: {"instructions": count} for index, count in counts}, missing=missing)


def _identity(conversion: Conversion) -> dict[str, Any]:
    graph, options = conversion.graph, conversion.options
    known = {t.dtype for t in graph.tensors.values() if not t.constant}
    found = sorted(dtype.value for dtype in known & {*CODES, DType.F32})
    return {
        "model": graph.name,
        "model_sha256": graph.checksum,
        "variant": options.variant,
        "target": conversion.target.name,
        "goal": str(options.goal),
        "rounding": str(options.rounding),
        "dtype": "mixed" if len(found) > 1 else found[0] if found else "float32",
    }


def _memory(conversion: Conversion, plain: Firmware, execution: Execution) -> dict[str, Any]:
    if plain.target.is_host:
        unknown = {"arena": conversion.plan.arena, "static": None, "stack": None, "total": None}
        return {"ram": unknown, "flash": {"code": None, "constants": None, "total": None}}
    arena = conversion.plan.arena  # the ledger has checked that it is the linked one
    static, stack = plain.map.static_ram + conversion.state, execution.stack
    code, constants = plain.map.code, plain.map.constants + plain.map.data
    return {
        "ram": {
            "arena": arena,
            "static": static,
            "stack": stack,
            "total": None if stack is None else arena + static + stack,
        },
        "flash": {"code": code, "constants": constants, "total": code + constants},
    }


def _judgement(what: Subject, conversion: Conversion, execution: Execution) -> dict[str, Any]:
    """Are the outputs the reference's, and how far are they from onnxruntime's?"""
    graph, digest, agreement, equal = conversion.graph, hashlib.sha256(), Agreement(), True
    noise = noisy(graph)
    for sample, golden, data in zip(what.samples, what.golden, execution.outputs, strict=True):
        outputs = decode(graph, data)
        values = evaluate(graph, feeds(graph, sample), conversion.options.rounding)
        for name, got in zip(graph.outputs, outputs, strict=True):
            digest.update(got.tobytes())
            want = values[name]
            equal &= not wrong(got, want, noise=name in noise).any()
        agreement.add(graph, outputs, golden)
    return {
        "output_sha256": digest.hexdigest(),
        "equal_to_reference": equal,
        "equal_to_other_variant": None,
        "onnxruntime": agreement.row(),
    }


def _accuracy(found: Sequence[NodeDistance], options: Options) -> dict[str, Any]:
    """Every node against onnxruntime: the contract of docs/integer-contract.md, and the worst node."""
    worst = worst_of(found)
    return {
        "holds": all(n.holds(options.rounding) for n in found),
        "max_lsb": max((n.max_lsb for n in found if n.integer), default=None),
        "worst_node": worst.row() if worst else None,
        "nodes": [n.row() for n in found],
    }


def _conversions(graph: Graph, nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Conversions to and from float32 that did not fold, with what they were counted to take."""
    counted = {n["name"]: {k: n[k] for k in ("instructions", "cycles")} for n in nodes}
    return [asdict(c) | counted[c.node] for c in conversions(graph)]


_COUNTS = ("instructions", "cycles", "loads", "stores", "flash_bytes", "unaligned")


def _nodes(conversion: Conversion, counts: Mapping[int, Mapping[str, int]]) -> list[dict[str, Any]]:
    return [
        {
            "name": node.name,
            "op": type(node.op).__name__,
            "kernel": call.form(by_rows=index in conversion.plan.streamed).function,
            "macs": call.macs,
            **{key: counts.get(index, {}).get(key) for key in _COUNTS},
            "predicted_cycles": call.predicted(by_rows=index in conversion.plan.streamed) or None,
            "scratch": call.scratch,
            "fallback": call.fallback or None,
        }
        for index, (node, call) in enumerate(zip(conversion.graph.nodes, conversion.calls, strict=True))
        if call is not None
    ]


def compare_variants(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Fill in `equal_to_other_variant`: the same bytes as every other variant of the same measurement."""
    digests: dict[tuple[str, ...], set[str]] = {}
    variants: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        digests.setdefault(_setting(row), set()).add(row["output_sha256"])
        variants.setdefault(_setting(row), set()).add(row["variant"])
    return [
        {
            **row,
            "equal_to_other_variant": len(digests[_setting(row)]) == 1
            if len(variants[_setting(row)]) > 1
            else None,
        }
        for row in rows
    ]


_SETTING = ("model", "model_sha256", "target", "goal", "rounding", "input_mode")


def _setting(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in _SETTING)


def tool_versions(gcc: str | None, library: cmsis.CmsisSource | None) -> dict[str, Any]:
    """The `tool` object of a report: what made the numbers, free of paths and dates."""
    return {
        "pingponnx": __version__,
        "gcc": gcc,
        "optimisation": OPTIMISATION,
        "qemu": qemu_version(),
        "cmsis_nn": {"version": library.version, "source": library.source} if library else None,
        "onnxruntime": metadata.version("onnxruntime"),
        "numpy": metadata.version("numpy"),
    }
