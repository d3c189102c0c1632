"""What a memory plan claims, checked without running it: blocks, homes of tensors, order of nodes.

Part of the verifier (see replay.py), so it shares no code with the planner.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

from pingponnx.calls import Call
from pingponnx.errors import MemoryPlanError
from pingponnx.ir import Graph, Tensor
from pingponnx.plan.schedule import InputMode, Plan

Calls = Sequence[Call | None]


def check_claims(graph: Graph, calls: Calls, plan: Plan) -> None:
    """Raise MemoryPlanError when the plan contradicts itself or the graph."""
    _check_blocks(plan, graph.alignment)
    _check_homes(graph, plan, root_of(graph, calls))
    _check_places(graph, calls, plan)
    _check_order(graph, calls, plan)


class Place(NamedTuple):
    """Bytes of the arena, and what a message calls them."""

    what: str
    start: int
    bytes: int

    @property
    def end(self) -> int:
        return self.start + self.bytes

    @property
    def slice(self) -> slice:
        return slice(self.start, self.end)

    def meets(self, other: "Place") -> bool:
        return self.start < other.end and other.start < self.end


class Grid(NamedTuple):
    """How a tensor's bytes are cut into rows."""

    samples: int
    rows: int  # of one sample
    row_bytes: int

    @property
    def total(self) -> int:
        return self.samples * self.rows


