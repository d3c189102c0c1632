"""Stages: what each node reads and writes, row by row, as arrays that the simulation counts with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pingponnx.calls import ALL_ROWS, Call, Rows, RowWindow
from pingponnx.errors import Unsupported, UnsupportedError
from pingponnx.ir import Graph, Tensor
from pingponnx.plan.schedule import FEED, InputMode
from pingponnx.plan.states import homes_of

Counts = NDArray[np.int64]

_FEED_HINT = "keep the input in the arena (--input resident) or in your own memory (--input external)"


def _none() -> Counts:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Extent:
    """A tensor as rows of bytes, over all samples of the batch."""

    rows: int
    row_bytes: int
    samples: int = 1

    @property
    def bytes(self) -> int:
        return self.rows * self.row_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Rows [low, high) of `tensor` that each unit needs; both rise."""

    tensor: str
    low: Counts
    high: Counts

    def mirrored(self, rows: int) -> "Read":
        """The same read in the other direction: units and rows counted from the last one."""
        return Read(self.tensor, rows - self.high[::-1], rows - self.low[::-1])


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A node as the planner sees it; `reads` is empty and `touched` one whole for what does not stream.

    After unit m `touched[m]` rows of the output have been written to, `complete[m]` are done.
    """

    node: int
    call: Call | None  # None: FEED
    taps: Mapping[str, tuple[int, ...]]  # root in the arena -> the node's inputs that read it
    outputs: tuple[str, ...]  # roots
    rows: Rows | None = None
    reads: tuple[Read, ...] = ()
    touched: Counts = field(default_factory=_none)
    complete: Counts = field(default_factory=_none)

    @property
    def streams(self) -> bool:
        return len(self.touched) > 0

    @property
    def whole(self) -> bool:
        """True when one call makes all of the output."""
        return self.call is not None and bool(self.call.function)

    @property
    def output(self) -> str:
        return self.outputs[0]

    @property
    def scratch(self) -> int:
        return self.call.scratch if self.call else 0

    @property
    def accumulator(self) -> int:
        return self.rows.accumulator if self.rows else 0

    @property
    def elementwise(self) -> bool:
        return self.rows is not None and self.rows.elementwise

    @property
    def reversible(self) -> bool:
        """True when its units may run from the last to the first."""
        return self.streams and self.rows is not None and not self.rows.forward_only


@dataclass(frozen=True, slots=True)
class Network:
    """Everything the planner needs to know of a network: stages in order and the tensors between them."""

    stages: tuple[Stage, ...]
    extents: Mapping[str, Extent]
    inputs: tuple[str, ...]  # roots in the arena when the run starts
    outputs: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]  # root -> all names of its bytes
    alignment: int  # of every block, in bytes


def roots_of(graph: Graph) -> dict[str, str]:
    """Tensor -> the tensor whose bytes it shares (itself unless an alias such as Reshape made it)."""
    roots = {name: name for name, t in graph.tensors.items() if not t.constant}
    for node in graph.nodes:
        if node.op.alias:
            roots[node.outputs[0]] = roots[node.inputs[0]]
    return roots


def network_of(graph: Graph, calls: Sequence[Call | None], mode: InputMode) -> Network:
    """The stages of a graph; a FEED stage first when rows are fed, inputs left out when they are external."""
    roots = roots_of(graph)
    extents = extents_of(graph)
    kept = set(homes_of(graph, calls, roots))
    external = set(graph.inputs) if mode is InputMode.EXTERNAL else set()
    stages = [feed(graph.inputs[0], extents[graph.inputs[0]])] if mode is InputMode.ROWS else []
    for index, call in enumerate(calls):
        if call is not None:
            stages.append(_stage(graph, index, call, roots, extents, external, kept))
    aliases: dict[str, list[str]] = {}
    for name, root in roots.items():
        aliases.setdefault(root, []).append(name)
    return Network(
        tuple(stages),
        extents,
        tuple(name for name in graph.inputs if name not in kept) if mode is InputMode.RESIDENT else (),
        tuple(dict.fromkeys(r for r in map(roots.get, graph.outputs) if r is not None and r not in kept)),
        {root: tuple(names) for root, names in aliases.items()},
        graph.alignment,
    )


def unfeedable(graph: Graph, calls: Sequence[Call | None]) -> UnsupportedError | None:
    """Why the network's input cannot be fed row by row; None when it can."""
    if len(graph.inputs) != 1:
        what = f"the model has {len(graph.inputs)} inputs, rows can be fed to one only"
        return UnsupportedError([Unsupported(graph.name, "graph", what)], _FEED_HINT)
    name = graph.inputs[0]
    network = network_of(graph, calls, InputMode.ROWS)
    if network.extents[name].rows == 1 or name in network.outputs:
        what = f"input {name!r} of shape {graph.tensors[name].shape} has a single row"
        return UnsupportedError([Unsupported(graph.name, "graph", what)], _FEED_HINT)
    readers = [s.node for s in network.stages if name in s.taps and not s.streams]
    what = f"reads the input {name!r} as a whole, so that its rows cannot be fed one by one"
    found = [Unsupported(graph.nodes[k].name, type(graph.nodes[k].op).__name__, what) for k in readers]
    return UnsupportedError(found, _FEED_HINT) if found else None


