"""Random networks through the whole pipeline: whatever the plan, the C computes what the reference does."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from models import HOST, save
from pingponnx.calibrate import quantize
from pingponnx.errors import UnsupportedError
from pingponnx.evaluate import evaluate
from pingponnx.ir import DType, Graph
from pingponnx.pipeline import Conversion, convert, normal_form
from pingponnx.plan import Effort, InputMode
from pingponnx.samples import Sample, feeds, input_bytes
from pingponnx.select import Goal
from pingponnx.verification import first_difference, joined
from planned_c import Job, Ran, run_all
from random_networks import tall_networks

# Shrinking would compile for minutes; a failing network is small anyway.
few = settings(max_examples=4, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))


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


@few
@given(st.lists(st.tuples(tall_networks(), st.booleans()), min_size=3, max_size=3))
def test_the_c_of_a_plan_computes_the_reference(models: list[tuple[onnx.ModelProto, bool]]) -> None:
    jobs: list[Job] = []
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="pingponnx-test-") as name:
        folder = Path(name)
        for model, integer in models:
            graph, sample = _graph(model, integer, folder)
            for mode, goal in CHOICES:
                options = replace(HOST, input_mode=mode, goal=goal, effort=Effort.FAST)
                try:
                    made = convert(replace(graph, name=f"net{len(jobs)}"), options)
                except UnsupportedError:
                    assert mode is InputMode.ROWS
                    continue
                jobs.append(Job.of(made, input_bytes(made.graph, [sample])[0]))
                samples.append(sample)
        found = run_all(jobs, folder)
    for job, ran, sample in zip(jobs, found, samples, strict=True):
        _check(job, ran, sample)
