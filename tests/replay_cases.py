"""Tiny networks with hand-written memory plans, all tight and all right."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pingponnx.calls import ALL_ROWS, Call, Rows, RowValues, RowWindow
from pingponnx.ir import DType, Graph, Node, Port, Tensor
from pingponnx.ops.binary import Add
from pingponnx.ops.reshape import Reshape
from pingponnx.plan.schedule import FEED, InputMode, Placed, Plan, Ring, Segment, Step

SAME = RowWindow(3, 1, 1)  # a 3x3 window, padded by one row


@dataclass(frozen=True)
class Case:
    graph: Graph
    calls: tuple[Call | None, ...]
    plan: Plan


def by_rows(windows: Mapping[int, RowWindow], **rows: int) -> Call:
    return Call("", "", (), rows=Rows("f", "f.h", (), windows, **rows))


def whole(**call: object) -> Call:
    return replace(Call("f", "f.h", ()), **call)  # type: ignore[arg-type]


def graph_of(shapes: Mapping[str, tuple[int, ...]], *nodes: tuple[str, str, str], out: str = "y") -> Graph:
    """int8 tensors, the first is the input; nodes are (name, inputs, output), `alias` in the name is one.

    Every other node is an Add and reads a constant too: the verifier only asks whether it is an alias.
    """
    tensors = {name: Tensor(name, shape, DType.S8) for name, shape in shapes.items()}
    tensors["w"] = Tensor("w", (4,), DType.S8, data=np.zeros(4, np.int8))
    made = []
    for name, inputs, output in nodes:
        if "alias" in name:
            made.append(Node(name, Reshape(shapes[output]), (inputs,), (output,)))
        else:
            made.append(Node(name, Add(), (*inputs.split(), "w", ""), (output,)))
    x = next(iter(shapes))
    return Graph("g", tuple(made), tensors, (x,), (out,), {x: Port(x), out: Port(out)})


def steps(text: str) -> tuple[Step, ...]:
    """`a` is a unit of node 0, `A` keeps its newest row, `>` feeds a row and `^` keeps it."""
    special = {">": Step(FEED), "^": Step(FEED, keep=True)}
    return tuple(
        special.get(c) or Step(ord(c.lower()) - ord("a"), c.isupper()) for c in text if not c.isspace()
    )


def streamed(text: str, backward: bool = False) -> Segment:
    found = steps(text)
    nodes = sorted({step.node for step in found if step.node != FEED})
    return Segment(tuple(nodes), backward, found)


def plan_of(
    graph: Graph,
    calls: tuple[Call | None, ...],
    arena: int,
    segments: tuple[Segment, ...],
    offsets: Mapping[str, int],
    mode: InputMode = InputMode.RESIDENT,
    **more: object,
) -> Plan:
    plan = Plan(arena, 0, "", {}, mode, segments, (), offsets, **more)  # type: ignore[arg-type]
    return with_blocks(graph, calls, plan)


def with_blocks(graph: Graph, calls: tuple[Call | None, ...], plan: Plan) -> Plan:
    """The same plan with the blocks that follow from its places."""
    found: list[tuple[str, str, int, int]] = []
    for name, offset in plan.offsets.items():
        found.append((name, "tensor", offset, graph.tensors[name].bytes))
    for name, ring in plan.rings.items():
        if ring.rows:
            found.append((name, "ring", ring.offset, ring.rows * ring.row_bytes))
        if ring.spare is not None:
            found.append((name, "spare", ring.spare, ring.row_bytes))
    for index, offset in plan.scratch.items():
        call = calls[index]
        assert call is not None
        found.append((graph.nodes[index].name, "scratch", offset, call.scratch))
    for index, offset in plan.accumulators.items():
        call = calls[index]
        assert call is not None and call.rows is not None
        found.append((graph.nodes[index].name, "accumulator", offset, call.rows.accumulator))
    blocks = tuple(Placed(name, kind, offset, size, -1, 99) for name, kind, offset, size in found)
    return replace(plan, blocks=blocks)


# -- whole tensors ----------------------------------------------------------------------------------


def in_place() -> Case:
    """Two whole calls, the second with scratch; y lies where x was."""
    shape = (1, 4, 4, 2)
    graph = graph_of({"x": shape, "t": shape, "y": shape}, ("relu", "x", "t"), ("conv", "t", "y"))
    calls = (whole(overlap={0: 0}), whole(scratch=8))
    segments = (Segment((0,)), Segment((1,)))
    offsets = {"x": 0, "t": 0, "y": 32}
    return Case(graph, calls, plan_of(graph, calls, 72, segments, offsets, scratch={1: 64}))


def overlap() -> Case:
    """The output starts eight bytes below its dying input."""
    shape = (1, 4, 4, 2)
    graph = graph_of({"x": shape, "y": shape}, ("conv", "x", "y"))
    calls = (whole(overlap={0: 8}),)
    return Case(graph, calls, plan_of(graph, calls, 40, (Segment((0,)),), {"x": 8, "y": 0}))


def skip() -> Case:
    """x waits for the addition while two calls run."""
    shape = (1, 4, 4, 2)
    graph = graph_of(
        {"x": shape, "t": shape, "u": shape, "y": shape},
        ("one", "x", "t"),
        ("two", "t", "u"),
        ("add", "u x", "y"),
    )
    calls = (whole(), whole(overlap={0: 0}, scratch=8), whole(overlap={0: 0, 1: 0}))
    segments = (Segment((0,)), Segment((1,)), Segment((2,)))
    offsets = {"x": 0, "t": 32, "u": 32, "y": 0}
    return Case(graph, calls, plan_of(graph, calls, 72, segments, offsets, scratch={1: 64}))


def external() -> Case:
    """The input is the caller's; an alias of it is read, and the input again at the end."""
    shape = (1, 4, 4, 2)
    graph = graph_of(
        {"x": shape, "flat": (1, 32), "t": shape, "y": shape},
        ("alias", "x", "flat"),
        ("gemm", "flat", "t"),
        ("add", "t x", "y"),
    )
    calls = (None, whole(), whole(overlap={0: 0, 1: 0}))
    segments = (Segment((1,)), Segment((2,)))
    return Case(graph, calls, plan_of(graph, calls, 32, segments, {"t": 0, "y": 0}, InputMode.EXTERNAL))


