"""A schedule's placement problem: which blocks there are, and how far apart each two of them must lie."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pingponnx.plan.loads import Lives
from pingponnx.plan.placement import Item, Pair, Problem
from pingponnx.plan.simulate import NEVER, Flags, Streams, Trace
from pingponnx.plan.stages import Counts, Network, Stage

Rule = tuple[int, int] | None  # offset(b) - offset(a) must not lie strictly between; None: anywhere


NO_PINS: Mapping[str, int] = MappingProxyType({})


class Cut(NamedTuple):
    """Stages [start, stop) as one segment; `spare`: see simulate.Trace."""

    start: int
    stop: int
    spare: bool = False


class Key(NamedTuple):
    """A block: a whole tensor by name, or what a stage owns: its output's ring or spare row, its
    accumulators, its scratch."""

    kind: str
    name: str
    stage: int = -1


@dataclass(frozen=True, eq=False)
class Whole:
    """A single stage run by one call."""

    stage: Stage

    def distance(self, dying: str, written: Key) -> int | None:
        """D in bytes: the written block may start at most at the dying input's offset - D; None: apart."""
        assert self.stage.call is not None
        overlap, taps = self.stage.call.overlap, self.stage.taps.get(dying)
        if taps is None:
            return -NEVER  # an input that nobody reads
        if written.kind != "tensor" or not all(i in overlap for i in taps):
            return None
        return max(overlap[i] for i in taps)

    def growth(self, inner: Key, output: Key) -> int | None:
        """Scratch lives as long as the call."""
        return None

    def meet(self, a: Key, b: Key) -> bool:
        return True


@dataclass(frozen=True, eq=False)
class Stream:
    """Stages that run row by row, in one direction; `spare`: new rows have a spare place."""

    trace: Trace
    spare: bool

    def ring_rows(self, stage: int) -> int:
        """The rows of an inner tensor's ring."""
        return self.trace.capacity(stage) - self.spare

    def distance(self, dying: str, written: Key) -> int | None:
        """See `Whole.distance`; far below zero when the input is dead before the block is first written."""
        if written.kind == "scratch":
            return None
        stage, trace = self._maker(written), self.trace
        node, extents = trace.streams.network.stages[stage], trace.streams.network.extents
        at = trace.events[stage]
        touched = trace.touched(stage)[at]
        row = extents[node.output].row_bytes
        end = touched * row
        if written.kind == "ring":
            at, end = (v[touched <= self.ring_rows(stage)] for v in (at, end))
        elif written.kind == "spare":
            end = np.where(touched > 0, row, 0)
        elif written.kind == "accumulator":
            end = np.full(len(at), node.accumulator)
        low = trace.lowest(dying, during=False)[at]
        needed = (low < NEVER) & (end > 0)
        reach = (end - low * extents[dying].row_bytes)[needed]
        found = int(reach.max()) if len(reach) else -NEVER
        return max([found, *self._in_place(node, stage, dying, end, row)])

    def _in_place(self, node: Stage, stage: int, dying: str, end: Counts, row: int) -> Iterator[int]:
        """What element-wise units ask for: no end of their row may lie above that of the row they read."""
        streams = self.trace.streams
        if not node.elementwise or streams.backward or not len(end):
            return
        for read in streams.reads[stage]:
            if read.tensor == dying:
                size = streams.network.extents[dying].row_bytes
                start = end - read.low[: len(end)] * size
                yield int(np.maximum(start - row, start - size).max())

    def growth(self, inner: Key, output: Key) -> int | None:
        """Bytes of the output that are written while the inner block lives: it may grow into a dead one."""
        stage = self._maker(output)
        written = self.trace.touched(stage)[self._lives(inner)]
        return int(written.max(initial=0)) * self.trace.streams.network.extents[output.name].row_bytes

    def meet(self, a: Key, b: Key) -> bool:
        """True when two inner blocks ever live at the same event."""
        return bool((self._lives(a) & self._lives(b)).any())

    def _maker(self, key: Key) -> int:
        if key.stage >= 0:
            return key.stage
        stages = self.trace.streams.network.stages
        return next(k for k in self.trace.members if key.name in stages[k].outputs)

    def _lives(self, key: Key) -> Flags:
        trace, at = self.trace, np.arange(len(self.trace.order))
        if key.kind == "spare":
            return trace.in_spare(key.stage)
        if key.kind == "scratch":
            flags: Flags = trace.order == key.stage
            return flags
        first, last = trace.life(key.stage) if key.kind == "ring" else trace.events[key.stage][[0, -1]]
        return (first <= at) & (at <= last)


