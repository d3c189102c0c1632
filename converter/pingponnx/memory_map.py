"""What a linked firmware consists of, read from GNU ld's map file."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pingponnx.entry import ARENA, STATE

Kind = Literal["code", "constants", "data", "bss"]

FILL = "*fill*"
"""The object name of rows that are alignment gaps."""

_KINDS: dict[str, Kind] = {
    ".vectors": "code",
    ".text": "code",
    ".rodata": "constants",
    ".data": "data",
    ".bss": "bss",
}
_HARNESS_FOLDER = "port/"

_START = "Linker script and memory map"
_OUTPUT_SECTION = re.compile(r"(\S+)")
# " .text.f  0x00000100  0x10 model/net.o", or " *fill*  0x00000110  0x2 "; with a
# long name the numbers are on the next line.
_INPUT_SECTION = re.compile(r" (\S+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)(?: (.*))?$")
_NAME_ALONE = re.compile(r" (\S+)$")
_NUMBERS_ALONE = re.compile(r" {16}0x[0-9a-f]+\s+0x([0-9a-f]+) (.+)$")


@dataclass(frozen=True, slots=True)
class Row:
    """One input section that the linker kept.

    `object` is an object file, `archive(member)`, or FILL; `name` the symbol, or the section where an
    object is not divided by symbols. `harness` rows are not the model's.
    """

    section: str
    kind: Kind
    object: str
    name: str
    bytes: int
    harness: bool

    @property
    def is_model(self) -> bool:
        """Whether the model, or a library that is there because of it, put these bytes in."""
        return not self.harness and self.object != FILL

    @property
    def is_memory(self) -> bool:
        """Whether the harness put these bytes in for the model to compute in."""
        return self.harness and self.name.startswith((ARENA, STATE)) and not self.name.endswith(".canary")


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """The rows in flash and in RAM; initialised data is in both. Empty for the host."""

    flash: tuple[Row, ...] = ()
    ram: tuple[Row, ...] = ()

    @property
    def code(self) -> int:
        """The model's code, libraries included."""
        return _model_bytes(self.flash, "code")

    @property
    def constants(self) -> int:
        """The model's constants."""
        return _model_bytes(self.flash, "constants")

    @property
    def data(self) -> int:
        """The model's initialised data, which takes flash as well as RAM."""
        return _model_bytes(self.flash, "data")

    @property
    def static_ram(self) -> int:
        """The model's .data and .bss, the arena (which the caller owns) apart."""
        return _model_bytes(self.ram, "data") + _model_bytes(self.ram, "bss")

    @property
    def arenas(self) -> dict[str, int]:
        """The linked size of the arena by bank, "" without banks: of a state with its arena in it, all."""
        return {
            row.name.removeprefix(ARENA).removeprefix("_"): row.bytes
            for row in self.ram
            if row.is_memory and row.name != STATE
        }

    @property
    def arena(self) -> int:
        """The linked size of the arena, all banks together."""
        return sum(self.arenas.values())

    @property
    def state(self) -> int:
        """The linked size of a state whose arena is in banks."""
        return sum(row.bytes for row in self.ram if row.is_memory and row.name == STATE)


def parse_map(text: str) -> MemoryMap:
    """The memory map in the text of a map file that GNU ld wrote with `target.ld`."""
    rows = tuple(_rows(text.splitlines()))
    return MemoryMap(
        flash=tuple(row for row in rows if row.kind != "bss"),
        ram=tuple(row for row in rows if row.kind in ("data", "bss")),
    )


def _model_bytes(rows: Iterable[Row], kind: Kind) -> int:
    return sum(row.bytes for row in rows if row.kind == kind and row.is_model)


def _rows(lines: Iterable[str]) -> Iterator[Row]:
    """Everything before _START (archive members, discarded sections) is skipped, as are symbols and
    "size before relaxing" lines of merged strings: their first, kept line already has the merged size."""
    iterator = iter(lines)
    for line in iterator:
        if line == _START:
            break
    section, pending = "", ""
    for line in iterator:
        if found := _OUTPUT_SECTION.match(line):
            section, pending = found[1], ""
            continue
        if found := _INPUT_SECTION.match(line):
            name, size, origin = found[1], found[2], found[3]
        elif pending and (found := _NUMBERS_ALONE.match(line)):
            name, size, origin = pending, found[1], found[2]
        else:
            alone = _NAME_ALONE.match(line)
            pending = alone[1] if alone else ""
            continue
        pending = ""
        if section in _KINDS and int(size, 16):
            yield _row(section, name, int(size, 16), origin)


def _row(section: str, name: str, size: int, origin: str | None) -> Row:
    if name == FILL or not origin:
        return Row(section, _KINDS[section], FILL, "", size, harness=False)
    return Row(
        section=section,
        kind=_KINDS[section],
        object=origin.rsplit("/", 1)[-1],
        name=_symbol(section, name),
        bytes=size,
        harness=origin.startswith(_HARNESS_FOLDER),
    )


def _symbol(section: str, name: str) -> str:
    """The f of ".text.f", also in a subsection like GCC's ".text.startup.f" or hot.py's."""
    rest = name.removeprefix(section).lstrip(".")
    for part in ("startup.", "unlikely.", "hot.", "pingponnx_hot."):
        rest = rest.removeprefix(part)
    return rest or name