# -- rows -------------------------------------------------------------------------------------------

_SIX = (1, 6, 4, 1)  # six rows of four bytes


def _two_convs(out: tuple[int, ...] = _SIX, shape: tuple[int, ...] = _SIX) -> Graph:
    return graph_of({"x": shape, "t": shape, "y": out}, ("one", "x", "t"), ("two", "t", "y"))


def ring() -> Case:
    """Two 3x3 convolutions with three rows between them; the output grows over the dying input."""
    graph, calls = _two_convs(), (by_rows({0: SAME}), by_rows({0: SAME}))
    segments = (streamed("aab ab ab ab abb"),)
    rings = {"t": Ring(24, 3, 4)}
    return Case(graph, calls, plan_of(graph, calls, 36, segments, {"x": 0, "y": 0}, rings=rings))


def backward_ring() -> Case:
    """The same from the last row to the first, with scratch."""
    forward = ring()
    calls = (replace(forward.calls[0], scratch=4), forward.calls[1])
    segments = (replace(forward.plan.segments[0], backward=True),)
    plan = replace(forward.plan, segments=segments, arena=40, scratch={0: 36})
    return Case(forward.graph, calls, with_blocks(forward.graph, calls, plan))


def spare() -> Case:
    """One row less in the ring: the newest waits in a spare place until the oldest is dead."""
    graph, calls = _two_convs(), (by_rows({0: SAME}), by_rows({0: SAME}))
    segments = (streamed("aAab Aab Aab Aab Aab b"),)
    rings = {"t": Ring(24, 2, 4, spare=32)}
    return Case(graph, calls, plan_of(graph, calls, 36, segments, {"x": 0, "y": 0}, rings=rings))


def backward_spare() -> Case:
    case = spare()
    return replace(case, plan=replace(case.plan, segments=(streamed("aAab Aab Aab Aab Aab b", True),)))


def residual() -> Case:
    """stem -> t; conv(t) -> u; t + u: t's ring also serves the join, u lives for one step at a time."""
    shape = _SIX
    graph = graph_of(
        {"x": shape, "t": shape, "u": shape, "y": shape},
        ("stem", "x", "t"),
        ("conv", "t", "u"),
        ("join", "t u", "y"),
    )
    join = by_rows({0: RowWindow(), 1: RowWindow()}, elementwise=True)
    calls = (by_rows({0: RowWindow()}), by_rows({0: SAME}), join)
    rings = {"t": Ring(24, 3, 4), "u": Ring(0, 0, 4, spare=36)}
    segments = (streamed("aabc abc abc abc abc bc"),)
    return Case(graph, calls, plan_of(graph, calls, 40, segments, {"x": 0, "y": 0}, rings=rings))


