"""Calls: what a chosen kernel is, as values. The emitter spells them in C, the planner reads their needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pingponnx.ir import Array

Scalar = int | float


@dataclass(frozen=True, slots=True)
class Input:
    """Pointer to input `index` of the node: an address in the arena, or a constant table."""

    index: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """Pointer to output `index` of the node."""

    index: int = 0


@dataclass(frozen=True, slots=True)
class Inputs:
    """An array of pointers to all inputs of the node."""

    ctype: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A constant array that goes to flash; `role` names it (weights, bias, ...). None is a NULL pointer."""

    role: str
    data: Array | None


@dataclass(frozen=True, slots=True)
class Struct:
    """A pointer to a file-scope `static const` struct; fields in the order of the C declaration."""

    ctype: str
    fields: Mapping[str, Scalar | tuple[Scalar, ...]]


@dataclass(frozen=True, slots=True)
class Local:
    """An automatic array of `count` elements that the kernel uses as work space on the stack."""

    ctype: str
    count: int


@dataclass(frozen=True, slots=True)
class Scratch:
    """Pointer to the node's scratch bytes in the arena."""


@dataclass(frozen=True, slots=True)
class ScratchBytes:
    """The number of scratch bytes, as an integer."""


Argument = Input | Output | Inputs | Table | Struct | Local | Scratch | ScratchBytes | int | float


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call and what the planner and the selector need to know about it.

    `overlap` maps an input's index to the smallest safe distance D in bytes: the output may be placed
    at any address <= input - D, once nobody else reads that input (negative D: the output may even
    start above the input). Inputs that are not named must not share a byte with the output.
    """

    function: str
    header: str
    arguments: tuple[Argument, ...]
    scratch: int = 0
    overlap: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    macs: int = 0
    cycles: int = 0  # rough estimate, used only to rank the candidates of one node
    fallback: str = ""  # why a CMSIS-NN variant node runs our plain kernel; empty when it does not
    scratch_query: "ScratchQuery | None" = None
    checked: bool = False  # the function returns a status, 0 for success

    @property
    def constants(self) -> int:
        """Bytes of flash that the call's tables take."""
        return sum(a.data.nbytes for a in self.arguments if isinstance(a, Table) and a.data is not None)


@dataclass(frozen=True, slots=True)
class ScratchQuery:
    """A C expression of the CMSIS-NN glue that says how many scratch bytes the call needs on a core."""

    header: str
    function: str
    parameters: Struct
