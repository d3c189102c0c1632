"""What holds for any network: it converts or is unsupported, its plans are right, its C equals the reference.

Many networks are proven at once, for their C is compiled and run as one program. Where that fails, each is
proven alone, so that a failure names its network.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from drawn_networks import FLOAT, ODD, Drawn
from models import save
from pingponnx import cmsis
from pingponnx.build import compile_library
from pingponnx.calibrate import quantize
from pingponnx.emit import prefix_of
from pingponnx.errors import UnsupportedError
from pingponnx.evaluate import Values, evaluate
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Graph
from pingponnx.oracle import Oracle
from pingponnx.pipeline import Conversion, Options, convert, normal_form
from pingponnx.plan import Effort, InputMode
from pingponnx.plan.replay import verify_plan
from pingponnx.samples import Sample, feeds, input_bytes
from pingponnx.select import Goal
from pingponnx.targets import HOST, get_target
from pingponnx.verification import Agreement, NodeDistance, close, distances, first_difference, joined
from planned_board import run_board
from planned_c import Job, Ran, run_all, run_fast

SAMPLES = 2
VARIANTS = ("optimised", "cmsis-nn")


@dataclass(frozen=True)
class Ways:
    """How every network is converted."""

    goals: Sequence[Goal] = tuple(Goal)
    in_turn: bool = False  # one goal a network, instead of all of them
    effort: Effort = Effort.NORMAL
    rounding: Rounding = Rounding.SINGLE
    core: str = ""  # whose kernels all have; else any core's, and CMSIS-NN's those of this computer


@dataclass(frozen=True)
class Named:
    """A network and what failures call it; letters, digits and underscores."""

    name: str
    drawn: Drawn


@dataclass(frozen=True)
class Failure:
    network: str
    stage: str
    message: str


@dataclass
class Outcome:
    """Counts, and what failed."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.counts += other.counts
        self.failures += other.failures


@dataclass(frozen=True)
class _Converted:
    """A conversion, a sample, and the reference's values."""

    network: str
    conversion: Conversion
    sample: Sample
    values: Values

    @property
    def job(self) -> Job:
        return Job.of(self.conversion, input_bytes(self.conversion.graph, [self.sample])[0])


def prove_all(networks: Sequence[Named], ways: Ways, folder: Path, libraries: Sequence[Path]) -> Outcome:
    """`libraries`: archives of CMSIS-NN for the host, sanitized and fast."""
    outcome, ready = Outcome(), list[_Converted]()
    for number, network in enumerate(networks):
        goals = [ways.goals[number % len(ways.goals)]] if ways.in_turn else ways.goals
        made, found = _convert(network, replace(ways, goals=goals), folder)
        outcome.add(found)
        ready += made
    outcome.failures += _run(ready, folder, libraries, outcome.counts)
    return outcome


# -- conversion ---------------------------------------------------------------------------------------


def _convert(network: Named, ways: Ways, folder: Path) -> tuple[list[_Converted], Outcome]:
    """The different libraries of a network; every plan replayed, the reference compared."""
    outcome = Outcome(Counter(networks=1) + Counter([network.drawn.dtype]))
    stage = "load"
    try:
        path, options = written(network.drawn, folder), _options(network.drawn, ways)
        normal = replace(normal_form(path, options), name=network.name)
        samples = _samples(path)
        stage = "convert"
        try:
            found = _conversions(normal, options, ways)
        except UnsupportedError:
            if options.input_mode is not InputMode.ROWS:
                raise
            outcome.counts["cannot be fed by rows"] += 1
            found = _conversions(normal, replace(options, input_mode=InputMode.RESIDENT), ways)
        outcome.counts["plans"] += len(VARIANTS) * len(ways.goals)
        stage = "onnxruntime"
        graph = next(iter(found)).graph
        problem = _against_onnxruntime(Oracle(path), graph, samples, network.drawn, ways)
        if problem:
            raise AssertionError(problem)
    except UnsupportedError as error:
        outcome.counts["unsupported"] += 1
        outcome.counts.update(f"unsupported: {_reason(item.reason)}" for item in error.items)
        return [], outcome
    except Exception as error:  # whatever it is, it is a finding
        outcome.failures.append(Failure(network.name, stage, f"{type(error).__name__}: {error}"))
        return [], outcome
    values = {v: evaluate(g, feeds(g, samples[0]), ways.rounding) for v, g in _graphs(found).items()}
    return [_Converted(network.name, c, samples[0], values[c.options.variant]) for c in found], outcome


def _graphs(found: Sequence[Conversion]) -> dict[str, Graph]:
    """What each variant computes, whatever the goal."""
    return {conversion.options.variant: conversion.graph for conversion in found}


