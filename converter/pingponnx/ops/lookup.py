"""Functions of one value: kernels that go over a count of them, int8 ones by tables of 256 entries."""

from math import prod

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Table, rows_of
from pingponnx.ir import Array, Shape


def lookup_call(table: Array, shape: Shape) -> Call:
    """y[i] = table[x[i] + 128] for all values; in place is safe, value by value."""
    values = Table("table", np.ascontiguousarray(table, np.int8))
    return each_value("lookup_s8", "lookup_s8.h", (values, Input(), Output()), shape, cycles=6)


def each_value(
    function: str, header: str, arguments: tuple[Argument, ...], shape: Shape, cycles: int
) -> Call:
    """A kernel that takes a count first and makes value by value; `cycles` are for one of them."""
    count, row = prod(shape), rows_of(shape)[2]
    return Call(
        function,
        header,
        (count, *arguments),
        overlap={0: 0},
        cycles=cycles * count,
        rows=Rows(function, header, (row, *arguments), {0: RowWindow()}, elementwise=True),
    )
