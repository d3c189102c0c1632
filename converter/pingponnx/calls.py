"""Calls: what a chosen kernel is, as values. The emitter spells them in C, the planner reads their needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType

from pingponnx.ir import Array, Shape

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
    """A constant array (see constants.py); `role` names it (weights, bias, ...). None is a NULL pointer."""

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


@dataclass(frozen=True, slots=True)
class RowPointers:
    """An automatic array of pointers to the rows of input `index` that a unit reads; NULL: padding."""

    index: int = 0


@dataclass(frozen=True, slots=True)
class OutputRow:
    """The index of the unit's output row within its sample."""


@dataclass(frozen=True, slots=True)
class Part:
    """The unit's number among those of its output row: 0 to units - 1, the same in both directions."""


@dataclass(frozen=True, slots=True)
class First:
    """1 for the unit of an output row that is executed first, else 0."""


@dataclass(frozen=True, slots=True)
class Last:
    """1 for the unit of an output row that is executed last, else 0."""


@dataclass(frozen=True, slots=True)
class RowValues:
    """The number of values in a row of input `index`, as it lies in memory."""

    index: int = 0


@dataclass(frozen=True, slots=True)
class Accumulator:
    """Pointer to the unit's accumulators (see `Rows.accumulator`)."""


Argument = (
    Input
    | Output
    | Inputs
    | Table
    | Struct
    | Local
    | Scratch
    | ScratchBytes
    | RowPointers
    | OutputRow
    | Part
    | First
    | Last
    | RowValues
    | Accumulator
    | int
    | float
)


@dataclass(frozen=True, slots=True)
class RowWindow:
    """The rows of an input that a window at index i covers: i * stride - pad and the next extent - 1.

    Rows above and below the sample are padding.
    """

    extent: int = 1
    stride: int = 1
    pad: int = 0


ALL_ROWS = 0
"""`Rows.units` of a reduction over all rows of its input."""


def rows_of(shape: Shape) -> tuple[int, int, int]:
    """Samples, rows per sample and values per row of a tensor; see `Rows`."""
    return (shape[0], shape[1], prod(shape[2:])) if len(shape) in (3, 4) else (1, 1, prod(shape))


@dataclass(frozen=True, slots=True)
class Rows:
    """How a kernel works row by row, in calls called units: what backward and streamed loops are made of.

    A row is one index of the second axis of an `n h w c` or `n w c` tensor (of other ranks: all of it).
    Every output row takes `units` units, executed one after the other, in ascending order in a forward
    loop and in descending order in a backward one. Part q of output row r reads, of each input named in
    `windows`, the window at index r * step + q, and may write the output row from its first unit on;
    with accumulators it writes these instead, and the output row in its last unit only. Within a unit
    it may read and write in any order, except that an `elementwise` one reads each value before it
    writes the same place of the output row, in ascending order.

    In `arguments`, Input(i) of a window with extent 1 (and each pointer of Inputs) is a pointer to the
    row, NULL for padding, Output() to the output row; inputs that are not in `windows` are constants.
    """

    function: str
    header: str
    arguments: tuple[Argument, ...]
    windows: Mapping[int, RowWindow]
    units: int = 1  # or ALL_ROWS: as many as the input has rows, and one output row
    step: int = 1
    accumulator: int = 0  # bytes that live from the first to the last unit of an output row
    elementwise: bool = False
    forward_only: bool = False  # sums of floats depend on their order
    cycles: int = 0  # predicted, of all units

    @property
    def any_rows(self) -> bool:
        """True for a reduction that is told how many values a row has: its input may be cut otherwise."""
        return self.units == ALL_ROWS and any(isinstance(a, RowValues) for a in self.arguments)


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call and what the planner and the selector need to know about it.

    `overlap` maps an input's index to the smallest safe distance D in bytes: the output may be placed
    at any address <= input - D, once nobody else reads that input (negative D: the output may even
    start above the input). Inputs that are not named must not share a byte with the output.

    `function` makes the whole output; it is empty for a kernel that only works by `rows`.
    """

    function: str
    header: str
    arguments: tuple[Argument, ...]
    scratch: int = 0
    overlap: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    macs: int = 0
    cycles: int = 0  # predicted, see kernels/predict.py
    held: int = 0  # bytes of the node's constant inputs that it is passed as they are
    fallback: str = ""  # why a CMSIS-NN variant node runs our plain kernel; empty when it does not
    scratch_query: "ScratchQuery | None" = None
    checked: bool = False  # the function returns a status, 0 for success
    rows: Rows | None = None

    def form(self, *, by_rows: bool) -> "Call | Rows":
        """Whose function, header and arguments run: that of a whole output, or of its rows."""
        return self.rows if by_rows and self.rows else self

    def predicted(self, *, by_rows: bool) -> int:
        """Cycles of the form that runs."""
        return (by_rows and self.rows and self.rows.cycles) or self.cycles

    @property
    def needs(self) -> tuple[object, ...]:
        """All that a memory plan depends on."""
        rows, overlap = self.rows, tuple(sorted(self.overlap.items()))
        by_rows = rows and replace(rows, function="", header="", arguments=(), windows={}, cycles=0)
        windows = tuple(rows.windows.items()) if rows else ()
        return bool(self.function), self.scratch, overlap, windows, repr(by_rows), rows and rows.any_rows

    @property
    def constants(self) -> int:
        """Bytes of flash that the call's tables and constant inputs take."""
        passed = self.form(by_rows=not self.function).arguments
        return self.held + sum(a.data.nbytes for a in passed if isinstance(a, Table) and a.data is not None)


@dataclass(frozen=True, slots=True)
class ScratchQuery:
    """A C expression of the CMSIS-NN glue that says how many scratch bytes the call needs on a core."""

    header: str
    function: str
    parameters: Struct
