"""What happens when neighbouring stages run row by row: an order of units, and what must lie apart in it.

The order is demand-driven and depth-first: the last stage makes its rows one after the other, and every
stage first makes the rows that its reader needs next. Nothing is computed twice. Source: memory.md, B.4
and C.2; what can share bytes follows from how far every stage is at every event, an event being a unit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pingponnx.plan.stages import Counts, Network, Read, Stage

T = TypeVar("T")
Flags = NDArray[np.bool_]

NEVER = 2**40  # the lowest row needed of a tensor that is needed no more


@dataclass(frozen=True, eq=False)
class Streams:
    """The stages of a network in one direction, and the order of their units in any segment."""

    network: Network
    backward: bool
    reads: tuple[tuple[Read, ...], ...] = field(init=False)
    ends: Mapping[int, Counts] = field(init=False, repr=False)  # a read's low rows, and NEVER at the end
    starts: tuple[tuple[Counts, Counts], ...] = field(init=False, repr=False)  # touched, complete; from 0
    _orders: dict[tuple[int, int], Counts] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        extents = self.network.extents
        reads = [
            tuple(r.mirrored(extents[r.tensor].rows) if self.backward else r for r in stage.reads)
            for stage in self.network.stages
        ]
        object.__setattr__(self, "reads", tuple(reads))
        ends = {id(read): np.append(read.low, NEVER) for stage in reads for read in stage}
        object.__setattr__(self, "ends", ends)
        starts = [tuple(np.append(0, c) for c in (s.touched, s.complete)) for s in self.network.stages]
        object.__setattr__(self, "starts", tuple(starts))

    def order(self, start: int, stop: int) -> Counts:
        """The stage of every event when the streaming stages from `start` to `stop` run together.

        What is before `start` does not change the order of the others, so that the longest one serves all.
        """
        first = start
        stages = self.network.stages
        while first > 0 and stages[first - 1].streams:
            first -= 1
        key = (first, stop)
        if key not in self._orders:
            self._orders[key] = np.array(_demanded(stages, self.reads, first, stop), np.int64)
        order = self._orders[key]
        return order if first == start else order[order >= start]


def _demanded(stages: Sequence[Stage], reads: Sequence[Sequence[Read]], start: int, stop: int) -> list[int]:
    """Depth-first demand without recursion, for chains may be long."""
    producer = {stages[k].output: k for k in range(start, stop)}
    complete = [stages[k].complete.tolist() for k in range(stop)]
    needs = [
        [(producer[r.tensor], r.high.tolist()) for r in reads[k] if r.tensor in producer] for k in range(stop)
    ]
    done = [0] * stop
    order: list[int] = []
    if stages[start].call is None:  # fed rows start a run, even if there are rows to make of padding
        order.append(start)
        done[start] = 1
    for last in range(stop - 1, start - 1, -1):
        while done[last] < len(complete[last]):
            waiting = [last]
            while waiting:
                stage = waiting[-1]
                unit = done[stage]
                for before, high in needs[stage]:
                    made = done[before]
                    if (complete[before][made - 1] if made else 0) < high[unit]:
                        waiting.append(before)
                        break
                else:
                    waiting.pop()
                    order.append(stage)
                    done[stage] += 1
    return order


def _remembered(method: Callable[..., T]) -> Callable[..., T]:
    """Computes a method once for each value of its arguments."""

    @wraps(method)
    def lookup(self: "Trace", *key: Any, **named: Any) -> T:
        index = (method.__name__, *key, *named.values())
        if index not in self.memory:
            self.memory[index] = method(self, *key, **named)
        return cast("T", self.memory[index])

    return lookup


@dataclass(frozen=True, eq=False)
class Trace:
    """The stages [start, stop) of a streaming run, event by event.

    Rings have as many rows as are needed at once, or one less: then rows are made in a spare place that
    other tensors use too, and move to the ring as soon as there is a free slot.
    """

    streams: Streams
    start: int
    stop: int
    memory: dict[tuple[Any, ...], Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def order(self) -> Counts:
        return self.streams.order(self.start, self.stop)

    @cached_property
    def members(self) -> range:
        return range(self.start, self.stop)

    @cached_property
    def _before(self) -> Mapping[int, Counts]:
        """Per stage, how many units it has done before each event."""
        return {k: np.searchsorted(at, np.arange(len(self.order))) for k, at in self.events.items()}

    @cached_property
    def events(self) -> Mapping[int, Counts]:
        """Per stage, the events at which it works."""
        by_stage = np.argsort(self.order, kind="stable")
        ends = np.searchsorted(self.order[by_stage], [*self.members, self.stop])
        return {k: by_stage[a:b] for k, a, b in zip(self.members, ends, ends[1:], strict=False)}

    @cached_property
    def readers(self) -> Mapping[str, list[tuple[int, Read]]]:
        """Per tensor, the stages of this run that read it."""
        found: dict[str, list[tuple[int, Read]]] = {}
        for k in self.members:
            for read in self.streams.reads[k]:
                found.setdefault(read.tensor, []).append((k, read))
        return found

    @_remembered
    def lowest(self, tensor: str, *, during: bool) -> Counts:
        """Per event the lowest row of a tensor that is still read; `during`: also by that event's unit.

        An element-wise unit that runs forward reads each value before it writes the same place: for it
        the row that it reads is gone already.
        """
        result = np.full(len(self.order), NEVER, np.int64)
        for k, read in self.readers.get(tensor, ()):
            np.minimum(result, self.lowest_of(k, read, during=during), out=result)
        return result

    def lowest_of(self, stage: int, read: Read, *, during: bool = False) -> Counts:
        """The same for a single reader."""
        units = self._before[stage]
        if not during and self.streams.network.stages[stage].elementwise and not self.streams.backward:
            units = units + (self.order == stage)
        result: Counts = self.streams.ends[id(read)][units]
        return result

    @_remembered
    def touched(self, stage: int) -> Counts:
        """Per event how many rows of a stage's output have been written to, that event's unit included."""
        counts = self.streams.starts[stage][0]
        result: Counts = counts[self._before[stage] + (self.order == stage)]
        return result

    def finished(self, stage: int) -> Counts:
        """Per event how many rows of a stage's output are complete before it."""
        result: Counts = self.streams.starts[stage][1][self._before[stage]]
        return result

    @_remembered
    def capacity(self, stage: int) -> int:
        """How many rows of an inner tensor exist at once, the one being made included."""
        at = self.events[stage]
        rows = self.finished(stage)[at]
        low = np.minimum(self.lowest(self.streams.network.stages[stage].output, during=True)[at], rows)
        return int((self.touched(stage)[at] - low).max())

    def life(self, stage: int) -> tuple[int, int]:
        """First and last event of an inner tensor: its last reader, or last row if nobody reads that."""
        written = self.events[stage][np.argmax(self.streams.network.stages[stage].touched > 0)]
        return int(written), max(self._last_reader(stage), int(self.events[stage][-1]))

    def _last_reader(self, stage: int) -> int:
        tensor = self.streams.network.stages[stage].output
        return max(int(self.events[k][-1]) for k, _ in self.readers[tensor])

    @_remembered
    def kept(self, stage: int) -> Counts:
        """Per row of an inner tensor, the event before which it moves from the spare place to the ring.

        NEVER for rows that would move after the last reader: by then the ring may be gone.
        """
        node = self.streams.network.stages[stage]
        capacity, low = self.capacity(stage), self.lowest(node.output, during=True)
        rows = np.arange(int(node.complete[-1]))
        made = self.events[stage][np.searchsorted(node.complete, rows + 1)]
        free = np.searchsorted(low, rows + 2 - capacity)
        result: Counts = np.maximum(made + 1, free)
        result[result > self._last_reader(stage)] = NEVER
        return result

    @_remembered
    def in_spare(self, stage: int) -> Flags:
        """Per event whether a row of an inner tensor is in its spare place."""
        node, end = self.streams.network.stages[stage], self.life(stage)[1] + 1
        kept = np.minimum(self.kept(stage), end)
        first = self.events[stage][np.searchsorted(node.touched, np.arange(len(kept)) + 1)]
        change = np.zeros(len(self.order) + 1, np.int64)
        np.add.at(change, first, 1)
        np.add.at(change, kept, -1)
        result: Flags = np.cumsum(change)[:-1] > 0
        return result
