"""Firmware + sample -> exactly what was executed, by block and node, counted by a plugin inside QEMU.

Nothing is added to the model: debug information tells to which node code of the run function belongs, and
what it calls is counted for that node. A traced firmware tells nodes apart itself, by its markers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pingponnx.attribution import code_by_line, functions_of
from pingponnx.build import Firmware
from pingponnx.errors import Error, ToolchainError
from pingponnx.plugin import plugin
from pingponnx.process import execute
from pingponnx.regions import Span, regions
from pingponnx.run import observe
from pingponnx.targets import Board

Place = Literal["flash", "ram", "other"]
_PLACES: tuple[Place, ...] = ("flash", "ram", "other")

OUTSIDE = 0
"""The region of everything that is not the measured run."""

_LINES_LIMIT = 0xFFFE  # the plugin's slots are 16 bits
_SYMBOLS = tuple(
    f"pingponnx_{name}" for name in ("profiler_start", "profiler_end", "port", "stack_limit", "stack_top")
)


class Count(NamedTuple):
    """How often a block ran, and how often it was left by a taken branch, whichever instruction that was."""

    executed: int
    taken: int


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions that follow each other in memory and run together, and its counts by region.

    Blocks are cut as QEMU translates code: they may overlap, and where code is entered by a jump into the
    middle of a block there is another one. Each instruction belongs to exactly the blocks counted for it.
    """

    start: int
    instructions: int
    bytes: int
    counts: Mapping[int, Count]


@dataclass(frozen=True, slots=True)
class Accesses:
    """Data accesses of up to a word each: a doubleword counts twice, an MVE vector once per element."""

    loads: int
    load_bytes: int
    stores: int
    store_bytes: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a region's instructions did to memory.

    `unaligned` accesses are those that no multiple of their size (at most a word) starts. `stack` is the
    depth below the caller's stack pointer that was written to. The misses are flash lines that had to be
    fetched for code and for data; None without a flash model.
    """

    by_place: Mapping[Place, Accesses]
    unaligned: int
    stack: int
    code_misses: int | None
    data_misses: int | None


@dataclass(frozen=True, slots=True)
class FlashLines:
    """Two fully associative buffers, replaced least recently used first, between the core and its flash."""

    code_lines: int
    data_lines: int
    line_bytes: int

    def __post_init__(self) -> None:
        if not (0 < self.code_lines <= _LINES_LIMIT and 0 < self.data_lines <= _LINES_LIMIT):
            raise Error(f"a flash buffer has 1 to {_LINES_LIMIT} lines")
        if self.line_bytes < 4 or self.line_bytes & (self.line_bytes - 1):
            raise Error(f"a flash line has a power of two of bytes, at least 4, not {self.line_bytes}")


@dataclass(frozen=True, slots=True)
class Profile:
    """The first sample's run. Regions: OUTSIDE, `region(node)`, and `run` for what belongs to no node.

    `traffic` is by region, and empty if it was not asked for. `outputs` are the sample's.
    """

    nodes: int
    blocks: tuple[Block, ...]
    traffic: tuple[Traffic, ...]
    outputs: tuple[bytes, ...]
    _totals: tuple[int, ...] = field(repr=False)

    @property
    def run(self) -> int:
        """The region of what the model's run executes around its nodes."""
        return _run_region(self.nodes)

    @staticmethod
    def region(node: int) -> int:
        """The region of a node."""
        return node + 1

    def instructions(self, region: int) -> int:
        """Instructions executed in a region."""
        return self._totals[region]

    @property
    def node_instructions(self) -> tuple[int, ...]:
        """Instructions of every node."""
        return self._totals[1 : self.nodes + 1]

    @property
    def stack(self) -> int | None:
        """Bytes of stack that the run wrote to; None without traffic."""
        return max(t.stack for t in self.traffic[1:]) if self.traffic else None


def available() -> str:
    """Why nothing can be profiled here (no host compiler, an unknown QEMU); empty when it can."""
    try:
        plugin()
    except Error as error:
        return error.message.splitlines()[0]
    return ""


def profile(
    firmware: Firmware,
    samples: Sequence[Sequence[bytes]],
    *,
    memory: bool = False,
    flash_model: FlashLines | None = None,
    timeout: float = 120,
) -> Profile:
    """Count what the first sample's run executes.

    `memory` also counts loads and stores, which takes about four times as long; a flash model implies it.
    """
    board = firmware.target.board
    if board is None:
        raise Error("the host cannot be profiled", "use a target with a board")
    if not samples:
        raise Error("profiling needs a sample")
    symbols, nodes = _symbols(firmware), firmware.entry.nodes
    arguments = [
        f"file={str(plugin()).replace(',', ',,')}",
        "out=report",
        f"regions={_run_region(nodes) + 1}",
    ]
    arguments += _addresses(symbols, board, memory or flash_model is not None)
    if flash_model is not None:
        f = flash_model
        arguments.append(f"lines={f.code_lines}-{f.data_lines}-{f.line_bytes}")
    files = {}
    if not firmware.trace:
        files["spans"] = "".join(_spans(firmware, symbols))
        arguments.append("spans=spans")
    outputs, report = observe(firmware, samples[0], ",".join(arguments), files, timeout=timeout)
    return _parse(report, nodes, flash_model is not None, outputs)


