"""Runs the layers of cmsis_sites through CMSIS-NN and compares every byte with the reference."""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cmsis_sites import feeds
from pingponnx import cmsis
from pingponnx.build import Firmware, build
from pingponnx.calls import Call
from pingponnx.emit import Settings, emit
from pingponnx.entry import Entry
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Graph
from pingponnx.ops import CmsisNN, Operator, site_of
from pingponnx.plan import InputMode, Plan
from pingponnx.plan.schedule import Segment
from pingponnx.run import run
from pingponnx.select import scratch_queries, with_scratch
from pingponnx.targets import get_target

FAKE = Path(__file__).with_name("fake_cmsis_nn")


def fake_checkout(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the stand-in for a checkout; changes are (file, old text, new text), spaces do not matter."""
    root = folder / "CMSIS-NN"
    shutil.copytree(FAKE, root)
    for name, old, new in changes:
        pattern = r"\s+".join(map(re.escape, old.split()))
        text, count = re.subn(pattern, lambda _, new=new: new, (root / name).read_text())
        assert count, f"{name} has no {old!r}"
        (root / name).write_text(text)
    return root


def calls_of(graph: Graph, source: cmsis.CmsisSource, rounding: Rounding) -> list[Call]:
    """What the operators want to call, scratch sizes not yet asked for."""
    library = CmsisNN(source.version, source.functions)
    return [node.op.cmsis_nn(site_of(graph, node, rounding), library) for node in graph.nodes]


def firmware(
    graph: Graph,
    core: str,
    rounding: Rounding,
    source: cmsis.CmsisSource,
    folder: Path,
    *,
    defines: Sequence[str] = ("PINGPONNX_CANARY",),
    compiled_for: Rounding | None = None,
    missing: int = 0,
) -> Firmware:
    """All nodes as one model; `missing` takes scratch bytes away, `compiled_for` is CMSIS-NN's rounding."""
    target = get_target(core)
    found = tuple((call,) for call in calls_of(graph, source, rounding))
    sizes = cmsis.scratch_sizes(scratch_queries(found), source, target, rounding)
    calls = [call for (call,) in with_scratch(found, [max(0, size - missing) for size in sizes])]
    memory = _side_by_side(graph, calls)
    files = emit(graph, calls, memory, Settings("cmsis-nn", core, "balanced", rounding))
    inputs, outputs = (
        tuple((memory.offsets[n], graph.tensors[n].bytes) for n in names)
        for names in (graph.inputs, graph.outputs)
    )
    return build(
        files,
        Entry("sites", inputs, outputs, len(graph.nodes)),
        target,
        folder,
        optimisation="-O1",
        defines=[*defines, *source.defines],
        include_dirs=source.include_dirs,
        libraries=[cmsis.library(source, target, compiled_for or rounding)],
    )


def _side_by_side(graph: Graph, calls: Sequence[Call | None]) -> Plan:
    """A memory plan in which nothing shares memory: the planner has tests of its own."""
    position, offsets, scratch = 0, {}, {}
    for index, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        for name in (node.inputs[0], node.outputs[0]):
            offsets[name] = position
            position += -(-graph.tensors[name].bytes // 4) * 4
        scratch[index] = position
        position += -(-(call.scratch if call else 0) // 4) * 4
    segments = tuple(Segment((index,)) for index in range(len(graph.nodes)))
    strategies = {"exact": position}
    return Plan(
        position,
        position,
        "exact",
        strategies,
        InputMode.RESIDENT,
        segments=segments,
        blocks=(),
        offsets=offsets,
        scratch=scratch,
    )


def differing(graph: Graph, program: Firmware, rounding: Rounding) -> list[str]:
    """The nodes whose outputs are not exactly the reference's for some sample."""
    samples = list(feeds(graph))
    outputs = run(program, [[a.tobytes() for a in sample] for sample in samples]).outputs
    bad = {}
    for sample, answers in zip(samples, outputs, strict=True):
        for node, x, data in zip(graph.nodes, sample, answers, strict=True):
            expected = node.op.reference(site_of(graph, node, rounding), x)
            got = np.frombuffer(data, np.int8).reshape(expected.shape)
            wrong = int((expected != got).sum())
            if wrong:
                bad[node.name] = f"{node.name} {node.op} {x.shape}: {wrong} of {expected.size} differ"
    return list(bad.values())


def select_nodes(graph: Graph, keep: Callable[[Operator], bool]) -> Graph:
    """The graph of some of the nodes; they do not depend on each other."""
    nodes = tuple(node for node in graph.nodes if keep(node.op))
    names = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    return replace(
        graph,
        nodes=nodes,
        tensors={k: t for k, t in graph.tensors.items() if k in names},
        inputs=tuple(node.inputs[0] for node in nodes),
        outputs=tuple(node.outputs[0] for node in nodes),
        ports={k: p for k, p in graph.ports.items() if k in names},
    )
