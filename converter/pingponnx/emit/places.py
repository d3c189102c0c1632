"""Where things lie, as C expressions."""

from dataclasses import dataclass, field

from pingponnx.ir import Graph
from pingponnx.names import identifier
from pingponnx.plan import InputMode, Plan, roots_of
from pingponnx.plan.stages import Extent, extent_of


@dataclass(frozen=True)
class Places:
    """Addresses in the arena and in the caller's inputs; a function takes the names it uses as parameters."""

    graph: Graph
    memory: Plan
    roots: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", roots_of(self.graph))

    @property
    def bases(self) -> tuple[str, ...]:
        """The pointers to the arena's memories."""
        banks = self.memory.banks
        return tuple(f"{identifier(b.name)}_base" for b in banks) if banks else ("base",)

    def at(self, offset: int) -> str:
        """The address of a byte of the arena."""
        for bank, base in zip(self.memory.banks, self.bases, strict=False):
            if bank.start <= offset < bank.start + bank.capacity:
                return f"{base} + {offset - bank.start}"
        return f"base + {offset}"

    def external(self, name: str) -> str | None:
        """The parameter that points to an input of the caller's; None for what is in the arena."""
        if self.memory.input_mode is not InputMode.EXTERNAL or self.roots[name] not in self.graph.inputs:
            return None
        return f"input_{self.graph.inputs.index(self.roots[name])}"

    def extent(self, name: str) -> Extent:
        """The rows of a tensor's bytes."""
        return extent_of(self.graph.tensors[self.roots[name]])

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
        number = f"{extent.rows - 1} - {index}" if backward else index.removeprefix("(").removesuffix(")")
        size = f"{ring.rows}, {ring.row_bytes}"
        if ring.spare is None:
            return f"ring_row({self.at(ring.offset)}, {number}, {size})"
        if not ring.rows:
            return self.at(ring.spare)
        return f"kept_row({self.at(ring.offset)}, {self.at(ring.spare)}, {kept}, {number}, {size})"


def product(a: str, b: int) -> str:
    """a * b, short where it can be."""
    return a if b == 1 else "0" if a == "0" or b == 0 else f"{a} * {b}"
