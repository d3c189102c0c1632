"""Convolution of stride 1 as products of polynomials: two columns by two taps in one multiplication."""

from collections.abc import Iterator, Mapping
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
_BLOCK = {2: 3, 3: 5}  # steps in a block of weights, by pairs of taps
_TAPS = (3, 5)
_BLOCK_CYCLES = {2: 64, 3: 136}
_RUN_CYCLES = 126  # of two channels: four accumulators are taken apart
_END_CYCLES = 8.4  # of a pair of taps
_WORD_CYCLES = 10  # to pack a pair of values
_ROW_CYCLES = 13  # to begin with packing
_OUTPUT_CYCLES = 16
_SHIFT_CYCLES = 9  # of an output with a shift of its own
_POOLS = (None, Window((2, 2), (2, 2)))


@kernels_for(Conv)
def poly(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Kernels three or five taps wide, where the fields provably hold the sums."""
    if not target.dsp or target.mve or not _applies(op, site):
        return
    linear = op.lower(site)
    pairs = (op.window.kernel[1] + 1) // 2
    weights = _steps(linear.weights, _BLOCK[pairs])
    run = longest_run(weights, _BLOCK[pairs])
    runs = -(-weights.shape[1] // run) if run else 0
    tables = provable_tables(linear, -runs << (_FIELD - 1))
    if not run or tables is None:
        return
    plain = op.kernels(site)[0]
    assert plain.rows is not None and isinstance(plain.arguments[0], Struct)
    blocks = {"blocks": weights.shape[1] // _BLOCK[pairs], "runs": runs}
    fields = dict(plain.arguments[0].fields) | blocks
    params = Struct("conv_poly_params_s8", fields)
    constants = (Table("weights", _packed(weights, _BLOCK[pairs], run)), *tables)
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
        cycles=_cycles(fields, runs, linear.requantizer.plain),
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


def _steps(weights: Array, block: int) -> Array:
    """Weights `oc kh kw ic` as `oc step kw`, all to even or full counts with zeros."""
    channels, kernel_h, kernel_w, depth = weights.shape
    steps = weights.astype(np.int64).transpose(0, 1, 3, 2).reshape(channels, kernel_h * depth, kernel_w)
    return np.pad(steps, ((0, channels % 2), (0, -steps.shape[1] % block), (0, kernel_w % 2)))


def longest_run(weights: Array, block: int) -> int:
    """The most steps of which no input can make a sum leave its field; 0: not even the fewest.

    The middle field sums products with all taps, the others with some of them.
    """
    largest = np.where(weights > 0, weights * S8_MAX, weights * S8_MIN).sum(axis=2)
    smallest = np.where(weights > 0, weights * S8_MIN, weights * S8_MAX).sum(axis=2)
    steps, limit = weights.shape[1], 1 << (_FIELD - 1)
    for runs in range(1, steps // block + 1):
        run: int = -(-(steps // block) // runs) * block
        starts = range(0, steps, run)
        highest = np.add.reduceat(largest, starts, axis=1)
        lowest = np.add.reduceat(smallest, starts, axis=1)
        if (highest < limit).all() and (lowest >= -limit).all():
            return run
    return 0


def _packed(steps: Array, block: int, run: int) -> Array:
    """`oc/2 step pair channel`: the odd tap in the lower, the even one in the upper field.

    Behind every block a word says whether the run goes on.
    """
    words = steps[:, :, 1::2] + (steps[:, :, 0::2] << _FIELD)
    channels, count, pairs = words.shape
    grouped = words.reshape(channels // 2, 2, count, pairs).transpose(0, 2, 3, 1)
    blocks = grouped.reshape(channels // 2, count // block, block * pairs * 2)
    ends = np.arange(block, count + 1, block)
    goes_on = (ends % run != 0) & (ends != count)
    return np.dstack([blocks, np.broadcast_to(goes_on, blocks.shape[:2])]).astype(np.int32)


def _scratch(fields: Mapping[str, Any], pairs: int) -> int:
    """What channels hand from tile to tile, and the packed values of one tile."""
    carried = 4 + (fields["out_c"] + 1) // 2 * fields["pool_h"] * 4
    steps = (fields["pool_h"] - 1) * fields["in_c"] + fields["blocks"] * _BLOCK[pairs]
    return 4 * int(carried + steps * (pairs + 1))


def _cycles(fields: Mapping[str, Any], runs: int, plain: bool) -> int:
    """Blocks of products, runs that are emptied, row ends, packing and outputs; measured on a Cortex-M4."""
    pairs, height = (fields["kernel_w"] + 1) // 2, fields["pool_h"]
    lines, columns = fields["out_h"] * height, fields["out_w"] * fields["pool_w"]
    tiles, couples = -(-columns // 4), -(-fields["out_c"] // 2)
    products = fields["blocks"] * _BLOCK_CYCLES[pairs] + runs * _RUN_CYCLES
    ends = 0 if columns % 4 else fields["blocks"] * _BLOCK[pairs] * (pairs - 1) * _END_CYCLES
    packed = fields["out_h"] * tiles * (fields["kernel_h"] + height - 1)
    row = fields["in_c"] * (pairs + 1) * _WORD_CYCLES + _ROW_CYCLES
    outputs = fields["out_h"] * fields["out_w"] * fields["out_c"]
    scaling = outputs * (_OUTPUT_CYCLES + (0 if plain else _SHIFT_CYCLES))
    return int(lines * couples * (tiles * products + ends) + packed * row + scaling)
