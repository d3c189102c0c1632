"""Runs a memory plan of int8 tensors on one byte array, with kernels that do the worst they may.

Every kernel is a hash of what it reads, so a single wrong byte shows in the output. A right plan's run
with a memory where nothing can collide is the truth.
"""

import hashlib
from collections.abc import Hashable

from pingponnx.calls import ALL_ROWS, Rows
from pingponnx.plan.schedule import FEED, InputMode, Step
from replay_cases import Case


def outputs(case: Case, *, collide: bool) -> bytes:
    """The network's output after a run in the planned arena, or in a memory without collisions."""
    machine = _Machine(case, collide)
    for segment in case.plan.segments:
        machine.start(segment.backward)
        for step in segment.steps:
            machine.step(step)
        if not segment.steps:
            machine.whole(segment.nodes[0])
    return machine.tensor(case.graph.outputs[0])


def _hash(data: bytes, size: int) -> bytes:
    return hashlib.shake_128(data).digest(size)


class _Machine:
    def __init__(self, case: Case, collide: bool) -> None:
        self.graph, self.calls, self.plan, self.collide = case.graph, case.calls, case.plan, collide
        self.memory = bytearray(b"\xa5" * case.plan.arena)
        self.apart: dict[Hashable, bytes] = {}  # a memory in which everything has its own place
        self.roots = {name: name for name in self.graph.tensors}
        for node in self.graph.nodes:
            if node.op.alias:
                self.roots[node.outputs[0]] = self.roots[node.inputs[0]]
        x = self.graph.inputs[0]
        self.image = [_hash(b"%d" % row, self.shape(x)[2]) for row in range(self.total(x))]
        if self.plan.input_mode is InputMode.RESIDENT:
            for row, data in enumerate(self.image):
                self.put(("row", x, row), self.plan.offsets[x] + row * len(data), data)

    def start(self, backward: bool) -> None:
        self.backward, self.kept, self.done = backward, dict[str, int](), dict[int, int]()

    def shape(self, name: str) -> tuple[int, int, int]:
        """Samples, rows, bytes of a row; those of its alias with most rows for the input."""
        names = [n for n, root in self.roots.items() if root == name and name in self.graph.inputs] or [name]
        shapes = [self.graph.tensors[n].shape for n in names]
        n, h = max(
            (s[:2] if len(s) in (3, 4) else (1, 1) for s in shapes), key=lambda rows: rows[0] * rows[1]
        )
        return n, h, self.graph.tensors[name].bytes // (n * h)

    def total(self, name: str) -> int:
        samples, rows, _ = self.shape(name)
        return samples * rows

    def put(self, key: Hashable, at: int, data: bytes) -> None:
        self.apart[key] = data
        if self.collide:
            self.memory[at : at + len(data)] = data

    def get(self, key: Hashable, at: int, size: int) -> bytes:
        return bytes(self.memory[at : at + size]) if self.collide else self.apart[key]

    def where(self, root: str, row: int) -> int:
        size = self.shape(root)[2]
        if root in self.plan.offsets:
            return self.plan.offsets[root] + row * size
        ring = self.plan.rings[root]
        i = self.total(root) - 1 - row if self.backward else row
        if ring.spare is not None and i >= self.kept.get(root, 0):
            return ring.spare
        slot = i % ring.rows
        return ring.offset + (ring.rows - 1 - slot if self.backward else slot) * size

    def row(self, root: str, row: int) -> bytes:
        if root in self.graph.inputs and self.plan.input_mode is InputMode.EXTERNAL:
            return self.image[row]
        return self.get(("row", root, row), self.where(root, row), self.shape(root)[2])

    def tensor(self, name: str) -> bytes:
        root = self.roots[name]
        return b"".join(self.row(root, row) for row in range(self.total(root)))

    def write(self, root: str, row: int, data: bytes) -> None:
        self.put(("row", root, row), self.where(root, row), data)

    def whole(self, node: int) -> None:
        """A kernel that bears the overlap reads first; any other one spoils its output and scratch first."""
        call, names = self.calls[node], self.graph.nodes[node].inputs
        target, activations = self.graph.nodes[node].outputs[0], [n for n in names if n and n != "w"]
        assert call is not None
        if call.scratch:
            self.put(("scratch", node), self.plan.scratch[node], b"\x5a" * call.scratch)
        if not call.overlap:
            for row in range(self.total(target)):
                self.write(target, row, b"\x5a" * self.shape(target)[2])
        data = b"".join(self.tensor(name) for name in activations)
        for row in range(self.total(target)):
            self.write(target, row, _hash(b"%d %d " % (node, row) + data, self.shape(target)[2]))

    def step(self, step: Step) -> None:
        fed = step.node == FEED
        name = self.graph.inputs[0] if fed else self.graph.nodes[step.node].outputs[0]
        if step.keep:
            number = self.kept.get(name, 0)
            row = self.total(name) - 1 - number if self.backward else number
            data = self.row(name, row)
            self.kept[name] = number + 1
            self.write(name, row, data)
            return
        count = self.done.get(step.node, 0)
        self.done[step.node] = count + 1
        if fed:
            self.write(name, count, self.image[count])
        else:
            self.unit(step.node, count, name)

    def unit(self, node: int, count: int, target: str) -> None:
        call = self.calls[node]
        assert call is not None and call.rows is not None
        names = {
            i: self.roots[n] for i, n in enumerate(self.graph.nodes[node].inputs) if i in call.rows.windows
        }
        units = self.shape(names[0])[1] if call.rows.units == ALL_ROWS else call.rows.units
        row, part = divmod(self.total(target) * units - 1 - count if self.backward else count, units)
        first, last = count % units == 0, count % units == units - 1
        size = self.shape(target)[2]
        if call.scratch:
            self.put(("scratch", node), self.plan.scratch[node], b"\x5a" * call.scratch)
        if call.rows.elementwise:
            self.by_value(call.rows, names, target, row)
            return
        sums = call.rows.accumulator
        key, at = ("accumulator", node), self.plan.accumulators.get(node, 0)
        old = bytes(sums or size)
        if not first:
            old = self.get(key, at, sums) if sums else self.row(target, row)
        if sums:
            self.put(key, at, b"\x5a" * sums)
        if last or not sums:
            self.write(target, row, b"\x5a" * size)
        read = b"".join(self.row(root, y) for root, y in self.under(call.rows, names, target, row, part))
        made = _hash(b"%d %d %d " % (node, row, part) + read, sums or size)
        made = bytes(a ^ b for a, b in zip(old, made, strict=True))  # a sum: parts may come in any order
        if sums:
            self.put(key, at, made)
        if last or not sums:
            self.write(target, row, _hash(made, size) if sums else made)

    def under(
        self, rows: Rows, names: dict[int, str], target: str, row: int, part: int
    ) -> list[tuple[str, int]]:
        """The rows under a unit's windows."""
        sample, row = divmod(row, self.shape(target)[1])
        found = []
        for i, root in names.items():
            window, height = rows.windows[i], self.shape(root)[1]
            for k in range(window.extent):
                y = (row * rows.step + part) * window.stride - window.pad + k
                if 0 <= y < height:
                    found.append((root, sample * height + y))
        return found

    def by_value(self, rows: Rows, names: dict[int, str], target: str, row: int) -> None:
        """Reads each value just before it writes the same place."""
        made = b""
        for at in range(self.shape(target)[2]):
            made += _hash(bytes(self.row(root, row)[at] for root in names.values()) + b"%d" % at, 1)
            if self.collide:
                self.memory[self.where(target, row) + at] = made[at]
        self.write(target, row, made)
