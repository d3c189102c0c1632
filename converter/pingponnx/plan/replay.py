"""An independent check of a memory plan: replays its schedule on a byte-wise owner map of the arena.

Shares no code with the planner. Every byte carries the tag of the tensor row (or accumulators) written
there last; whoever reads a row must find its tag on all of its bytes. What a kernel reads and writes in
the same call or unit must lie apart, unless the kernel declares that it bears the overlap.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pingponnx.calls import ALL_ROWS, Rows, RowWindow
from pingponnx.errors import MemoryPlanError
from pingponnx.ir import Graph, Node
from pingponnx.plan.claims import (
    Calls,
    Place,
    accumulators_of,
    check_claims,
    grid_of,
    grids_of,
    node_name,
    root_of,
    scratch_of,
)
from pingponnx.plan.schedule import FEED, InputMode, Plan, Segment, Step

_NOBODY = -1  # tags of tensor rows count up from 0, those of accumulators down from -2


def verify_plan(graph: Graph, calls: Calls, plan: Plan) -> None:
    """Raise MemoryPlanError when the schedule would read a byte that is not made yet or overwritten."""
    check_claims(graph, calls, plan)
    _Replay(graph, calls, plan).run()


class _Source(NamedTuple):
    """An input that a node reads by rows."""

    root: str
    window: RowWindow
    in_place: bool  # value for value, so the output row may lie over the row that it is made from


@dataclass(frozen=True, slots=True)
class _Work:
    """A node that runs by rows, measured: `total` units of which `units` make one row of `target`."""

    index: int
    who: str
    rows: Rows
    sources: tuple[_Source, ...]
    target: str
    units: int
    total: int
    scratch: Place | None
    accumulators: Place | None


class _Replay:
    """The state of the arena, and of the segment that runs."""

    def __init__(self, graph: Graph, calls: Calls, plan: Plan) -> None:
        self.graph, self.calls, self.plan = graph, calls, plan
        self.roots = root_of(graph, calls)
        self.outside = frozenset(graph.inputs if plan.input_mode is InputMode.EXTERNAL else ())
        self.grids = grids_of(graph, self.roots)
        self.tags: dict[str, int] = {}  # of the first row
        rows = 0
        for root, grid in self.grids.items():
            self.tags[root] = rows
            rows += grid.total
        self.owner: NDArray[np.int32] = np.full(plan.arena, _NOBODY, np.int32)
        self.made: dict[str, int] = {}  # complete rows
        self.kept: dict[str, int] = {}  # rows that were moved from a spare place to its ring
        self.done: dict[int, int] = {}  # units of the nodes of this segment
        self.fed = 0
        self.backward = False

    def run(self) -> None:
        inputs = self.graph.inputs
        if self.plan.input_mode is InputMode.RESIDENT:
            for name in inputs:
                self._make_whole(name)
        elif self.plan.input_mode is InputMode.ROWS and len(inputs) != 1:
            raise MemoryPlanError(f"only one input can come by rows, not {', '.join(map(repr, inputs))}")
        for segment in self.plan.segments:
            if segment.steps:
                self._run_by_rows(segment)
            else:
                self._run_whole(segment)
        if self.plan.input_mode is InputMode.ROWS:
            self._check_fed()
        for name in self.graph.outputs:
            root = self.roots.get(name)
            if root in self.outside:
                raise MemoryPlanError(f"output {name!r} is nowhere in the arena")
            if root is not None:
                self._expect_whole(root, "the end of the run")

    def _expect(self, place: Place, tag: int, who: str) -> None:
        if not (self.owner[place.slice] == tag).all():
            raise MemoryPlanError(f"{place.what} is overwritten before {who} needs it")

    # -- whole tensors ------------------------------------------------------------------------------

    def _whole(self, root: str) -> Place:
        return Place(f"tensor {root!r}", self.plan.offsets[root], self.graph.tensors[root].bytes)

    def _by_row(self, root: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The owners of a whole tensor's bytes, a row each, and the tags they should be."""
        grid, tag = self.grids[root], self.tags[root]
        owners = self.owner[self._whole(root).slice].reshape(grid.total, grid.row_bytes)
        return owners, np.arange(tag, tag + grid.total, dtype=np.int32)[:, None]

    def _make_whole(self, root: str) -> None:
        if root not in self.plan.offsets:
            raise MemoryPlanError(f"tensor {root!r} is made as a whole, but has no place for it")
        owners, tags = self._by_row(root)
        owners[:] = tags
        self.made[root] = self.grids[root].total

    def _expect_whole(self, root: str, who: str) -> None:
        if root in self.outside:
            return
        if root not in self.plan.offsets or self.made.get(root) != self.grids[root].total:
            raise MemoryPlanError(f"tensor {root!r} does not exist as a whole when {who} needs it")
        owners, tags = self._by_row(root)
        if not (owners == tags).all():
            raise MemoryPlanError(f"tensor {root!r} is overwritten before {who} needs it")

    def _run_whole(self, segment: Segment) -> None:
        """One call that reads all inputs and writes all outputs, in an order only its kernel knows."""
        indices = [index for index in segment.nodes if self.calls[index] is not None]
        names = ", ".join(repr(self.graph.nodes[index].name) for index in segment.nodes)
        if segment.backward or len(indices) != 1:
            raise MemoryPlanError(f"a segment without steps is one whole call, not {names or 'nothing'}")
        node, call = self.graph.nodes[indices[0]], self.calls[indices[0]]
        assert call is not None
        who = f"node {node.name!r}"
        if not call.function:
            raise MemoryPlanError(f"{who} can only run by rows")
        reads = []
        for index, name in self._activations(node):
            root = self.roots[name]
            self._expect_whole(root, who)
            if root not in self.outside:
                reads.append((index, self._whole(root)))
        for name in node.outputs:
            self._make_whole(name)
        writes = [self._whole(name) for name in node.outputs]
        for index, read in reads:
            bears = call.overlap.get(index)
            for place in writes:
                if place.meets(read) and (bears is None or place.start > read.start - bears):
                    raise MemoryPlanError(f"{who} would overwrite {read.what} while reading it")
        scratch = scratch_of(self.graph, call, self.plan, indices[0])
        if scratch is not None:
            writes.append(scratch)
            for _, read in reads:
                _apart((scratch, read), who)
            self.owner[scratch.slice] = _NOBODY
        _apart(writes, who)

    def _activations(self, node: Node) -> Iterator[tuple[int, str]]:
        return ((index, name) for index, name in enumerate(node.inputs) if name in self.roots)

    # -- rows ---------------------------------------------------------------------------------------

    def _run_by_rows(self, segment: Segment) -> None:
        self.backward = segment.backward
        works = {i: self._work(i) for i in segment.nodes if self.calls[i] is not None}
        self.done = dict.fromkeys(works, 0)
        self.made |= {work.target: 0 for work in works.values()}
        for step in segment.steps:
            if step.node == FEED:
                self._feed(step)
            elif step.node not in works:
                raise MemoryPlanError(
                    f"a step runs {node_name(self.graph, step.node)}, which is not in its segment"
                )
            elif step.keep:
                self._keep(works[step.node].target, works[step.node].who)
            else:
                self._unit(works[step.node])
        for index, work in works.items():
            if self.done[index] != work.total:
                raise MemoryPlanError(f"{work.who} runs {self.done[index]} of its {work.total} units")
        if any(step.node == FEED for step in segment.steps):
            self._check_fed()
        for name in self.plan.rings:  # nobody keeps up a ring after its segment
            self.made.pop(name, None)

    def _work(self, index: int) -> _Work:
        """What a node does by rows, if its tensors are cut into rows as its kernel thinks."""
        node, call = self.graph.nodes[index], self.calls[index]
        who = f"node {node.name!r}"
        if call is None or call.rows is None or len(node.outputs) != 1:
            raise MemoryPlanError(f"{who} cannot run by rows")
        rows, target = call.rows, node.outputs[0]
        if rows.forward_only and self.backward:
            raise MemoryPlanError(f"{who} must run forward")
        sources = tuple(self._source(rows, i, name, target, who) for i, name in self._activations(node))
        grid, units = self.grids[target], rows.units
        if units == ALL_ROWS:
            counts = {self.grids[source.root].rows for source in sources}
            if len(counts) != 1 or grid.rows != 1:
                raise MemoryPlanError(f"{who} cannot reduce its input to one row")
            units = counts.pop()
        scratch = scratch_of(self.graph, call, self.plan, index)
        accumulators = accumulators_of(self.graph, call, self.plan, index)
        total = grid.total * units
        return _Work(index, who, rows, sources, target, units, total, scratch, accumulators)

    def _source(self, rows: Rows, index: int, name: str, target: str, who: str) -> _Source:
        root = self.roots[name]
        if index not in rows.windows:
            raise MemoryPlanError(f"{who} does not read {name!r} by rows")
        x, y = self.grids[root], self.grids[target]
        if not rows.any_rows and grid_of(self.graph.tensors[name]) != x:
            raise MemoryPlanError(f"{who} reads {name!r}, whose rows are not those of {root!r}")
        if x.samples != y.samples:
            raise MemoryPlanError(f"{who} makes {y.samples} samples of the {x.samples} of {root!r}")
        window = rows.windows[index]
        sizes = [self.graph.tensors[t].dtype.bytes for t in (root, target)]
        alike = x.row_bytes // sizes[0] == y.row_bytes // sizes[1]
        return _Source(root, window, rows.elementwise and window.extent == 1 and alike)

    def _row(self, root: str, row: int) -> Place:
        """Where a row lies, or will once it is made."""
        what, size = f"row {row} of tensor {root!r}", self.grids[root].row_bytes
        if root in self.plan.offsets:
            return Place(what, self.plan.offsets[root] + row * size, size)
        ring, number = self.plan.rings[root], self._number(root, row)
        if ring.spare is not None and number >= self.kept.get(root, 0):
            return Place(what, ring.spare, size)
        slot = number % ring.rows
        return Place(what, ring.offset + (ring.rows - 1 - slot if self.backward else slot) * size, size)

    def _number(self, root: str, row: int) -> int:
        """Rows counted in the order they are made; the inverse is the same."""
        return self.grids[root].total - 1 - row if self.backward else row

    def _unit(self, work: _Work) -> None:
        """One unit: its rows must be there, and stay while it writes in an order only its kernel knows."""
        done = self.done[work.index]
        if done == work.total:
            raise MemoryPlanError(f"{work.who} runs more than its {work.total} units")
        self.done[work.index] += 1
        row, part = divmod(work.total - 1 - done if self.backward else done, work.units)
        first, last = done % work.units == 0, (done + 1) % work.units == 0
        reads = list(self._reads(work, row, part))
        target, tag = self._row(work.target, row), self.tags[work.target] + row
        writes = []  # place, its tag, and whether it need not be the unit's own already
        if work.scratch is not None:
            writes.append((work.scratch, _NOBODY, True))
        if work.accumulators is not None:
            writes.append((work.accumulators, _NOBODY - 1 - work.index, first))
        if work.accumulators is None or last:
            writes.append((target, tag, first or work.accumulators is not None))
        for place, mine, fresh in writes:
            if not fresh:
                self._expect(place, mine, work.who)
            for read, in_place in reads:
                if not (place is target and in_place and self._in_place(target, read)):
                    _apart((place, read), work.who)
        _apart((place for place, _, _ in writes), work.who)
        for place, mine, _ in writes:
            self.owner[place.slice] = mine
        self.made[work.target] += last

    def _reads(self, work: _Work, row: int, part: int) -> Iterator[tuple[Place, bool]]:
        """The rows under a unit's windows that are in the arena, each found intact; neighbours together."""
        sample, row = divmod(row, self.grids[work.target].rows)
        for root, window, in_place in work.sources:
            if root in self.outside:
                continue
            rows = self.grids[root].rows
            top = (row * work.rows.step + part) * window.stride - window.pad
            index, end = sample * rows + max(top, 0), sample * rows + min(top + window.extent, rows)
            while index < end:
                place, count = self._run_of_rows(root, index, end)
                self._expect_rows(root, index, count, work.who)
                yield place, in_place
                index += count

    def _run_of_rows(self, root: str, index: int, end: int) -> tuple[Place, int]:
        """Row `index` with those of the next up to `end` that lie behind it, and how many rows that is."""
        place, size, count = self._row(root, index), self.grids[root].row_bytes, end - index
        if root in self.plan.rings:
            ring, number = self.plan.rings[root], self._number(root, index)
            kept = number + 1 if ring.spare is None else self.kept.get(root, 0)
            if number >= kept:  # in the spare place, which holds one row
                count = 1
            else:
                count = min(count, ring.rows - (place.start - ring.offset) // size)
                if ring.spare is not None and not self.backward:
                    count = min(count, kept - number)
        if count == 1:
            return place, 1
        return Place(
            f"rows {index} to {index + count - 1} of tensor {root!r}", place.start, count * size
        ), count

    def _expect_rows(self, root: str, index: int, count: int, who: str) -> None:
        """All of a run's rows are made, and intact; if not, the message names the first that is not."""
        made = self.made.get(root, 0)
        there = max(self._number(root, index), self._number(root, index + count - 1)) < made
        start, size, tag = self._row(root, index).start, self.grids[root].row_bytes, self.tags[root] + index
        owners = self.owner[start : start + count * size].reshape(count, size)
        if there and (owners == np.arange(tag, tag + count, dtype=np.int32)[:, None]).all():
            return
        for row in range(index, index + count):
            place = self._row(root, row)
            if self._number(root, row) >= made:
                raise MemoryPlanError(f"{place.what} is not there when {who} needs it")
            self._expect(place, self.tags[root] + row, who)

    def _in_place(self, target: Place, read: Place) -> bool:
        """True when values written in ascending order never reach one that is still to be read."""
        if target.start != read.start and self.backward:
            return False
        return target.start <= read.start and target.end <= read.end

    def _feed(self, step: Step) -> None:
        """The caller hands over the next row of the network's input."""
        if self.plan.input_mode is not InputMode.ROWS or self.backward:
            raise MemoryPlanError(f"no row of {', '.join(map(repr, self.graph.inputs))} can be fed here")
        root = self.graph.inputs[0]
        if step.keep:
            self._keep(root, "the caller")
            return
        if self.fed == self.grids[root].total:
            raise MemoryPlanError(f"tensor {root!r} is fed more than its {self.fed} rows")
        self.owner[self._row(root, self.fed).slice] = self.tags[root] + self.fed
        self.fed += 1
        self.made[root] = self.fed

    def _check_fed(self) -> None:
        root = self.graph.inputs[0]
        if self.fed != self.grids[root].total:
            raise MemoryPlanError(f"only {self.fed} of {self.grids[root].total} rows of {root!r} are fed")

    def _keep(self, root: str, who: str) -> None:
        """The oldest row that is not in the ring yet is copied there; the spare place must have it."""
        ring, number = self.plan.rings.get(root), self.kept.get(root, 0)
        if ring is None or ring.spare is None or not ring.rows:
            raise MemoryPlanError(f"{who} cannot keep a row of {root!r}: there is nowhere to move it")
        if number >= self.made.get(root, 0):
            raise MemoryPlanError(f"row {number} of {root!r} is kept before {who} completes it")
        row = self._number(root, number)
        spare = self._row(root, row)
        self.kept[root] = number + 1
        slot = self._row(root, row)
        _apart((spare, slot._replace(what=f"its place in the ring of {root!r}")), who)
        self._expect(spare, self.tags[root] + row, f"the copy to the ring of {root!r}")
        self.owner[slot.slice] = self.tags[root] + row


def _apart(places: Iterable[Place], who: str) -> None:
    for a, b in combinations(places, 2):
        if a.meets(b):
            raise MemoryPlanError(f"{who}: {a.what} and {b.what} share bytes while both are in use")
