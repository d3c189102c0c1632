"""A memory plan as a picture: nodes in their order from left to right, addresses upward, a rectangle a block.

SVG of its own, without network or script, light or dark as the reader likes it. Built as a tree, so that
no name from a model can become markup.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, takewhile
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pingponnx.ir import Graph
from pingponnx.plan import Placed, Plan, roots_of
from pingponnx.plan.schedule import FEED, Segment
from pingponnx.report.memory_plan import certificate, describe_ring, held, members, streamed
from pingponnx.report.tables import short
from pingponnx.terminal import plain

_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 20, 104, 92  # around the plot
_HEIGHT, _WIDTH = 440, 1040  # of the plot; wider when there are many nodes
_COLUMN = (24, 96)  # the narrowest and the widest
_CHARACTER = 5.7  # width of an average one at the size of labels
_LINE = 12  # height of a label
_TICKS = 8  # about

_KINDS = {  # kind -> colour on white and on black
    "tensor": ("#2f6fb3", "#6fb1f0"),
    "ring": ("#2e8b57", "#5fcf8f"),
    "spare": ("#c9700c", "#f5a742"),
    "accumulator": ("#8e4ec6", "#c79af0"),
    "scratch": ("#6b7280", "#a3abb8"),
}
_INK, _PAPER = ("#1b1f24", "#e6e8eb"), ("#ffffff", "#15181c")


def plan_map(graph: Graph, plan: Plan) -> str:
    """The text of an SVG file; the same plan always gives the same bytes."""
    return _Map(graph, plan).text()


@dataclass(frozen=True)
class _Box:
    """A rectangle in the picture; `top` is above `bottom`, i.e. smaller."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    @property
    def path(self) -> str:
        return f"M{_n(self.left)} {_n(self.top)}H{_n(self.right)}V{_n(self.bottom)}H{_n(self.left)}Z"


