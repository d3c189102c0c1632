"""Fully connected layers with two channels of weights in every 16 bits (packed_s8.h)."""

from collections.abc import Iterator
from math import prod

from pingponnx.calls import (
    ALL_ROWS,
    Accumulator,
    Call,
    First,
    Input,
    Last,
    Output,
    Part,
    Rows,
    RowValues,
    RowWindow,
    Struct,
)
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import kernels_for
from pingponnx.kernels.packed import BLOCK, QUAD, TFLITE_CYCLES, longest, pack, worthwhile
from pingponnx.ops import Site
from pingponnx.ops.gemm import Gemm
from pingponnx.targets import Target


@kernels_for(Gemm)
def fully_connected(op: Gemm, site: Site, target: Target) -> Iterator[Call]:
    """Four outputs at a time; of one row of inputs also in parts, as ops.gemm."""
    if not site.quantized or not worthwhile(target):
        return
    packed = pack(op.lower(site), site, most=longest(target))
    if packed is None:
        return
    rows, outputs = prod(site.x.shape[:-1]), site.y.shape[-1]
    sizes = {"rows": rows, "in_n": site.x.shape[-1], "out_n": outputs}
    fields = sizes | op.lower(site).fields() | {"quads": packed.quads}
    params, name, header = Struct("gemm_packed_params_s8", fields), "gemm_packed_s8", "gemm_packed_s8.h"
    part = Rows(
        f"{name}_part",
        header,
        (params, Input(), Part(), RowValues(), First(), Last(), packed.stream, Accumulator(), Output()),
        {0: RowWindow()},
        units=ALL_ROWS,
        accumulator=4 * (outputs + -outputs % 2),
    )
    yield Call(
        name,
        header,
        (params, Input(), packed.stream, Output()),
        macs=op.macs(site),
        cycles=_gemm_cycles(op, site),
        rows=part if rows == 1 else None,
    )


# -- cycles -----------------------------------------------------------------------------------------

# Of a layer: its quads are of 4 channels and one row.
_GEMM_QUAD_CYCLES = 20
_GEMM_ROUND_CYCLES = 11
_GEMM_SINGLE_CYCLES = 6  # more, of a quad that is in no round
_GEMM_BLOCK_CYCLES = 48
_GEMM_REST_CYCLES = 16
_GEMM_PAIR_CYCLES = 23
_GEMM_LONG = 32  # GEMM_PACKED_LONG: quads from which on there are rounds of 8


def _gemm_cycles(op: Gemm, site: Site) -> int:
    rows, outputs = prod(site.x.shape[:-1]), site.y.shape[-1]
    quads = site.x.shape[-1] // QUAD
    rounds = quads // 8 if quads >= _GEMM_LONG else 0
    fours, singles = divmod(quads - 8 * rounds, 4)
    block = quads * _GEMM_QUAD_CYCLES + (rounds + fours) * _GEMM_ROUND_CYCLES
    block += singles * _GEMM_SINGLE_CYCLES + _GEMM_BLOCK_CYCLES
    pairs = (outputs % BLOCK + 1) // 2
    total = outputs // BLOCK * block + pairs * (quads * _GEMM_REST_CYCLES + _GEMM_PAIR_CYCLES)
    scaled = TFLITE_CYCLES * outputs if site.rounding is Rounding.TFLITE else 0
    return rows * (total + scaled)
