"""Additions and means of maps with Helium: what add.py and pools.py prove, four values at a time."""

from collections.abc import Iterator
from dataclasses import replace

from pingponnx.calls import Call
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import kernels_for
from pingponnx.kernels.add import add
from pingponnx.kernels.pools import mean_map
from pingponnx.ops import Site
from pingponnx.ops.binary import Add
from pingponnx.ops.pool import AveragePool
from pingponnx.targets import Target

_ADD_VECTOR = {Rounding.SINGLE: 17, Rounding.TFLITE: 25}  # cycles of four values
_ADD_START = 40
_MEAN_VECTOR = 1.4
_MEAN_VALUE = 44


@kernels_for(Add)
def additions(op: Add, site: Site, target: Target) -> Iterator[Call]:
    """runtime_c/add_mve_s8.h, called as add_fast_s8 is."""
    if target.mve:
        cycles = _ADD_VECTOR[site.rounding] * -(-site.y.size // 4) + _ADD_START
        for call in add(op, site, target):
            yield _renamed(call, "add_mve_s8", "", cycles)


@kernels_for(AveragePool)
def means(op: AveragePool, site: Site, target: Target) -> Iterator[Call]:
    """runtime_c/mean_map_mve_s8.h, called as mean_map_s8 is."""
    if target.mve:
        vectors = site.x.size // 4
        cycles = int(_MEAN_VECTOR * vectors + _MEAN_VALUE * site.y.size)
        for call in mean_map(op, site, replace(target, mve=False)):
            yield _renamed(call, "mean_map_mve_s8", "_part", cycles)


def _renamed(call: Call, name: str, by_rows: str, cycles: int) -> Call:
    assert call.rows is not None
    header = f"{name}.h"
    rows = replace(call.rows, function=name + by_rows, header=header)
    return replace(call, function=name, header=header, cycles=cycles, rows=rows)