class _Map:
    """The picture while it is drawn, from the background to the front."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        ran = {k for segment in plan.segments for k in members(segment)}
        ends = {end for block in plan.blocks for end in (block.first, block.last)}
        self.columns = sorted(ran | ends)  # an alias such as Reshape costs nothing and has no column
        self.peak = max((held(plan, segment) for segment in plan.segments), default=0)
        self.captions: list[_Box] = []
        low, high = _COLUMN
        self.step = max(low, min(high, _WIDTH / max(len(self.columns), 1)))
        self.right = _LEFT + self.step * len(self.columns)
        self.width, self.height = max(self.right + _RIGHT, 640), _TOP + _HEIGHT + _BOTTOM
        self.svg = Element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_n(self.width)} {self.height}",
            width=_n(self.width),
            height=str(self.height),
            role="img",
        )

    def text(self) -> str:
        SubElement(self.svg, "title").text = plain(f"Memory plan of {self.graph.name}")
        SubElement(self.svg, "style").text = _style()
        SubElement(self.svg, "rect", {"class": "paper", "width": "100%", "height": "100%"})
        self._header()
        self._legend()
        self._addresses()
        self._nodes()
        self._segments()
        self._reserved()
        blocks = SubElement(self.svg, "g", {"class": "blocks"})
        for block in self.plan.blocks:
            self._block(blocks, block)
        self._borders()
        indent(self.svg, " ")
        return tostring(self.svg, encoding="unicode") + "\n"

    # -- where things are -------------------------------------------------------------------------

    def _x(self, node: int) -> float:
        return _LEFT + self.step * self.columns.index(node)

    def _y(self, address: int) -> float:
        return _TOP + _HEIGHT * (1 - address / max(self.plan.arena, 1))

    def _box(self, block: Placed, first: int, last: int) -> _Box:
        bottom = self._y(block.offset)
        top = min(self._y(block.offset + block.bytes), bottom - 1)  # a few bytes must be visible too
        return _Box(self._x(first), top, self._x(last) + self.step, bottom)

    @cached_property
    def _roots(self) -> dict[str, str]:
        return roots_of(self.graph)

    def _users(self, block: Placed) -> tuple[int, int]:
        """The first and the last node that has to do with a block."""
        if block.kind in ("tensor", "scratch"):
            return block.first, block.last
        writers = (k for k, node in enumerate(self.graph.nodes) if block.name in node.outputs)
        writer = next(writers, FEED)
        if block.kind == "accumulator":
            return writer, writer
        readers = (
            k
            for k, node in enumerate(self.graph.nodes)
            if any(self._roots.get(name) == block.name for name in node.inputs) and not node.op.alias
        )
        return writer, max(readers, default=writer)

    # -- the parts --------------------------------------------------------------------------------

    def _write(self, parent: Element, x: float, y: float, text: str, css: str = "", **more: str) -> None:
        look = {"class": css} if css else {}
        SubElement(parent, "text", {"x": _n(x), "y": _n(y), **look, **more}).text = plain(text)

    def _header(self) -> None:
        plan, name = self.plan, short(self.graph.name)
        self._write(self.svg, _LEFT, 26, f"{name}: {plan.arena:,} bytes, {plan.strategy}", "title")
        self._write(self.svg, _LEFT, 45, f"{certificate(plan)}; at the peak {self.peak:,} bytes are in use")

    def _legend(self) -> None:
        x = float(_LEFT)
        for kind in _KINDS:
            if any(block.kind == kind for block in self.plan.blocks):
                group = SubElement(self.svg, "g", {"class": kind})
                SubElement(group, "path", {"class": "block", "d": _Box(x, 56, x + 14, 66).path})
                self._write(group, x + 19, 65, kind)
                x += 34 + _CHARACTER * len(kind)
        if self._streamed:
            SubElement(self.svg, "path", {"class": "reserved tensor", "d": _Box(x, 56, x + 14, 66).path})
            self._write(self.svg, x + 19, 65, "held while its segment streams")

    def _addresses(self) -> None:
        group = SubElement(self.svg, "g", {"class": "axis"})
        step = _tick(self.plan.arena)
        for address in takewhile(lambda a: a < self.plan.arena, count(0, step)):
            y = self._y(address)
            SubElement(group, "path", d=f"M{_LEFT} {_n(y)}H{_n(self.right)}")
            if address == 0 or y - _TOP > _LINE:
                self._write(group, _LEFT - 8, y + 3.5, f"{address:,}", "end")
        self._write(group, _LEFT - 8, _TOP + 3.5, f"{self.plan.arena:,}", "end strong")
        SubElement(group, "path", {"class": "arena", "d": f"M{_LEFT} {_TOP}H{_n(self.right)}"})

    def _nodes(self) -> None:
        group = SubElement(self.svg, "g", {"class": "nodes"})
        for node in self.columns:
            x, y = self._x(node) + self.step / 2 + 3, _TOP + _HEIGHT + 14
            inside = 0 <= node < len(self.graph.nodes)
            item = SubElement(group, "g")
            if inside:
                SubElement(item, "title").text = plain(self.graph.nodes[node].name)
            turn = f"rotate(-40 {_n(x)} {_n(y)})"
            self._write(item, x, y, self._label(node), "end", transform=turn)

    def _label(self, node: int) -> str:
        if node < 0:
            return "input"
        if node >= len(self.graph.nodes):
            return "output"
        return f"{node} {type(self.graph.nodes[node].op).__name__}"

    @property
    def _streamed(self) -> list[Segment]:
        return [segment for segment in self.plan.segments if streamed(segment)]

    def _segments(self) -> None:
        """A strip above the plot: which nodes run together, in which direction, and where the peak is."""
        for segment in self.plan.segments:
            nodes, size = members(segment), held(self.plan, segment)
            box = _Box(self._x(nodes[0]) + 1, _TOP - 24, self._x(nodes[-1]) + self.step - 1, _TOP - 8)
            group = SubElement(self.svg, "g", {"class": "segment peak" if size == self.peak else "segment"})
            direction = "backward" if segment.backward else "forward"
            steps = f"streamed in {len(segment.steps)} steps" if streamed(segment) else "layer by layer"
            SubElement(group, "title").text = f"{steps}, {direction}, {size:,} bytes held"
            SubElement(group, "path", d=box.path)
            arrow = "←" if segment.backward else "→"
            long = f"{steps} {arrow} {size:,} bytes{', the peak' if size == self.peak else ''}"
            label = next(text for text in (long, f"{arrow} {size:,}", arrow, "") if _fits(text, box))
            self._write(group, (box.left + box.right) / 2, box.bottom - 4.5, label, "middle")
            if size == self.peak:
                guide = _Box(box.left - 1, _TOP, box.right + 1, _TOP + _HEIGHT)
                SubElement(group, "path", {"class": "guide", "d": guide.path})

    def _reserved(self) -> None:
        """While a segment streams its blocks stay, also beside the nodes that use them: one area a kind.

        Scratch does not: it is nobody's between two calls.
        """
        paths: dict[str, list[str]] = {}
        for segment in self._streamed:
            nodes = members(segment)
            for block in (block for block in self.plan.blocks if block.kind != "scratch"):
                first, last = self._users(block)
                if first <= nodes[-1] and nodes[0] <= last:
                    box = self._box(block, nodes[0], nodes[-1])
                    paths.setdefault(block.kind, []).append(box.path)
        for kind, parts in sorted(paths.items()):
            SubElement(self.svg, "path", {"class": f"reserved {kind}", "d": "".join(parts)})

    def _block(self, parent: Element, block: Placed) -> None:
        first, last = self._users(block)
        box = self._box(block, first, last)
        group = SubElement(parent, "g", {"class": block.kind})
        SubElement(group, "title").text = plain("; ".join(self._description(block)))
        SubElement(group, "path", {"class": "block", "d": box.path})
        ring = self.plan.rings.get(block.name)
        if block.kind == "ring" and ring:
            lines = (self._y(block.offset + row * ring.row_bytes) for row in range(1, ring.rows))
            path = "".join(f"M{_n(box.left)} {_n(y)}H{_n(box.right)}" for y in lines)
            SubElement(group, "path", {"class": "row", "d": path})
        self._caption(group, block, first, box)

    def _description(self, block: Placed) -> Iterator[str]:
        yield f"{block.kind} {block.name}" if block.kind != "scratch" else "scratch"
        yield f"bytes {block.offset:,} to {block.offset + block.bytes - 1:,} ({block.bytes:,})"
        first, last = self._users(block)
        yield f"from {self._label(first)} to {self._label(last)}"
        if block.kind in ("ring", "spare") and block.name in self.plan.rings:
            yield describe_ring(self.plan.rings[block.name])

    def _caption(self, group: Element, block: Placed, first: int, box: _Box) -> None:
        """Name and bytes, a long name as the node that makes the block, where no other caption is."""
        size = f"{block.bytes:,}"
        names = [self._label(first)] if block.kind == "scratch" else [block.name, self._label(first)]
        choices = [*([name, size] for name in names), *([f"{name}, {size}"] for name in names), [size]]
        for lines in choices:
            width, height = _CHARACTER * max(map(len, lines)) + 4, _LINE * len(lines)
            if width > box.width or height > box.height + (1 if len(lines) == 1 else -4):
                continue
            middle = (box.left + box.right) / 2
            for part in (2, 1, 3):  # quarters of the free height
                top = box.top + (box.height - height) * part / 4
                place = _Box(middle - width / 2, top, middle + width / 2, top + height)
                if not any(place.meets(other) for other in self.captions):
                    self.captions.append(place)
                    for line, text in enumerate(lines):
                        self._write(group, middle, top + _LINE * line + 9.5, text, "middle")
                    return

    def _borders(self) -> None:
        for bank in (bank for bank in self.plan.banks if bank.bytes):
            y = self._y(bank.start)
            SubElement(self.svg, "path", {"class": "bank", "d": f"M{_LEFT} {_n(y)}H{_n(self.right)}"})
            self._write(self.svg, self.right - 4, y - 4, f"bank {bank.name}", "end")


def _fits(text: str, box: _Box) -> bool:
    return _CHARACTER * len(text) + 4 <= box.width


def _n(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")


def _tick(arena: int) -> int:
    """1, 2 or 5 times a power of ten."""
    step: int = next(f * 10**p for p in count() for f in (1, 2, 5) if f * 10**p * _TICKS >= arena)
    return step


def _style() -> str:
    """Colours stand in rules of their own, for light and for dark: not every viewer knows variables."""
    fixed = """