def grid_of(tensor: Tensor) -> Grid:
    if len(tensor.shape) not in (3, 4) or not tensor.size:
        return Grid(1, 1, tensor.bytes)
    samples, rows = tensor.shape[:2]
    return Grid(samples, rows, tensor.bytes // (samples * rows))


def root_of(graph: Graph, calls: Calls) -> dict[str, str]:
    """Activation -> the tensor whose bytes it is."""
    roots = {name: name for name, tensor in graph.tensors.items() if not tensor.constant}
    for node, call in zip(graph.nodes, calls, strict=True):
        if node.op.alias != (call is None):
            raise MemoryPlanError(f"node {node.name!r} must be either an alias or a call")
        if node.op.alias:
            x, y = (graph.tensors[name] for name in (node.inputs[0], node.outputs[0]))
            if x.bytes != y.bytes:
                raise MemoryPlanError(f"{y.name!r} must be the same bytes as {x.name!r}")
            roots[y.name] = roots[x.name]
    return roots


def grids_of(graph: Graph, roots: Mapping[str, str]) -> dict[str, Grid]:
    """The rows of every root; an input has those of its alias with the most, e.g. n h w 1 for n 1 h w."""
    grids = {root: grid_of(graph.tensors[root]) for root in roots.values()}
    for name, root in roots.items():
        grid = grid_of(graph.tensors[name])
        if root in graph.inputs and grid.total > grids[root].total:
            grids[root] = grid
    return grids


def _check_blocks(plan: Plan, alignment: int) -> None:
    """Every block lies aligned, in the arena and in one bank."""
    for bank in plan.banks:
        if bank.bytes > bank.capacity:
            raise MemoryPlanError(f"bank {bank.name!r} holds {bank.capacity} bytes, not {bank.bytes}")
    for bank, following in pairwise(plan.banks):
        if bank.start + bank.bytes > following.start:
            raise MemoryPlanError(f"banks {bank.name!r} and {following.name!r} overlap")
    for block in plan.blocks:
        start, end = block.offset, block.offset + block.bytes
        if start < 0 or end > plan.arena:
            raise MemoryPlanError(
                f"block {block.name!r} at {start}..{end} leaves the arena of {plan.arena} bytes"
            )
        if start % alignment:
            raise MemoryPlanError(f"block {block.name!r} at {start} is not aligned")
        if plan.banks and not any(b.start <= start and end <= b.start + b.bytes for b in plan.banks):
            raise MemoryPlanError(f"block {block.name!r} at {start}..{end} lies in no bank as a whole")


def _check_homes(graph: Graph, plan: Plan, roots: Mapping[str, str]) -> None:
    """Every activation is a whole, a ring, or in the caller's memory; an alias is where its bytes are."""
    outside = graph.inputs if plan.input_mode is InputMode.EXTERNAL else ()
    for name in (*plan.offsets, *plan.rings):
        if name not in roots:
            raise MemoryPlanError(f"the plan places {name!r}, which is not an activation")
    for name, root in roots.items():
        if plan.offsets.get(name) != plan.offsets.get(root):
            raise MemoryPlanError(f"{name!r} must be the same bytes as {root!r}")
        if name != root and name in plan.rings:
            raise MemoryPlanError(f"{name!r} has a ring of its own, but is the same bytes as {root!r}")
        homes = (root in plan.offsets) + (root in plan.rings) + (root in outside)
        if homes != 1:
            raise MemoryPlanError(f"tensor {root!r} must be in one place, not in {homes}")
    grids = grids_of(graph, roots)
    for name, ring in plan.rings.items():
        if ring.row_bytes != grids[name].row_bytes:
            raise MemoryPlanError(f"the ring of {name!r} does not hold rows of {ring.row_bytes} bytes")
        if ring.rows < 0 or (ring.rows == 0 and ring.spare is None):
            raise MemoryPlanError(f"the ring of {name!r} has no room for a row")


def _check_places(graph: Graph, calls: Calls, plan: Plan) -> None:
    """Whatever the schedule uses is in a block of its kind, hence inside the arena."""
    for kind, place in _places(graph, calls, plan):
        if not any(
            block.kind == kind and block.offset == place.start and block.bytes >= place.bytes
            for block in plan.blocks
        ):
            raise MemoryPlanError(f"{place.what} at {place.start}..{place.end} is in no {kind} block")


def _places(graph: Graph, calls: Calls, plan: Plan) -> Iterator[tuple[str, Place]]:
    for name, offset in plan.offsets.items():
        yield "tensor", Place(f"tensor {name!r}", offset, graph.tensors[name].bytes)
    for name, ring in plan.rings.items():
        if ring.rows:
            yield "ring", Place(f"the ring of {name!r}", ring.offset, ring.rows * ring.row_bytes)
        if ring.spare is not None:
            yield "spare", Place(f"the spare row of {name!r}", ring.spare, ring.row_bytes)
    by_rows = {index for segment in plan.segments if segment.steps for index in segment.nodes}
    for index, call in enumerate(calls):
        scratch = scratch_of(graph, call, plan, index)
        if scratch is not None:
            yield "scratch", scratch
        accumulators = accumulators_of(graph, call, plan, index) if index in by_rows else None
        if accumulators is not None:
            yield "accumulator", accumulators


def scratch_of(graph: Graph, call: Call | None, plan: Plan, index: int) -> Place | None:
    """The scratch of node `index`; None when it needs none."""
    if call is None or not call.scratch:
        return None
    return _of_node(plan.scratch.get(index), call.scratch, f"the scratch of {node_name(graph, index)}")


def accumulators_of(graph: Graph, call: Call | None, plan: Plan, index: int) -> Place | None:
    """The accumulators of node `index`, which must run by rows; None when it needs none."""
    if call is None or call.rows is None or not call.rows.accumulator:
        return None
    what = f"the accumulator of {node_name(graph, index)}"
    return _of_node(plan.accumulators.get(index), call.rows.accumulator, what)


def _of_node(offset: int | None, size: int, what: str) -> Place:
    if offset is None:
        raise MemoryPlanError(f"there is no place for {what}")
    return Place(what, offset, size)


def node_name(graph: Graph, index: int) -> str:
    """How messages call node `index`, which need not exist."""
    known = 0 <= index < len(graph.nodes)
    return f"node {graph.nodes[index].name!r}" if known else f"the unknown node {index}"


def _check_order(graph: Graph, calls: Calls, plan: Plan) -> None:
    """Every node runs once, in the graph's order."""
    aliases = {index for index, call in enumerate(calls) if call is None}
    wanted = (index for index in range(len(calls)) if index not in aliases)
    found = (index for segment in plan.segments for index in segment.nodes if index not in aliases)
    for index, ran in zip_longest(wanted, found):
        if index != ran:
            name = node_name(graph, ran if index is None else index)
            raise MemoryPlanError(f"{name} does not run once, in the graph's order")
