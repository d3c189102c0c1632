"""Convolution and fully connected layers with Helium, the vectors of Cortex-M55 (runtime_c/mve_s8.h).

Sixteen products a multiplication; two pixels and two channels share every load. Depthwise convolution has
channels side by side: eight values times eight weights.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from pingponnx.calls import (
    ALL_ROWS,
    Accumulator,
    Argument,
    Call,
    First,
    Input,
    Last,
    Local,
    Output,
    Part,
    RowPointers,
    Rows,
    RowValues,
    RowWindow,
    Scratch,
    Struct,
    Table,
)
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.linear import Linear
from pingponnx.ops.window import Window, geometry, hw, lying, row_distance, row_window
from pingponnx.targets import Target

_BLOCK = 4  # output channels
_VECTOR = 16  # bytes
_PAIRS_ORDER = [0, 2, 1, 3]  # of a block's channels, in which their sums are made


# -- constants --------------------------------------------------------------------------------------


def simple(linear: Linear) -> bool:
    """True where the scaling of mve_s8.h is the contract's, and weights have no zero point."""
    if linear.weight_zero_point.any():
        return False
    scaling = linear.requantizer
    return scaling.plain if scaling.rounding is Rounding.SINGLE else bool((scaling.shift <= 0).all())


def scaling_rows(linear: Linear, count: int) -> list[Array]:
    """Bias, multiplier and under TFLite's rounding shift of every channel, zeros up to `count` channels.

    Values are multiplied as they are: the bias takes their zero point out, modulo 2^32.
    """
    weights = linear.weights.reshape(len(linear.weights), -1).astype(np.int64)
    bias = linear.bias.astype(np.int64) - linear.input_zero_point * weights.sum(axis=1)
    scaling = linear.requantizer
    rows = [(bias & 0xFFFFFFFF).astype(np.uint32).view(np.int32), scaling.multiplier]
    if scaling.rounding is Rounding.TFLITE:
        rows.append(scaling.shift)
    full = [np.broadcast_to(r, len(weights)) for r in rows]
    return [np.append(r, np.zeros(count - len(r), r.dtype)).astype(np.int32) for r in full]


