"""Convolution of stride 1 as products of polynomials: two columns by two taps in one multiplication."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pingponnx.calls import Call, Input, Local, Output, RowPointers, Scratch, Struct, Table
from pingponnx.fixed_point import S8_MAX, S8_MIN
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.kernels.proofs import provable_tables
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window
from pingponnx.targets import Target

_FIELD = 21  # bits
_UNROLLED = {2: 3, 3: 5}  # by pairs of taps: steps per iteration of the inner block
_TAPS = (3, 5)
_POOLS = (None, Window((2, 2), (2, 2)))


@kernels_for(Conv)
def poly(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Kernels three or five taps wide, where the fields provably hold the sums."""
    if not target.dsp or target.mve or not _applies(op, site):
        return
    linear = op.lower(site)
    pairs = (op.window.kernel[1] + 1) // 2
    weights = _steps(linear.weights, _UNROLLED[pairs])
    run = field_run(weights, _UNROLLED[pairs])
    runs = -(-weights.shape[1] // run) if run else 0
    tables = provable_tables(linear, -runs << (_FIELD - 1))
    if not run or tables is None:
        return
    plain = op.kernels(site)[0]
    assert plain.rows is not None and isinstance(plain.arguments[0], Struct)
    fields = dict(plain.arguments[0].fields) | {"steps": weights.shape[1], "run_steps": run}
    params = Struct("conv_poly_params_s8", fields)
    constants = (Table("weights", _packed(weights)), *tables)
    rows = replace(
        plain.rows,
        function="conv_poly_s8_row",
        header="conv_poly_s8.h",
        arguments=(params, RowPointers(), *constants, Scratch(), Output()),
    )
    pointers = Local("const int8_t *", plain.rows.windows[0].extent)
    yield replace(
        plain,
        function="conv_poly_s8",
        header="conv_poly_s8.h",
        arguments=(params, Input(), *constants, pointers, Scratch(), Output()),
        scratch=_scratch(fields, pairs),
        cycles=_cycles(fields, pairs, runs),
        rows=rows,
    )


def _applies(op: Conv, site: Site) -> bool:
    window = op.window
    return (
        site.quantized
        and len(site.x.shape) == 4
        and op.group == 1
        and window.stride == window.dilation == (1, 1)
        and window.kernel[1] in _TAPS
        and op.pool in _POOLS
    )


def _steps(weights: Array, unrolled: int) -> Array:
    """Weights `oc kh kw ic` as `oc step kw`, with channels of zeros to an even and steps of zeros to a full count."""
    channels, kernel_h, kernel_w, depth = weights.shape
    steps = weights.astype(np.int64).transpose(0, 1, 3, 2).reshape(channels, kernel_h * depth, kernel_w)
    return np.pad(steps, ((0, channels % 2), (0, -steps.shape[1] % unrolled), (0, kernel_w % 2)))


def field_run(weights: Array, unrolled: int) -> int:
    """The most steps of which no input can make a sum leave its field; 0: not even the fewest.

    The middle field sums products with all taps, the others with some of them.
    """
    largest = np.where(weights > 0, weights * S8_MAX, weights * S8_MIN).sum(axis=2)
    smallest = np.where(weights > 0, weights * S8_MIN, weights * S8_MAX).sum(axis=2)
    steps, limit = weights.shape[1], 1 << (_FIELD - 1)
    blocks = steps // unrolled
    for runs in range(1, blocks + 1):
        run = -(-blocks // runs) * unrolled
        starts = range(0, steps, run)
        if all(
            (largest[:, s : s + run].sum(axis=1) < limit).all()
            and (smallest[:, s : s + run].sum(axis=1) >= -limit).all()
            for s in starts
        ):
            return run
    return 0


def _packed(steps: Array) -> Array:
    """`oc/2 step pair channel`: the odd tap in the lower, the even one in the upper field."""
    words = steps[:, :, 1::2] + (steps[:, :, 0::2] << _FIELD)
    channels, count, pairs = words.shape
    grouped = words.reshape(channels // 2, 2, count, pairs).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(grouped).astype(np.int32)


def _scratch(fields: dict[str, Any], pairs: int) -> int:
    """What channels hand from tile to tile, and the packed values of one tile."""
    carried = 4 + (fields["out_c"] + 1) // 2 * fields["pool_h"] * 4
    steps = (fields["pool_h"] - 1) * fields["in_c"] + fields["steps"]
    return 4 * int(carried + steps * (pairs + 1))


def _cycles(fields: dict[str, Any], pairs: int, runs: int) -> int:
    """Tiles, row ends and packing; measured."""
    columns = fields["out_w"] * fields["pool_w"]
    tiles = (columns + 3) // 4
    return int(tiles)
