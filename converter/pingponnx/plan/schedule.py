"""The plan as values: one arena, where everything lies in it, and in which steps the network runs.

This is what the emitter spells in C and what the verifier replays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_WORD = 4  # bytes

FEED = -1
"""The `node` of a step that takes one row of the network's input from the caller."""


class InputMode(StrEnum):
    """Where the network's inputs are while it runs."""

    RESIDENT = "resident"  # in the arena; the run destroys them
    EXTERNAL = "external"  # in constant memory of the caller's, read in place
    ROWS = "rows"  # nowhere as a whole: the caller hands over row by row


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of a node (see calls.Rows), or `keep`: its newest output row moves from spare to ring."""

    node: int
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring nodes that run together: one as a whole (no steps), or several row by row.

    In a backward segment rows and units are counted from the last one: step m of a node is its unit
    total - 1 - m.
    """

    nodes: tuple[int, ...]
    backward: bool = False
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Ring:
    """Where the rows of a tensor lie that never exists as a whole; offsets and sizes in bytes.

    Its i-th row is at offset + i % rows * row_bytes. In a backward segment i counts from the last row
    and the ring is filled from its end: offset + (rows - 1 - i % rows) * row_bytes. With a
    `spare` place every row is made there and stays until a step keeps it, i.e. copies it to the ring.
    `rows` may be 0: then all rows live and die in the spare place.
    """

    offset: int
    rows: int
    row_bytes: int
    spare: int | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A block with its address. `first` and `last` are node indices; -1 is before the first node."""

    name: str
    kind: str  # tensor, ring, spare, accumulator or scratch
    offset: int
    bytes: int
    first: int
    last: int
    tensors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bank:
    """A memory that holds the arena's bytes from `start` on; `bytes` are used of `capacity`."""

    name: str
    start: int
    bytes: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Offsets in bytes within one arena, the schedule, and the evidence.

    `offsets` has every tensor that exists as a whole in the arena, by name (aliases too); `rings` the
    others, by the name of the tensor whose bytes they are. With several banks an offset counts through
    what is used of each, in order; no block crosses a border.
    """

    arena: int
    lower_bound: int
    strategy: str
    strategies: Mapping[str, int | None]
    input_mode: InputMode
    segments: tuple[Segment, ...]
    blocks: tuple[Placed, ...]
    offsets: Mapping[str, int]
    rings: Mapping[str, Ring] = field(default_factory=dict)
    scratch: Mapping[int, int] = field(default_factory=dict)  # by node index
    accumulators: Mapping[int, int] = field(default_factory=dict)  # by node index
    banks: tuple[Bank, ...] = ()

    @property
    def proven(self) -> bool:
        """True when no schedule of this kind can be smaller, arenas being whole words."""
        return self.arena - self.lower_bound < _WORD

    def bank_of(self, offset: int) -> Bank | None:
        """The bank that a byte of the arena lies in; None without banks."""
        return next((b for b in reversed(self.banks) if b.bytes and b.start <= offset), None)

    @property
    def streamed(self) -> frozenset[int]:
        """The nodes that run row by row."""
        return frozenset(node for segment in self.segments if segment.steps for node in segment.nodes)

    def row(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "strategy": self.strategy,
            "arena": self.arena,
            "lower_bound": self.lower_bound,
            "strategies": dict(self.strategies),
            "input_mode": str(self.input_mode),
        }
