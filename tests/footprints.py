"""Which bytes of the arena each call of a plan's generated C may touch, as the plan's documentation says."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pingponnx.calls import ALL_ROWS, Call
from pingponnx.ir import Graph
from pingponnx.plan import Calls, InputMode, Plan, roots_of
from pingponnx.plan.schedule import FEED, Segment, Step
from pingponnx.plan.stages import Extent, extents_of

Bytes = tuple[int, int]  # offset and size


class Footprint(NamedTuple):
    """What a marked piece of generated code does: a call, a unit, or a row that moves to its ring."""

    node: int
    places: tuple[Bytes, ...]


@dataclass
class Footprints:
    """Walks through a plan; `events` are in the order in which the generated code marks them."""

    graph: Graph
    calls: Calls
    plan: Plan
    backward: bool = False
    done: dict[int, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roots, self.extents = roots_of(self.graph), extents_of(self.graph)
        external = self.plan.input_mode is InputMode.EXTERNAL
        self.outside = set(self.graph.inputs) if external else set()

    def events(self) -> Iterator[Footprint]:
        for segment in self.plan.segments:
            if not segment.steps:
                yield self._whole(segment.nodes[0])
            else:
                yield from self._stepwise(segment)

    def _whole(self, node: int) -> Footprint:
        names = [*self.graph.nodes[node].inputs, *self.graph.nodes[node].outputs]
        roots = {self.roots[n] for n in names if n in self.roots} - self.outside
        places = [(self.plan.offsets[r], self.extents[r].bytes) for r in sorted(roots)]
        return Footprint(node, (*places, *self._scratch(node)))

    def _scratch(self, node: int) -> list[Bytes]:
        call = self._call(node)
        return [(self.plan.scratch[node], call.scratch)] if call.scratch else []

    def _call(self, node: int) -> Call:
        call = self.calls[node]
        assert call is not None
        return call

    def _stepwise(self, segment: Segment) -> Iterator[Footprint]:
        self.backward, self.done, self.kept = segment.backward, {}, {}
        for step in segment.steps:
            places = self._move(step) if step.keep else [] if step.node == FEED else self._unit(step.node)
            if step.node != FEED:
                yield Footprint(step.node, tuple(places))

    def _row(self, root: str, row: int) -> Bytes:
        """Row of a tensor, by its index from the first one over all samples."""
        extent: Extent = self.extents[root]
        if root in self.plan.offsets:
            return self.plan.offsets[root] + row * extent.row_bytes, extent.row_bytes
        ring, number = self.plan.rings[root], extent.rows - 1 - row if self.backward else row
        if ring.spare is not None and number >= self.kept.get(root, 0):
            return ring.spare, extent.row_bytes
        slot = ring.rows - 1 - number % ring.rows if self.backward else number % ring.rows
        return ring.offset + slot * extent.row_bytes, extent.row_bytes

    def _move(self, step: Step) -> list[Bytes]:
        root = self.graph.inputs[0] if step.node == FEED else self.graph.nodes[step.node].outputs[0]
        number = self.kept.get(root, 0)
        row = self.extents[root].rows - 1 - number if self.backward else number
        source = self._row(root, row)
        self.kept[root] = number + 1
        return [source, self._row(root, row)]

    def _unit(self, node: int) -> list[Bytes]:
        rows, target = self._call(node).rows, self.graph.nodes[node].outputs[0]
        assert rows is not None
        names = self.graph.nodes[node].inputs
        sources = {self.roots[names[i]]: window for i, window in rows.windows.items()}
        y, samples = self.extents[target], self.extents[target].samples
        units = rows.units
        if units == ALL_ROWS:
            (x,) = (self.extents[root] for root in sources)
            samples = x.samples if y.rows == x.samples else 1
            units = x.rows // samples
        height, done = y.rows // samples, self.done.get(node, 0)
        self.done[node] = done + 1
        row, part = divmod(y.rows * units - 1 - done if self.backward else done, units)
        places = self._scratch(node)
        if rows.accumulator:
            places.append((self.plan.accumulators[node], rows.accumulator))
        if not rows.accumulator or (done + 1) % units == 0:
            places.append(self._row(target, row))
        for i, window in rows.windows.items():
            root = self.roots[names[i]]
            if root in self.outside:
                continue
            many = self.extents[root].rows // samples
            first = part if rows.units == ALL_ROWS else (row % height * rows.step + part) * window.stride
            first, extent = (first, 1) if rows.units == ALL_ROWS else (first - window.pad, window.extent)
            for at in range(max(first, 0), min(first + extent, many)):
                places.append(self._row(root, row // height * many + at))
        return places
