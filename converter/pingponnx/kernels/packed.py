"""Convolution with two channels of weights in every 16 bits (packed_s8.h).

Four output channels and two pixels share every load: 16 multiplications take 14 instructions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingponnx.calls import (
    Argument,
    Call,
    First,
    Input,
    Local,
    Output,
    RowPointers,
    Rows,
    Scratch,
    Struct,
    Table,
)
from pingponnx.fixed_point import Requantizer, Rounding
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.linear import Linear
from pingponnx.ops.window import Window, geometry, hw, lying, row_distance, row_window
from pingponnx.targets import Target

QUAD = 4  # products that are packed together
BLOCK = 4  # output channels that are
_UNROLLED: tuple[int, ...] = (
    *range(1, 9),
    10,
    12,
    16,
)  # quads in a row without a branch, of which there are kernels
_SUM_BITS = 24  # of every second channel's sums
_QUAD_BYTES = 112  # of the code of 4 channels and 2 pixels
_BLOCK_BYTES = 320  # of what is around it


# -- packing ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A layer's constants as packed_s8.h has them; `unroll` divides `quads`."""

    stream: Table
    quads: int
    unroll: int


def pack(
    linear: Linear,
    site: Site,
    run: int = 0,
    *,
    fill: bool = True,
    order: Array | None = None,
    most: int = _UNROLLED[-1],
) -> Packed | None:
    """The layer's constants; None where packed sums would not be exact, or its scales are not simple.

    With a `run` rows of so many values each are filled up to quads, and they are not unrolled. Without
    `fill` no zeros fill up the last round. `order` is that of a window's values, by default as they are.
    At `most` so many quads are unrolled.
    """
    weights = linear.weights.reshape(len(linear.weights), -1).astype(np.int64)
    weights = weights if order is None else weights[:, order]
    if linear.weight_zero_point.any() or not _simple(linear, site.rounding):
        return None
    bias = linear.bias.astype(np.int64) - linear.input_zero_point * weights.sum(axis=1)
    # the ends of the sums, for values of -128 to 127
    ends = [np.where(weights > 0, weights * high, weights * low).sum(axis=1) for low, high in _ENDS]
    limit = 2 ** (_SUM_BITS - 1)
    if (bias + ends[0])[1::2].min(initial=0) < -limit or (bias + ends[1])[1::2].max(initial=0) >= limit:
        return None
    if run:
        rows = weights.reshape(len(weights), -1, run)
        weights = np.pad(rows, ((0, 0), (0, 0), (0, -run % QUAD))).reshape(len(weights), -1)
    unroll = 1 if run else _unroll(-(-weights.shape[1] // QUAD), fill=fill, most=most)
    quads = -(-weights.shape[1] // (QUAD * unroll)) * unroll
    halves = _halves(weights, quads * QUAD)
    if halves.min() < -(2**15) or halves.max() >= 2**15:  # -128 beside a negative weight
        return None
    return Packed(Table("weights", _stream(halves, bias, linear.requantizer)), quads, unroll)


_ENDS = ((127, -128), (-128, 127))  # what negative and positive weights are multiplied by


def _simple(linear: Linear, rounding: Rounding) -> bool:
    """True where packed_s8_requantize is the contract's."""
    if rounding is Rounding.SINGLE:
        return linear.requantizer.plain
    return bool((linear.requantizer.shift < 0).all())


def _unroll(quads: int, *, fill: bool, most: int) -> int:
    """How many quads run in a row: rounds, and zeros that may fill up the last one, shall take least."""

    def cost(count: int) -> int:
        rounds = -(-quads // count)
        zeros = rounds * count - quads
        return _rounds_cycles(rounds, count) + zeros * _QUAD_CYCLES

    counts = [n for n in _UNROLLED if n <= min(quads, most) and (fill or quads % n == 0)]
    return min(counts, key=cost)


def longest(target: Target) -> int:
    """Quads that may be unrolled so that a block's code stays in the buffer of a flash with wait states."""
    if target.code_buffer is None:
        return _UNROLLED[-1]
    return max(1, (target.code_buffer - _BLOCK_BYTES) // _QUAD_BYTES)


def _halves(weights: Array, depth: int) -> Array:
    """256 * b + a of pairs of channels, `pair k`; zeros fill both up."""
    count, taps = weights.shape
    padded = np.zeros((count + count % 2, depth), np.int64)
    padded[:count, :taps] = weights
    halves: Array = padded[0::2] + 256 * padded[1::2]
    return halves


def _stream(halves: Array, bias: Array, scaling: Requantizer) -> NDArray[np.uint32]:
    """By block of two pairs, in the end of one: biases, weights, multipliers, shifts that are not plain."""
    channels = 2 * len(halves)
    biases = _padded(bias, channels)
    biases[1::2] = 256 * biases[1::2] + biases[0::2]
    scales = [_padded(np.broadcast_to(scaling.multiplier, len(bias)), channels)]
    if scaling.rounding is Rounding.TFLITE:
        scales.append(_padded(-np.broadcast_to(scaling.shift, len(bias)), channels))
    quads = (halves & 0xFFFF).reshape(len(halves), -1, QUAD)
    words = quads[:, :, :2] | quads[:, :, 2:] << 16  # (k0, k2) and (k1, k3)
    parts: list[Array] = []
    blocks = [slice(pair, pair + 2) for pair in range(0, len(bias) // BLOCK * 2, 2)]
    blocks += [slice(pair, pair + 1) for pair in range(2 * len(blocks), len(halves))]
    for block in blocks:
        each = slice(2 * block.start, 2 * block.stop)
        parts += [biases[each], words[block].transpose(1, 2, 0).ravel()]
        parts += [scale[each] for scale in scales]
    return (np.concatenate(parts) & 0xFFFFFFFF).astype(np.uint32)


def _padded(values: Array, count: int) -> NDArray[np.int64]:
    """Zeros for channels that do not exist."""
    return np.append(values, np.zeros(count - len(values))).astype(np.int64)


# -- convolution ------------------------------------------------------------------------------------


@kernels_for(Conv)
def convolution(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Rows of outputs from columns of two pixels; with a fused pool also line by line of it."""
    if not site.quantized or op.group != 1 or site.x.shape[0] != 1 or not worthwhile(target):
        return
    packed = pack(op.lower(site), site, order=window_order(op, site), most=longest(target))
    if packed is None:
        return
    name, header = "conv_packed_s8", "conv_packed_s8.h"
    rows_params = _params(op, site, packed)
    whole = op.window.then(op.pool) if op.pool else op.window
    flat_op, flat = _lying(op, site)
    pointers = Local(
        f"const {site.x.dtype.c} *",
        (flat_op.window.then(flat_op.pool) if flat_op.pool else flat_op.window).extent[0],
    )
    inputs: tuple[Argument, ...] = (packed.stream, Scratch())
    cycles = _cycles(flat_op, flat, packed)
    call = Call(
        name,
        header,
        (_params(flat_op, flat, packed), Input(), *inputs, pointers, Output()),
        scratch=max(_scratch(op, packed, site), _scratch(flat_op, packed, flat)),
        overlap={0: _distance(op, site)},
        macs=op.macs(site),
        cycles=cycles,
        rows=Rows(
            f"{name}_row",
            header,
            (rows_params, RowPointers(), *inputs, Output()),
            {0: row_window(whole)},
            elementwise=_pointwise(op) and site.x.shape == site.y.shape,
        ),
    )
    yield call
    if op.pool is not None and op.pool.kernel[0] > 1:
        part = Rows(
            f"{name}_part",
            header,
            (rows_params, RowPointers(), *inputs, First(), Output()),
            {0: row_window(op.window)},
            units=op.pool.kernel[0],
            step=op.pool.stride[0],
        )
        yield replace(call, function="", overlap={}, arguments=part.arguments, rows=part)


def worthwhile(target: Target) -> bool:
    return target.dsp and not target.mve


def _pointwise(op: Conv) -> bool:
    """True when every output pixel is made of the input pixel in its place."""
    return op.window == Window((1, 1)) and op.pool is None


def _lying(op: Conv, site: Site) -> tuple[Conv, Site]:
    """The layer with as many pixels in a row as can be: they are made in pairs."""
    if _pointwise(op):
        x, y = (replace(t, shape=(1, 1, t.size // t.shape[-1], t.shape[-1])) for t in (site.x, site.y))
        return op, replace(site, inputs=(x, *site.inputs[1:]), outputs=(y,))
    flat, window = lying(site, op.window)
    if flat is site:
        return op, site
    return replace(op, window=window, pool=op.pool.transposed if op.pool else None), flat


def _params(op: Conv, site: Site, packed: Packed) -> Struct:
    pool = op.pool or Window((1, 1))
    fields: dict[str, Any] = {
        "groups": 1,
        "pool_h": pool.kernel[0],
        "pool_w": pool.kernel[1],
        "pool_stride_h": pool.stride[0],
        "pool_stride_w": pool.stride[1],
    }
    numbers = {"quads": packed.quads, "unroll": packed.unroll}
    numbers |= {"row_quads": row_quads(op, site), "apart": int(_apart(op))}
    fields = geometry(site, op.window) | fields | op.lower(site).fields() | numbers
    return Struct("conv_packed_params_s8", fields)


def _run(op: Conv, site: Site) -> int:
    """Values of a window's row."""
    return op.window.kernel[1] * site.x.shape[-1]


def row_quads(op: Conv, site: Site) -> int:
    """Quads that come first of each row of a window; 1-D ones may lie as one row: theirs stay in order."""
    run = _run(op, site)
    return run // QUAD if run % QUAD == 0 or len(site.x.shape) == 4 else 0


def window_order(op: Conv, site: Site) -> Array:
    """Of a window's values: the quads of every row, then what is left of the rows."""
    rows, whole = op.window.kernel[0], QUAD * row_quads(op, site)
    values = np.arange(rows * _run(op, site)).reshape(rows, -1)
    return np.concatenate([values[:, :whole].ravel(), values[:, whole:].ravel()])


def _scratch(op: Conv, packed: Packed, site: Site) -> int:
    """The column of two pixels and its end, what is left of rows, and a row that has to be put together."""
    tail = packed.quads - op.window.kernel[0] * row_quads(op, site)
    return 16 * packed.quads + 4 + QUAD * tail + (_run(op, site) if _apart(op) else 0)


def _apart(op: Conv) -> bool:
    """True when rows of windows may be padding, or not in one piece."""
    return any(op.window.pads) or (op.window.dilation[1] > 1 and op.window.kernel[1] > 1)


def _distance(op: Conv, site: Site) -> int:
    """Smallest safe D, as ops.window.row_distance; a pointwise layer writes pixels after it read two."""
    flat_op, flat = _lying(op, site)
    c, out_c = site.x.shape[-1], site.y.shape[-1]
    (h, w), (_, ow) = hw(flat.x.shape), hw(flat.y.shape)
    if not _pointwise(op):
        window = flat_op.window.then(flat_op.pool) if flat_op.pool else flat_op.window
        return row_distance(window, (h, w), w * c, ow * out_c)
    done = np.append(np.arange(2, w, 2), w)  # pixels, of which the input's are not needed any more
    return int((done * out_c - done * c).max())


# -- cycles -----------------------------------------------------------------------------------------

# Of parts of the kernels, fitted to what the model of the Cortex-M4 counts on the layers of five networks.
_QUAD_CYCLES = 31  # of 4 channels and 2 pixels
_ROUND_CYCLES = 8  # of the loop around unrolled quads
_BLOCK_CYCLES = 62  # biases, scaling and storing of 4 channels and 2 pixels
_POOL_BLOCK_CYCLES = 90  # with their maxima
_REST_CYCLES = 40  # a quad of a single pair of channels
_PAIR_CYCLES = 36  # of a call
_FILL_CYCLES = 11  # a quad of one pixel's column
_FILL_ROW_CYCLES = 13  # a row of its window
_FILL_BYTE_CYCLES = 6  # a value that is left of a row
TFLITE_CYCLES = 4  # more for each value that is scaled
# of 4 channels and a single pixel
_ONE_QUAD_CYCLES = 20.5
_ONE_ROUND_CYCLES = 5.5
_LONGEST_ONE = 8  # quads in a row of it
_ONE_BLOCK_CYCLES = 40
_ONE_POOL_BLOCK_CYCLES = 75
_COPY_ROW_CYCLES = 25  # a row of its window, copied


def _rounds_cycles(rounds: int, quads: int) -> int:
    """Of rounds of so many quads each, of 4 channels and 2 pixels."""
    return rounds * quads * _QUAD_CYCLES + (rounds * _ROUND_CYCLES if rounds > 1 else 1)


def ones_cycles(op: Conv, outputs: int, packed: Packed) -> float:
    """Of one pixel, whose window lies in one piece."""
    together = packed.unroll // 2 if packed.unroll > _LONGEST_ONE else packed.unroll
    rounds = packed.quads // together
    block = packed.quads * _ONE_QUAD_CYCLES + rounds * _ONE_ROUND_CYCLES
    block += _ONE_POOL_BLOCK_CYCLES if op.pool else _ONE_BLOCK_CYCLES
    rest = (outputs % BLOCK + 1) // 2 * packed.quads * _REST_CYCLES / 2
    return outputs // BLOCK * block + rest + _PAIR_CYCLES


def copy_cycles(op: Conv) -> int:
    """Of one window that is put together."""
    return op.window.kernel[0] * _COPY_ROW_CYCLES


def _cycles(op: Conv, site: Site, packed: Packed) -> int:
    """Of the whole layer, lying."""
    (out_h, out_w), outputs = hw(site.y.shape), site.y.shape[-1]
    pool = op.pool or Window((1, 1))
    pairs, ones = (n * out_w for n in divmod(pool.kernel[1], 2)) if op.pool else divmod(out_w, 2)
    lines, quads = out_h * pool.kernel[0], packed.quads
    fours, rest = outputs // BLOCK, (outputs % BLOCK + 1) // 2
    block = _rounds_cycles(quads // packed.unroll, packed.unroll)
    block += _POOL_BLOCK_CYCLES if op.pool else _BLOCK_CYCLES
    of_pair = fours * block + rest * quads * _REST_CYCLES + _PAIR_CYCLES
    of_fill = quads * _FILL_CYCLES + op.window.kernel[0] * _FILL_ROW_CYCLES
    of_fill += (_run(op, site) - QUAD * row_quads(op, site)) * op.window.kernel[0] * _FILL_BYTE_CYCLES
    of_one = ones_cycles(op, outputs, packed) + copy_cycles(op)
    scaled = TFLITE_CYCLES * outputs * (2 * pairs + ones) if site.rounding is Rounding.TFLITE else 0
    return int(lines * (pairs * (of_pair + 2 * of_fill) + ones * of_one + scaled))
