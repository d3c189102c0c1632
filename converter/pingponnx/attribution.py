"""Which kernel or node generated code belongs to, from the debug information of the linked image.

Kernels are inlined into the run function, so that the map file shows one large function. DWARF says for
every inlined call which addresses came from it; the outermost call below the run function is the kernel.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, groupby, pairwise
from pathlib import Path
from typing import Any

from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

Span = tuple[int, int]

_HALFWORD = 2  # instructions are one or two of them


def code_by_kernel(image: Path, source: str) -> dict[str, int]:
    """Bytes of machine code by kernel, for the functions compiled from the file named `source`.

    Code that belongs to no inlined call is the function's own. Empty without debug information.
    """
    with image.open("rb") as stream:
        elf = ELFFile(stream)
        if not elf.has_dwarf_info():
            return {}
        dwarf = elf.get_dwarf_info()
        totals: Counter[str] = Counter()
        for unit in dwarf.iter_CUs():
            top = unit.get_top_DIE()
            if Path(_text(top, "DW_AT_name")).name != source:
                continue
            for function in top.iter_children():
                if function.tag == "DW_TAG_subprogram":
                    totals.update(_function(dwarf, unit, function))
        return dict(totals)


@dataclass(frozen=True, slots=True)
class Piece:
    """Code of a function that comes from one line of it; that line is 0 where the compiler names none."""

    start: int
    code: bytes
    line: int

    def halfwords(self) -> Iterator[tuple[int, int]]:
        """Addresses and values."""
        values = struct.unpack(f"<{len(self.code) // _HALFWORD}H", self.code)
        return zip(count(self.start, _HALFWORD), values, strict=False)


def code_by_line(image: Path, source: str, function: str) -> tuple[Piece, ...]:
    """The machine code of a function by its own lines, what was inlined there included; by address.

    Empty without debug information.
    """
    with image.open("rb") as stream:
        elf = ELFFile(stream)
        dwarf = elf.get_dwarf_info() if elf.has_dwarf_info() else None
        for unit in dwarf.iter_CUs() if dwarf else ():
            top = unit.get_top_DIE()
            if Path(_text(top, "DW_AT_name")).name == source:
                for die in top.iter_children():
                    if die.tag == "DW_TAG_subprogram" and _name(die) == function:
                        return tuple(_pieces(elf, _lines(dwarf, unit, die, source)))
    return ()


def functions_of(image: Path, source: str) -> dict[str, tuple[Span, ...]]:
    """The linked functions compiled from the file named `source`, with their addresses."""
    found: dict[str, tuple[Span, ...]] = {}
    with image.open("rb") as stream:
        elf = ELFFile(stream)
        dwarf = elf.get_dwarf_info() if elf.has_dwarf_info() else None
        for unit in dwarf.iter_CUs() if dwarf else ():
            top = unit.get_top_DIE()
            if Path(_text(top, "DW_AT_name")).name != source:
                continue
            for die in top.iter_children():
                if die.tag == "DW_TAG_subprogram":
                    spans = tuple(_spans(dwarf, unit, die))
                    if spans and spans[0][0]:  # else discarded by the linker
                        found[_name(die)] = spans
    return found


def _pieces(elf: ELFFile, lines: dict[int, int]) -> Iterator[Piece]:
    """Neighbours of the same line together."""
    loaded = [(int(s["p_vaddr"]), s.data()) for s in elf.iter_segments("PT_LOAD") if s["p_filesz"]]
    for _, group in groupby(enumerate(sorted(lines)), lambda i: (i[1] - _HALFWORD * i[0], lines[i[1]])):
        addresses = [address for _, address in group]
        start, end = addresses[0], addresses[-1] + _HALFWORD
        code = next(data[start - at : end - at] for at, data in loaded if at <= start < at + len(data))
        yield Piece(start, bytes(code), lines[start])


def _lines(dwarf: Any, unit: Any, die: Any, source: str) -> dict[int, int]:
    """Halfword address -> line, from the line table, and where code was inlined from the call's line."""
    own = {address for span in _spans(dwarf, unit, die) for address in range(*span, _HALFWORD)}
    found = dict.fromkeys(own, 0)
    for start, end, line in _rows(dwarf, unit, source):
        found.update((a, line) for a in range(start, end, _HALFWORD) if a in own)
    for call in _inlined(die):
        line = call.attributes["DW_AT_call_line"].value
        for span in _spans(dwarf, unit, call):
            found.update((a, line) for a in range(*span, _HALFWORD) if a in own)
    return found


def _rows(dwarf: Any, unit: Any, source: str) -> Iterator[tuple[int, int, int]]:
    """The line table: start, end and line, which is 0 in other files than the source."""
    program = dwarf.line_program_for_CU(unit)
    first = 0 if program["version"] >= 5 else 1
    names = [Path(entry.name.decode("utf-8", "replace")).name for entry in program["file_entry"]]
    states = [entry.state for entry in program.get_entries() if entry.state is not None]
    for state, after in pairwise(states):
        if not state.end_sequence:
            same = names[state.file - first] == source
            yield state.address, after.address, state.line if same else 0


def _function(dwarf: Any, unit: Any, die: Any) -> Counter[str]:
    """One linked function: bytes by the kernels inlined into it, and its own under its name."""
    own = list(_spans(dwarf, unit, die))
    size = sum(end - start for start, end in own)
    if not size or not own[0][0]:  # discarded by the linker: its address reads as zero
        return Counter()
    found: Counter[str] = Counter()
    for call in _inlined(die):
        for start, end in _spans(dwarf, unit, call):
            found[_name(call)] += end - start
    found[_name(die)] += size - sum(found.values())
    return found


def _inlined(die: Any) -> Iterator[Any]:
    """The outermost inlined calls of a function, also those inside its blocks."""
    for child in die.iter_children():
        if child.tag == "DW_TAG_inlined_subroutine":
            yield child
        elif child.tag == "DW_TAG_lexical_block":
            yield from _inlined(child)


def _spans(dwarf: Any, unit: Any, die: Any) -> Iterator[Span]:
    """Address ranges of a function or an inlined call."""
    attributes = die.attributes
    if "DW_AT_ranges" in attributes:
        base = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        offset = base.value if base is not None else 0
        lists = dwarf.range_lists()
        for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu=unit):
            if isinstance(entry, BaseAddressEntry):
                offset = entry.base_address
            elif getattr(entry, "is_absolute", False):
                yield entry.begin_offset, entry.end_offset
            else:
                yield offset + entry.begin_offset, offset + entry.end_offset
    elif "DW_AT_high_pc" in attributes and "DW_AT_low_pc" in attributes:
        low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
        yield low, high.value if high.form == "DW_FORM_addr" else low + high.value


def _name(die: Any) -> str:
    """The source name of a function, through the abstract instance of an inlined call."""
    while "DW_AT_name" not in die.attributes:
        for link in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if link in die.attributes:
                die = die.get_DIE_from_attribute(link)
                break
        else:
            return "?"
    return _text(die, "DW_AT_name")


def _text(die: Any, attribute: str) -> str:
    value = die.attributes.get(attribute)
    return value.value.decode("utf-8", "replace") if value is not None else ""