def unreadable(graph: Graph) -> UnsupportedError | None:
    """Why the network's inputs cannot stay in the caller's memory; None when they can."""
    roots = roots_of(graph)
    found = [name for name in graph.outputs if roots.get(name) in graph.inputs]
    what = "is an input itself, which has no place in the arena"
    items = [Unsupported(graph.name, "graph", f"output {graph.ports[name].name!r} {what}") for name in found]
    return UnsupportedError(items, "keep the inputs in the arena (--input resident)") if items else None


def extents_of(graph: Graph) -> dict[str, Extent]:
    """The rows of every root; an input has those of its alias with most, e.g. n h w 1 for n 1 h w."""
    roots = roots_of(graph)
    found = {root: extent_of(graph.tensors[root]) for root in roots.values()}
    for name, root in roots.items():
        alias = extent_of(graph.tensors[name])
        if root in graph.inputs and alias.rows > found[root].rows:
            found[root] = alias
    return found


def extent_of(tensor: Tensor) -> Extent:
    """`n h w c` and `n w c` tensors have a row per index of their second axis, others are one row."""
    if len(tensor.shape) not in (3, 4) or not tensor.size:
        return Extent(1, tensor.bytes)
    samples, rows = tensor.shape[:2]
    return Extent(samples * rows, tensor.bytes // (samples * rows), samples)


def feed(name: str, extent: Extent) -> Stage:
    """The stage that takes the network's input row by row."""
    rows = np.arange(1, extent.rows + 1)
    return Stage(FEED, None, {}, (name,), None, (), rows, rows)


def _stage(
    graph: Graph,
    index: int,
    call: Call,
    roots: Mapping[str, str],
    extents: Mapping[str, Extent],
    external: set[str],
    kept: set[str],
) -> Stage:
    node = graph.nodes[index]
    activations = {i: graph.tensors[n] for i, n in enumerate(node.inputs) if n in roots}
    taps: dict[str, tuple[int, ...]] = {}
    for i, t in activations.items():
        if roots[t.name] not in external | kept:
            taps[roots[t.name]] = (*taps.get(roots[t.name], ()), i)
    whole = Stage(index, call, taps, tuple(roots[n] for n in node.outputs if roots[n] not in kept))
    rows = call.rows
    if kept.intersection(roots[n] for n in (*node.inputs, *node.outputs) if n in roots):
        return whole  # state is read and replaced as a whole
    if rows is None or len(node.outputs) != 1 or set(activations) != set(rows.windows):
        return whole
    if not rows.any_rows and any(extent_of(t) != extents[roots[t.name]] for t in activations.values()):
        return whole  # read through an alias that has other rows
    sources = [extents[roots[t.name]] for t in activations.values()]
    units, samples, output_rows = _units(rows, extents[whole.output], sources)
    if not units:
        return whole
    reads = tuple(
        _read(roots[t.name], extents[roots[t.name]], rows, rows.windows[i], samples, output_rows, units)
        for i, t in activations.items()
        if roots[t.name] not in external
    )
    count = np.arange(samples * output_rows * units)
    complete = (count + 1) // units
    touched = complete if rows.accumulator else count // units + 1
    return Stage(index, call, taps, whole.outputs, rows, reads, touched, complete)


def _units(rows: Rows, output: Extent, inputs: Sequence[Extent]) -> tuple[int, int, int]:
    """Units of an output row, samples, output rows of a sample; no units when it cannot be told."""
    if rows.units != ALL_ROWS:
        return rows.units, output.samples, output.rows // output.samples
    samples = output.samples if output.samples == inputs[0].samples else 1
    if len(inputs) != 1 or inputs[0].samples != samples or output.rows != samples:
        return 0, 0, 0
    return inputs[0].rows // samples, samples, 1


def _read(
    name: str, x: Extent, rows: Rows, window: RowWindow, samples: int, output_rows: int, units: int
) -> Read:
    """The window of every unit, cut to its sample."""
    unit = np.arange(samples * output_rows * units)
    row = unit // units
    height = x.rows // samples
    if rows.units == ALL_ROWS:
        window = RowWindow()
    first = (row % output_rows * rows.step + unit % units) * window.stride - window.pad
    base = row // output_rows * height
    low = base + np.clip(first, 0, height)
    return Read(name, low, base + np.clip(first + window.extent, 0, height))
