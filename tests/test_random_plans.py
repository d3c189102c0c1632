"""Random networks through the whole pipeline: whatever the plan, the C computes what the reference does."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from forced_plans import forced
from models import HOST, save
from networks import Network
from pingponnx.calibrate import quantize
from pingponnx.emit import Settings, emit
from pingponnx.errors import MemoryPlanError, UnsupportedError
from pingponnx.evaluate import evaluate
from pingponnx.ir import DType, Graph
from pingponnx.pipeline import Conversion, convert, normal_form
from pingponnx.plan import Effort, InputMode, Plan
from pingponnx.plan.replay import verify_plan
from pingponnx.samples import Sample, feeds, input_bytes
from pingponnx.select import Goal
from pingponnx.verification import first_difference, joined
from planned_c import Crash, Job, Ran, run_all
from random_networks import tall_networks
from replay_cases import with_blocks

KINDS = FLOAT, INTEGER, FLOAT_PORTS = ("float", "int8", "int8 between floats")

# Shrinking would compile for minutes; a failing network is small anyway.
few = settings(max_examples=2, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))


def _graph(model: onnx.ModelProto, kind: str, folder: Path) -> tuple[Graph, Sample]:
    """The normal form, and a sample in ONNX's layout."""
    path, made, data = folder / "model.onnx", folder / "made.onnx", folder / "data.npz"
    save(model, path)
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    images = np.random.default_rng(3).normal(size=(3, *dims)).astype(np.float32)
    if kind != FLOAT:
        np.savez(data, in0=images)
        quantize(path, made, data)
        path = made
    return normal_form(path, replace(HOST, float_io=kind == FLOAT_PORTS)), Sample((images[0],))


def _check(job: Job, ran: Ran, sample: Sample) -> None:
    """Every node's values, in the order of execution, and the outputs."""
    graph, rounding = job.conversion.graph, job.conversion.options.rounding
    values = evaluate(graph, feeds(graph, sample), rounding)
    trace = joined(ran.trace, job.conversion.plan)
    nodes = {i for i, node in enumerate(graph.nodes) if not node.op.alias}
    assert {node for node, _ in trace} == nodes
    assert first_difference(graph, values, trace, 0) is None
    for name, data in zip(graph.outputs, ran.outputs, strict=True):
        if graph.tensors[name].dtype is not DType.F32:
            assert data == values[name].tobytes()
        made = next((i for i, node in enumerate(graph.nodes) if name in node.outputs), None)
        assert made not in nodes or data == dict(trace)[made]


Models = list[tuple[onnx.ModelProto, str]]
CHOICES = [(mode, goal) for mode in InputMode for goal in (Goal.RAM, Goal.BALANCED)]
MODELS = st.lists(st.tuples(tall_networks(), st.sampled_from(KINDS)), min_size=3, max_size=3)


def _prove(models: Models, make: Callable[[int, Graph], list[Conversion]]) -> None:
    """Converts each in all the ways that `make` knows, and checks them in one program."""
    jobs: list[Job] = []
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="pingponnx-test-") as name:
        folder = Path(name)
        for number, (model, kind) in enumerate(models):
            graph, sample = _graph(model, kind, folder)
            for conversion in make(number, graph):
                jobs.append(Job.of(conversion, input_bytes(conversion.graph, [sample])[0]))
                samples.append(sample)
        found = run_all(jobs, folder)
    for job, ran, sample in zip(jobs, found, samples, strict=True):
        _check(job, ran, sample)


@few
@given(MODELS)
def test_the_c_of_a_plan_computes_the_reference(models: Models) -> None:
    def make(number: int, graph: Graph) -> list[Conversion]:
        """Every mode, with one goal or the other."""
        found = []
        for mode, goal in CHOICES[number % 2 :: 2]:
            options = replace(HOST, input_mode=mode, goal=goal, effort=Effort.FAST)
            try:
                found.append(convert(replace(graph, name=f"net{number}_{mode.value}"), options))
            except UnsupportedError:  # what no rows can be fed to
                assert mode is InputMode.ROWS
        return found

    _prove(models, make)


@few
@given(MODELS, st.integers(0, 2**30))
def test_so_does_the_c_of_any_right_plan(models: Models, seed: int) -> None:
    """Segments, directions and kernels at random, so that streams are long and rings everywhere."""

    def make(number: int, graph: Graph) -> list[Conversion]:
        return [forced(replace(graph, name=f"net{number}_{mode.value}"), mode, seed) for mode in InputMode]

    _prove(models, make)


def _padded() -> onnx.ModelProto:
    """Rows of padding come before the first row that is fed."""
    net = Network(2, 7, 4)
    x = net.add("Pad", "x", np.array([0, 0, 2, 0, 0, 0, 1, 0]))
    return net.model({"x": net.shape}, net.add("MaxPool", x, kernel_shape=[2, 2]))


