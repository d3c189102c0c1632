"""Addition with Helium (runtime_c/add_mve_s8.h): what add.py proves, four values at a time."""

from collections.abc import Iterator
from dataclasses import replace

from pingponnx.calls import Call
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import kernels_for
from pingponnx.kernels.add import add
from pingponnx.ops import Site
from pingponnx.ops.binary import Add
from pingponnx.targets import Target

_NAME = "add_mve_s8"
_VECTOR_CYCLES = {Rounding.SINGLE: 17, Rounding.TFLITE: 25}  # of four values
_START_CYCLES = 40


@kernels_for(Add)
def vectors(op: Add, site: Site, target: Target) -> Iterator[Call]:
    """The same call with another function."""
    if not target.mve:
        return
    header = f"{_NAME}.h"
    for call in add(op, site, target):
        assert call.rows is not None
        yield replace(
            call,
            function=_NAME,
            header=header,
            cycles=_VECTOR_CYCLES[site.rounding] * -(-site.y.size // 4) + _START_CYCLES,
            rows=replace(call.rows, function=_NAME, header=header),
        )