def _run_region(nodes: int) -> int:
    """harness.c's REGION_RUN."""
    return max(nodes, 1) + 1


def _addresses(symbols: Mapping[str, int], board: Board, memory: bool) -> Iterator[str]:
    yield f"profiler={symbols[_SYMBOLS[0]]:x}-{symbols[_SYMBOLS[1]]:x}"
    yield f"port={symbols[_SYMBOLS[2]]:x}"
    if memory:
        for name, where in (("flash", board.flash), ("ram", board.ram)):
            yield f"{name}={where.origin:x}-{where.origin + where.length:x}"
        yield f"stack={symbols[_SYMBOLS[3]]:x}-{symbols[_SYMBOLS[4]]:x}"


def _spans(firmware: Firmware, symbols: Mapping[str, int]) -> Iterator[str]:
    """Start, end and region of the model's code, by address; without a line it stays with what ran before.

    Streamed nodes have functions of their own, and so have the loops around them; elsewhere a line tells
    the node.
    """
    prefix, run = firmware.entry.prefix, _run_region(firmware.entry.nodes)
    source = (firmware.path.parent / f"{prefix}.c").read_text(encoding="utf-8")
    found: list[Span] = []
    for function, addresses in functions_of(firmware.path, f"{prefix}.c").items():
        if streamed := re.fullmatch(rf"{prefix}_(?:keep_)?node_(\d+)", function):
            found += [Span(start, end, int(streamed[1])) for start, end in addresses]
        elif function in (f"{prefix}_run", f"{prefix}_rest"):
            found += regions(code_by_line(firmware.path, f"{prefix}.c", function), symbols[function], source)
        elif re.fullmatch(rf"{prefix}_(?:segment_\d+|(?:keep_)?input|begin|feed_rows|finish)", function):
            found += [Span(start, end, None) for start, end in addresses]
    for span in sorted(found, key=lambda span: span.start):
        region = run if span.node is None else Profile.region(span.node)
        yield f"{span.start:x} {span.end:x} {region}\n"


def _symbols(firmware: Firmware) -> dict[str, int]:
    """Addresses by name."""
    listing = execute(["arm-none-eabi-nm", firmware.path.name], cwd=firmware.path.parent).output
    rows = [line.split() for line in listing.splitlines()]
    found = {row[2]: int(row[0], 16) for row in rows if len(row) == 3}
    for name in (*_SYMBOLS, f"{firmware.entry.prefix}_run"):
        if name not in found:
            raise ToolchainError(f"{firmware.path.name} has no symbol {name}")
    return found


def _parse(report: str, nodes: int, with_lines: bool, outputs: tuple[bytes, ...]) -> Profile:
    lines = report.splitlines()
    if not lines or lines.pop() != "end":
        raise ToolchainError("the profile is not complete")
    blocks: list[Block] = []
    traffic: list[Traffic] = []
    counts: dict[int, Count] = {}
    totals = [0] * (_run_region(nodes) + 1)
    for line in lines:
        kind, *words = line.split()
        if kind == "block":
            counts = {}
            blocks.append(Block(int(words[0], 16), int(words[1]), int(words[2]), counts))
            continue
        numbers = [int(word) for word in words]
        if kind == "count":
            region, executed, taken = numbers
            counts[region] = Count(executed, taken)
            totals[region] += executed * blocks[-1].instructions
        else:
            traffic.append(_traffic(numbers, with_lines))
    blocks.sort(key=lambda block: (block.start, block.instructions))
    return Profile(nodes, tuple(blocks), tuple(traffic), outputs, tuple(totals))


def _traffic(numbers: Sequence[int], with_lines: bool) -> Traffic:
    """From the numbers of a line that profile.c's write_traffic wrote."""
    _, stack, unaligned, code_misses, data_misses, *rest = numbers
    by_place: dict[Place, Accesses] = {
        place: Accesses(*rest[4 * i : 4 * i + 4]) for i, place in enumerate(_PLACES)
    }
    misses = (code_misses, data_misses) if with_lines else (None, None)
    return Traffic(by_place, unaligned, stack, *misses)
