"""What a picture of a memory plan shows, as plain values that a report keeps; plan_map.py draws it.

Columns are nodes in the order in which they run; an alias such as Reshape costs nothing and has none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pingponnx.ir import Graph
from pingponnx.plan import Placed, Plan, roots_of
from pingponnx.plan.schedule import FEED
from pingponnx.report.memory_plan import certificate, describe_ring, held, members, streamed


@dataclass(frozen=True, slots=True)
class Column:
    """A node by its index, -1 for the network's input; `name` is the model's own."""

    node: int
    label: str
    name: str


@dataclass(frozen=True, slots=True)
class Strip:
    """Columns `first` to `last` run together, in `steps` steps (0: one node as a whole), and hold `bytes`."""

    first: int
    last: int
    backward: bool
    steps: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle: `bytes` from `offset` on, in use from column `first` to `last`.

    `rows` rows of `row_bytes` bytes take turns in a ring; `note` describes it. Both are 0 elsewhere.
    """

    name: str
    kind: str
    offset: int
    bytes: int
    first: int
    last: int
    rows: int = 0
    row_bytes: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A plan to be drawn; `banks` are the names of memories and the offsets they begin at."""

    model: str
    strategy: str
    certificate: str
    arena: int
    columns: tuple[Column, ...]
    strips: tuple[Strip, ...]
    blocks: tuple[Block, ...]
    banks: tuple[tuple[str, int], ...] = ()

    @property
    def peak(self) -> int:
        """The most bytes that are in use at once."""
        return max((strip.bytes for strip in self.strips), default=0)

    def label(self, node: int) -> str:
        return next((column.label for column in self.columns if column.node == node), str(node))

    def row(self) -> dict[str, Any]:
        """As JSON; `from_row` is the way back."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Picture":
        parts = {
            "columns": tuple(Column(**c) for c in row["columns"]),
            "strips": tuple(Strip(**s) for s in row["strips"]),
            "blocks": tuple(Block(**b) for b in row["blocks"]),
            "banks": tuple((name, start) for name, start in row["banks"]),
        }
        return cls(**{**row, **parts})


def picture(graph: Graph, plan: Plan) -> Picture:
    """The picture of a graph's plan."""
    ran = {k for segment in plan.segments for k in members(segment)}
    ends = {end for block in plan.blocks for end in (block.first, block.last)}
    return Picture(
        model=graph.name,
        strategy=plan.strategy,
        certificate=certificate(plan),
        arena=plan.arena,
        columns=tuple(_column(graph, k) for k in sorted(ran | ends)),
        strips=tuple(
            Strip(
                first=members(s)[0],
                last=members(s)[-1],
                backward=s.backward,
                steps=len(s.steps) if streamed(s) else 0,
                bytes=held(plan, s),
            )
            for s in plan.segments
        ),
        blocks=tuple(_blocks(graph, plan)),
        banks=tuple((bank.name, bank.start) for bank in plan.banks if bank.bytes),
    )


def _column(graph: Graph, node: int) -> Column:
    if 0 <= node < len(graph.nodes):
        return Column(node, f"{node} {type(graph.nodes[node].op).__name__}", graph.nodes[node].name)
    return Column(node, "input" if node < 0 else "output", "")


def _blocks(graph: Graph, plan: Plan) -> Iterator[Block]:
    roots = roots_of(graph)
    for block in plan.blocks:
        first, last = _users(graph, roots, block)
        ring = plan.rings.get(block.name) if block.kind in ("ring", "spare") else None
        rows = (ring.rows, ring.row_bytes) if ring and block.kind == "ring" else (0, 0)
        note = describe_ring(ring) if ring else ""
        yield Block(block.name, block.kind, block.offset, block.bytes, first, last, *rows, note)


def _users(graph: Graph, roots: Mapping[str, str], block: Placed) -> tuple[int, int]:
    """The first and the last node that has to do with a block."""
    if block.kind in ("tensor", "scratch"):
        return block.first, block.last
    writer = next((k for k, node in enumerate(graph.nodes) if block.name in node.outputs), FEED)
    if block.kind == "accumulator":
        return writer, writer
    readers = (
        k
        for k, node in enumerate(graph.nodes)
        if any(roots.get(name) == block.name for name in node.inputs) and not node.op.alias
    )
    return writer, max(readers, default=writer)
