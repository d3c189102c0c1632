"""Which node each instruction of a run function belongs to, from debug information and the loops in it.

The compiler names a wrong line where it moves or shares instructions, which matters where these are repeated.
But nodes run one after the other, so that all of a loop is one node's: that of most of its instructions.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from pingponnx.attribution import Piece
from pingponnx.control_flow import loops, reachable, size

_BEGIN = re.compile(r"\s*PINGPONNX_NODE_BEGIN\((\d+)\)")
_END = re.compile(r"\s*PINGPONNX_NODE_END\(")


@dataclass(frozen=True, slots=True)
class Span:
    """Code of a node, or of none."""

    start: int
    end: int
    node: int | None


def regions(pieces: Sequence[Piece], entry: int, source: str) -> tuple[Span, ...]:
    """The nodes of a run function's code, by address; code that the compiler gives no line has no span.

    `source` is the C text that the pieces' lines are of.
    """
    by_line = nodes_by_line(source)
    halfwords = {address: value for piece in pieces for address, value in piece.halfwords()}
    nodes = {
        address: by_line.get(piece.line) for piece in pieces if piece.line for address, _ in piece.halfwords()
    }
    for loop in loops(reachable(entry, halfwords)):
        owner = _owner(nodes.get(address) for address in loop)
        if owner is not None:
            for address in loop:
                nodes[address] = owner
                if size(halfwords[address]) == 4:
                    nodes[address + 2] = owner
    return tuple(_spans(nodes))


def nodes_by_line(source: str) -> dict[int, int]:
    """The lines from marker to marker of each node; markers are there also where they do nothing."""
    found: dict[int, int] = {}
    node: int | None = None
    for number, line in enumerate(source.splitlines(), start=1):
        begin = _BEGIN.match(line)
        node = int(begin[1]) if begin else node
        if node is not None:
            found[number] = node
        if _END.match(line):
            node = None
    return found


def _owner(nodes: Iterable[int | None]) -> int | None:
    """The node of clearly most instructions: two nodes that share much of a loop were not told apart."""
    counts = Counter(node for node in nodes if node is not None).most_common(2)
    if not counts or (len(counts) > 1 and 2 * counts[1][1] > counts[0][1]):
        return None
    return counts[0][0]


def _spans(nodes: Mapping[int, int | None]) -> Iterator[Span]:
    """Neighbours of the same node together."""
    for _, group in groupby(enumerate(sorted(nodes)), lambda i: (i[1] - 2 * i[0], nodes[i[1]])):
        addresses = [address for _, address in group]
        yield Span(addresses[0], addresses[-1] + 2, nodes[addresses[0]])