def fed() -> Case:
    """The caller hands over row by row; every row has two spare lives and one in the ring."""
    graph = graph_of({"x": _SIX, "y": (1, 6, 2, 1)}, ("conv", "x", "y"))
    calls = (by_rows({0: SAME}),)
    rings = {"x": Ring(12, 2, 4, spare=20)}
    segments = (streamed(">^>a ^>a ^>a ^>a ^>a a"),)
    return Case(graph, calls, plan_of(graph, calls, 24, segments, {"y": 0}, InputMode.ROWS, rings=rings))


def fed_as_alias() -> Case:
    """The network takes n 1 h w and reads it as n h w 1: so are the rows that are handed over."""
    case = fed()
    graph = graph_of(
        {"x": (1, 1, 6, 4), "image": _SIX, "y": (1, 6, 2, 1)}, ("alias", "x", "image"), ("conv", "image", "y")
    )
    calls = (None, *case.calls)
    segments = (streamed(">^>b ^>b ^>b ^>b ^>b b"),)
    return Case(graph, calls, replace(case.plan, segments=segments))


def fed_whole() -> Case:
    """The rows that are handed over make a whole tensor first."""
    graph = graph_of({"x": _SIX, "y": _SIX}, ("softmax", "x", "y"))
    calls = (whole(overlap={0: 0}),)
    segments = (streamed(">>>>>>"), Segment((0,)))
    return Case(graph, calls, plan_of(graph, calls, 24, segments, {"x": 0, "y": 0}, InputMode.ROWS))


def reduction() -> Case:
    """A fully connected layer sums up row by row through a Flatten."""
    graph = graph_of(
        {"x": (1, 4, 2, 2), "t": (1, 4, 2, 2), "flat": (1, 16), "y": (1, 4)},
        ("conv", "x", "t"),
        ("alias", "t", "flat"),
        ("gemm", "flat", "y"),
    )
    sums = Rows("f", "f.h", (RowValues(),), {0: RowWindow()}, units=ALL_ROWS, accumulator=16)
    calls = (by_rows({0: RowWindow()}), None, Call("", "", (), rows=sums))
    segments = (streamed("ac ac ac ac"),)
    rings = {"t": Ring(32, 1, 4)}
    places = {"x": 0, "y": 0}  # x is dead when y is written, at the very end
    plan = plan_of(graph, calls, 36, segments, places, rings=rings, accumulators={2: 16})
    return Case(graph, calls, plan)


def backward() -> Case:
    """An output of twice the size over its input: only possible from the end."""
    graph = graph_of({"x": (1, 4, 4, 1), "y": (1, 4, 4, 2)}, ("conv", "x", "y"))
    calls = (by_rows({0: RowWindow()}),)
    return Case(graph, calls, plan_of(graph, calls, 36, (streamed("aaaa", True),), {"x": 0, "y": 4}))


def shifted() -> Case:
    """An element-wise kernel may write half a row below what it reads."""
    graph = graph_of({"x": (1, 4, 8, 1), "y": (1, 4, 8, 1)}, ("relu", "x", "y"))
    calls = (by_rows({0: RowWindow()}, elementwise=True),)
    return Case(graph, calls, plan_of(graph, calls, 36, (streamed("aaaa"),), {"x": 4, "y": 0}))


def batch() -> Case:
    """Two samples: windows end at a sample's border, the ring goes on."""
    graph = _two_convs(shape=(2, 3, 4, 1), out=(2, 3, 4, 1))
    calls = (by_rows({0: SAME}), by_rows({0: SAME}))
    segments = (streamed("aababb aababb"),)
    rings = {"t": Ring(24, 3, 4)}
    return Case(graph, calls, plan_of(graph, calls, 36, segments, {"x": 0, "y": 0}, rings=rings))


def parts() -> Case:
    """A pool of two rows inside a convolution: two units make, then complete, an output row."""
    graph = graph_of(
        {"x": (1, 4, 4, 1), "t": (1, 2, 4, 1), "y": (1, 2, 4, 1)}, ("conv", "x", "t"), ("relu", "t", "y")
    )
    calls = (by_rows({0: SAME}, units=2, step=2), by_rows({0: RowWindow()}, elementwise=True))
    segments = (streamed("aab aab"),)
    rings = {"t": Ring(16, 0, 4, spare=16)}
    return Case(graph, calls, plan_of(graph, calls, 20, segments, {"x": 0, "y": 0}, rings=rings))


_ALL = (
    *(in_place, overlap, skip, external),
    *(ring, backward_ring, spare, backward_spare, residual, fed, fed_as_alias, fed_whole),
    *(reduction, backward, shifted, batch, parts),
)
CASES: dict[str, Callable[[], Case]] = {make.__name__: make for make in _ALL}
