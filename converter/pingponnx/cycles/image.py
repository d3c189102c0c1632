"""The bytes and the functions of a linked ELF file."""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from pingponnx.errors import Error

NO_FUNCTION = "(no symbol)"


@dataclass(frozen=True, slots=True)
class Image:
    """What is loaded, as (address, bytes), and the functions, as (address, size, name) by address."""

    segments: tuple[tuple[int, bytes], ...]
    functions: tuple[tuple[int, int, str], ...] = ()

    def read(self, address: int, size: int) -> bytes:
        """The bytes at an address; an Error when the image has none there."""
        for start, data in self.segments:
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        raise Error(
            f"the image has no code at {address:#010x}", "the profile must be one of this very firmware"
        )

    def is_wide(self, address: int) -> bool:
        """Whether the instruction at the address is a 32-bit one; not so outside of the image."""
        try:
            return self.read(address, 2)[1] >> 3 >= 0b11101
        except Error:
            return False

    def function_at(self, address: int) -> str:
        """The name of the function that an address belongs to."""
        index = bisect_right(self.functions, address, key=lambda function: function[0]) - 1
        if index < 0:
            return NO_FUNCTION
        start, size, name = self.functions[index]
        # Functions written in assembly may have no size: they last until the next one.
        return name if address < start + size or not size else NO_FUNCTION


def read_image(path: Path) -> Image:
    """The image in an ELF file."""
    with path.open("rb") as stream:
        elf = ELFFile(stream)
        segments = tuple(
            (int(segment["p_vaddr"]), bytes(segment.data()))
            for segment in elf.iter_segments("PT_LOAD")
            if segment["p_filesz"]
        )
        table = elf.get_section_by_name(".symtab")
        symbols = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
        # Bit 0 of a function's address says that it is Thumb code. Aliases: the last by name wins.
        found = {
            int(symbol["st_value"]) & ~1: (int(symbol["st_size"]), str(symbol.name))
            for symbol in sorted(symbols, key=lambda symbol: str(symbol.name), reverse=True)
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
        }
    functions = tuple((address, size, name) for address, (size, name) in sorted(found.items()))
    return Image(segments, functions)
