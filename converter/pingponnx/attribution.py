"""Which kernel each byte of generated code belongs to, from the debug information of the linked image.

Kernels are inlined into the run function, so that the map file shows one large function. DWARF says for
every inlined call which addresses came from it; the outermost call below the run function is the kernel.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

Span = tuple[int, int]


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
