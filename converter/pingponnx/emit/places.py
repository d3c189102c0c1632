"""Where things lie, as C expressions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pingponnx.ir import Graph
from pingponnx.plan import InputMode, Plan, roots_of
from pingponnx.plan.schedule import Bank, Ring
from pingponnx.plan.stages import Extent, extents_of


@dataclass(frozen=True)
class Places:
    """Addresses in the arena and in the caller's inputs; a function takes the names it uses as parameters."""

    graph: Graph
    memory: Plan
    roots: Mapping[str, str] = field(init=False)
    extents: Mapping[str, Extent] = field(init=False)  # by root

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", roots_of(self.graph))
        object.__setattr__(self, "extents", extents_of(self.graph))

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The memories that the arena is spread over; none: it is in one piece."""
        return tuple(bank for bank in self.memory.banks if bank.bytes)

    @property
    def bases(self) -> tuple[str, ...]:
        """The pointers to the arena's memories."""
        return tuple(_base(bank) for bank in self.banks) or ("base",)

    def at(self, offset: int) -> str:
        """The address of a byte of the arena."""
        bank = self.memory.bank_of(offset)
        return f"{_base(bank)} + {offset - bank.start}" if bank else f"base + {offset}"

    def external(self, name: str) -> str | None:
        """The parameter that points to an input of the caller's; None for what is in the arena."""
        if self.memory.input_mode is not InputMode.EXTERNAL or self.roots[name] not in self.graph.inputs:
            return None
        return f"input_{self.graph.inputs.index(self.roots[name])}"

    def extent(self, name: str) -> Extent:
        """The rows of a tensor's bytes."""
        return self.extents[self.roots[name]]

    def whole(self, name: str) -> str:
        """The address of a tensor that exists as a whole."""
        return self.external(name) or self.at(self.memory.offsets[name])

    def row(self, name: str, index: str, backward: bool, kept: str) -> str:
        """The address of a row, by its index over all samples as a C expression without + or -, or in ().

        `kept` is the C expression of how many of the tensor's rows have moved to their ring.
        """
        extent, ring = self.extent(name), self.memory.rings.get(self.roots[name])
        if ring is None:
            return f"{self.whole(name)} + {product(index, extent.row_bytes)}"
        if ring.spare is not None and not ring.rows:
            return self.at(ring.spare)
        number = index.removeprefix("(").removesuffix(")")
        slot = self.ring_row(ring, number, -extent.rows % ring.rows if backward else 0)
        if ring.spare is None:
            return slot
        made = f"{extent.rows - 1} - {index}" if backward else number
        return f"({made} < {kept} ? {slot} : {self.at(ring.spare)})"

    def keep(self, name: str, count: str, backward: bool) -> tuple[str, Ring]:
        """The place in the ring of the row that moves there after `count` others, a C expression."""
        extent, ring = self.extent(name), self.memory.rings[self.roots[name]]
        if not backward:
            return self.ring_row(ring, count, 0), ring
        return self.ring_row(ring, f"{extent.rows - 1 + -extent.rows % ring.rows} - {count}", 0), ring

    def ring_row(self, ring: Ring, number: str, shift: int) -> str:
        """A slot of a ring: of row number + shift."""
        text = f"{number} + {shift}" if shift else number
        return f"ring_row({self.at(ring.offset)}, {text}, {ring.rows}, {ring.row_bytes})"


def product(a: str, b: int) -> str:
    """a * b, short where it can be."""
    return a if b == 1 else "0" if a == "0" or b == 0 else f"{a} * {b}"


def _base(bank: Bank) -> str:
    return f"{bank.name}_base"
