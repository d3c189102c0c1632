"""A memory plan as a picture: nodes in their order from left to right, addresses upward, a rectangle a block.

SVG of its own, without network or script, light or dark as the reader likes it. Built as a tree, so that
no name from a model can become markup.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pingponnx.names import short
from pingponnx.report.picture import Block, Picture, Strip
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


def plan_map(picture: Picture) -> str:
    """The text of an SVG file; the same plan always gives the same bytes."""
    return _Map(picture).text(style())


def embedded_map(picture: Picture) -> str:
    """The SVG as part of a page that has `style()` once."""
    return _Map(picture).text("")


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

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.places = {column.node: place for place, column in enumerate(picture.columns)}
        self.captions: list[_Box] = []
        low, high = _COLUMN
        self.step = max(low, min(high, _WIDTH / max(len(self.places), 1)))
        self.right = _LEFT + self.step * len(self.places)
        self.width, self.height = max(self.right + _RIGHT, 640), _TOP + _HEIGHT + _BOTTOM
        self.svg = Element(
            "svg",
            {"class": "plan-map"},
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_n(self.width)} {self.height}",
            width=_n(self.width),
            height=str(self.height),
            role="img",
        )

    def text(self, css: str) -> str:
        SubElement(self.svg, "title").text = plain(f"Memory plan of {self.picture.model}")
        if css:
            SubElement(self.svg, "style").text = css
        SubElement(self.svg, "rect", {"class": "paper", "width": "100%", "height": "100%"})
        self._header()
        self._legend()
        self._addresses()
        self._nodes()
        for strip in self.picture.strips:
            self._strip(strip)
        self._reserved()
        blocks = SubElement(self.svg, "g", {"class": "blocks"})
        for block in self.picture.blocks:
            self._block(blocks, block)
        self._borders()
        indent(self.svg, " ")
        return tostring(self.svg, encoding="unicode") + "\n"

    # -- where things are -------------------------------------------------------------------------

    def _x(self, node: int) -> float:
        return _LEFT + self.step * self.places[node]

    def _y(self, address: int) -> float:
        return _TOP + _HEIGHT * (1 - address / max(self.picture.arena, 1))

    def _box(self, block: Block, first: int, last: int) -> _Box:
        bottom = self._y(block.offset)
        top = min(self._y(block.offset + block.bytes), bottom - 1)  # a few bytes must be visible too
        return _Box(self._x(first), top, self._x(last) + self.step, bottom)

    # -- the parts --------------------------------------------------------------------------------

    def _write(self, parent: Element, x: float, y: float, text: str, css: str = "", **more: str) -> None:
        look = {"class": css} if css else {}
        SubElement(parent, "text", {"x": _n(x), "y": _n(y), **look, **more}).text = plain(text)

    def _header(self) -> None:
        shown = self.picture
        title = f"{short(shown.model)}: {shown.arena:,} bytes, {shown.strategy}"
        self._write(self.svg, _LEFT, 26, title, "title")
        self._write(self.svg, _LEFT, 45, f"{shown.certificate}; at the peak {shown.peak:,} bytes are in use")

    def _legend(self) -> None:
        x = float(_LEFT)
        for kind in _KINDS:
            if any(block.kind == kind for block in self.picture.blocks):
                group = SubElement(self.svg, "g", {"class": kind})
                SubElement(group, "path", {"class": "block", "d": _Box(x, 56, x + 14, 66).path})
                self._write(group, x + 19, 65, kind)
                x += 34 + _CHARACTER * len(kind)
        if any(strip.steps for strip in self.picture.strips):
            SubElement(self.svg, "path", {"class": "reserved tensor", "d": _Box(x, 56, x + 14, 66).path})
            self._write(self.svg, x + 19, 65, "held while its segment streams")

    def _addresses(self) -> None:
        group = SubElement(self.svg, "g", {"class": "axis"})
        step = _tick(self.picture.arena)
        for address in takewhile(lambda a: a < self.picture.arena, count(0, step)):
            y = self._y(address)
            SubElement(group, "path", d=f"M{_LEFT} {_n(y)}H{_n(self.right)}")
            if address == 0 or y - _TOP > _LINE:
                self._write(group, _LEFT - 8, y + 3.5, f"{address:,}", "end")
        self._write(group, _LEFT - 8, _TOP + 3.5, f"{self.picture.arena:,}", "end strong")
        SubElement(group, "path", {"class": "arena", "d": f"M{_LEFT} {_TOP}H{_n(self.right)}"})

    def _nodes(self) -> None:
        group = SubElement(self.svg, "g", {"class": "nodes"})
        for column in self.picture.columns:
            x, y = self._x(column.node) + self.step / 2 + 3, _TOP + _HEIGHT + 14
            item = SubElement(group, "g")
            if column.name:
                SubElement(item, "title").text = plain(column.name)
            turn = f"rotate(-40 {_n(x)} {_n(y)})"
            self._write(item, x, y, column.label, "end", transform=turn)

    def _strip(self, strip: Strip) -> None:
        """Above the plot: which nodes run together, in which direction, and where the peak is."""
        peak = strip.bytes == self.picture.peak
        box = _Box(self._x(strip.first) + 1, _TOP - 24, self._x(strip.last) + self.step - 1, _TOP - 8)
        group = SubElement(self.svg, "g", {"class": "segment peak" if peak else "segment"})
        direction = "backward" if strip.backward else "forward"
        steps = f"streamed in {strip.steps} steps" if strip.steps else "layer by layer"
        SubElement(group, "title").text = f"{steps}, {direction}, {strip.bytes:,} bytes held"
        SubElement(group, "path", d=box.path)
        arrow = "←" if strip.backward else "→"
        long = f"{steps} {arrow} {strip.bytes:,} bytes{', the peak' if peak else ''}"
        label = next(text for text in (long, f"{arrow} {strip.bytes:,}", arrow, "") if _fits(text, box))
        self._write(group, (box.left + box.right) / 2, box.bottom - 4.5, label, "middle")
        if peak:
            guide = _Box(box.left - 1, _TOP, box.right + 1, _TOP + _HEIGHT)
            SubElement(group, "path", {"class": "guide", "d": guide.path})

    def _reserved(self) -> None:
        """While a segment streams its blocks stay, also beside the nodes that use them: one area a kind.

        Scratch does not: it is nobody's between two calls.
        """
        paths: dict[str, list[str]] = {}
        for strip in (strip for strip in self.picture.strips if strip.steps):
            for block in (block for block in self.picture.blocks if block.kind != "scratch"):
                if block.first <= strip.last and strip.first <= block.last:
                    box = self._box(block, strip.first, strip.last)
                    paths.setdefault(block.kind, []).append(box.path)
        for kind, parts in sorted(paths.items()):
            SubElement(self.svg, "path", {"class": f"reserved {kind}", "d": "".join(parts)})

    def _block(self, parent: Element, block: Block) -> None:
        box = self._box(block, block.first, block.last)
        group = SubElement(parent, "g", {"class": block.kind})
        SubElement(group, "title").text = plain("; ".join(self._description(block)))
        SubElement(group, "path", {"class": "block", "d": box.path})
        if block.rows:
            lines = (self._y(block.offset + row * block.row_bytes) for row in range(1, block.rows))
            path = "".join(f"M{_n(box.left)} {_n(y)}H{_n(box.right)}" for y in lines)
            SubElement(group, "path", {"class": "row", "d": path})
        self._caption(group, block, box)

    def _description(self, block: Block) -> Iterator[str]:
        yield f"{block.kind} {block.name}" if block.kind != "scratch" else "scratch"
        yield f"bytes {block.offset:,} to {block.offset + block.bytes - 1:,} ({block.bytes:,})"
        yield f"from {self.picture.label(block.first)} to {self.picture.label(block.last)}"
        if block.note:
            yield block.note

    def _caption(self, group: Element, block: Block, box: _Box) -> None:
        """Name and bytes, a long name as the node that makes the block, where no other caption is."""
        size = f"{block.bytes:,}"
        names = (
            [self.picture.label(block.first)]
            if block.kind == "scratch"
            else [block.name, self.picture.label(block.first)]
        )
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
        for name, start in self.picture.banks:
            y = self._y(start)
            SubElement(self.svg, "path", {"class": "bank", "d": f"M{_LEFT} {_n(y)}H{_n(self.right)}"})
            self._write(self.svg, self.right - 4, y - 4, f"bank {name}", "end")


def _fits(text: str, box: _Box) -> bool:
    return _CHARACTER * len(text) + 4 <= box.width


def _n(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")


def _tick(arena: int) -> int:
    """1, 2 or 5 times a power of ten."""
    step: int = next(f * 10**p for p in count() for f in (1, 2, 5) if f * 10**p * _TICKS >= arena)
    return step


_LOOK = {
    "text": 'font: 10px system-ui, "DejaVu Sans", sans-serif; stroke: none;',
    ".title": "font-size: 15px; font-weight: 600;",
    ".strong": "font-weight: 600;",
    ".middle": "text-anchor: middle;",
    ".end": "text-anchor: end;",
    ".block": "fill-opacity: .42; stroke-width: 1;",
    ".blocks g:hover .block": "fill-opacity: .65; stroke-width: 2;",
    ".reserved": "fill-opacity: .13;",
    ".row": "fill: none; stroke-opacity: .55; stroke-dasharray: 3 2;",
    ".axis path": "fill: none; stroke-opacity: .14;",
    ".axis .arena": "stroke-opacity: 1; stroke-width: 1.5;",
    ".bank": "stroke-dasharray: 6 4;",
    ".segment path": "fill-opacity: .07; stroke-opacity: .35;",
    ".peak path": "stroke-opacity: 1;",
    ".segment .guide": "fill: none; stroke-dasharray: 4 4; stroke-opacity: .5; pointer-events: none;",
    ".peak text": "font-weight: 600;",
}


def style() -> str:
    """CSS for maps only. Not every viewer knows variables: light and dark have rules of their own."""
    dark = _rules(_colours(1))
    return f"\n{_rules(_LOOK)}{_rules(_colours(0))}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _rules(look: Mapping[str, str]) -> str:
    scoped = ((", ".join(f".plan-map {s}" for s in key.split(", ")), value) for key, value in look.items())
    return "".join(f"{selectors} {{ {value} }}\n" for selectors, value in scoped)


def _colours(dark: int) -> dict[str, str]:
    ink = _INK[dark]
    rules = {"text": f"fill: {ink};", ".paper": f"fill: {_PAPER[dark]};"}
    rules |= {".axis path, .segment path, .bank": f"stroke: {ink};", ".segment path": f"fill: {ink};"}
    for kind, colours in _KINDS.items():
        rules[f".{kind} path, .{kind}.reserved"] = f"fill: {colours[dark]};"
        rules[f".{kind} path"] = f"stroke: {colours[dark]};"
    return rules
