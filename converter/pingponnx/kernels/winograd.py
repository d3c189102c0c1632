"""3x3 convolution of stride 1 by Winograd's F(2x2, 3x3) in exact integers: 16 products instead of 36."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pingponnx.calls import Call, Input, Output, RowPointers, Scratch, Struct, Table
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.kernels.proofs import provable_tables
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window, hw
from pingponnx.targets import Target

_POOL = Window((2, 2), (2, 2))
_G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])  # twice Winograd's
_QUADRUPLED = 4  # sums, as both dimensions are doubled
_POINTS = 16  # of a tile
_RESULTS = 8  # of a point: four channels of two tiles
_BLOCK = 8  # pairs of channels that are multiplied without a branch, or two of them

# measured on a Cortex-M4
_PAIR_CYCLES = 17.6  # of two channels, at a point with eight results
_BRANCH_CYCLES = 10
_POINT_CYCLES = 80  # with its share of the way back
_OUTPUT_CYCLES = 3
_SHIFT_CYCLES = 7  # of an output with a shift of its own
_VALUE_CYCLES = 36  # of a channel of a tile's transform
_EDGE_CYCLES = 48  # more, where its pixels are copied
_TILE_CYCLES = 216


@kernels_for(Conv)
def winograd(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Kernels for input and output channels in multiples of four."""
    if not target.dsp or target.mve or not _applies(op, site):
        return
    linear = op.lower(site)
    tables = provable_tables(linear, factor=_QUADRUPLED)
    if tables is None:
        return
    plain = op.kernels(site)[0]
    assert plain.rows is not None and isinstance(plain.arguments[0], Struct)
    params = plain.arguments[0]
    constants = (Table("weights", _transformed(linear.weights)), *tables)
    channels = site.x.shape[-1]
    rows = replace(
        plain.rows,
        function="conv_winograd_s8_row",
        header="conv_winograd_s8.h",
        arguments=(params, RowPointers(), *constants, Scratch(), Output()),
    )
    yield replace(
        plain,
        function="conv_winograd_s8",
        header="conv_winograd_s8.h",
        arguments=(params, Input(), *constants, Scratch(), Output()),
        scratch=4 * _POINTS * (channels + _RESULTS) + _POINTS * channels,
        overlap=plain.overlap if op.pool or not plain.overlap else {0: pair_distance(op.window, site)},
        cycles=_cycles(op, site, linear.requantizer.plain),
        # without a pool every four rows of input make two of output
        rows=rows if op.pool else None,
    )


def _applies(op: Conv, site: Site) -> bool:
    window = op.window
    return (
        site.quantized
        and len(site.x.shape) == 4
        and op.group == 1
        and window.kernel == (3, 3)
        and window.stride == window.dilation == (1, 1)
        and op.pool in (None, _POOL)
        and site.x.shape[-1] % 4 == site.y.shape[-1] % 4 == 0
    )


def _transformed(weights: Array) -> Array:
    """`oc 3 3 ic` as `oc/4 point ic/2 4`: words of two input channels each, 0 and 2, 1 and 3, ..."""
    points = np.einsum("ai,oijc,bj->oabc", _G, weights.astype(np.int64), _G)
    count, depth = len(weights), weights.shape[-1]
    blocks = points.reshape(count // 4, 4, _POINTS, depth // 4, 2, 2)  # ... quad, half, even or odd
    low, high = blocks[..., 0, :], blocks[..., 1, :]
    words = (low & 0xFFFF) | (high << 16)
    ordered = words.reshape(count // 4, 4, _POINTS, depth // 2).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(ordered).astype(np.int32)


def pair_distance(window: Window, site: Site) -> int:
    """Smallest safe D of a kernel that writes two rows while it reads the four that they need.

    Like row_distance: a pair may end where the first row starts that it or later ones read.
    """
    (height, width), (rows, columns) = hw(site.x.shape), hw(site.y.shape)
    in_row, out_row = width * site.x.shape[-1], columns * site.y.shape[-1]
    return max(
        min(y + 2, rows) * out_row - min(max(0, y - window.pads[0]), height) * in_row
        for y in range(0, rows, 2)
    )


def _cycles(op: Conv, site: Site, plain: bool) -> int:
    """Products by point, and what is done for every tile and output."""
    (height, width), (rows, columns) = hw(site.x.shape), hw(site.y.shape)
    outputs = site.y.size
    if op.pool:
        rows, columns = 2 * rows, 2 * columns
    couples = -(-rows // 2) * -(-columns // 4)
    depth, blocks = site.x.shape[-1], couples * (site.y.shape[-1] // 4)
    pairs = depth // 2
    branches = 0 if pairs == _BLOCK else pairs // (2 if pairs % _BLOCK else _BLOCK)
    products = pairs * _PAIR_CYCLES + branches * _BRANCH_CYCLES + _POINT_CYCLES
    top, left = op.window.pads[:2]
    whole = _inside(rows, top, height) * _inside(columns, left, width)
    values = 2 * couples * depth * _VALUE_CYCLES + (2 * couples - whole) * depth * _EDGE_CYCLES
    scaling = outputs * (_OUTPUT_CYCLES + (0 if plain else _SHIFT_CYCLES))
    return round(blocks * _POINTS * products + values + 2 * couples * _TILE_CYCLES + scaling)


def _inside(outputs: int, pad: int, size: int) -> int:
    """How many tiles see four lines of the input."""
    return sum(0 <= y - pad <= size - 4 for y in range(0, outputs, 2))