def _reason(text: str) -> str:
    return re.sub(r"'[^']*'|\d+", "_", text)


def _options(drawn: Drawn, ways: Ways) -> Options:
    return Options(
        target=drawn.core,
        rounding=ways.rounding,
        float_io=drawn.float_io,
        nchw_io=drawn.nchw_io,
        input_mode=drawn.mode,
        effort=ways.effort,
    )


def _conversions(normal: Graph, options: Options, ways: Ways) -> list[Conversion]:
    """What differs among both variants and all goals; every plan is replayed.

    For no core in particular CMSIS-NN's variant is that of this computer, which is asked for buffer sizes
    without QEMU.
    """
    found: dict[str, Conversion] = {}
    for name, goal in product(VARIANTS, ways.goals):
        target = ways.core or (HOST if name == "cmsis-nn" else options.target)
        named = replace(normal, name=f"{normal.name}_{name[:2]}_{goal}")
        made = convert(named, replace(options, variant=name, target=target, goal=goal))
        verify_plan(made.graph, made.calls, made.plan)
        code = "".join(text for name, text in made.sources.items() if name.endswith(".c"))
        text = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)
        found.setdefault(re.sub(prefix_of(made.graph), "", text, flags=re.IGNORECASE), made)
    return list(found.values())


# -- model and samples --------------------------------------------------------------------------------


def written(drawn: Drawn, folder: Path) -> Path:
    """The model's file, quantized as drawn."""
    path, made, data = folder / "model.onnx", folder / "made.onnx", folder / "data.npz"
    save(drawn.model, path)
    if drawn.dtype == FLOAT:
        return path
    stacks = zip(*(sample.inputs for sample in _samples(path, 3)), strict=True)
    np.savez(data, **{f"in{i}": np.stack(arrays) for i, arrays in enumerate(stacks)})
    quantize(path, made, data, drawn.scheme)
    if drawn.dtype == ODD:
        save(_odd(onnx.load(made)), made)
    return made


def _samples(path: Path, count: int = SAMPLES) -> list[Sample]:
    rng = np.random.default_rng(3)
    shapes = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in onnx.load(path).graph.input]
    return [Sample(tuple(rng.normal(size=s).astype(np.float32) for s in shapes)) for _ in range(count)]


