"""The most stack a function can use: gcc's call graph (-fcallgraph-info=su), completed by disassembly.

gcc writes for every object file which functions call which, and the bytes of each frame. Functions that
were not compiled here (the C library's) are read from the linked image: every instruction that moves the
stack pointer down counts, which is at least what the function uses.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_NODE = re.compile(r'^node: \{ title: "([^"]*)" label: "([^"]*)"')
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"')
_BYTES = re.compile(r"\\n(\d+) bytes \((static|dynamic,bounded)\)")
_INDIRECT = "__indirect_call"

_PUSH = re.compile(r"\t(?:push|stmdb\s+sp!|stmfd\s+sp!,?)(?:\.w)?\s*,?\s*\{([^}]*)\}")
_VPUSH = re.compile(r"\tvpush\s*\{([^}]*)\}")
_SUB = re.compile(r"\tsub(?:w|\.w)?\s+sp,\s*(?:sp,\s*)?#(\d+)")
_STORE = re.compile(r"\tstr[d]?(?:\.w)?\s+\S+.*\[sp, #-(\d+)\]!")
_CALL = re.compile(r"\t(?:bl|b|b\.w|b\.n)\s+[0-9a-f]+ <([^>+]+)>")


@dataclass(frozen=True, slots=True)
class Function:
    """Bytes of a function's own frame, None when it has no bound, and what it calls."""

    frame: int | None
    calls: frozenset[str]


@dataclass(frozen=True, slots=True)
class StackBound:
    """The bound in bytes along its deepest path, or None and the functions that have none."""

    bytes: int | None
    path: tuple[str, ...]
    unbounded: tuple[str, ...]


def parse_call_graph(texts: Iterable[str]) -> dict[str, Function]:
    """Functions of gcc's .ci files; a static one is named `file:function`, as gcc does."""
    frames: dict[str, int | None] = {}
    calls: dict[str, set[str]] = {}
    for line in (line for text in texts for line in text.splitlines()):
        if node := _NODE.match(line):
            name, size = _short(node[1]), _BYTES.search(node[2])
            if size or "bytes" in node[2]:
                frames[name] = int(size[1]) if size else None
                calls.setdefault(name, set())
        elif edge := _EDGE.match(line):
            calls.setdefault(_short(edge[1]), set()).add(_short(edge[2]))
    return {name: Function(frame, frozenset(calls[name])) for name, frame in frames.items()}


def _short(title: str) -> str:
    """A function's title without the folders of its file, which are this machine's."""
    return title.rsplit("/", 1)[-1]


def read_function(name: str, disassembly: str) -> Function:
    """A function's frame and calls from objdump's text; nothing at all when it was not linked."""
    lines = [line for line in disassembly.splitlines() if re.match(r"\s*[0-9a-f]+:\t", line)]
    frame = 0
    calls: set[str] = set()
    for line in lines:
        for registers in _PUSH.findall(line):
            frame += 4 * _count(registers)
        for registers in _VPUSH.findall(line):
            frame += (8 if "d" in registers else 4) * _count(registers)
        frame += sum(int(n) for n in (*_SUB.findall(line), *_STORE.findall(line)))
        calls.update(c for c in _CALL.findall(line) if c != name)
    return Function(frame, frozenset(calls))


def _count(registers: str) -> int:
    """How many registers a list such as `r4-r7, lr` names."""
    total = 0
    for part in registers.split(","):
        first, _, last = part.strip().partition("-")
        if last:
            total += int(re.sub(r"\D", "", last)) - int(re.sub(r"\D", "", first)) + 1
        else:
            total += 1
    return total


def stack_bound(
    functions: Mapping[str, Function], root: str, missing: Callable[[str], Function]
) -> StackBound:
    """The deepest sum of frames from `root` down; `missing` finds functions that no .ci file has."""
    known: dict[str, tuple[int, tuple[str, ...]] | None] = {}
    unbounded: set[str] = set()

    def depth(name: str, above: tuple[str, ...]) -> tuple[int, tuple[str, ...]] | None:
        if name in known:
            return known[name]
        function = functions.get(name) or missing(name)
        if function.frame is None or name in above or name == _INDIRECT:
            unbounded.add(name)
            return None
        below = [depth(callee, (*above, name)) for callee in sorted(function.calls)]
        if any(b is None for b in below):
            known[name] = None
            return None
        deepest = max((b for b in below if b is not None), default=(0, ()))
        known[name] = (function.frame + deepest[0], (name, *deepest[1]))
        return known[name]

    found = depth(root, ())
    if found is None:
        return StackBound(None, (), tuple(sorted(unbounded)))
    return StackBound(found[0], found[1], ())