@dataclass(frozen=True, eq=False)
class Layout:
    """The blocks of neighbouring cuts and the rules between them; `allowed` says which distances may be used.

    `turn`: segments may run backward where their kernels can.
    """

    streams: tuple[Streams, Streams]  # forward, backward
    lives: Lives
    cuts: tuple[Cut, ...]
    allowed: Callable[[int], bool] = lambda distance: True
    turn: bool = True
    _runs: dict[tuple[int, bool], Whole | Stream] = field(default_factory=dict, init=False, repr=False)

    @property
    def network(self) -> Network:
        return self.streams[0].network

    @property
    def alignment(self) -> int:
        return self.network.alignment

    def run(self, cut: int, backward: bool) -> Whole | Stream:
        """How a cut runs in a direction."""
        key = (cut, backward)
        if key not in self._runs:
            start, stop, spare = self.cuts[cut]
            stage = self.network.stages[start]
            if stop - start == 1 and stage.whole and not backward:
                self._runs[key] = Whole(stage)
            else:
                self._runs[key] = Stream(Trace(self.streams[backward], start, stop), spare)
        return self._runs[key]

    @cached_property
    def directions(self) -> tuple[tuple[bool, ...], ...]:
        """Per cut, which directions are possible."""
        found = ((False, True) if self.turn and self._turns(c) else (False,) for c in self.cuts)
        return tuple(found) or ((False,),)

    def _turns(self, cut: Cut) -> bool:
        members = self.network.stages[cut.start : cut.stop]
        if len(members) == 1 and members[0].whole and members[0].accumulator:
            return False  # a reduction of all rows gains nothing
        return all(s.reversible for s in members)

    @cached_property
    def blocks(self) -> Mapping[Key, tuple[int, int, int]]:
        """Block -> bytes, first and last cut that it lives in."""
        stages, extents = self.network.stages, self.network.extents
        found: dict[Key, tuple[int, int, int]] = {}
        for name, made in self.lives.made.items():
            span = self._cuts_of(made, self.lives.last[name])
            if span and not (span[0] == span[1] and any(self._inner(name, c) for c in self.cuts)):
                found[Key("tensor", name)] = (extents[name].bytes, *span)
        for q, cut in enumerate(self.cuts):
            for k in range(cut.start, cut.stop):
                for key, size in self._inner_blocks(q, cut, k):
                    if size:
                        found[key] = (size, q, q)
                if stages[k].scratch:
                    found[Key("scratch", str(stages[k].node), k)] = (stages[k].scratch, q, q)
        return found

    def _inner_blocks(self, q: int, cut: Cut, k: int) -> list[tuple[Key, int]]:
        """Ring, spare row and accumulators of a stage that runs row by row."""
        node, run = self.network.stages[k], self.run(q, backward=False)
        if isinstance(run, Whole):
            return []
        found = [(Key("accumulator", node.output, k), node.accumulator)]
        if self._inner(node.output, cut):
            row = self.network.extents[node.output].row_bytes
            runs = [self.run(q, d) for d in self.directions[q]]
            rings = max(r.ring_rows(k) for r in runs if isinstance(r, Stream))
            found.append((Key("ring", node.output, k), rings * row))
            if cut.spare:
                found.append((Key("spare", node.output, k), row))
        return found

    def _inner(self, name: str, cut: Cut) -> bool:
        return self.lives.inner(name, cut.start, cut.stop)

    def _cuts_of(self, made: int, last: int) -> tuple[int, int] | None:
        """The first and last cut in which a tensor lives; None: none of these."""
        if not self.cuts:  # a network that only renames its inputs
            return 0, 0
        alive = [q for q, c in enumerate(self.cuts) if made < c.stop and last >= c.start]
        return (alive[0], alive[-1]) if alive else None

    def problem(self, banks: tuple[int, ...] = (), pins: Mapping[str, int] = NO_PINS) -> Problem:
        """The blocks in the order of `blocks` and the rules between all that live together.

        `pins`: tensor -> the bank that it must be in.
        """
        keys = list(self.blocks)
        pairs = [
            pair for b in range(len(keys)) for a in range(b) if (pair := self._pair(keys, a, b)) is not None
        ]
        items = tuple(
            Item(size, self.alignment, pins.get(key.name) if key.kind != "scratch" else None)
            for key, (size, _, _) in self.blocks.items()
        )
        return Problem(items, tuple(pairs), self.directions, banks=banks)

    def _pair(self, keys: Sequence[Key], a: int, b: int) -> Pair | None:
        (size_a, first_a, last_a), (size_b, first_b, last_b) = self.blocks[keys[a]], self.blocks[keys[b]]
        first, last = max(first_a, first_b), min(last_a, last_b)
        if first > last:
            return None
        rules: list[Rule] = [(-size_b, size_a)] * 2
        if first == last and self.cuts:
            for backward in self.directions[first]:
                rules[backward] = self._rule(first, backward, keys[a], keys[b])
            if len(self.directions[first]) == 1:
                rules[1] = rules[0]
        return None if rules == [None, None] else Pair(a, b, first, *rules)

    def _rule(self, q: int, backward: bool, a: Key, b: Key) -> Rule:
        run, apart = self.run(q, backward), (-self.blocks[b][0], self.blocks[a][0])
        if a.kind != "tensor" and b.kind != "tensor":
            return apart if run.meet(a, b) else None
        for x, y in ((a, b), (b, a)):
            distance = self._distance(q, run, x, y)
            if distance is None:
                continue
            if distance == -NEVER:
                return None
            size_x, size_y = self.blocks[x][0], self.blocks[y][0]
            if backward:
                rule = (-size_y, min(size_x, size_x - size_y + distance))
            else:
                rule = (max(-size_y, -distance), size_x)
            if rule[0] >= rule[1]:
                return None
            return rule if x is a else (-rule[1], -rule[0])
        return apart

    def _distance(self, q: int, run: Whole | Stream, x: Key, y: Key) -> int | None:
        """D of block y, written in the cut, from block x, which dies in it; None when they must be apart."""
        cut, lives = self.cuts[q], self.lives
        writes = y.kind != "tensor" or cut.start <= lives.made[y.name] < cut.stop
        if not writes or y.name == x.name:
            return None
        if x.kind != "tensor":
            found = run.growth(x, y) if y.kind == "tensor" else None
        elif lives.made[x.name] < cut.start <= lives.last[x.name] < cut.stop:
            found = run.distance(x.name, y)
        else:
            found = None
        return found if found is not None and (found == -NEVER or self.allowed(found)) else None