def _unread() -> onnx.ModelProto:
    """Nobody reads the last rows of the input and of the first layer."""
    net = Network(3, 10, 2)
    x = net.add("Conv", "x", net.normal(3, 3, 2, 1), kernel_shape=[2, 1], strides=[2, 1])
    x = net.add("MaxPool", x, kernel_shape=[1, 1], strides=[3, 1])
    return net.model({"x": net.shape}, net.add("LeakyRelu", x))


def _recut() -> onnx.ModelProto:
    """A single channel: element-wise layers see one long row, the mean after them many."""
    net = Network(2, 8, 3)
    x = net.add("LeakyRelu", net.layer("x", 1, (3, 3), activation=""))
    net.channels[x] = 1
    return net.classifier(x, 3)


def test_what_was_wrong_once() -> None:
    def make(number: int, graph: Graph) -> list[Conversion]:
        """Those that stream most."""
        found = []
        for mode in InputMode:
            named = replace(graph, name=f"net{number}_{mode.value}")
            plans = [forced(named, mode, seed) for seed in range(12)]
            found.append(max(plans, key=lambda made: max(len(s.steps) for s in made.plan.segments)))
        return found

    _prove([(_padded(), FLOAT), (_unread(), FLOAT), (_recut(), FLOAT), (_recut(), INTEGER)], make)


# -- sabotage -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def streamed() -> tuple[Conversion, Sample]:
    """Three convolutions and a sum in one segment, whose rows have spare places and rings."""
    net = Network(2, 12, 4)
    x = net.layer("x", 4, (3, 3))
    y = net.sum(x, net.layer(net.layer(x, 4, (3, 3)), 4, (3, 3)))
    with tempfile.TemporaryDirectory() as folder:
        normal, sample = _graph(net.model({"x": net.shape}, y), INTEGER, Path(folder))
    plans = (forced(normal, InputMode.EXTERNAL, seed) for seed in range(100))
    return next(p for p in plans if len(p.plan.segments) == 1 and len(_kept(p.plan)) > 2), sample


def _kept(memory: Plan) -> list[str]:
    """Tensors whose rows move from a spare place to a ring, or stay there."""
    return [name for name, ring in memory.rings.items() if ring.spare is not None]


def _mutants(memory: Plan) -> Iterator[Plan]:
    """A ring or a spare place some words off; a row that is not kept."""
    for name in _kept(memory):
        ring = memory.rings[name]
        assert ring.spare is not None
        for move in (-8, 8):
            change = {"offset": ring.offset + move} if ring.rows else {"spare": ring.spare + move}
            moved = replace(ring, **change)
            yield replace(memory, rings={**memory.rings, name: moved})
    segment = memory.segments[0]
    keeps = [i for i, step in enumerate(segment.steps) if step.keep]
    for i in keeps[:: len(keeps) // 4]:
        steps = segment.steps[:i] + segment.steps[i + 1 :]
        yield replace(memory, segments=(replace(segment, steps=steps),))


def _emitted(conversion: Conversion, memory: Plan, name: str) -> Conversion:
    """The library of another plan, right or wrong."""
    graph, options = replace(conversion.graph, name=name), conversion.options
    settings = Settings(options.variant, options.target, "sabotage", options.rounding)
    sources = emit(graph, conversion.calls, memory, settings)
    return replace(conversion, graph=graph, plan=memory, sources=sources)


def _accepted(conversion: Conversion) -> bool:
    memory = with_blocks(conversion.graph, tuple(conversion.calls), conversion.plan)
    try:
        verify_plan(conversion.graph, conversion.calls, memory)
    except MemoryPlanError:
        return False
    return True


def test_wrong_plans_are_refused_or_harmless(streamed: tuple[Conversion, Sample], tmp_path: Path) -> None:
    """What the verifier accepts computes the reference; most of what it refuses really does not."""
    conversion, sample = streamed
    plans = enumerate(_mutants(conversion.plan))
    mutants = [_emitted(conversion, memory, f"mutant{i}") for i, memory in plans]
    inputs = input_bytes(conversion.graph, [sample])[0]
    found = run_all([Job.of(m, inputs) for m in mutants], tmp_path)
    wanted = evaluate(conversion.graph, feeds(conversion.graph, sample), conversion.options.rounding)
    right = [
        first_difference(m.graph, wanted, joined(ran.trace, m.plan), 0) is None
        for m, ran in zip(mutants, found, strict=True)
    ]
    accepted = [_accepted(m) for m in mutants]
    assert len(mutants) >= 8 and all(r for r, a in zip(right, accepted, strict=True) if a)
    assert right.count(False) >= len(mutants) / 2
    assert _accepted(conversion)


def test_c_that_leaves_its_footprints_is_caught(streamed: tuple[Conversion, Sample], tmp_path: Path) -> None:
    """The library of a ring that lies elsewhere, with the places of the right plan."""
    conversion, sample = streamed
    moved = next(_mutants(conversion.plan))
    job = Job(
        _emitted(conversion, moved, "moved"), input_bytes(conversion.graph, [sample])[0], conversion.plan
    )
    with pytest.raises(Crash, match="use-after-poison"):
        run_all([job], tmp_path)
