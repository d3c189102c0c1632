"""How much memory every possible segment holds at its fullest moment: what its placement cannot undercut."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pingponnx.plan.simulate import Streams, Trace
from pingponnx.plan.stages import Counts, Network

Loads = Mapping[tuple[int, int, bool], int]
"""(start, stop, with spare rows) -> bytes."""


@dataclass(frozen=True, slots=True)
class Lives:
    """From which stage to which every tensor is needed: -1 is before the first, `end` after the last."""

    made: Mapping[str, int]
    last: Mapping[str, int]
    end: int

    def through(self, network: Network, start: int, stop: int) -> int:
        """Bytes of the tensors that outlive stages [start, stop), which they are made before."""
        return sum(
            network.extents[name].bytes
            for name, made in self.made.items()
            if made < start and self.last[name] >= stop
        )

    def inner(self, name: str, start: int, stop: int) -> bool:
        """True when only stages from `start` to `stop` see the tensor, and one of them reads it."""
        return start <= self.made[name] < self.last[name] < stop


def lives_of(network: Network) -> Lives:
    """Inputs live from before the first stage, outputs to the end."""
    made, last, end = dict.fromkeys(network.inputs, -1), dict.fromkeys(network.inputs, 0), len(network.stages)
    for index, stage in enumerate(network.stages):
        for name in stage.outputs:
            made[name] = last[name] = index
        for name in stage.taps:
            last[name] = max(last[name], index)
    return Lives(made, last | {name: end for name in network.outputs if name in made}, end)


def loads(streams: Streams, lives: Lives, longest: int) -> Loads:
    """Bytes of all segments of two to `longest` stages that stream in this direction."""
    found: dict[tuple[int, int, bool], int] = {}
    for first, last in _stretches(streams):
        for stop in range(first + 2, last + 1):
            trace = Trace(streams, max(first, stop - longest), stop)
            for start, plain, spare in _from_the_end(trace, lives):
                if stop - start > 1:
                    found[start, stop, False], found[start, stop, True] = plain, spare
    return found


def _stretches(streams: Streams) -> Iterator[tuple[int, int]]:
    """Runs of neighbouring stages that stream in this direction."""
    start = 0
    usable = [s.reversible if streams.backward else s.streams for s in streams.network.stages]
    for index, good in enumerate([*usable, False]):
        if not good:
            if index - start > 1:
                yield start, index
            start = index + 1


def _from_the_end(trace: Trace, lives: Lives) -> Iterator[tuple[int, int, int]]:
    """Every start of the trace's segments and their loads, without and with spare rows.

    Each start adds one stage to the segment before.
    """
    network, stop = trace.streams.network, trace.stop
    total = np.zeros((2, len(trace.order)), np.int64)
    low: dict[str, Counts] = {}
    boundary: dict[str, Counts] = {}
    for start in reversed(trace.members):
        stage = network.stages[start]
        if stage.output in boundary:
            total -= boundary.pop(stage.output)
        total += held(trace, start, inner=lives.inner(stage.output, start, stop))
        for read in trace.streams.reads[start]:
            name = read.tensor
            if lives.last[name] >= stop:
                continue  # outlives the segment: counted with `through`
            needed = trace.lowest_of(start, read)
            low[name] = np.minimum(low[name], needed) if name in low else needed
            extent = network.extents[name]
            now: Counts = np.maximum(extent.rows - low[name], 0) * extent.row_bytes
            total += now
            if name in boundary:
                total -= boundary[name]
            boundary[name] = now
        plain, spare = (total.max(axis=1) + lives.through(network, start, stop)).tolist()
        yield start, plain, spare


def held(trace: Trace, stage: int, *, inner: bool) -> Counts:
    """Per event the bytes that a stage's output, accumulators and scratch hold.

    Two rows: without and with a spare row for what is seen by the segment only.
    """
    node, at = trace.streams.network.stages[stage], np.arange(len(trace.order))
    touched = trace.touched(stage)
    rows = np.stack([touched, touched])
    if inner:
        first, last = trace.life(stage)
        capacity = trace.capacity(stage)
        ring = np.minimum(np.searchsorted(trace.kept(stage), at, side="right"), capacity - 1)
        rows = np.stack([np.minimum(touched, capacity), ring + trace.in_spare(stage)])
        rows[:, :first] = rows[:, last + 1 :] = 0
    total: Counts = rows.astype(np.int64) * trace.streams.network.extents[node.output].row_bytes
    if node.accumulator:
        begin, end = trace.events[stage][[0, -1]]
        total[:, begin : end + 1] += node.accumulator
    if node.scratch:
        total[:, trace.events[stage]] += node.scratch
    return total