def _odd(model: onnx.ModelProto) -> onnx.ModelProto:
    """Activations with other scales than calibrated, some powers of two, and zero points at the ends."""
    rng = np.random.default_rng(len(model.graph.node))
    pairs = {n.input[1]: n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    known = {t.name: t for t in model.graph.initializer}
    for scale, zero in pairs.items():
        if scale not in known or zero not in known or rng.random() < 0.4:
            continue
        value, code = numpy_helper.to_array(known[scale]), numpy_helper.to_array(known[zero])
        factor = np.float32(rng.choice([0.25, 0.7, 1.3, 4.0]))
        rounded = np.exp2(np.round(np.log2(value))) if rng.random() < 0.3 else value * factor
        ends = np.iinfo(code.dtype)
        other = rng.choice([ends.min, ends.max, int(code), int(code)])
        known[scale].CopyFrom(numpy_helper.from_array(np.asarray(rounded, np.float32), scale))
        known[zero].CopyFrom(numpy_helper.from_array(np.asarray(other, code.dtype), zero))
    _rescale_biases(model, known)
    return model


def _rescale_biases(model: onnx.ModelProto, known: Mapping[str, onnx.TensorProto]) -> None:
    """Biases are in units of input scale times weight scale, as every quantizer writes them."""
    made = {n.output[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or not all(name in made for name in node.input):
            continue
        scales = [made[name].input[1] for name in node.input]
        if len(scales) < 3 or not all(name in known for name in scales):
            continue
        x, weight, bias = (numpy_helper.to_array(known[name]) for name in scales)
        codes = made[node.input[2]].input[0]
        unit = np.broadcast_to(x * weight, bias.shape).astype(np.float32)
        value = np.rint(numpy_helper.to_array(known[codes]) * bias / unit).astype(np.int32)
        known[codes].CopyFrom(numpy_helper.from_array(value, codes))
        known[scales[2]].CopyFrom(numpy_helper.from_array(unit, scales[2]))


# -- the reference ------------------------------------------------------------------------------------


def _against_onnxruntime(
    oracle: Oracle, graph: Graph, samples: Sequence[Sample], drawn: Drawn, ways: Ways
) -> str:
    """What is wrong, or nothing."""
    problem = too_far(distances(graph, oracle, samples, ways.rounding), ways.rounding)
    if problem or drawn.dtype != FLOAT:
        return problem
    agreement = Agreement()
    for sample in samples:
        values = evaluate(graph, feeds(graph, sample), ways.rounding)
        agreement.add(graph, [values[n] for n in graph.outputs], oracle.outputs(sample))
    return "" if agreement.close else f"outputs are {agreement.max_abs:g} off"


def too_far(nodes: Sequence[NodeDistance], rounding: Rounding = Rounding.SINGLE) -> str:
    """What breaks the contract, or nothing.

    A handful of values is too few for 99.9 %, so that one may be off by one step.
    """
    for node in nodes:
        if not node.close if not node.integer else node.max_lsb > 1:
            return f"{node}"
    integers = [node for node in nodes if node.integer]
    off = sum(node.values - node.equal - node.undecided for node in integers)
    if rounding is Rounding.SINGLE and off > 1 + 0.002 * sum(node.values for node in integers):
        return f"{off} values are off: {[n for n in integers if n.equal + n.undecided < n.values]}"
    return ""


# -- C ------------------------------------------------------------------------------------------------


def sanitized_library(rounding: Rounding, folder: Path) -> Path:
    """CMSIS-NN for the host with AddressSanitizer; undefined behaviour in it is not ours to find."""
    source = cmsis.find()
    return compile_library(
        source.sources,
        get_target(HOST, None),
        folder / f"cmsis_nn_{rounding}.a",
        include_dirs=source.include_dirs,
        defines=cmsis._library_defines(get_target(HOST, None), rounding),
        optimisation="-fsanitize=address",
    )


def libraries(rounding: Rounding, folder: Path) -> list[Path]:
    """As `prove_all` takes them."""
    return [
        sanitized_library(rounding, folder),
        cmsis.library(cmsis.find(), get_target(HOST, None), rounding),
    ]


def _run(
    ready: Sequence[_Converted], folder: Path, archives: Sequence[Path], counts: Counter[str]
) -> list[Failure]:
    """All sanitized, and one program of each network in turn as fast as it is delivered.

    Failures of all that can be told apart.
    """
    found: list[Failure] = []
    by_network: dict[str, list[_Converted]] = {}
    for made in ready:
        by_network.setdefault(made.network, []).append(made)
    once = [some[number % len(some)] for number, some in enumerate(by_network.values())]
    stages = (("sanitized C", run_all, ready), ("fast C", run_fast, once))
    for (stage, execute, some), archive in zip(stages, archives, strict=True):
        try:
            found += _wrong(some, execute([made.job for made in some], folder, [archive]), stage)
            counts[stage] += len(some)
        except Exception as error:
            if len(by_network) == 1:
                return [Failure(ready[0].network, stage, f"{type(error).__name__}: {error}")]
            return [
                failure for alone in by_network.values() for failure in _run(alone, folder, archives, counts)
            ]
    return found


def prove_on(core: str, networks: Sequence[Named], ways: Ways, folder: Path) -> Outcome:
    """All networks in one firmware, under QEMU."""
    outcome, ready = Outcome(), list[_Converted]()
    for network in networks:
        made, found = _convert(network, replace(ways, core=core), folder)
        outcome.add(found)
        ready += made
    outcome.counts["programs"] += len(ready)
    ran = run_board([made.job for made in ready], core, folder)
    outcome.failures += _wrong(ready, ran, core)
    return outcome


def _wrong(ready: Sequence[_Converted], ran: Sequence[Ran], stage: str) -> Iterator[Failure]:
    for made, one in zip(ready, ran, strict=True):
        problem = wrong_values(made.conversion, one, made.values)
        if problem:
            yield Failure(made.network, stage, f"{made.conversion.graph.name}: {problem}")


def wrong_values(conversion: Conversion, ran: Ran, values: Values) -> str:
    """Where a run gave other values than the reference; of a fast run only the outputs are known."""
    graph = conversion.graph
    trace = dict(joined(ran.trace, conversion.plan))
    nodes = {i for i, node in enumerate(graph.nodes) if not node.op.alias}
    if trace and trace.keys() != nodes:
        return f"nodes {sorted(nodes ^ trace.keys())} did not run"
    difference = first_difference(graph, values, list(trace.items()), 0)
    if difference:
        return str(difference)
    for name, data in zip(graph.outputs, ran.outputs, strict=True):
        got, want = np.frombuffer(data, graph.tensors[name].dtype.numpy), values[name].ravel()
        if not close(got, want) if got.dtype.kind == "f" else (got != want).any():
            return f"output {name} is {got.tolist()}, not {want.tolist()}"
    return ""
