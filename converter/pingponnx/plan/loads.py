"""How much memory every possible segment holds at its fullest moment: what its placement cannot undercut."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pingponnx.plan.simulate import Streams, Trace
from pingponnx.plan.stages import Counts, Network

Loads = Mapping[tuple[int, int], int]


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


def loads(streams: Streams, lives: Lives, *, spare: bool) -> Loads:
    """(start, stop) -> bytes, for all segments of at least two stages that stream in this direction."""
    found: dict[tuple[int, int], int] = {}
    for first, last in _stretches(streams):
        for stop in range(first + 2, last + 1):
            trace = Trace(streams, first, stop, spare)
            for start, load in _from_the_end(trace, lives):
                if stop - start > 1:
                    found[start, stop] = load
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


def _from_the_end(trace: Trace, lives: Lives) -> Iterator[tuple[int, int]]:
    """Every start of the trace's segments and their load; each adds one stage to the one before."""
    network, stop = trace.streams.network, trace.stop
    total = np.zeros(len(trace.order), np.int64)
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
            now = np.maximum(extent.rows - low[name], 0) * extent.row_bytes
            total += now - boundary.get(name, 0)
            boundary[name] = now
        yield start, int(total.max()) + lives.through(network, start, stop)


def held(trace: Trace, stage: int, *, inner: bool) -> Counts:
    """Per event the bytes that a stage's output, accumulators and scratch hold."""
    node = trace.streams.network.stages[stage]
    extent, at = trace.streams.network.extents[node.output], np.arange(len(trace.order))
    touched = trace.touched(stage)
    if not inner:
        rows = touched
    else:
        first, last = trace.life(stage)
        capacity = trace.capacity(stage)
        if trace.spare:
            ring = np.minimum(np.searchsorted(trace.kept(stage), at, side="right"), capacity - 1)
            rows = ring + trace.in_spare(stage)
        else:
            rows = np.minimum(touched, capacity)
        rows = np.where((first <= at) & (at <= last), rows, 0)
    total: Counts = rows * extent.row_bytes
    if node.accumulator:
        begin, end = trace.events[stage][[0, -1]]
        total = total + np.where((begin <= at) & (at <= end), node.accumulator, 0)
    if node.scratch:
        total = total + np.where(trace.order == stage, node.scratch, 0)
    return total

