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
from networks import write_int8
from pingponnx.calibrate import quantize
from pingponnx.emit import Settings, emit
from pingponnx.errors import MemoryPlanError, UnsupportedError
from pingponnx.evaluate import evaluate
from pingponnx.ir import DType, Graph
from pingponnx.pipeline import Conversion, convert, normal_form
from pingponnx.plan import Effort, InputMode, Plan
from pingponnx.plan.replay import verify_plan
from pingponnx.samples import Sample, feeds, input_bytes, random_samples
from pingponnx.select import Goal
from pingponnx.verification import first_difference, joined
from planned_c import Crash, Job, Ran, run_all
from random_networks import tall_networks
from replay_cases import with_blocks

# Shrinking would compile for minutes; a failing network is small anyway.
few = settings(max_examples=3, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))


def _graph(model: onnx.ModelProto, integer: bool, folder: Path) -> tuple[Graph, Sample]:
    """The normal form, and a sample in ONNX's layout."""
    path, made, data = folder / "model.onnx", folder / "made.onnx", folder / "data.npz"
    save(model, path)
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    images = np.random.default_rng(3).normal(size=(3, *dims)).astype(np.float32)
    if integer:
        np.savez(data, in0=images)
        quantize(path, made, data)
        path = made
    return normal_form(path, HOST), Sample((images[0],))


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


CHOICES = [(mode, goal) for mode in InputMode for goal in (Goal.RAM, Goal.BALANCED)]
MODELS = st.lists(st.tuples(tall_networks(), st.booleans()), min_size=4, max_size=4)


def _prove(
    models: list[tuple[onnx.ModelProto, bool]], make: Callable[[int, Graph], list[Conversion]]
) -> None:
    """Converts each in all the ways that `make` knows, and checks them in one program."""
    jobs: list[Job] = []
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="pingponnx-test-") as name:
        folder = Path(name)
        for number, (model, integer) in enumerate(models):
            graph, sample = _graph(model, integer, folder)
            for conversion in make(number, graph):
                jobs.append(Job.of(conversion, input_bytes(conversion.graph, [sample])[0]))
                samples.append(sample)
        found = run_all(jobs, folder)
    for job, ran, sample in zip(jobs, found, samples, strict=True):
        _check(job, ran, sample)


@few
@given(MODELS)
def test_the_c_of_a_plan_computes_the_reference(models: list[tuple[onnx.ModelProto, bool]]) -> None:
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
def test_so_does_the_c_of_any_right_plan(models: list[tuple[onnx.ModelProto, bool]], seed: int) -> None:
    """Segments, directions and kernels at random, so that streams are long and rings everywhere."""

    def make(number: int, graph: Graph) -> list[Conversion]:
        return [forced(replace(graph, name=f"net{number}_{mode.value}"), mode, seed) for mode in InputMode]

    _prove(models, make)


# -- sabotage -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def streamed() -> tuple[Conversion, Sample]:
    """A residual network in one segment whose rows have spare places and rings."""
    with tempfile.TemporaryDirectory() as folder:
        normal = normal_form(write_int8("residual", Path(folder)), HOST)
    conversion = next(
        made
        for made in (forced(normal, InputMode.EXTERNAL, seed) for seed in range(100))
        if len(made.plan.segments[0].nodes) > 6 and any(r.spare and r.rows for r in made.plan.rings.values())
    )
    return conversion, random_samples(normal, 1)[0]


def _mutants(memory: Plan) -> Iterator[Plan]:
    """One ring, spare place or tensor a word off; one row not kept."""
    for name, ring in memory.rings.items():
        for move in (-8, 8):
            for moved in (
                replace(ring, offset=ring.offset + move),
                replace(ring, spare=None if ring.spare is None else ring.spare + move),
            ):
                places = [(moved.offset, moved.rows * ring.row_bytes), (moved.spare or 0, ring.row_bytes)]
                if moved != ring and all(0 <= at and at + size <= memory.arena for at, size in places):
                    yield replace(memory, rings={**memory.rings, name: moved})
    segment = memory.segments[0]
    keeps = [i for i, step in enumerate(segment.steps) if step.keep]
    for i in keeps[:: len(keeps) // 6]:
        steps = segment.steps[:i] + segment.steps[i + 1 :]
        yield replace(memory, segments=(replace(segment, steps=steps), *memory.segments[1:]))


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
    assert len(mutants) >= 15 and all(r for r, a in zip(right, accepted, strict=True) if a)
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
