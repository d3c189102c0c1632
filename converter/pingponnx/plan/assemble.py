"""Solved placements as a Plan: offsets by name, and the steps in which the segments run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pingponnx.plan.layout import Key, Layout, Stream
from pingponnx.plan.placement import Solution
from pingponnx.plan.schedule import FEED, Bank, InputMode, Placed, Plan, Ring, Segment, Step


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout and where its blocks lie; no choice of the same kind needs less than `bound`."""

    layout: Layout
    solution: Solution
    bound: int

    @property
    def arena(self) -> int:
        """Bytes, a multiple of the layout's alignment."""
        grain = self.layout.alignment
        return -(-self.solution.arena // grain) * grain


def assemble(
    found: Candidate,
    nodes: int,
    mode: InputMode,
    strategy: str,
    strategies: Mapping[str, int | None],
    banks: tuple[Bank, ...] = (),
) -> Plan:
    """The plan of a candidate, for a graph with so many nodes."""
    layout, solution = found.layout, found.solution
    network = layout.network
    offsets = dict(zip(layout.blocks, solution.offsets, strict=True))
    whole = {key.name: offset for key, offset in offsets.items() if key.kind == "tensor"}
    by_stage = {
        kind: {network.stages[k.stage].node: offset for k, offset in offsets.items() if k.kind == kind}
        for kind in ("scratch", "accumulator")
    }
    return Plan(
        found.arena,
        found.bound,
        strategy,
        strategies,
        mode,
        tuple(_segment(layout, q, solution.backward[q]) for q in range(len(layout.cuts))),
        _blocks(layout, offsets, nodes),
        {name: whole[root] for root in whole for name in network.aliases[root]},
        _rings(layout, solution, offsets),
        by_stage["scratch"],
        by_stage["accumulator"],
        banks,
    )


def _segment(layout: Layout, q: int, backward: bool) -> Segment:
    cut, stages = layout.cuts[q], layout.network.stages
    nodes = tuple(stage.node for stage in stages[cut.start : cut.stop] if stage.node != FEED)
    run = layout.run(q, backward)
    return Segment(nodes, backward, _steps(layout, run) if isinstance(run, Stream) else ())


def _steps(layout: Layout, run: Stream) -> tuple[Step, ...]:
    """The units in order, and before each the rows that move to their rings."""
    stages, lives, trace = layout.network.stages, layout.lives, run.trace
    moves: dict[int, list[int]] = {}
    for k in trace.members if run.spare else ():
        if lives.inner(stages[k].output, trace.start, trace.stop) and run.ring_rows(k):
            for event in trace.kept(k).tolist():
                moves.setdefault(event, []).append(k)
    steps: list[Step] = []
    for event, stage in enumerate(trace.order.tolist()):
        steps += [Step(stages[k].node, keep=True) for k in moves.get(event, ())]
        steps.append(Step(stages[stage].node))
    return tuple(steps)


def _rings(layout: Layout, solution: Solution, offsets: Mapping[Key, int]) -> dict[str, Ring]:
    found: dict[str, Ring] = {}
    for key in layout.blocks:
        if key.kind not in ("ring", "spare") or key.name in found:
            continue
        q = next(i for i, c in enumerate(layout.cuts) if c.start <= key.stage < c.stop)
        run = layout.run(q, solution.backward[q])
        assert isinstance(run, Stream)
        rows = run.ring_rows(key.stage)
        ring = Ring(
            offsets.get(Key("ring", key.name, key.stage), 0),
            rows,
            layout.network.extents[key.name].row_bytes,
            offsets.get(Key("spare", key.name, key.stage)),
        )
        found[key.name] = ring if rows else replace(ring, offset=offsets[Key("spare", key.name, key.stage)])
    return found


def _blocks(layout: Layout, offsets: Mapping[Key, int], nodes: int) -> tuple[Placed, ...]:
    found = [_placed(layout, key, offset, nodes) for key, offset in offsets.items()]
    return tuple(sorted(found, key=lambda b: (b.first, b.kind, b.name)))


def _placed(layout: Layout, key: Key, offset: int, nodes: int) -> Placed:
    size, cut = layout.blocks[key][:2]
    network, lives = layout.network, layout.lives
    if key.kind == "tensor":
        made, end = lives.made[key.name], lives.last[key.name]
        begin = network.stages[made].node if made >= 0 else -1
        stop = nodes if end >= len(network.stages) else network.stages[end].node
        return Placed(key.name, key.kind, offset, size, begin, stop, network.aliases[key.name])
    node = network.stages[key.stage].node
    if key.kind == "scratch":
        return Placed(key.name, key.kind, offset, size, node, node)
    members = [s.node for s in network.stages[slice(*layout.cuts[cut][:2])]]
    tensors = network.aliases[key.name] if key.kind == "ring" else ()
    return Placed(key.name, key.kind, offset, size, members[0], members[-1], tensors)