def _tables(linear: Linear) -> tuple[Table, Table]:
    """Rows of weights and what is read behind them; the constants of every block."""
    weights = linear.weights.reshape(len(linear.weights), -1)
    count, depth = weights.shape
    channels = -(-count // _BLOCK) * _BLOCK
    data = np.zeros(channels * depth + _VECTOR, np.int8)
    data[: count * depth] = weights.ravel()
    blocks = [row.reshape(-1, _BLOCK) for row in scaling_rows(linear, channels)]
    blocks[0] = blocks[0][:, _PAIRS_ORDER]
    return Table("weights", data), Table("bias", np.stack(blocks, axis=1).ravel())


# -- convolution ------------------------------------------------------------------------------------


@kernels_for(Conv)
def convolution(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Rows of outputs from windows of two pixels; with a fused pool also line by line of it."""
    if not target.mve or not site.quantized or op.group != 1 or site.x.shape[0] != 1:
        return
    linear = op.lower(site)
    if not simple(linear):
        return
    name, header = "conv_mve_s8", "conv_mve_s8.h"
    flat_op, flat = _lying(op, site)
    params, rows_params = conv_params(flat_op, flat), conv_params(op, site)
    inputs: tuple[Argument, ...] = (*_tables(linear), Scratch())
    pointers = Local(f"const {site.x.dtype.c} *", _whole(flat_op).extent[0])
    call = Call(
        name,
        header,
        (params, Input(), *inputs, pointers, Output()),
        scratch=0 if _direct(op) else 2 * prod(linear.weights.shape[1:]),
        overlap={0: _distance(flat_op, flat)},
        macs=op.macs(site),
        cycles=_conv_cycles(flat_op, flat),
        rows=Rows(
            f"{name}_row",
            header,
            (rows_params, RowPointers(), *inputs, Output()),
            {0: row_window(_whole(op))},
        ),
    )
    found = [call]
    if op.pool is not None and op.pool.kernel[0] > 1:
        part = Rows(
            f"{name}_part",
            header,
            (rows_params, RowPointers(), *inputs, First(), Output()),
            {0: row_window(op.window)},
            units=op.pool.kernel[0],
            step=op.pool.stride[0],
        )
        found.append(replace(call, function="", overlap={}, arguments=part.arguments, rows=part))
    for one in found:
        yield one
        if one.scratch and all(w.dilation[1] == 1 or w.kernel[1] == 1 for w in (op.window, flat_op.window)):
            yield _without_scratch(one, "conv_direct_mve_s8", _stay_cycles(flat_op, flat))


def _without_scratch(call: Call, name: str, cycles: int) -> Call:
    """The same where windows stay in the input."""

    def less(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        return tuple(a for a in arguments if not isinstance(a, Scratch))

    assert call.rows is not None
    kind = call.rows.function.rpartition("_")[2]
    rows = replace(call.rows, function=f"{name}_{kind}", arguments=less(call.rows.arguments))
    function = name if call.function else ""
    whole = less(call.arguments)
    return replace(call, function=function, arguments=whole, scratch=0, cycles=cycles, rows=rows)


def _whole(op: Conv) -> Window:
    return op.window.then(op.pool) if op.pool else op.window


def _direct(op: Conv) -> bool:
    """True when every window is one value vector of the input: nothing has to be put together."""
    return op.window.kernel == (1, 1) and not any(op.window.pads)


def _lying(op: Conv, site: Site) -> tuple[Conv, Site]:
    """The layer with as many pixels in a row as can be: they are made in pairs."""
    if op.window == Window((1, 1)) and op.pool is None:
        x, y = (replace(t, shape=(1, 1, t.size // t.shape[-1], t.shape[-1])) for t in (site.x, site.y))
        return op, replace(site, inputs=(x, *site.inputs[1:]), outputs=(y,))
    flat, window = lying(site, op.window)
    if flat is site:
        return op, site
    return replace(op, window=window, pool=op.pool.transposed if op.pool else None), flat


def conv_params(op: Conv, site: Site) -> Struct:
    """The struct of ops.conv's kernels."""
    pool = op.pool or Window((1, 1))
    fields: dict[str, Any] = {
        "groups": op.group,
        "pool_h": pool.kernel[0],
        "pool_w": pool.kernel[1],
        "pool_stride_h": pool.stride[0],
        "pool_stride_w": pool.stride[1],
    }
    return Struct("conv_params_s8", geometry(site, op.window) | fields | op.lower(site).kernel_fields())


def _distance(op: Conv, site: Site) -> int:
    """Smallest safe D: see ops.window.row_distance; one row of direct pixels is written pair by pair."""
    (h, w), (oh, ow) = hw(site.x.shape), hw(site.y.shape)
    c, out_c = site.x.shape[-1], site.y.shape[-1]
    if _direct(op) and op.pool is None and oh == 1:
        pixel = np.arange(0, ow, 2)
        return int((np.minimum(pixel + 2, ow) * out_c - pixel * op.window.stride[1] * c).max())
    return row_distance(_whole(op), (h, w), w * c, ow * out_c)


# -- depthwise --------------------------------------------------------------------------------------

_LANES = 8  # channels
_LANES_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
_HIGHEST_KERNEL = 7


@kernels_for(Conv)
def depthwise(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Rows of outputs, eight channels at a time."""
    channels, w = site.x.shape[-1], op.window
    if not target.mve or not site.quantized or site.x.shape[0] != 1 or op.pool:
        return
    if (
        not (1 < op.group == channels == site.y.shape[-1])
        or w.kernel[0] > _HIGHEST_KERNEL
        or w.dilation[0] > 1
    ):
        return
    linear = op.lower(site)
    if not simple(linear):
        return
    taps = linear.weights.reshape(channels, -1)
    lanes = -(-channels // _LANES) * _LANES
    padded = np.zeros((lanes, taps.shape[1]), np.int8)
    padded[:channels] = taps
    weights = padded.reshape(-1, _LANES, taps.shape[1]).transpose(0, 2, 1)  # by block, by tap
    blocks = [row.reshape(-1, _LANES)[:, _LANES_ORDER].reshape(-1, 4) for row in scaling_rows(linear, lanes)]
    flat, window = lying(site, w)
    flat_op = replace(op, window=window)
    inputs: tuple[Argument, ...] = (
        Table("weights", np.append(weights.ravel(), np.zeros(_LANES, np.int8))),
        Table("bias", np.stack(blocks, axis=1).ravel()),
        Scratch(),
    )
    name, header = "depthwise_mve_s8", "depthwise_mve_s8.h"
    pointers = Local(f"const {site.x.dtype.c} *", window.extent[0])
    (h, width), (_, ow) = hw(flat.x.shape), hw(flat.y.shape)
    call = Call(
        name,
        header,
        (conv_params(flat_op, flat), Input(), *inputs, pointers, Output()),
        scratch=taps.shape[1] * channels if any(w.pads) or max(w.dilation) > 1 else 0,
        overlap={0: row_distance(window, (h, width), width * channels, ow * channels)},
        macs=op.macs(site),
        cycles=_depthwise_cycles(flat_op, flat),
        rows=Rows(
            f"{name}_row",
            header,
            (conv_params(op, site), RowPointers(), *inputs, Output()),
            {0: row_window(w)},
        ),
    )
    yield call
    if call.scratch and max(w.dilation) == 1:
        more = _edge_cycles(flat_op, flat)
        yield _without_scratch(call, "depthwise_direct_mve_s8", call.cycles + more)


# -- fully connected --------------------------------------------------------------------------------


@kernels_for(Gemm)
def fully_connected(op: Gemm, site: Site, target: Target) -> Iterator[Call]:
    """Four outputs at a time; by rows of a map that was flattened each of them is a part of the sums."""
    if not target.mve or not site.quantized:
        return
    linear = op.lower(site)
    if not simple(linear):
        return
    rows, (depth, outputs) = prod(site.x.shape[:-1]), (site.x.shape[-1], site.y.shape[-1])
    sizes: dict[str, Any] = {"rows": rows, "in_n": depth, "out_n": outputs}
    params = Struct("gemm_params_s8", sizes | linear.kernel_fields())
    name, tables = "gemm_mve_s8", _tables(linear)
    part = Rows(
        f"{name}_part",
        f"{name}.h",
        (params, Input(), Part(), RowValues(), First(), Last(), *tables, Accumulator(), Output()),
        {0: RowWindow()},
        units=ALL_ROWS,
        accumulator=4 * _BLOCK * -(-outputs // _BLOCK),
    )
    blocks = -(-outputs // _BLOCK)
    yield Call(
        name,
        f"{name}.h",
        (params, Input(), *tables, Output()),
        macs=op.macs(site),
        cycles=rows * blocks * (_SINGLE_VECTOR * -(-depth // _VECTOR) + _DOT_CYCLES),
        rows=part if rows == 1 else None,
    )


# -- cycles -----------------------------------------------------------------------------------------

_PAIR_VECTOR = 16  # of two pixels and a block of channels
_SINGLE_VECTOR = 10  # of one
_PAIR_CYCLES = 57  # beside the products of a block of channels: bias, scaling, loops
_SINGLE_CYCLES = 45
_COPY_CYCLES = 11  # of a row of a window
_COPY_VECTOR = 3
_STAY_PAIR = 77  # more, of a row of two windows that stay in the input, and a block of channels
_STAY_ROW = 66  # of one's
_DOT_CYCLES = 34  # of a block of a fully connected layer
_LANES_CYCLES = 104  # of eight channels, 3x3
_LANES_TAP = 7
_LANES_PIXEL = 16
_LANES_STAY = 11  # more, where windows stay in the input
_LANES_EDGE = 110  # and where some of them is padding


def _conv_cycles(op: Conv, site: Site) -> int:
    pool, (rows, columns) = op.pool or Window((1, 1)), hw(site.y.shape)
    (kh, kw), channels = op.window.kernel, site.x.shape[-1]
    lines = rows * pool.kernel[0]
    across = (columns * n for n in divmod(pool.kernel[1], 2)) if pool.kernel[1] > 1 else divmod(columns, 2)
    pairs, singles = (lines * n for n in across)
    vectors, pixels = -(-kh * kw * channels // _VECTOR), 2 * pairs + singles
    block = pairs * (_PAIR_VECTOR * vectors + _PAIR_CYCLES)
    block += singles * (_SINGLE_VECTOR * vectors + _SINGLE_CYCLES)
    copy = kh * (_COPY_CYCLES + _COPY_VECTOR * -(-kw * channels // _VECTOR)) if kh > 1 else 0
    return block * -(-site.y.shape[-1] // _BLOCK) + pixels * copy


def _stay_cycles(op: Conv, site: Site) -> int:
    """Where windows stay in the input: by rows of windows, two pixels together where nothing is padding."""
    pool, window, (h, w) = op.pool or Window((1, 1)), op.window, hw(site.x.shape)
    (kh, kw), channels = window.kernel, site.x.shape[-1]
    lines, columns = (
        [i * pool.stride[axis] + k for i in range(n) for k in range(pool.kernel[axis])]
        for axis, n in enumerate(hw(site.y.shape))
    )
    inside = [0 <= x * window.stride[1] - window.pads[1] <= w - kw for x in columns]
    together = pool.kernel[1] if pool.kernel[1] > 1 else len(columns)  # pixels of which pairs are made
    pairs = sum(
        inside[i] and inside[i + 1]
        for i in range(len(columns) - 1)
        if i % together % 2 == 0 and i % together + 1 < together
    )
    rows = sum(
        0 <= y * window.stride[0] - window.pads[0] + k * window.dilation[0] < h
        for y in lines
        for k in range(kh)
    )
    paired, vectors = rows * pairs, -(-kw * channels // _VECTOR)
    single = len(lines) * kh * len(columns) - 2 * paired
    block = paired * (_PAIR_VECTOR * vectors + _STAY_PAIR) + single * (_SINGLE_VECTOR * vectors + _STAY_ROW)
    return block * -(-site.y.shape[-1] // _BLOCK)


def _depthwise_cycles(op: Conv, site: Site) -> int:
    pixels, taps = prod(hw(site.y.shape)), prod(op.window.kernel)
    blocks = -(-site.x.shape[-1] // _LANES)
    return pixels * (blocks * (_LANES_CYCLES + _LANES_TAP * (taps - 9)) + _LANES_PIXEL)


def _edge_cycles(op: Conv, site: Site) -> int:
    """More, where windows stay in the input: some of them are padding."""
    window, (oh, ow), (h, w) = op.window, hw(site.y.shape), hw(site.x.shape)
    starts = [
        np.arange(n) * stride - pad
        for n, stride, pad in zip((oh, ow), window.stride, window.pads[:2], strict=True)
    ]
    inner = [
        int(((s >= 0) & (s + k <= size)).sum())
        for s, k, size in zip(starts, window.kernel, (h, w), strict=True)
    ]
    edges, blocks = oh * ow - prod(inner), -(-site.x.shape[-1] // _LANES)
    return blocks * (oh * ow * _LANES_STAY + edges * _LANES_EDGE)