text { font: 10px system-ui, "DejaVu Sans", sans-serif; stroke: none; }
.title { font-size: 15px; font-weight: 600; }
.strong { font-weight: 600; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.block { fill-opacity: .42; stroke-width: 1; }
.reserved { fill-opacity: .13; }
.row { fill: none; stroke-opacity: .55; stroke-dasharray: 3 2; }
.axis path { fill: none; stroke-opacity: .14; }
.axis .arena { stroke-opacity: 1; stroke-width: 1.5; }
.bank { stroke-dasharray: 6 4; }
.segment path { fill-opacity: .07; stroke-opacity: .35; }
.peak path { stroke-opacity: 1; }
.segment .guide { fill: none; stroke-dasharray: 4 4; stroke-opacity: .5; }
.peak text { font-weight: 600; }
"""
    return f"{fixed}{_colours(0)}@media (prefers-color-scheme: dark) {{\n{_colours(1)}}}\n"


def _colours(dark: int) -> str:
    ink = _INK[dark]
    rules = [f"text {{ fill: {ink}; }}", f".paper {{ fill: {_PAPER[dark]}; }}"]
    rules += [f".axis path, .segment path, .bank {{ stroke: {ink}; }}", f".segment path {{ fill: {ink}; }}"]
    for kind, colours in _KINDS.items():
        rules += [
            f".{kind} path, .{kind}.reserved {{ fill: {colours[dark]}; }}",
            f".{kind} path {{ stroke: {colours[dark]}; }}",
        ]
    return "\n".join(rules) + "\n"
